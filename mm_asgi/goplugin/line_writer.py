"""A bounded queue of lines for a file descriptor that may block: its writers never wait."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LineWriter"]

QUEUE_LIMIT = 4 * 1024 * 1024
"""Bytes that may wait: a guess, some 20,000 usual lines while the host does not read."""

_BATCH = 64 * 1024
"""Bytes of one system call: a pipe's usual capacity."""


class LineWriter:
    """Takes lines from any thread and writes them in one; drops lines for which there is no room.

    ``write`` may be called from a signal handler or a finalizer that interrupts another
    ``write``, because the lock is reentrant.
    """

    def __init__(self, fd: int, note: Callable[[int], bytes], *, limit: int = QUEUE_LIMIT) -> None:
        """Start the thread.

        Args:
            fd: the descriptor to write to; the caller closes it.
            note: returns the line that says how many lines were dropped.
            limit: bytes that may wait.
        """
        self._fd = fd
        self._note = note
        self._limit = limit
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._writing = False
        self._closing = False
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="mm_asgi-log", daemon=True)
        self._thread.start()

    def write(self, line: bytes, *, share: float = 1.0) -> bool:
        """Queue a line.

        Args:
            line: the line without its newline.
            share: the share of the queue's room that this kind of line may fill, so that a chatty
                child leaves room for the log.

        Returns:
            whether there was room for it.
        """
        with self._changed:
            if self._broken or self._closing:
                return False
            if self._size + len(line) > self._limit * share:
                self._dropped += 1
                self._changed.notify_all()
                return False
            self._lines.append(line)
            self._size += len(line)
            self._changed.notify_all()
            return True

    def flush(self, timeout: float) -> bool:
        """Wait until all queued lines are written.

        Args:
            timeout: seconds to wait at the most.

        Returns:
            whether they are.
        """
        if threading.current_thread() is self._thread:
            return False
        with self._changed:
            return self._changed.wait_for(
                lambda: self._broken or not (self._lines or self._dropped or self._writing),
                timeout,
            )

    def close(self, timeout: float) -> None:
        """Write the queued lines and end the thread; wait ``timeout`` seconds at the most."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while batch := self._next():
            try:
                _write_all(self._fd, batch)
            except OSError:
                # The host is gone, and the log with it.
                with self._changed:
                    self._broken = True
                    self._lines.clear()
                    self._changed.notify_all()
                return

    def _next(self) -> bytes:
        """Wait for lines, and return the next ones to write; empty at the end."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lines or self._dropped or self._closing)
            batch = bytearray()
            while self._lines and len(batch) < _BATCH:
                line = self._lines.popleft()
                self._size -= len(line)
                batch += line + b"\n"
            if self._dropped:
                batch += self._note(self._dropped) + b"\n"
                self._dropped = 0
            self._writing = bool(batch)
            return bytes(batch)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # Another process that shares the host's end made it non-blocking.
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            with contextlib.suppress(InterruptedError):
                poll.poll()
