"""The host's http.ResponseWriter over net/rpc: one call after another, each waited for.

The host serves these calls of a request on a stream of their own, and starts a goroutine for each:
calls that are sent together run in any order, and the last one often first. SyncHeader, WriteHeader
and Write in one go were measured as 98 % wrong answers, and two at once may end the whole server
(a map that two goroutines write). So the next call leaves when the answer to the last one is here,
and the request's own end waits for that answer too.

What a response costs is therefore its number of calls. The host's writer is dialled by the frame
that carries the first call, or without one after a second (the host gives up after 5 s); WriteHeader is left out where Write implies its 200; what the app
sends while a call is on its way is joined into one Write, with one Flush behind it.

**Steps.** What is to be sent waits as steps, and the answer to one sends the next. Nothing of this
hangs on the app's task: a send that is cancelled, or not awaited to its end, leaves all the same.
``ResponseStage`` has the order, and its table every move.

**The host's own headers.** SyncHeader replaces what the host has set before (CORS, a rate limit).
Header asks for that, which is one more call, so it is called only where there is something to
lose: for a request with Origin, and as long as the last answer had headers. HostHabits looks again
every ten seconds.

**What an error means.** A Write that is refused says that the client has left; there is no other
word of that. "can't find method Plugin.Flush" says that the server is older than 11.3 and has none,
for every response of this process. A lost stream is the host's.

**An answer that is cut.** Without Content-Length the host would end it as a whole one. So the
connection is taken over and closed. HTTP/2 has no such thing: there a cut answer looks whole.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.netrpc.event_padding import EventEnds
from mm_asgi.wire.netrpc.live_calls import CallRefused, RPCCaller
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING
from mm_asgi.wire.netrpc.shapes import gob_type
from mm_asgi.wire.netrpc.stream_owner import StreamOwner

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.wire.netrpc.gob_types import GobType
    from mm_asgi.wire.netrpc.mux_link import MuxLink
    from mm_asgi.wire.netrpc.rpc_conversation import GobBook

__all__ = ["HostHabits", "ResponseCalls"]

HEADER: Final = gob_type("map[string][]string")
BYTES: Final = gob_type("bytes")
INT: Final = gob_type("int")

LARGEST_WRITE: Final = 1024 * 1024
"""Bytes that one Write carries at most, and that wait before the app has to."""

LOOK_AGAIN: Final = 10.0
"""Seconds after which the host is asked anew whether it sets headers of its own."""


class ResponseStage(enum.Enum):
    """Where a response's calls are."""

    IDLE = "nothing is on its way"
    CALLING = "a call is on its way"
    ENDED = "no call follows"


class ResponseMove(enum.Enum):
    """What moves them."""

    CALL = "a call leaves"
    ANSWERED = "its answer is here, or will never be"
    END = "no call is left"


STAGES: Final = {
    (ResponseStage.IDLE, ResponseMove.CALL): ResponseStage.CALLING,
    (ResponseStage.CALLING, ResponseMove.ANSWERED): ResponseStage.IDLE,
    (ResponseStage.IDLE, ResponseMove.END): ResponseStage.ENDED,
}
"""While a call is on its way nothing ends: the host would go on without waiting for it."""


class HostHabits:
    """What one response has shown of the host, for the others.

    Attributes:
        has_no_flush: it refused Flush, as servers before 11.3 do.
    """

    __slots__ = ("_look_at", "_sets_headers", "has_no_flush")

    def __init__(self) -> None:
        self.has_no_flush = False
        self._sets_headers = False
        self._look_at = 0.0

    def asks_headers(self, now: float, *, has_origin: bool) -> bool:
        """Return whether a response asks for the host's own headers; ``now``: the loop's time."""
        if not self._sets_headers and now < self._look_at:
            return has_origin
        self._look_at = now + LOOK_AGAIN
        return True

    def saw_headers(self, seen: bool) -> None:
        """The host has answered: it had headers, or none."""
        self._sets_headers = seen


class ResponseCalls:
    """The calls of one response.

    Args:
        book: what the session's gob streams share.
        link: the host's connection.
        number: the broker's number that the host offers its writer on.
        habits: what is known of the host.
        on_end: called once, when everything was answered or given up; True: the client has left.

    Attributes:
        is_begun: the head was handed over.
        is_closing: the last part was handed over, or the response given up.
    """

    def __init__(
        self,
        book: GobBook,
        link: MuxLink,
        number: int,
        habits: HostHabits,
        on_end: Callable[[bool], None],
    ) -> None:
        self._caller = RPCCaller(book)
        link.expect(number)
        self._link = link
        self._number = number
        self._habits = habits
        self._on_end = on_end
        self._stage = ResponseStage.IDLE
        self._steps: deque[tuple[str, GobType, Any]] = deque()
        self._waiting = 0  # body bytes in the steps
        self._ends: EventEnds | None = None
        self.is_closing = False
        self._room: asyncio.Future[None] | None = None
        self._current = ""
        self.is_begun = False

    @property
    def is_taken(self) -> bool:
        """Whether the host has acknowledged the stream: somebody writes the response."""
        return self._caller.is_taken

    @property
    def is_over(self) -> bool:
        """Whether no call follows."""
        return self._stage is ResponseStage.ENDED

    @property
    def is_full(self) -> bool:
        """Whether so many bytes wait that the app has to."""
        return self._waiting >= LARGEST_WRITE

    # ---------------------------------------------------------------- what is to be sent

    def begin(
        self,
        status: int,
        headers: dict[str, list[str]],
        *,
        has_body: bool,
        has_origin: bool,
        pads: bool,
    ) -> None:
        """Send the response's head.

        Args:
            status: 200 to 999.
            headers: as Go spells their names.
            has_body: a Write follows at once, and implies a 200.
            has_origin: the request has Origin, so that the host may have answered it with headers.
            pads: comments may be written into the body, where Flush is missing.
        """
        self.is_begun = True
        if pads:
            self._ends = EventEnds()
        now = asyncio.get_running_loop().time()
        if self._habits.asks_headers(now, has_origin=has_origin):
            self._steps.append(("Plugin.Header", NOTHING, {}))
        self._steps.append(("Plugin.SyncHeader", HEADER, headers))
        if status != 200 or not has_body:
            self._steps.append(("Plugin.WriteHeader", INT, status))

    def add(self, body: bytes | memoryview) -> None:
        """Send bytes of the body."""
        if body:
            self._steps.append(("Plugin.Write", BYTES, body))
            self._waiting += len(body)

    def flush(self) -> None:
        """Let the host pass on what it has."""
        self._steps.append(("Plugin.Flush", NOTHING, {}))

    def close(self) -> None:
        """Nothing follows: end when everything was answered."""
        self.is_closing = True

    def cut(self) -> None:
        """Send what waits, then break the client's connection, and end."""
        if not self.is_closing:
            self._steps.append(("Plugin.HijackResponse", NOTHING, {}))
            self._steps.append(("Plugin.HjConnClose", NOTHING, {}))
            self.close()
            self.run()

    def give_up(self) -> None:
        """Drop what waits, and end once the call that is on its way was answered."""
        self._steps.clear()
        self._waiting = 0
        self.close()
        self._make_room()
        self.run()

    def end_unless_closing(self) -> None:
        """Give the response up, unless its last part is on its way."""
        if not self.is_closing:
            self.give_up()

    async def wait_for_room(self) -> None:
        """Return when fewer bytes wait than one Write carries, or when all is over."""
        while self.is_full and not self.is_over:
            if self._room is None or self._room.done():
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    # ---------------------------------------------------------------- sending

    def run(self) -> None:
        """Send the next step, unless a call is on its way. Call it after adding steps."""
        if self._stage is not ResponseStage.IDLE:
            return
        step = self._next()
        if step is None:
            if self.is_closing:
                self._end(left=False)
            return
        self._current = step[0]
        self._move(ResponseMove.CALL)
        method, kind, value = step
        if kind is BYTES:
            self._caller.send_bytes(method, value, self._answered)
        else:
            self._caller.send(method, kind, value, self._answered)
        if self._caller.stream is None and not self._caller.is_lost:
            try:
                self._link.dial(self._number, self._caller)
            except ConnectionError:
                self._caller.stream_ended(whole=False)  # which fails the call

    def dial_in_vain(self) -> None:
        """Take up the host's offer, where nothing was sent, and end it: else it waits 5 s.

        Raises:
            ConnectionError: the connection is lost.
        """
        if self._caller.stream is None:
            self._link.dial(self._number, StreamOwner(), fin=True)

    def _next(self) -> tuple[str, GobType, Any] | None:
        """Take the next call off the steps, a Write with its parts; None: there is none."""
        while self._steps:
            step = self._steps.popleft()
            if step[0] == "Plugin.Write":
                return step[0], BYTES, self._gathered(step[2])
            if step[0] != "Plugin.Flush":
                return step
            if self.is_closing and not self._steps:
                continue  # the end flushes too
            if not self._habits.has_no_flush:
                return step
            if self._ends is not None and (padding := self._ends.padding()):
                return "Plugin.Write", BYTES, [padding]
        return None

    def _gathered(self, first: bytes | memoryview) -> list[bytes | memoryview]:
        """Take the Writes behind one with it; a Flush between two of them is for the second."""
        steps = self._steps
        size = len(first)
        parts = [first]
        while steps:
            flushes = steps[0][0] == "Plugin.Flush"
            if flushes and len(steps) == 1:
                break
            ahead = steps[1] if flushes else steps[0]
            if ahead[0] != "Plugin.Write" or size + len(ahead[2]) > LARGEST_WRITE:
                break
            if flushes:
                steps.popleft()
            parts.append(steps.popleft()[2])
            size += len(parts[-1])
        self._waiting -= size
        if self._ends is not None:
            for part in parts:
                self._ends.wrote(part)
        return parts

    # ---------------------------------------------------------------- answers

    def _answered(self, value: Any, error: Exception | None) -> None:
        self._move(ResponseMove.ANSWERED)
        if error is None:
            if self._current == "Plugin.Header":
                self._keep_headers(value)
        elif isinstance(error, CallRefused) and self._forgives(error):
            pass
        else:
            self._steps.clear()
            self._waiting = 0
            self._end(left=True)
            return
        self._make_room()
        self.run()

    def _forgives(self, error: CallRefused) -> bool:
        """Return whether the response goes on after this error."""
        match self._current:
            case "Plugin.Flush" if error.is_unknown:
                self._habits.has_no_flush = True
                self._flush_instead()
            case "Plugin.HijackResponse":  # HTTP/2: the answer just ends
                self._steps.clear()
            case "Plugin.Header" | "Plugin.HjConnClose":
                pass
            case _:
                return False
        return True

    def _flush_instead(self) -> None:
        """Push what was written by padding, now that there is no Flush."""
        self._steps.appendleft(("Plugin.Flush", NOTHING, {}))

    def _keep_headers(self, found: Any) -> None:
        """Add the host's own headers to the SyncHeader that follows; the app's win."""
        own: dict[str, list[str]] = found if isinstance(found, dict) else {}
        self._habits.saw_headers(bool(own))
        if not self._steps or self._steps[0][0] != "Plugin.SyncHeader":
            return  # it was given up
        headers: dict[str, list[str]] = self._steps[0][2]
        for name, values in own.items():
            if name == "Vary" and name in headers:  # a list: caches need all of it
                headers[name] = [*values, *headers[name]]
            else:
                headers.setdefault(name, values)

    def _make_room(self) -> None:
        if not self.is_full and self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _move(self, move: ResponseMove) -> None:
        self._stage = STAGES[self._stage, move]

    def _end(self, *, left: bool) -> None:
        self._move(ResponseMove.END)
        self._make_room()
        on_end, self._on_end = self._on_end, _nothing  # whoever has it holds the response
        on_end(left)
        self._caller.close()


def _nothing(left: bool) -> None:
    """Do nothing: the end was said."""
