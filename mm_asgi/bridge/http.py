"""One ServeHTTP stream as one ASGI request: what the app's receive() and send() do.

state.py has the table of what may follow what. An event is checked by response.py before the
state moves, so that a wrong ``send()`` leaves the cycle as it was. The request side is pulled:
``receive()`` reads the stream when the app asks, and nothing reads ahead of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.bridge.response import (
    CHUNK_SIZE,
    Head,
    check_body,
    check_start,
    fit,
    messages,
    plain_answer,
    scope_cookies,
    whole_answer,
)
from mm_asgi.bridge.state import ENDED, UNSENT, State, Step, is_disconnect, next_state
from mm_asgi.bridge.texts import BROKEN_BY_HOST, CUT, FAILED_LATE, SERVER_ERROR, TOO_SHORT
from mm_asgi.errors import AppProtocolError, ClientDisconnected, HostProtocolError
from mm_asgi.tasks import DRAINED
from mm_asgi.wire.port import StatusCode

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from mm_asgi.bridge.hold import Holds
    from mm_asgi.bridge.request import BodyMessage
    from mm_asgi.protocol.hooks_http_read_pb2 import ServeHTTPRequest
    from mm_asgi.wire.port import Encoded, Stream

__all__ = ["HTTPCycle"]

logger = logging.getLogger("mm_asgi.bridge")

LEFT_PAUSE = 0.02
"""Seconds that a send to a client who left takes (row D4), so that no loop spins."""

_OVER = ENDED | {State.LEFT}


class HTTPCycle:
    """One request's life: what its app calls, and what it did.

    Args:
        stream: the RPC, after its first message was read.
        first: that message; it has an ``init``.
        grace: seconds after which a send to a client who left raises.
        holds: where its start waits for its first body event.
        rewrite_cookies: give cookies without a narrower path the root_path (row R17).
    """

    __slots__ = (
        "_body_open", "_draining", "_expected", "_first", "_grace", "_head", "_holds",
        "_left_at", "_method", "_over", "_received", "_rewrite_cookies", "_sent", "_state",
        "_stream", "_told", "_turn", "root_path", "status", "truncated", "wide_cookies",
    )  # fmt: skip

    def __init__(
        self,
        stream: Stream,
        first: ServeHTTPRequest,
        *,
        grace: float,
        holds: Holds,
        root_path: str = "",
        rewrite_cookies: bool = False,
    ) -> None:
        # the request
        self._stream = stream
        self._first: ServeHTTPRequest | None = first
        init = first.init
        self._method = init.method or "GET"
        # 0 says nothing: Go's PluginHTTP passes another plugin's body on without its length
        # (client_rpc.go), and where a client declares 0 no bytes come.
        self._expected = init.content_length or -1
        self._received = 0
        self._body_open = True
        self.truncated = False
        self._over: asyncio.Event | None = None
        # the response
        self._state = State.WAITING
        self._head: Head | None = None
        self._sent = 0
        self._turn: asyncio.Lock | None = None
        self._left_at = 0.0
        self._draining = False
        self._told = False
        self.status = 0
        # what it was given
        self._grace = grace
        self._holds = holds
        self.root_path = root_path
        self._rewrite_cookies = rewrite_cookies
        self.wide_cookies: Sequence[str] = ()
        stream.on_cancel(self._on_cancel)

    @property
    def state(self) -> State:
        """Where the response is."""
        return self._state

    @property
    def sent(self) -> int:
        """Body bytes written so far."""
        return self._sent

    @property
    def disconnected(self) -> bool:
        """Whether the app was, or is to be, told http.disconnect before its response ended."""
        return self.truncated or self._told or self._state is State.LEFT

    @property
    def unread(self) -> int:
        """Bytes of a declared body that the app has not asked for; 0 after a disconnect."""
        if not self._body_open or self.disconnected:
            return 0
        return max(self._expected - self._received, 0)

    # ---------------------------------------------------------------- request: receive()

    async def receive(self) -> dict[str, Any]:
        """ASGI receive: http.request events, then http.disconnect for ever (rows D1 to D6)."""
        if self._body_open and not self._is_over():
            first, self._first = self._first, None
            event = self._take(first) if first else self._take_later(await self._stream.read())
            if event is not None:
                return event
        while not self._is_over():
            await self._until_over()
        return {"type": "http.disconnect"}

    def _is_over(self) -> bool:
        return self.disconnected or self._state in ENDED

    def _take_later(self, message: ServeHTTPRequest | BodyMessage | None) -> dict[str, Any] | None:
        if self._is_over():
            return None
        if not self._body_open:  # a parallel receive() took the last of it, or it was cut (D6)
            if message is not None and not 0 <= self._expected < self._received:
                self._host_fault("data after body_complete")
            return None
        if message is None:  # the end of the stream, and no body_complete (D2)
            self._truncate("the host ended the request before body_complete")
            return None
        if message.HasField("init"):
            self._host_fault("a second init")
            return None
        return self._take(message)

    def _take(self, message: ServeHTTPRequest | BodyMessage) -> dict[str, Any] | None:
        """The event for one request message; None when it ends a truncated body (D6)."""
        chunk = message.body_chunk
        more = not message.body_complete
        self._received += len(chunk)
        if self._expected >= 0:
            over = self._received - self._expected
            if over > 0:
                logger.warning(
                    "request body: the host sent more than Content-Length's %d bytes; the rest"
                    " is cut",
                    self._expected,
                )
                chunk = chunk[: max(len(chunk) - over, 0)]
                more = False
            elif over < 0 and not more:
                self._truncate(f"{self._received} of {self._expected} bytes came")
                return None
        self._body_open = more
        return {"type": "http.request", "body": chunk, "more_body": more}

    async def _until_over(self) -> None:
        """Wait for the end of the response or of the client; data now is the host's fault (D8)."""
        if self._over is None:
            self._over = asyncio.Event()
        message = await self._stream.read()
        if message is None:
            await self._over.wait()
        else:
            self._take_later(message)

    def _truncate(self, why: str) -> None:
        logger.debug("request body truncated: %s; the app is told http.disconnect", why)
        self.truncated = True
        self._wake()

    def _host_fault(self, what: str) -> None:
        fault = HostProtocolError(
            f"ServeHTTP: the host sent {what} while the response was {self._state.value!r};"
            " expected body chunks up to body_complete; the request was ended"
        )
        logger.error("%s", fault)
        self._abort(Step.BREAK, BROKEN_BY_HOST, StatusCode.INVALID_ARGUMENT)

    def _wake(self) -> None:
        if self._over is not None:
            self._over.set()

    def _on_cancel(self) -> None:
        """The client left; after body_complete this is only the host's way to end (D5)."""
        if self._move(Step.LEAVE) is State.LEFT:
            self._left_at = asyncio.get_running_loop().time()
        self._wake()

    def drain(self) -> None:
        """The plugin stops: an event stream, begun now or later, gets http.disconnect (row L4)."""
        self._draining = True
        self._told = self._head is not None and self._head.content_type == "text/event-stream"
        if self._told:
            self._wake()

    # ---------------------------------------------------------------- response: send()

    async def send(self, event: MutableMapping[str, Any]) -> None:
        """ASGI send (rows R1 to R13).

        Raises:
            AppProtocolError: the event is wrong, or does not fit the state.
            ClientDisconnected: the client left more than the grace ago.
        """
        if self._state in _OVER:
            await self._send_to_nobody()
            return
        try:
            kind = event["type"]
        except (TypeError, KeyError):
            raise AppProtocolError(
                f"http.response: the app sent {type(event).__name__} without a type while the"
                f" response was {self._state.value!r}; expected a dict with the key 'type'"
            ) from None
        if kind == "http.response.start":
            self._start(event)
            return
        if kind != "http.response.body":
            raise AppProtocolError(
                f"http.response: the app sent {kind!r} while the response was"
                f" {self._state.value!r}; expected http.response.start or http.response.body"
            )
        pieces, last, fault = self._body(event)
        if len(pieces) == 1 and self._turn is None:
            try:
                await self._stream.write(pieces[0], last=last)
            finally:  # a cancelled write's message leaves all the same
                if last and self._over is not None:
                    self._over.set()
        else:
            await self._write_in_turn(pieces, last=last)
        if fault is not None:
            raise fault

    async def _send_to_nobody(self) -> None:
        if self._state is not State.LEFT:
            logger.debug("a send after the end of the response was ignored")
            return
        if asyncio.get_running_loop().time() - self._left_at > self._grace:
            raise ClientDisconnected(
                f"http.response: the client left more than {self._grace:g} s ago and the app"
                " still sends; expected it to stop at http.disconnect"
            )
        await asyncio.sleep(LEFT_PAUSE)

    def _move(self, step: Step) -> State:
        self._state = next_state(self._state, step)
        return self._state

    def _start(self, event: MutableMapping[str, Any]) -> None:
        target = next_state(self._state, Step.START)
        head = check_start(event, self._method)
        if head.sets_cookies:
            self.wide_cookies = scope_cookies(head, self.root_path, rewrite=self._rewrite_cookies)
        self._state = target
        self._head = head
        self.status = head.status
        self._holds.add(self)
        if self._draining:
            self.drain()

    @property
    def is_held(self) -> bool:
        """Whether a start waits for its first body event."""
        return self._state is State.HELD

    async def release(self) -> None:
        """Send a held start alone."""
        # State and write in one go: a body event that came first has sent the head already.
        if self._state is State.HELD:
            self._move(Step.RELEASE)
            for message in messages(self._head, b"", more=True):
                await self._stream.write(message)

    def _body(
        self, event: MutableMapping[str, Any]
    ) -> tuple[Sequence[Encoded], bool, AppProtocolError | None]:
        """The messages of a body event, whether they are the last, and the app's fault."""
        head = self._head
        if self._state is State.HELD and head is not None and not event.get("more_body"):
            message = whole_answer(head, event.get("body", b""))
            if message is not None:  # nearly every answer
                self._move(Step.LAST)
                self._sent = head.length or 0
                return (message,), True, None
        given, more = check_body(event)
        target = next_state(self._state, Step.CHUNK if more else Step.LAST)
        assert head is not None  # the table lets no body pass before a start
        unsent = head if self._state is State.HELD else None
        body, more, fault = fit(head, self._sent, given, more=more)
        if unsent is not None:
            if fault is not None:
                raise fault  # nothing has left: the app may still send a right body
            if not more:
                head.set_length(len(given))
        elif fault is not None:
            if len(body) == len(given):
                self._abort(Step.FAULT, TOO_SHORT)
                raise fault
            target = next_state(self._state, Step.LAST)
        self._state = target
        self._sent += len(body)
        if len(body) > CHUNK_SIZE and self._turn is None:
            self._turn = asyncio.Lock()  # no other send's event comes between its messages
        return messages(unsent, body, more=more), not more, fault

    async def _write_in_turn(self, pieces: Sequence[Encoded], *, last: bool) -> None:
        unsent = len(pieces) + 1
        try:
            async with self._turn or contextlib.nullcontext():
                unsent -= 1
                for piece in pieces:
                    unsent -= 1
                    await self._stream.write(piece)
        finally:
            whole = not unsent  # a cancelled write's message leaves all the same
            if whole and last:
                self._stream.finish()
                self._wake()
            elif not whole and self._state is not State.LEFT:
                logger.warning("the app cancelled a send in the middle of its event")
                self._state = State.ABORTED
                self._stream.abort(StatusCode.INTERNAL, CUT)
                self._wake()

    def _abort(self, step: Step, text: str, code: StatusCode = StatusCode.INTERNAL) -> None:
        self._move(step)
        self._stream.abort(code, text)
        self._wake()

    # ---------------------------------------------------------------- the app's end

    async def settle(self, failure: BaseException | None) -> None:
        """The app is done: end what it left open (rows R8 to R11).

        Args:
            failure: what the app raised, or None.
        """
        cancelled = isinstance(failure, asyncio.CancelledError) and failure.args == (DRAINED,)
        if cancelled:
            logger.debug("the app was cancelled: the plugin stops")
        elif failure is not None:
            self._log_failure(failure)
        elif self._state in (State.WAITING, State.HELD, State.STREAMING) and not self.disconnected:
            logger.error(
                "the app returned while the response was %r; expected a complete response",
                self._state.value,
            )
        if self._state in UNSENT:
            stopping = self._told or cancelled
            self.status, text = (503, "Service Unavailable") if stopping else (500, SERVER_ERROR)
            self._move(Step.FAULT)
            answer = plain_answer(self.status, text, method=self._method, retry=stopping)
            await self._write_in_turn([answer], last=True)
        elif self._state is State.STREAMING and self._told:
            self._move(Step.LAST)
            await self._write_in_turn(messages(None, b"", more=False), last=True)
        elif self._state is State.STREAMING:
            self._abort(Step.FAULT, FAILED_LATE)

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
                self._state.value,
                exc_info=failure,
            )
