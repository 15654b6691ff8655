"""The host's http.ResponseWriter over net/rpc: one call after another, each waited for.

The host serves these calls of a request on a stream of their own, and starts a goroutine for each:
calls that are sent together run in any order, and the last one often first. SyncHeader, WriteHeader
and Write in one go were measured as 98 % wrong answers, and two at once may end the whole server
(a map that two goroutines write). So the next call leaves when the answer to the last one is here.

What a response costs is therefore its number of calls. The host's writer is dialled by the frame
that carries the first call; WriteHeader is left out where Write implies its 200; what the app
sends while a call is on its way is joined into one Write.

**Steps.** What is to be sent waits as steps, and the answer to one sends the next. Nothing of this
hangs on the app's task: a send that is cancelled, or not awaited to its end, leaves all the same.
``ResponseStage`` has the order, and its table every move.

**What an error means.** A Write that is refused says that the client has left; there is no other
word of that. "can't find method Plugin.Flush" says that the server is older than 11.2 and has none,
for every response of this process. A lost stream is the host's.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.netrpc.live_calls import CallRefused, RPCCaller
from mm_asgi.wire.netrpc.mux_link import StreamOwner
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING
from mm_asgi.wire.netrpc.shapes import gob_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.wire.netrpc.gob_types import GobType
    from mm_asgi.wire.netrpc.mux_link import MuxLink
    from mm_asgi.wire.netrpc.rpc_conversation import GobBook

__all__ = ["HostFlush", "ResponseCalls"]

HEADER: Final = gob_type("map[string][]string")
BYTES: Final = gob_type("bytes")
INT: Final = gob_type("int")

LARGEST_WRITE: Final = 1024 * 1024
"""Bytes that one Write carries at most, and that wait before the app has to."""


class ResponseStage(enum.Enum):
    """Where a response's calls are."""

    IDLE = "nothing is on its way"
    CALLING = "a call is on its way"
    ENDED = "all calls were answered, or given up"


class ResponseMove(enum.Enum):
    """What moves them."""

    CALL = "a call leaves"
    ANSWERED = "its answer is here"
    END = "no call is left"


STAGES: Final = {
    (ResponseStage.IDLE, ResponseMove.CALL): ResponseStage.CALLING,
    (ResponseStage.CALLING, ResponseMove.ANSWERED): ResponseStage.IDLE,
    (ResponseStage.IDLE, ResponseMove.END): ResponseStage.ENDED,
    (ResponseStage.CALLING, ResponseMove.END): ResponseStage.ENDED,  # it was given up
}


class HostFlush:
    """Whether the host has Flush: unknown, and so tried, until it says that it has not."""

    __slots__ = ("is_missing",)

    def __init__(self) -> None:
        self.is_missing = False


class ResponseCalls:
    """The calls of one response.

    Args:
        book: what the session's gob streams share.
        link: the host's connection.
        number: the broker's number that the host offers its writer on.
        flush: what is known of the host.
        on_end: called once, when everything was answered or given up; True: the whole response is
            with the host.
    """

    def __init__(
        self,
        book: GobBook,
        link: MuxLink,
        number: int,
        flush: HostFlush,
        on_end: Callable[[bool], None],
    ) -> None:
        self._caller = RPCCaller(book)
        self._link = link
        self._number = number
        self._flush = flush
        self._on_end = on_end
        self._stage = ResponseStage.IDLE
        self._steps: deque[tuple[str, GobType, Any]] = deque()
        self._waiting = 0  # body bytes in the steps
        self._is_closing = False
        self._room: asyncio.Future[None] | None = None
        self._current = ""
        self.is_begun = False

    @property
    def is_taken(self) -> bool:
        """Whether the host has acknowledged the stream: somebody writes the response."""
        return self._caller.is_taken

    @property
    def is_full(self) -> bool:
        """Whether so many bytes wait that the app has to."""
        return self._waiting >= LARGEST_WRITE

    def begin(self, status: int, headers: dict[str, list[str]], *, has_body: bool) -> None:
        """Send the response's head; ``has_body``: a Write follows at once, and implies a 200."""
        self.is_begun = True
        self._steps.append(("Plugin.SyncHeader", HEADER, headers))
        if status != 200 or not has_body:
            self._steps.append(("Plugin.WriteHeader", INT, status))

    def add(self, body: bytes | memoryview) -> None:
        """Send bytes of the body."""
        if body:
            self._steps.append(("Plugin.Write", BYTES, body))
            self._waiting += len(body)

    def flush(self) -> None:
        """Let the host pass on what it has, where it can."""
        if not self._flush.is_missing:
            self._steps.append(("Plugin.Flush", NOTHING, {}))

    def close(self) -> None:
        """Nothing follows: end when everything was answered."""
        self._is_closing = True

    def give_up(self) -> None:
        """Drop what waits, and end."""
        self._steps.clear()
        self._waiting = 0
        if self._stage is not ResponseStage.ENDED:
            self._end(whole=False)

    def end_unless_closing(self) -> None:
        """Give the response up, unless its last part is on its way."""
        if not self._is_closing:
            self.give_up()

    def run(self) -> None:
        """Send the next step, unless a call is on its way. Call it after adding steps."""
        if self._stage is not ResponseStage.IDLE:
            return
        if not self._steps:
            if self._is_closing:
                self._end(whole=True)
            return
        method, kind, value = self._next()
        self._current = method
        self._move(ResponseMove.CALL)
        answer = self._caller.call(method, kind, value)
        answer.add_done_callback(self._answered)
        if self._caller.stream is None:
            self._link.dial(self._number, self._caller)

    def dial_in_vain(self) -> None:
        """Take up the host's offer, where nothing was sent, and end it: else it waits 5 s."""
        if self._caller.stream is None:
            self._link.dial(self._number, StreamOwner(), fin=True)

    async def wait_for_room(self) -> None:
        """Return when fewer bytes wait than one Write carries, or when all is over."""
        while self.is_full and self._stage is not ResponseStage.ENDED:
            if self._room is None or self._room.done():
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    def _next(self) -> tuple[str, GobType, Any]:
        method, kind, value = self._steps.popleft()
        if method != "Plugin.Write":
            return method, kind, value
        size = len(value)
        parts = [value]
        while self._steps and self._steps[0][0] == method:
            if size + len(self._steps[0][2]) > LARGEST_WRITE:
                break
            parts.append(self._steps.popleft()[2])
            size += len(parts[-1])
        self._waiting -= size
        return method, kind, value if len(parts) == 1 else b"".join(parts)

    def _answered(self, answer: asyncio.Future[Any]) -> None:
        if self._stage is not ResponseStage.CALLING:
            answer.exception()  # given up meanwhile
            return
        error = answer.exception()
        if isinstance(error, CallRefused) and self._current == "Plugin.Flush" and error.is_unknown:
            self._flush.is_missing = True
            error = None
        if error is not None:
            self.give_up()
            return
        self._move(ResponseMove.ANSWERED)
        if not self.is_full and self._room is not None and not self._room.done():
            self._room.set_result(None)
        self.run()

    def _move(self, move: ResponseMove) -> None:
        self._stage = STAGES[self._stage, move]

    def _end(self, *, whole: bool) -> None:
        self._move(ResponseMove.END)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._on_end(whole)
        self._caller.close()
