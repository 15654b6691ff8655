"""The server's side of one RPC (a ``port.Stream``).

Theory of operation

A ServerCall is an HTTP/2 stream, and the RPC on it has a life of its own beside the stream's states:

1. Made. The server makes it for a header section, counts it among the open calls and queues it. The
   clock of its deadline runs from here.
2. Begun. When all of a read has been taken, the server calls the handler. A call that was reset in
   the same read is over by then, and its handler is never called.
3. Over. ``_status`` is set, once, by whichever side is first. From then on ``read()`` returns None,
   ``write()`` does nothing, and further ends are ignored.
4. Closed. The trailers are on their way (``on_ended()``), or the stream has ended without them
   (``on_closed()``). Only now the call counts as closed: messages that were written before the end
   may wait for the peer's window until then, and a server that stops waits for them.

Three parties end an RPC. The handler does, with ``finish()`` or ``abort()``. The wire does, with
``_leave()``: the deadline has passed, a message is too large or cannot be parsed, the server stops.
Then the peer gets a status, and the handler's ``on_cancel`` callback is called. And the peer does,
when it resets the stream or its connection is lost: then the callback is called, and no status can be
sent. The callback is called at most once, and never after the handler has ended the
RPC itself.

A received message waits as bytes and is parsed when it is read; its bytes are credited to the peer
then (messages.py). An answer of one small message leaves as one piece: headers, message and trailers
(``_answer()``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from mm_asgi.wire.calls import DEADLINE_EXCEEDED, TOO_LARGE_SENT, UNPARSABLE, notify, wake
from mm_asgi.wire.http2.encoding import deflate, unknown_encoding
from mm_asgi.wire.http2.frames import END_HEADERS, END_STREAM, ErrorCode, FrameType, frame
from mm_asgi.wire.http2.messages import Compressed, MessageStream
from mm_asgi.wire.http2.rpc import (
    GZIP,
    MESSAGE_HEAD,
    PREFIX,
    RESPONSE_HEADERS,
    RESPONSE_HEADERS_ACCEPT,
    RESPONSE_HEADERS_GZIP,
    SMALL,
    TRAILERS_OK,
    encode_metadata_block,
    encode_trailers,
)
from mm_asgi.wire.http2.stream import StreamState, StreamStep
from mm_asgi.wire.port import Encoded, Inbox, StatusCode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

    from mm_asgi.wire.calls import Calls
    from mm_asgi.wire.http2.connection import Connection
    from mm_asgi.wire.http2.hpack import Field
    from mm_asgi.wire.http2.rpc import RequestFacts
    from mm_asgi.wire.port import Metadata, Method

__all__ = ["ServerCall"]

log = logging.getLogger("mm_asgi.wire")

# The frames of a small answer, without the stream's number.
_HEADERS_FRAME: Final = frame(FrameType.HEADERS, END_HEADERS, 0, RESPONSE_HEADERS)[:5]
_TRAILERS_FRAME: Final = frame(FrameType.HEADERS, END_HEADERS | END_STREAM, 0, TRAILERS_OK)[:5]


class ServerCall(MessageStream):
    """One RPC that a peer made.

    Args:
        connection: the connection that it came with.
        stream_id: its stream.
        entry: how its method is served.
        facts: what its header section says.
        calls: the server's open RPCs, which it leaves when it is closed.
        loop: the server's loop.
        compresses: whether the server compresses messages for peers that take it.

    Attributes:
        entry: as above.
        deadline: when the peer gives up, on the loop's clock (seconds); None: never.
        compresses: whether messages leave as gzip from now on. Setting it has no effect where the
            server does not compress or the peer does not take gzip.
    """

    __slots__ = (
        "_callback",
        "_calls",
        "_facts",
        "_gzip",
        "_has_headers",
        "_left",
        "_loop",
        "_timer",
        "compresses",
        "deadline",
        "entry",
    )

    def __init__(
        self,
        connection: Connection,
        stream_id: int,
        entry: Method,
        facts: RequestFacts,
        calls: Calls,
        loop: asyncio.AbstractEventLoop,
        compresses: bool,
    ) -> None:
        super().__init__(connection, stream_id, entry.receive_limit)
        self.entry = entry
        self._inbox = Inbox()
        self.deadline: float | None = None
        self._facts = facts
        self._calls = calls
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        if facts.timeout is not None:
            self.deadline = loop.time() + facts.timeout
            self._timer = loop.call_at(self.deadline, self.expire)
        self._has_headers = False
        # Whether messages may be compressed, and whether the next ones are.
        self._gzip = compresses and GZIP in facts.accepts
        self.compresses = self._gzip
        self._callback: Callable[[], None] | None = None
        self._left = False

    # ---------------------------------------------------------------- port.Stream

    @property
    def method(self) -> str:
        """The RPC's path."""
        return self._facts.path

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The request's metadata."""
        return self._facts.metadata

    async def read(self) -> Any | None:
        """Return the next message, or None for ever after the end."""
        item = self._inbox.take() or await self._inbox.get()
        if item is None:
            return None
        data, held = item
        self._uncredited += held
        if self._uncredited >= self.connection.credit_step:
            self.credit(0)
        if self._reader is not None:
            self._credit_message_under_way(self._reader)
        self.was_compressed = False
        if data.__class__ is Compressed and (data := self._inflated(data)) is None:
            return None
        try:
            return self.entry.request.FromString(data)
        except DecodeError:
            log.warning("message cannot be parsed: %s, %d bytes", self.method, len(data))
            self._leave(StatusCode.INTERNAL, UNPARSABLE)
            return None

    def send_metadata(self, metadata: Metadata) -> None:
        """Send the initial metadata; does nothing once a message was sent or the RPC ended."""
        if self._status is None and not self._has_headers:
            self._has_headers = True
            block = RESPONSE_HEADERS_GZIP if self._gzip else RESPONSE_HEADERS
            self.send_headers(block + encode_metadata_block(metadata) if metadata else block)

    async def write(self, message: Message | Encoded, *, last: bool = False) -> None:
        """Send a message, and wait for the peer's window and for the transport."""
        if self._status is not None:
            return
        if type(message) is Encoded:
            pieces, size = message.pieces, message.size
        else:
            pieces = (message.SerializeToString(),)
            size = len(pieces[0])
        limit = self.entry.send_limit
        if limit is not None and size > limit:
            log.warning("message too large to send: %s, %d bytes", self.method, size)
            self._leave(StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE_SENT)
            return
        flag = 0
        if self._gzip:
            if self.compresses:
                flag, pieces = 1, (deflate(b"".join(pieces)),)
                size = len(pieces[0])
        elif last and size <= SMALL and not self._has_headers and self.has_room(size + PREFIX.size):
            self._answer(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            return
        self.send_metadata(())
        token = self.send_data((PREFIX.pack(flag, size), *pieces), size + PREFIX.size)
        if last:
            self.finish()
        if token is not None:
            await token

    def _answer(self, message: bytes | memoryview) -> None:
        """Send headers, a small message and trailers as one piece: most RPCs end this way."""
        size = len(message) + PREFIX.size
        self._has_headers = True
        number = self.id.to_bytes(4, "big")
        parts = (
            _HEADERS_FRAME,
            number,
            RESPONSE_HEADERS,
            MESSAGE_HEAD.pack(size >> 8, size & 0xFF, 0, 0, self.id, 0, size - PREFIX.size),
            message,
            _TRAILERS_FRAME,
            number,
            TRAILERS_OK,
        )
        self.send_window -= size
        self.connection.emit(b"".join(parts), (), size)
        self._close(StatusCode.OK)
        self.move(StreamStep.SEND_END)
        self.on_ended()

    def finish(self, metadata: Metadata = ()) -> None:
        """End the RPC with OK, after the messages written so far."""
        self._end_with(StatusCode.OK, "", metadata)

    def abort(self, code: StatusCode, text: str, metadata: Metadata = ()) -> None:
        """End the RPC with ``code``; messages that still wait to leave are dropped."""
        self._end_with(code, text, metadata)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the peer leaves before the RPC was ended here."""
        if self._left:
            notify(callback)
        elif self._status is None:
            self._callback = callback

    # ---------------------------------------------------------------- the end

    def _end_with(self, code: StatusCode, text: str, metadata: Metadata) -> bool:
        """End the RPC unless it is over; return whether it was not."""
        if self._status is not None:
            return False
        block = encode_trailers(code, text, metadata, only=not self._has_headers)
        self._close(code)
        if code is not StatusCode.OK:
            self.drop_pending(whole=False)
        if self._has_headers:
            self.send_end(block)
        else:
            self._has_headers = True
            self.send_headers(block, end=True)
        return True

    def _close(self, code: StatusCode) -> None:
        self._status = code
        self._callback = None
        self._inbox.end(drop=True)
        if self._timer is not None:
            self._timer.cancel()

    def _leave(self, code: StatusCode, text: str) -> None:
        """End the RPC for the wire: send the status, and call the handler's ``on_cancel``."""
        callback = self._callback
        if self._end_with(code, text, ()):
            self._notify_left(callback)

    def _notify_left(self, callback: Callable[[], None] | None) -> None:
        self._left = True
        if callback is not None:
            notify(callback)

    def expire(self) -> None:
        """End the RPC as DEADLINE_EXCEEDED: its time is over."""
        self._leave(StatusCode.DEADLINE_EXCEEDED, DEADLINE_EXCEEDED)

    def stop(self) -> None:
        """End the RPC as UNAVAILABLE: the server stops."""
        self._leave(StatusCode.UNAVAILABLE, "the server is shutting down")

    # ---------------------------------------------------------------- called by the connection

    @property
    def received_encoding(self) -> bytes:
        """The request's Message-Encoding."""
        return self._facts.encoding

    def refuse_encoding(self, name: bytes) -> None:
        """End the RPC as UNIMPLEMENTED, and name the encodings that are spoken (compression.md)."""
        if not self._has_headers:
            self._has_headers = True
            self.send_headers(RESPONSE_HEADERS_ACCEPT)
        self._leave(StatusCode.UNIMPLEMENTED, unknown_encoding(name))

    def on_trailers(self, fields: list[Field]) -> None:
        """Ignore trailers: gRPC's clients send none."""

    def on_end(self) -> None:
        """Note that the peer sends no more messages."""
        if self._status is None:
            if self._reader is not None and self._reader.under_way:
                self._leave(StatusCode.INTERNAL, "the request ended in the middle of a message")
            else:
                self._inbox.end()

    def on_closed(self, code: ErrorCode | None) -> None:
        """End the RPC as CANCELLED: the peer has left."""
        if self._status is None:
            callback = self._callback
            self._close(StatusCode.CANCELLED)
            self._notify_left(callback)
        self._calls.closed(self)

    def on_ended(self) -> None:
        """Close the call: its trailers are on their way.

        The reset asks a peer that is still sending to stop (RFC 9113 section 8.1).
        """
        if self.state is StreamState.HALF_CLOSED_LOCAL:
            self.reset(ErrorCode.NO_ERROR)
        self.connection.guard.answered()
        self._calls.closed(self)

    def new_token(self) -> asyncio.Future[None]:
        """Return the future that a writer waits for."""
        return self._loop.create_future()

    def on_sent(self, token: asyncio.Future[None]) -> None:
        """Wake the writer of a message."""
        wake(token)
