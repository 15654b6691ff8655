"""The client's side of one RPC, whatever its kind: its head, its status, its end.

Theory of operation

A call is made before there is a connection. ``channel.nowhere`` stands for one, and the stream is
CLOSED, so that an early end has nothing to reset. ``start()`` makes it a new stream of a connection
and sends the request, or as much of it as there is. A call may be started twice: when the server
refuses the stream before it has begun to answer (``on_closed()``, ``_may_retry()``), the channel
queues it once more. ``end()`` is the only way to be over: the first status counts, the channel drops
the call, and ``settle()`` wakes the caller.

An answer is a header section, messages, and a trailer section with the status, or one header section
that has it all (Trailers-Only). What is not gRPC at all gets a status by the tables of client_rpc.py.
A UnaryCall has a future where a StreamCall (stream_call.py) has queues; it parses the answer when it
comes, and credits its bytes at once, because the caller does not read it in parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from mm_asgi.wire.calls import DEADLINE_EXCEEDED, UNPARSABLE
from mm_asgi.wire.http2.client_rpc import ResponseFacts, status_of_reset, timeout_field
from mm_asgi.wire.http2.encoding import unknown_encoding
from mm_asgi.wire.http2.frames import (
    DEFAULT_FRAME_SIZE,
    END_HEADERS,
    END_STREAM,
    HEADER,
    ErrorCode,
    FrameType,
)
from mm_asgi.wire.http2.messages import Compressed, MessageStream
from mm_asgi.wire.http2.rpc import (
    MESSAGE_HEAD,
    PREFIX,
    SMALL,
    MessageReader,
    MessageTooLarge,
    decode_metadata,
    read_status,
)
from mm_asgi.wire.http2.stream import TRANSITIONS, StreamState, StreamStep
from mm_asgi.wire.port import RPCError, StatusCode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from mm_asgi.wire.http2.channel import NativeChannel
    from mm_asgi.wire.http2.connection import Connection
    from mm_asgi.wire.http2.fields import HeaderSection
    from mm_asgi.wire.http2.hpack import Field

__all__ = ["ClientCall", "UnaryCall"]

_HEADERS: Final = int(FrameType.HEADERS)
_LEAST_TIMEOUT: Final = 1e-6  # s

_OPENED: Final = TRANSITIONS[StreamState.IDLE, StreamStep.SEND_HEADERS]
_AFTER_REQUEST: Final = TRANSITIONS[TRANSITIONS[_OPENED, StreamStep.SEND_DATA], StreamStep.SEND_END]
"""The state of a stream whose request has left as one piece."""


class ClientCall(MessageStream):
    """One RPC that this side makes.

    Args:
        channel: the channel that makes it.
        path: ``/package.Service/Name``.
        response: the class of the answers.
        block: the header block of its request, without the time-out.
        deadline: as below.
        wait_for_ready: as below.

    Attributes:
        channel: the channel that makes it.
        deadline: when it ends as DEADLINE_EXCEEDED, on the loop's clock (seconds); None: never.
        has_retried: whether it was queued a second time already.
        is_whole: whether the whole request leaves when it is started.
        path: ``/package.Service/Name``.
        response: the class of the answers.
        wait_for_ready: whether it waits for a connection, instead of ending as UNAVAILABLE when
            none can be made.
    """

    __slots__ = (
        "_block",
        "_facts",
        "_trailers",
        "channel",
        "deadline",
        "has_retried",
        "path",
        "response",
        "wait_for_ready",
    )

    is_whole = False

    def __init__(
        self,
        channel: NativeChannel,
        path: str,
        response: type[Message],
        block: bytes,
        deadline: float | None,
        wait_for_ready: bool,
    ) -> None:
        super().__init__(channel.nowhere, 0, channel.receive_limit)
        self.channel = channel
        self.path = path
        self.response = response
        self.deadline = deadline
        self.wait_for_ready = wait_for_ready
        self.has_retried = False
        self.state = StreamState.CLOSED  # there is nothing to reset until it starts
        self._block = block
        self._facts: ResponseFacts | None = None
        self._trailers: list[Field] | None = None

    @property
    def method(self) -> str:
        """The RPC's path."""
        return self.path

    def start(self, connection: Connection) -> None:
        """Become a stream of this connection, and send the request as far as it is written."""
        raise NotImplementedError

    def _restart_on(self, connection: Connection) -> bytes:
        """Become a new stream of this connection; return the header block, time-out included."""
        self.restart(connection)
        self._reader = None
        if self.deadline is None:
            return self._block
        left = self.deadline - self.channel.loop.time()
        return self._block + timeout_field(max(left, _LEAST_TIMEOUT))

    # ---------------------------------------------------------------- the end

    def settle(self, code: StatusCode, text: str, fields: Sequence[Field]) -> None:
        """Wake the caller: the RPC is over.

        Args:
            code: its status.
            text: what the server, or this side, says of it.
            fields: the trailer section; empty when this side ended the RPC.
        """
        raise NotImplementedError

    def end(self, code: StatusCode, text: str, fields: Sequence[Field] = ()) -> None:
        """End the RPC with a status, unless it has one already; the arguments are settle()'s."""
        if self._status is None:
            self._status = code
            self.channel.ended(self)
            self.settle(code, text, fields)

    def _leave(self, code: StatusCode, text: str) -> None:
        """End the RPC for this side: reset the stream."""
        if self._status is None:
            self.reset(ErrorCode.CANCEL)
            self.end(code, text)

    def cancel(self) -> None:
        """End the RPC as CANCELLED. Does nothing once it has ended."""
        self._leave(StatusCode.CANCELLED, "cancelled")

    def close(self, text: str) -> None:
        """End the RPC as CANCELLED because its channel is closed; ``text`` says so."""
        self._leave(StatusCode.CANCELLED, text)

    def expire(self) -> None:
        """End the RPC as DEADLINE_EXCEEDED: its time is over."""
        self._leave(StatusCode.DEADLINE_EXCEEDED, DEADLINE_EXCEEDED)

    # ---------------------------------------------------------------- called by the connection

    @property
    def received_encoding(self) -> bytes:
        """The answer's Message-Encoding."""
        assert self._facts is not None
        return self._facts.encoding

    def refuse_encoding(self, name: bytes) -> None:
        """End the RPC as INTERNAL: the server uses an encoding not offered (statuscodes.md)."""
        self._leave(StatusCode.INTERNAL, unknown_encoding(name))

    def on_headers(self, head: HeaderSection, *, end: bool) -> None:
        """Take the head of the answer, and ignore interim responses."""
        if head.status < 200:
            return
        facts = head.call
        if facts is None:
            head.call = facts = ResponseFacts(head)
        self._facts = facts
        if facts.fault is not None:
            self._leave(*facts.fault)
        elif end:
            self._trailers = list(head.fields)

    def on_trailers(self, fields: list[Field]) -> None:
        """Keep the answer's trailers, which have the status."""
        self._trailers = fields

    def on_end(self) -> None:
        """End the RPC with the status that the answer has."""
        if self.state is StreamState.HALF_CLOSED_REMOTE:  # the rest of the request is not read
            self.reset(ErrorCode.NO_ERROR)
        if self._status is not None:
            return
        fields = self._trailers
        if fields is None:
            self.end(StatusCode.INTERNAL, "the answer ended without a status")
            return
        status = read_status(fields)
        if status is None:
            self.end(StatusCode.UNKNOWN, "the answer's trailers have no grpc-status")
        elif status[0] is StatusCode.OK and (fault := self.fault_of_messages()):
            self.end(StatusCode.INTERNAL, fault)
        else:
            self.end(*status, fields)

    def fault_of_messages(self) -> str:
        """Return what is wrong with the messages of an answer with status OK, or nothing."""
        if self._reader is not None and self._reader.under_way:
            return "the answer ended in the middle of a message"
        return ""

    def on_closed(self, code: ErrorCode | None) -> None:
        """End the RPC, or queue it once more: the stream was reset, or the connection is gone."""
        if self._status is not None:
            return
        channel = self.channel
        if code is None:
            self.end(StatusCode.UNAVAILABLE, channel.lost_text(self.connection))
        elif code is ErrorCode.REFUSED_STREAM and self._may_retry():
            self.has_retried = True
            channel.again(self)
        elif code is ErrorCode.CANCEL and self._is_late():
            self.end(StatusCode.DEADLINE_EXCEEDED, DEADLINE_EXCEEDED)
        else:
            text = f"{channel.target}: the RPC's stream was reset with {code.name}"
            self.end(status_of_reset(code), text)

    def _may_retry(self) -> bool:
        """Return whether the call may be sent a second time: the server has not begun it."""
        return not self.begun and not self.has_retried

    def _is_late(self) -> bool:
        return self.deadline is not None and self.deadline <= self.channel.loop.time()


class UnaryCall(ClientCall):
    """A unary RPC: one future instead of queues.

    Args:
        request: the encoded request, compressed if ``flag`` is 1.
        flag: its Compressed-Flag.

    Attributes:
        future: gets the answer, or an RPCError.
    """

    __slots__ = ("_answer", "_flag", "_request", "future")

    is_whole = True

    def __init__(
        self,
        channel: NativeChannel,
        path: str,
        response: type[Message],
        block: bytes,
        deadline: float | None,
        wait_for_ready: bool,
        *,
        request: bytes,
        flag: int,
    ) -> None:
        super().__init__(channel, path, response, block, deadline, wait_for_ready)
        self.future: asyncio.Future[Any] = channel.loop.create_future()
        self._request = request
        self._flag = flag
        self._answer: Message | None = None

    def start(self, connection: Connection) -> None:
        """Send the request, a small one as one piece."""
        block = self._restart_on(connection)
        data = self._request
        size = len(data) + PREFIX.size
        if size > SMALL or len(block) > DEFAULT_FRAME_SIZE or not self.has_room(size):
            connection.open_stream(self, block)
            self.send_data((PREFIX.pack(self._flag, len(data)), data), size)
            self.send_end()
            return
        self.id = number = connection.ids.open()
        connection.streams[number] = self
        self.state = _AFTER_REQUEST
        self.send_window -= size
        length = len(block)
        high, low = size >> 8, size & 0xFF
        parts = (
            HEADER.pack(length >> 8, length & 0xFF, _HEADERS, END_HEADERS, number),
            block,
            MESSAGE_HEAD.pack(high, low, 0, END_STREAM, number, self._flag, len(data)),
            data,
        )
        connection.emit(b"".join(parts), (), size)

    def settle(self, code: StatusCode, text: str, fields: Sequence[Field]) -> None:
        """Wake the caller, unless it was cancelled."""
        future = self.future
        if future.done():
            return
        if code is StatusCode.OK:
            future.set_result(self._answer)
        else:
            metadata = tuple(decode_metadata(fields))
            future.set_exception(RPCError(code, text, metadata, path=self.path))

    def on_data(self, data: memoryview) -> None:
        """Take the answer, or a part of it."""
        if self._status is not None:
            return
        size = len(data)
        if self._reader is None:
            if size >= PREFIX.size:
                flag, length = PREFIX.unpack_from(data)
                if size == PREFIX.size + length and not flag and length <= self.receive_limit:
                    self._parse_answer(data[PREFIX.size :])
                    return
            self._reader = MessageReader(self.receive_limit)
        self.credit(size)  # the answer is parsed when it is whole: its bytes may not be held back
        try:
            messages = self._reader.feed(data)
        except MessageTooLarge as error:
            self._too_large(error)
            return
        for flag, message in messages:
            if not flag:
                self._parse_answer(message)
            elif self._status is None and self._may_be_compressed():
                inflated = self._inflated(Compressed(message))
                if inflated is not None:
                    self._parse_answer(inflated)

    def _parse_answer(self, data: bytes | bytearray | memoryview) -> None:
        if self._status is not None:
            return
        if self._answer is not None:
            self._leave(StatusCode.INTERNAL, "two messages, where the RPC has one answer")
            return
        try:
            self._answer = self.response.FromString(data)  # type: ignore[arg-type]
        except DecodeError:
            self._leave(StatusCode.INTERNAL, UNPARSABLE)

    def fault_of_messages(self) -> str:
        """Return what is wrong with the answer: OK without a message is a fault, too."""
        if self._answer is None:
            return super().fault_of_messages() or "the answer has a status and no message"
        return super().fault_of_messages()
