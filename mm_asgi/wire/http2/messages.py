"""The receiving half of an RPC, for either side: bytes of a body into messages that wait.

A message that came is kept as bytes and parsed when it is read. Its bytes are credited to the
peer's window then: a slow reader slows the peer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mm_asgi.wire.calls import TOO_LARGE
from mm_asgi.wire.http2.encoding import EncodingError, inflate
from mm_asgi.wire.http2.rpc import GZIP, IDENTITY, PREFIX, MessageReader, MessageTooLarge
from mm_asgi.wire.http2.stream import H2Stream
from mm_asgi.wire.port import StatusCode

if TYPE_CHECKING:
    from mm_asgi.wire.http2.connection import Connection
    from mm_asgi.wire.port import Inbox

__all__ = ["Compressed", "MessageStream"]

log = logging.getLogger("mm_asgi.wire")

NO_ENCODING: Final = "a compressed message without an encoding"


class Compressed:
    """A message that is inflated when it is read, so that many wait in little room."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = data


class MessageStream(H2Stream):
    """A stream whose body is messages.

    A subclass that gives them out one by one makes ``_inbox``: messages, each with its bytes that
    are not credited.

    Attributes:
        receive_limit: bytes of one message, also of what a compressed one may grow to.
        was_compressed: whether the message that was read last came compressed.
    """

    __slots__ = ("_held", "_inbox", "_reader", "_status", "receive_limit", "was_compressed")

    _inbox: Inbox

    def __init__(self, connection: Connection, stream_id: int, receive_limit: int) -> None:
        super().__init__(connection, stream_id)
        self.receive_limit = receive_limit
        self.was_compressed = False
        # Bytes that are not credited of the message under way, whose reader is made for the first
        # one that is not one frame.
        self._reader: MessageReader | None = None
        self._held = 0
        # The end: set once, by whichever side is first.
        self._status: StatusCode | None = None

    @property
    def method(self) -> str:
        """The RPC's path."""
        raise NotImplementedError

    @property
    def received_encoding(self) -> bytes:
        """The Message-Encoding that the peer's head names."""
        raise NotImplementedError

    def refuse_encoding(self, name: bytes) -> None:
        """End the RPC: a message came in an encoding that is not spoken."""
        raise NotImplementedError

    def _leave(self, code: StatusCode, text: str) -> None:
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        """Whether the RPC has ended, on either side."""
        return self._status is not None

    def on_data(self, data: memoryview) -> None:
        """Messages, or parts of them, came."""
        if self._status is not None:  # the trailers wait; a peer that only writes must get there
            self.credit(len(data))
            return
        reader = self._reader
        if reader is None:
            size = len(data)
            if size >= PREFIX.size:
                flag, length = PREFIX.unpack_from(data)
                if size == PREFIX.size + length and not flag and length <= self.receive_limit:
                    # one frame, one message: nearly always
                    self._inbox.put((bytes(data[PREFIX.size :]), size))
                    return
            reader = self._reader = MessageReader(self.receive_limit)
        self._read_on(reader, data)

    def _read_on(self, reader: MessageReader, data: memoryview) -> None:
        try:
            messages = reader.feed(data)
        except MessageTooLarge as error:
            self._too_large(error)
            return
        held = self._held + len(data)
        self._held = reader.under_way if messages else held
        for flag, message in messages:
            item: bytes | bytearray | Compressed = message
            if flag:
                if not self._may_be_compressed():
                    return
                item = Compressed(message)
            # All that is not the message under way is credited with the last one that is whole.
            share = held - self._held if message is messages[-1][1] else 0
            self._inbox.put((item, share))
        self._credit_message_under_way(reader)

    def _may_be_compressed(self) -> bool:
        name = self.received_encoding
        if name == GZIP:
            return True
        if name == IDENTITY:
            self._leave(StatusCode.INTERNAL, NO_ENCODING)
        else:
            self.refuse_encoding(name)
        return False

    def _inflated(self, item: Compressed) -> bytes | None:
        """What a compressed message holds; None: the RPC has ended because of it."""
        self.was_compressed = True
        try:
            return inflate(item.data, self.receive_limit)
        except MessageTooLarge as excess:
            self._too_large(excess)
        except EncodingError as error:
            self._leave(StatusCode.INTERNAL, str(error))
        return None

    def _too_large(self, error: MessageTooLarge) -> None:
        log.warning("message too large: %s, %d bytes", self.method, error.size)
        self._leave(StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE)

    def _credit_message_under_way(self, reader: MessageReader) -> None:
        """Let a message in that is larger than the window, when nothing else waits to be read."""
        if reader.need * 2 > self.connection.limits.stream_window and self._inbox.wants:
            self.credit(self._held)
            self._held = 0
