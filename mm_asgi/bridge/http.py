"""One HTTP exchange as one ASGI request: what the app's receive() and send() do.

state.py has the tables of what may follow what, exchange.py what the wire below does. Here stands
the rest: the app's two functions, the hold of a start, the end.

**Check, then move.** An event is checked by response.py before the state moves, so that a wrong
``send()`` leaves the cycle as it was. The state moves before the write, so that a second event,
sent by a parallel task, is judged by what was accepted before it and not by what has left.

**Pulled.** ``receive()`` reads the exchange when the app asks and nothing reads ahead of it. After
the body it still reads: so a host that goes on is found (D8) and the end of the wire's stream is
seen. Then it waits for ``_over``, which is set when the response has ended or the client has left.

**Whole events.** A body event of over CHUNK_SIZE leaves in several writes. Of the first such event
on, ``_turn`` keeps the events of parallel tasks from coming between these writes. An event that is
cancelled between two writes would leave a hole, so the answer is cut instead.

**The hold.** A start waits for its first body event, so that nearly every answer is one write (R1).
Holds has one timer for the starts of all requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.bridge.exchange import CHUNK_SIZE, Abort
from mm_asgi.bridge.response import (
    check_body,
    check_start,
    fit,
    plain_answer,
    scope_cookies,
)
from mm_asgi.bridge.state import (
    DISCONNECTED,
    ENDED,
    REQUEST_TRANSITIONS,
    UNSENT,
    RequestState,
    RequestStep,
    ResponseState,
    ResponseStep,
    is_disconnect,
    next_state,
)
from mm_asgi.errors import AppProtocolError, ClientDisconnected, HostProtocolError
from mm_asgi.tasks import DRAINED

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

    from mm_asgi.bridge.exchange import Exchange
    from mm_asgi.bridge.response import ResponseHead

__all__ = ["HOLD", "HTTPCycle", "Holds"]

logger = logging.getLogger("mm_asgi.bridge")

HOLD = 0.005
"""Seconds that a start may wait for its first body event (row R1): 5 ms cannot be seen."""

LEFT_PAUSE = 0.02
"""Seconds that a send to a client who left takes (row D4), so that no loop spins."""

SERVER_ERROR = "Internal Server Error"
"""The body of a 500: a fixed text, never the app's own (row R9)."""

_OVER = ENDED | {ResponseState.LEFT}


class HTTPCycle:
    """One request: what its app calls, and what it did.

    Args:
        exchange: the request's way to the host; nothing of its body has been read.
        grace: seconds after which a send to a client who left raises.
        holds: where the start waits for its first body event.
        root_path: the scope's.
        rewrite_cookies: give cookies without a narrower path the root_path (row R17).

    Attributes:
        state: where the response is.
        request: where the request is.
        status: the response's status; 0 before its start.
        sent: body bytes that were handed to the wire.
        wide_cookies: names of the app's cookies that reach every plugin of the site.
    """

    __slots__ = (
        "_draining",
        "_exchange",
        "_expected",
        "_grace",
        "_head",
        "_holds",
        "_left_at",
        "_method",
        "_over",
        "_received",
        "_rewrite_cookies",
        "_root_path",
        "_turn",
        "request",
        "sent",
        "state",
        "status",
        "wide_cookies",
    )

    def __init__(
        self,
        exchange: Exchange,
        *,
        grace: float,
        holds: Holds,
        root_path: str = "",
        rewrite_cookies: bool = False,
    ) -> None:
        facts = exchange.request
        # the request
        self._exchange = exchange
        self._method = facts.method
        self._expected = facts.length
        self._received = 0
        self.request = RequestState.OPEN
        # Made by the first receive() that waits: few requests have one.
        self._over: asyncio.Event | None = None
        # the response
        self.state = ResponseState.WAITING
        self._head: ResponseHead | None = None
        self.sent = 0
        self._turn: asyncio.Lock | None = None
        self._left_at = 0.0
        self._draining = False
        self.status = 0
        # the surroundings
        self._grace = grace
        self._holds = holds
        self._root_path = root_path
        self._rewrite_cookies = rewrite_cookies
        self.wide_cookies: Sequence[str] = ()
        exchange.on_left(self._on_left)

    @property
    def disconnected(self) -> bool:
        """Whether the app got, or will get, http.disconnect before its response ended."""
        return self.request in DISCONNECTED

    @property
    def unread(self) -> int:
        """Bytes of a declared body that the app has not asked for; 0 after a disconnect."""
        if self.request is not RequestState.OPEN:
            return 0
        return max(self._expected - self._received, 0)

    # ---------------------------------------------------------------- request: receive()

    async def receive(self) -> dict[str, Any]:
        """ASGI receive: http.request events, then http.disconnect for ever (rows D1 to D6)."""
        if self.request is RequestState.OPEN and self.state not in ENDED:
            event: dict[str, Any] | None = None
            try:
                event = self._take(await self._exchange.read())
            except HostProtocolError as fault:
                self._break(fault)
            if event is not None:
                return event
        while self.request not in DISCONNECTED and self.state not in ENDED:
            await self._until_over()
        return {"type": "http.disconnect"}

    def _take(self, part: tuple[bytes, bool] | None) -> dict[str, Any] | None:
        """Return the event for what was read; None when it is none."""
        before = self.request
        if before in DISCONNECTED or self.state in ENDED:
            return None  # it ended while this call waited
        chunk, more = part if part is not None else (b"", False)
        self._received += len(chunk)
        over = self._received - self._expected if self._expected >= 0 else 0
        if part is None:
            step = RequestStep.END
        elif over > 0:
            step = RequestStep.LONG
            chunk = chunk[: max(len(chunk) - over, 0)]
        elif more:
            step = RequestStep.PART
        else:
            step = RequestStep.SHORT if over < 0 else RequestStep.LAST
        self.request = REQUEST_TRANSITIONS[before, step]
        if before is not RequestState.OPEN:
            return None
        if self.request in DISCONNECTED:
            logger.debug(
                "request body truncated: %s after %d bytes; the app gets http.disconnect",
                step.value,
                self._received,
            )
            self._wake()
            return None
        if step is RequestStep.LONG:
            logger.warning(
                "request body: the host sent more than Content-Length's %d bytes; the rest is cut",
                self._expected,
            )
        return {
            "type": "http.request",
            "body": chunk,
            "more_body": self.request is RequestState.OPEN,
        }

    async def _until_over(self) -> None:
        """Wait for the end of the response or of the client; find a host that goes on (D8)."""
        if self._over is None:
            self._over = asyncio.Event()
        try:
            part = await self._exchange.read()
        except HostProtocolError as fault:
            self._break(fault)
            return
        self._take(part)
        if part is None:
            await self._over.wait()

    def _break(self, fault: HostProtocolError) -> None:
        """End a request whose host broke the contract, unless it is over or its body was cut."""
        if self.request in DISCONNECTED or self.state in ENDED:
            return
        self.request = REQUEST_TRANSITIONS[self.request, RequestStep.BREAK]
        if self.request not in DISCONNECTED:
            return
        logger.error("%s; the request was ended while the response was %r", fault, self.state.value)
        self._abort(ResponseStep.BREAK, Abort.BROKEN)

    def _wake(self) -> None:
        if self._over is not None:
            self._over.set()

    def _on_left(self) -> None:
        """Note that the client left; after the whole answer this is the host's way to end (D5)."""
        self.state = next_state(self.state, ResponseStep.LEAVE)
        if self.state is ResponseState.LEFT:
            self._left_at = asyncio.get_running_loop().time()
            self.request = REQUEST_TRANSITIONS[self.request, RequestStep.LEAVE]
        self._wake()

    def drain(self) -> None:
        """Disconnect the app if it streams events, now or later: the plugin stops (row L4)."""
        self._draining = True
        if (
            self.request is not RequestState.STOPPED
            and self._head is not None
            and self._head.content_type == "text/event-stream"
        ):
            self.request = REQUEST_TRANSITIONS[self.request, RequestStep.STOP]
            self._wake()

    # ---------------------------------------------------------------- response: send()

    async def send(self, event: MutableMapping[str, Any]) -> None:
        """ASGI send (rows R1 to R13).

        Raises:
            AppProtocolError: the event is wrong, or does not fit the state.
            ClientDisconnected: the client left more than the grace ago.
        """
        if self.state in _OVER:
            await self._send_too_late()
            return
        try:
            kind = event["type"]
        except (TypeError, KeyError):
            raise AppProtocolError(
                f"http.response: the app sent {type(event).__name__} without a type while the"
                f" response was {self.state.value!r}; expected a dict with the key 'type'"
            ) from None
        if kind == "http.response.start":
            self._start(event)
            return
        if kind != "http.response.body":
            raise AppProtocolError(
                f"http.response: the app sent {kind!r} while the response was"
                f" {self.state.value!r}; expected http.response.start or http.response.body"
            )
        head, body, more, fault = self._body(event)
        if self._turn is not None:
            await self._write_in_turn(head, body, more=more)
        elif body or not more or head is not None:
            try:
                await self._exchange.write(head, body, more=more, flush=more)
            finally:  # a cancelled write leaves all the same
                if not more and self._over is not None:
                    self._over.set()
        if fault is not None:
            raise fault

    async def _send_too_late(self) -> None:
        if self.state is not ResponseState.LEFT:
            logger.debug("a send after the end of the response was ignored")
            return
        if asyncio.get_running_loop().time() - self._left_at > self._grace:
            raise ClientDisconnected(
                f"http.response: the client left more than {self._grace:g} s ago and the app"
                " still sends; expected it to stop at http.disconnect"
            )
        await asyncio.sleep(LEFT_PAUSE)

    def _start(self, event: MutableMapping[str, Any]) -> None:
        target = next_state(self.state, ResponseStep.START)
        head = check_start(event, self._method)
        if head.sets_cookies:
            self.wide_cookies = scope_cookies(head, self._root_path, rewrite=self._rewrite_cookies)
        self.state = target
        self._head = head
        self.status = head.status
        self._holds.add(self)
        if self._draining:
            self.drain()

    async def release(self) -> None:
        """Send a held start alone."""
        # State and write in one go: a body event that came first has sent the head already.
        if self.state is ResponseState.HELD:
            self.state = next_state(self.state, ResponseStep.RELEASE)
            await self._exchange.write(self._head, b"", more=True, flush=True)

    def _body(
        self, event: MutableMapping[str, Any]
    ) -> tuple[ResponseHead | None, bytes, bool, AppProtocolError | None]:
        """Accept a body event.

        Returns:
            The head when it is still to be sent, the bytes that leave, whether more may follow,
            and the app's fault that ends the response, or None.
        """
        head = self._head
        held = self.state is ResponseState.HELD
        if held and head is not None and not event.get("more_body"):  # nearly every answer
            whole = event.get("body", b"")
            if type(whole) is bytes and len(whole) <= CHUNK_SIZE and head.fits_whole(len(whole)):
                self.state = next_state(self.state, ResponseStep.LAST)
                self.sent = len(whole)
                return head, whole, False, None
        given, more = check_body(event)
        target = next_state(self.state, ResponseStep.CHUNK if more else ResponseStep.LAST)
        assert head is not None  # the table lets no body pass before a start
        body, more, fault = fit(head, self.sent, given, more=more)
        if held:
            if fault is not None:
                raise fault  # nothing has left: the app may still send a right body
            if not more:
                head.set_length(len(given))
        elif fault is not None:
            if len(body) == len(given):
                self._abort(ResponseStep.FAULT, Abort.TOO_SHORT)
                raise fault
            target = next_state(self.state, ResponseStep.LAST)
        self.state = target
        self.sent += len(body)
        if len(body) > CHUNK_SIZE and self._turn is None:
            self._turn = asyncio.Lock()
        if type(body) is not bytes:
            body = bytes(body)  # the app may change its buffer before the wire has sent it
        return head if held else None, body, more, fault

    async def _write_in_turn(self, head: ResponseHead | None, body: bytes, *, more: bool) -> None:
        """Send an event in writes of CHUNK_SIZE at the most, after the events before it."""
        if more and not body and head is None:
            return
        unsent = max(-(-len(body) // CHUNK_SIZE), 1)
        view = memoryview(body)
        try:
            async with self._turn or contextlib.nullcontext():
                while unsent:
                    unsent -= 1  # a write that is cancelled leaves all the same
                    piece, view = view[:CHUNK_SIZE], view[CHUNK_SIZE:]
                    goes_on = more or unsent > 0
                    await self._exchange.write(head, piece, more=goes_on, flush=more and not unsent)
                    head = None
        finally:
            if (
                unsent
                and self.state is not ResponseState.LEFT
                and self.state is not ResponseState.ABORTED
            ):
                logger.warning("the app cancelled a send in the middle of its event")
                self._abort(ResponseStep.CUT, Abort.CUT)
            elif not more:
                self._wake()

    def _abort(self, step: ResponseStep, why: Abort) -> None:
        self.state = next_state(self.state, step)
        self._exchange.abort(why)
        self._wake()

    # ---------------------------------------------------------------- the app's end

    async def settle(self, failure: BaseException | None) -> None:
        """End what the app left open when it returned or raised (rows R8 to R11).

        Args:
            failure: what the app raised, or None.
        """
        cancelled = isinstance(failure, asyncio.CancelledError) and failure.args == (DRAINED,)
        if cancelled:
            logger.debug("the app was cancelled: the plugin stops")
        elif failure is not None:
            self._log_failure(failure)
        elif self.state not in _OVER and not self.disconnected:
            logger.error(
                "the app returned while the response was %r; expected a complete response",
                self.state.value,
            )
        stopped = self.request is RequestState.STOPPED
        if self.state in UNSENT:
            retry = stopped or cancelled
            self.status, text = (503, "Service Unavailable") if retry else (500, SERVER_ERROR)
            self.state = next_state(self.state, ResponseStep.FAULT)
            head, body = plain_answer(self.status, text, method=self._method, retry=retry)
            await self._write_in_turn(head, body, more=False)
        elif self.state is ResponseState.STREAMING and stopped:
            self.state = next_state(self.state, ResponseStep.LAST)
            await self._write_in_turn(None, b"", more=False)
        elif self.state is ResponseState.STREAMING:
            self._abort(ResponseStep.FAULT, Abort.FAILED_LATE)

    def _log_failure(self, failure: BaseException) -> None:
        # A framework that stops by cancelling itself may let its cancel out when the plugin's stop
        # cancels it too (anyio swallows its own one only).
        if self.disconnected and (
            is_disconnect(failure) or isinstance(failure, asyncio.CancelledError)
        ):
            logger.debug("the app stopped because the client left")
        else:
            logger.error(
                "the app raised %s while the response was %r",
                type(failure).__name__,
                self.state.value,
                exc_info=failure,
            )


class Holds:
    """The starts that are held, in two ages: each is sent after half of HOLD to all of it.

    Nearly every body event follows at once, so a timer for each start would be most of its cost.

    Args:
        spawn: starts a task for a coroutine and keeps it alive.
    """

    def __init__(self, spawn: Callable[..., object]) -> None:
        self._spawn = spawn
        self._young: list[HTTPCycle] = []
        self._old: list[HTTPCycle] = []
        self._runs = False

    def add(self, cycle: HTTPCycle) -> None:
        """Send a cycle's head in at most HOLD seconds, unless it has sent or lost it by then."""
        self._young.append(cycle)
        if not self._runs:
            self._runs = True
            asyncio.get_running_loop().call_later(HOLD / 2, self._age)

    def _age(self) -> None:
        old, self._old, self._young = self._old, self._young, []
        self._old = [cycle for cycle in self._old if cycle.state is ResponseState.HELD]
        for cycle in old:
            if cycle.state is ResponseState.HELD:
                self._spawn(cycle.release())
        self._runs = bool(self._old)
        if self._runs:
            asyncio.get_running_loop().call_later(HOLD / 2, self._age)
