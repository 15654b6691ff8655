"""A brokered stream as bytes: what request bodies and files travel on.

Reading is by demand. The window of 256 KiB is the only buffer: bytes that were not read are not
credited, so that a host that sends faster than the app reads waits. Writing is into the window, and
``drain()`` waits until everything has left, so that a writer who drains keeps at most one piece.

An end and a failure look alike where the other side simply closes. ``read()`` returns ``b""`` after
a FIN and raises after a RST or a lost connection; whether a FIN came too early, only a length that
is known from elsewhere tells.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from mm_asgi.wire.netrpc.stream_owner import StreamOwner

if TYPE_CHECKING:
    from mm_asgi.wire.netrpc.yamux_frames import Buffer
    from mm_asgi.wire.netrpc.yamux_stream import MuxStream

__all__ = ["BytePipe"]


class BytePipe(StreamOwner):
    """Bytes both ways on one stream, for one reader and one writer at a time.

    Args:
        first: what leaves with the dial.

    Attributes:
        is_taken: whether the other side has acknowledged the dial.
    """

    def __init__(self, first: bytes = b"") -> None:
        self._first = first
        self._pieces: deque[bytes] = deque()
        self._is_finished = False
        self._is_lost = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._taker: asyncio.Future[None] | None = None
        self.is_taken = False

    def first_bytes(self) -> bytes:
        """Return what leaves with the dial."""
        return self._first

    # ---------------------------------------------------------------- what the link tells

    def stream_opened(self, stream: MuxStream) -> None:
        """The stream is there."""
        self.stream = stream

    def stream_taken(self) -> None:
        """The other side is there."""
        self.is_taken = True
        _wake(self._taker)

    def data_received(self, data: bytes) -> None:
        """Bytes came; they are credited when they are read."""
        self._pieces.append(data)
        _wake(self._reader)

    def stream_drained(self) -> None:
        """Everything that was written has left."""
        _wake(self._writer)

    def stream_ended(self, *, whole: bool) -> None:
        """No more bytes come."""
        self._is_finished = True
        self._is_lost = self._is_lost or not whole
        _wake(self._reader)
        if not whole:
            _wake(self._writer)
            _wake(self._taker)

    # ---------------------------------------------------------------- reading

    def take(self) -> bytes | None:
        """Return what is here, or None: nothing is here now."""
        if not self._pieces:
            return None
        data = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self.stream is not None:
            self.stream.consume(len(data))
        return data

    async def read(self) -> bytes:
        """Return the next bytes, as many as are here; empty after the other side's end.

        A cancelled call loses nothing.

        Raises:
            ConnectionError: the stream was reset, or the connection lost, and nothing is left.
            RuntimeError: somebody else reads.
        """
        while True:
            data = self.take()
            if data is not None:
                return data
            if self._is_lost:
                raise ConnectionResetError("the stream to the host was reset")
            if self._is_finished:
                return b""
            if self._reader is not None:
                raise RuntimeError("BytePipe.read(): another task reads; wait for it")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    # ---------------------------------------------------------------- writing

    async def wait_taken(self) -> None:
        """Wait until the other side is there.

        Raises:
            ConnectionError: it did not come in the broker's 5 s, or the connection was lost.
        """
        while not self.is_taken:
            if self._is_lost:
                raise ConnectionResetError("the host did not take up the stream")
            if self._taker is None:
                self._taker = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._taker)

    def write(self, data: Buffer) -> None:
        """Send bytes, which nobody changes later. After a reset nothing happens."""
        if self.stream is None:
            raise RuntimeError("BytePipe.write(): the stream is not open yet")
        self.stream.write(data)

    async def drain(self) -> None:
        """Wait until everything that was written has left.

        Raises:
            ConnectionError: the stream was reset, or the connection lost.
            RuntimeError: somebody else waits.
        """
        while self.stream is not None and self.stream.queued:
            if self._writer is not None:
                raise RuntimeError("BytePipe.drain(): another task waits; wait for it")
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        if self._is_lost:
            raise ConnectionResetError("the stream to the host was reset")

    def close(self) -> None:
        """End this side once everything has left; what comes from now on is dropped. Idempotent."""
        if self.stream is not None:
            self.stream.close()

    def discard(self) -> None:
        """End both sides: this one is closed, and what the other one sends is dropped."""
        stream = self.stream
        if stream is not None:
            self._pieces.clear()
            stream.consume(stream.unread)
            stream.owner = None
            stream.close()

    def reset(self) -> None:
        """End both directions at once, and not whole."""
        if self.stream is not None:
            self.stream.owner = None
            self.stream.reset()
        self.stream_ended(whole=False)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
