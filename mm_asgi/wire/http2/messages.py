"""The receiving half of an RPC, for either side: it cuts the bytes of a body into messages.

A received message waits as bytes and is parsed when it is read. Its bytes are credited to the peer's
window then, so a slow reader slows the peer.
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
    """A message that waits compressed and is inflated when it is read, to save memory."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = data


class MessageStream(H2Stream):
    """A stream whose body is messages.

    A subclass that returns them one by one makes ``_inbox``. Its items are pairs: a message, and the
    number of bytes to credit when it is read.

    Attributes:
        receive_limit: bytes of one message, also of a compressed one when it is inflated.
        was_compressed: whether the message that was read last came compressed.
    """

    __slots__ = ("_held", "_inbox", "_reader", "_status", "receive_limit", "was_compressed")

    _inbox: Inbox

    def __init__(self, connection: Connection, stream_id: int, receive_limit: int) -> None:
        super().__init__(connection, stream_id)
        self.receive_limit = receive_limit
        self.was_compressed = False
        # Bytes of the incomplete message that were not yet credited to the peer's window. The reader
        # is made lazily: a message that fits one frame needs none.
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
        """The Message-Encoding in the peer's head."""
        raise NotImplementedError

    def refuse_encoding(self, name: bytes) -> None:
        """End the RPC: a message has the encoding ``name``, which is not supported."""
        raise NotImplementedError

    def _leave(self, code: StatusCode, text: str) -> None:
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        """Whether the RPC has ended, on either side."""
        return self._status is not None

    def on_data(self, data: memoryview) -> None:
        """Take messages, or parts of them."""
        if self._status is not None:  # our trailers may wait for a peer that writes before it reads
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
            # The bytes before the incomplete message are credited with the last one that is whole.
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
        """Return a compressed message inflated; None if that has ended the RPC."""
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
        """Credit the parts of a message larger than the window, if no other message waits."""
        if reader.need * 2 > self.connection.limits.stream_window and self._inbox.wants:
            self.credit(self._held)
            self._held = 0
