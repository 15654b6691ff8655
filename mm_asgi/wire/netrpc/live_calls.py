"""net/rpc on streams that are there: calls with futures, and calls that are answered.

Both sides own a stream (mux_link.py) and a conversation (rpc_conversation.py). A caller may call
before its stream is open; these calls are the stream's first bytes, so that a dial and the first
call are one frame. Calls of one caller are sent in the order in which they are made and may be
answered, and served, in any other: who needs an order waits for each.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.rpc_conversation import AnswerSide, CallSide
from mm_asgi.wire.netrpc.stream_owner import StreamOwner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mm_asgi.wire.netrpc.gob_types import GobType
    from mm_asgi.wire.netrpc.rpc_conversation import GobBook, IncomingCall
    from mm_asgi.wire.netrpc.yamux_stream import MuxStream

    Answered = Callable[[Any, Exception | None], None]

__all__ = ["CallRefused", "RPCAnswerer", "RPCCaller"]


LARGE: Final = 16 * 1024
"""Bytes of a part, on the average, from which on parts are not joined."""

HELD: Final = 4 * 1024 * 1024
"""Bytes of calls that are taken while the loop stands still, on each stream."""


class CallRefused(Exception):
    """The other side answered a call with an error.

    Args:
        method: what was called.
        text: the other side's word.
    """

    def __init__(self, method: str, text: str) -> None:
        super().__init__(f"{method}: {text}")
        self.method = method
        self.text = text

    @property
    def is_unknown(self) -> bool:
        """Whether the other side has no such method: an older server."""
        return self.text.startswith(("rpc: can't find method ", "rpc: can't find service "))


class RPCCaller(StreamOwner):
    """Makes calls on a stream.

    Args:
        book: what the session's gob streams share.

    Attributes:
        is_taken: whether the other side has acknowledged the dial.
        is_lost: whether the stream is over; every further call fails.
    """

    def __init__(self, book: GobBook) -> None:
        self._loop = asyncio.get_running_loop()
        self._side = CallSide(book)
        self._calls: dict[int, tuple[str, Answered]] = {}
        self._early: list[bytes] = []
        self.is_taken = False
        self.is_lost = False

    def call(self, method: str, kind: GobType, value: Any) -> asyncio.Future[Any]:
        """Call a method; the future's result is the reply, as GobReader reads it.

        The future raises CallRefused for an error that the other side answered, ConnectionError
        when the stream is lost, and HostProtocolError when its answers cannot be read.

        Raises:
            TypeError, ValueError: the value is not of that type. Nothing was sent.
        """
        answer: asyncio.Future[Any] = self._loop.create_future()
        self.send(method, kind, value, partial(_settle, answer))
        return answer

    def send(self, method: str, kind: GobType, value: Any, answered: Answered) -> None:
        """Call a method; ``answered`` is called with the reply and None, or with None and an error.

        It is called in the read that brings the answer, or at once where the stream is over: a turn
        of the loop is saved, and with it a tenth of a small response. The errors are those of
        ``call``.

        Raises:
            TypeError, ValueError: the value is not of that type. Nothing was sent.
        """
        if self.is_lost:
            answered(None, ConnectionError(f"{method}: the stream to the host is over"))
            return
        number, data = self._side.call(method, kind, value)
        self._calls[number] = method, answered
        self._write(data)

    def send_bytes(
        self, method: str, parts: Sequence[bytes | memoryview], answered: Answered
    ) -> None:
        """Call a method whose argument are bytes, as ``send`` does.

        Args:
            method: what is called.
            parts: the bytes, which nobody changes later; large ones are sent from where they lie,
                because new memory for each megabyte costs more than all else of a download.
            answered: as in ``send``.
        """
        if self.is_lost:
            answered(None, ConnectionError(f"{method}: the stream to the host is over"))
            return
        size = sum(len(part) for part in parts)
        number, head = self._side.call_with_bytes(method, size)
        self._calls[number] = method, answered
        stream = self.stream
        if size < LARGE * len(parts) or stream is None:
            self._write(b"".join((head, *parts)))
            return
        stream.write(head)
        for part in parts:
            stream.write(part)

    def _write(self, data: bytes) -> None:
        if self.stream is None:
            self._early.append(data)
        else:
            self.stream.write(data)

    def first_bytes(self) -> bytes:
        """Return the calls that were made before there was a stream, as far as they fit."""
        first = b""
        while self._early and len(first) + len(self._early[0]) <= _FIRST:
            first += self._early.pop(0)
        return first

    def stream_opened(self, stream: MuxStream) -> None:
        """The stream is there: send what did not fit its first frame."""
        self.stream = stream
        for data in self._early:
            stream.write(data)
        self._early.clear()

    def stream_taken(self) -> None:
        """The other side has acknowledged the dial."""
        self.is_taken = True

    def data_received(self, data: bytes) -> None:
        """Take answers."""
        assert self.stream is not None
        self.stream.consume(len(data))
        try:
            for outcome in self._side.receive(data):
                method, answered = self._calls.pop(outcome.number)
                if outcome.error is None:
                    answered(outcome.value, None)
                else:
                    answered(None, CallRefused(method, outcome.error))
        except HostProtocolError as error:
            self._lose(error)
            raise

    def stream_ended(self, *, whole: bool) -> None:
        """No more answers come."""
        self._lose(ConnectionError("the host ended the stream"))
        if whole:
            self.close()

    def _lose(self, error: Exception) -> None:
        self.is_lost = True
        calls, self._calls = self._calls, {}
        for method, answered in calls.values():
            if isinstance(error, HostProtocolError):
                answered(None, error)
            else:
                answered(None, ConnectionError(f"{method}: {error}"))

    def close(self) -> None:
        """End this side of the stream. Calls that are under way may still be answered."""
        if self.stream is not None:
            self.stream.close()


def _settle(answer: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if answer.done():  # whoever called was cancelled
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)


_FIRST = 200 * 1024
"""Bytes of calls in the frame that opens a stream; the window is 256 KiB."""


class RPCAnswerer(StreamOwner):
    """Answers calls on a stream.

    Args:
        book: what the session's gob streams share.
        handle: called with each call and this answerer; answers now or later, by ``reply()`` or
            ``refuse()``, once. It does not raise.
        on_fault: called when the stream cannot be read on; None: the stream is reset.
        hurry: called with each call that comes while the loop stands still, in another thread; it
            does what cannot wait, and returns whether the call is answered by it.
    """

    def __init__(
        self,
        book: GobBook,
        handle: Callable[[IncomingCall, RPCAnswerer], None],
        on_fault: Callable[[HostProtocolError], None] | None = None,
        hurry: Callable[[IncomingCall, RPCAnswerer], bool] = lambda call, answerer: False,
    ) -> None:
        self._side = AnswerSide(book)
        self._handle = handle
        self._on_fault = on_fault
        self._hurry = hurry
        self._held = 0  # bytes of calls that wait for a loop that stands still

    def data_received(self, data: bytes) -> None:
        """Take calls."""
        assert self.stream is not None
        self.stream.consume(len(data))
        try:
            for call in self._side.receive(data):
                self._handle(call, self)
        except HostProtocolError as error:
            self._fail(error)

    def received_meanwhile(self, data: bytes) -> Callable[[], None]:
        """Take calls, do what cannot wait, and let the loop answer the others."""
        assert self.stream is not None
        size = len(data)
        self._held += size
        if self._held <= HELD:  # what waits is bounded: then the host's window stays shut
            self.stream.consume(size)
            size = 0
        calls: list[IncomingCall] = []
        fault: HostProtocolError | None = None
        try:
            for call in self._side.receive(data):
                if not self._hurry(call, self):
                    calls.append(call)  # noqa: PERF401 - a fault leaves those before it
        except HostProtocolError as error:
            fault = error
        return partial(self._catch_up, size, calls, fault)

    def _catch_up(
        self, size: int, calls: list[IncomingCall], fault: HostProtocolError | None
    ) -> None:
        self._held = 0
        if size and self.stream is not None:
            self.stream.consume(size)
        for call in calls:
            self._handle(call, self)
        if fault is not None:
            self._fail(fault)

    def _fail(self, error: HostProtocolError) -> None:
        if self._on_fault is None:
            raise error
        self._on_fault(error)

    def stream_ended(self, *, whole: bool) -> None:
        """No more calls come, and as in Go nobody waits for answers any more."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    def reply(self, call: IncomingCall, kind: GobType, value: Any) -> None:
        """Answer a call. After the stream's end nothing happens.

        Raises:
            TypeError, ValueError: the value is not of that type. Nothing was sent, and the call can
                still be refused. A wrong type that left would end the host's side for good.
        """
        if self.stream is not None:
            self.stream.write(self._side.reply(call, kind, value))

    def refuse(self, call: IncomingCall, text: str) -> None:
        """Answer a call with an error, whose text the host sees. After the end nothing happens."""
        if self.stream is not None:
            self.stream.write(self._side.refuse(call, text))
