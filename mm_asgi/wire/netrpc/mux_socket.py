"""The socket of a link, for the loop and for a thread that stands in while the loop stands still.

asyncio's own transport reads into a buffer that the loop alone knows, so that a second reader would
get the bytes in a wrong order. Here whoever reads hands the bytes to the link in the same hold of
the link's lock, and whoever writes does so under it: two who take turns anyhow leave one order.

All else is as with asyncio's transport: what the socket does not take is kept, ``pause_writing()``
and ``resume_writing()`` say when that is much, and ``connection_lost()`` comes once, on the loop.
The loop's selector may be changed by the loop alone, so that a change that the thread needs is
left to ``_watch()``, which the loop runs when it is awake.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from mm_asgi.wire.netrpc.mux_link import MuxLink
    from mm_asgi.wire.netrpc.yamux_frames import Buffer

__all__ = ["MuxSocket"]

READ: Final = 256 * 1024
"""Bytes that one read takes at most, as in asyncio."""

READS: Final = 8
"""Reads of one turn of the loop, while a frame is not whole."""

HIGH: Final = 64 * 1024
"""Bytes that wait for the socket, from which on the link is asked to pause."""

LOW: Final = 16 * 1024
"""Bytes up to which it may go on."""

PARTS: Final = 512
"""Parts of one write; the system takes 1024 at most."""

_DRY: Final = (BlockingIOError, InterruptedError)
"""Nothing to read, or no room to write, for now."""


class MuxSocket(asyncio.Transport):
    """One connected socket and its link.

    Args:
        opened: the socket, which is closed here.
        link: whom it belongs to; ``connection_made`` is called at once.
    """

    def __init__(self, opened: socket.socket, link: MuxLink) -> None:
        super().__init__()
        opened.setblocking(False)
        self._socket = opened
        self._link = link
        self._loop: asyncio.AbstractEventLoop = link.loop
        self._loop_thread = threading.get_ident()
        self._lock = link.lock
        self._kept: list[Buffer] = []
        self._size = 0
        self._reads = True
        self._is_closing = False
        self._is_lost = False
        self._error: Exception | None = None
        self._is_reading = False  # as the loop's selector knows it
        self._is_writing = False
        link.connection_made(self)
        self._watch()

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or will be when what was written has left."""
        return self._is_closing

    def is_reading(self) -> bool:
        """Return whether what comes is read."""
        return self._reads and not self._is_closing

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._reads = False
        self._watch()

    def resume_reading(self) -> None:
        """Read again."""
        self._reads = True
        self._watch()

    # ---------------------------------------------------------------- reading

    def _readable(self) -> None:
        for _ in range(READS):
            with self._lock:
                if not self.is_reading():
                    return
                data = self._receive()
                if data:
                    self._link.data_received(data)
                elif data is not None:
                    self._link.eof_received()
                    self.close()
                # Go writes a frame's header and its data apart: they are read in one turn.
                if not data or not self._link.session.is_midway:
                    return

    def _receive(self) -> bytes | None:
        """Return what is there, empty at the end; None: nothing, or an error, which is kept."""
        try:
            return self._socket.recv(READ)
        except _DRY:
            return None
        except OSError as error:
            self._fail(error)
            return None

    # ---------------------------------------------------------------- writing

    def write(self, data: Any) -> None:
        """Send bytes, or keep what the socket does not take. Nobody changes them later."""
        self.writelines([data])

    def writelines(self, parts: Iterable[Any]) -> None:
        """Send the parts, in order, as ``write`` does."""
        with self._lock:
            if self._is_lost or self._error is not None:
                return
            left = list(parts)
            if not self._kept:
                left = self._send(left)
            if left:
                self._kept.extend(left)
                self._size += sum(len(part) for part in left)
                self._watch()
                if self._size > HIGH:
                    self._link.pause_writing()

    def _send(self, parts: list[Buffer]) -> list[Buffer]:
        """Send as much as the socket takes; return what is left."""
        while parts:
            try:
                if len(parts) == 1:
                    sent = self._socket.send(parts[0])
                else:
                    sent = self._socket.sendmsg(parts[:PARTS])
            except _DRY:
                return parts
            except OSError as error:
                self._fail(error)
                return []
            done = 0
            while done < len(parts) and sent >= len(parts[done]):
                sent -= len(parts[done])
                done += 1
            parts = parts[done:]
            if sent:
                parts[0] = memoryview(parts[0])[sent:]
        return parts

    def _send_kept(self) -> None:
        if self._kept:
            left = self._send(self._kept)
            if self._error is None:
                self._kept = left
                self._size = sum(len(part) for part in left)
        self._watch()

    def _writable(self) -> None:
        with self._lock:
            self._send_kept()
            if self._size <= LOW:
                self._link.resume_writing()

    # ---------------------------------------------------------------- the end

    def close(self) -> None:
        """Close once everything that was written has left; what comes is not read any more."""
        with self._lock:
            self._is_closing = True
            self._watch()

    def abort(self) -> None:
        """Close now."""
        with self._lock:
            self._drop()
            self._is_closing = True
            self._watch()

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._drop()
        self._is_closing = True
        self._watch()

    def _drop(self) -> None:
        self._kept = []
        self._size = 0

    def _lose(self) -> None:
        with self._lock:
            if self._is_lost:
                return
            self._is_lost = True
            self._drop()
            self._watch()
            self._socket.close()
            self._link.connection_lost(self._error)

    # ---------------------------------------------------------------- the loop's selector

    def _watch(self) -> None:
        """Let the loop watch for what there is to do, from the loop or from the thread."""
        reads = self._reads and not self._is_closing
        writes = bool(self._kept)
        ends = self._is_closing and not writes
        if reads is self._is_reading and writes is self._is_writing and not ends:
            return
        if threading.get_ident() != self._loop_thread:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._watch)
            return
        if reads is not self._is_reading:
            self._is_reading = reads
            if reads:
                self._loop.add_reader(self._socket, self._readable)
            else:
                self._loop.remove_reader(self._socket)
        if writes is not self._is_writing:
            self._is_writing = writes
            if writes:
                self._loop.add_writer(self._socket, self._writable)
            else:
                self._loop.remove_writer(self._socket)
        if ends and not self._is_lost:
            self._loop.call_soon(self._lose)

    # ---------------------------------------------------------------- while the loop stands still

    def wait(self, seconds: float) -> None:
        """Wait, in the thread, until there is something to read or room for what is kept."""
        asked = select.poll()
        with self._lock:
            if self._is_closing:
                events = 0
            else:
                events = select.POLLIN if self._reads else 0
                events |= select.POLLOUT if self._kept else 0
            if events:
                asked.register(self._socket, events)
        asked.poll(seconds * 1000)

    def stand_in(self) -> bool:
        """Read and write once, in the thread; return False where only the loop can go on."""
        with self._lock:
            if self._is_closing:
                return False
            if self._kept:
                self._send_kept()
                if self._size <= LOW:
                    self._link.resume_writing()
            if not self._reads:
                return True
            data = self._receive()
            if data != b"":
                self._link.receive_meanwhile(data or b"")
            # At the end the socket says so again, to the loop.
            return data != b"" and not self._is_closing
