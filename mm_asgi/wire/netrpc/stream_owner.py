"""Whom a yamux stream belongs to: an object that is told what happens to its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.wire.netrpc.yamux_stream import MuxStream

__all__ = ["StreamOwner"]


class StreamOwner:
    """Whom a stream belongs to. The methods do nothing; a subclass says what it needs.

    Attributes:
        stream: the stream, once there is one.
    """

    stream: MuxStream | None = None

    def first_bytes(self) -> bytes:
        """Return what leaves in the frame that opens the stream, right behind the broker's number.

        At most 200 KiB.
        """
        return b""

    def stream_opened(self, stream: MuxStream) -> None:
        """The stream is there, and may be written to."""
        self.stream = stream

    def stream_taken(self) -> None:
        """The other side has acknowledged the dial: somebody reads."""

    def data_received(self, data: bytes) -> None:
        """Bytes came; ``stream.consume(len(data))`` gives their window back."""
        assert self.stream is not None
        self.stream.consume(len(data))

    def received_meanwhile(self, data: bytes) -> Callable[[], None] | None:
        """Bytes came while the loop stands still. Called in another thread, under the link's lock.

        Do what the other side does not wait long for, and return what the loop does with the rest;
        None: nothing was done, and ``data_received`` comes later. Nothing of asyncio may be called,
        and nothing be logged: the loop may hold a handler's lock.
        """
        return None

    def stream_drained(self) -> None:
        """Everything that was written has left."""

    def stream_ended(self, *, whole: bool) -> None:
        """The other side sends no more.

        Called with ``whole=True`` for an orderly end; this side may still send then. Called with
        ``whole=False``, perhaps after that, when nothing can be sent or received any more.
        """
