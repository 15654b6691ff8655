"""Owns file descriptors 1 and 2, so that nothing reaches the host unsanitised.

The host dies of one malformed line on stderr (log_entry.go), and stops reading stdout after one
line over 64 KiB. So the app gets pipes in their place, and a thread turns its output into log lines.
That holds for ``print``, ``os.write``, C code and children alike.

Known limit: C code that prints more than a pipe holds (256 KiB on Linux) without releasing
Python's global lock blocks itself, because the thread that reads the pipe needs that lock.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import fcntl
import io
import os
import select
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, TextIO

from mm_asgi.errors import ConfigError
from mm_asgi.goplugin.line_splitter import LineSplitter
from mm_asgi.goplugin.line_writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["StandardStreams"]

_MOMENT = 0.2
"""Seconds after which an incomplete line is relayed, so that a prompt shows and progress dots do not
make a line each."""

_PIPE_SIZE = 256 * 1024
"""Four times Linux's default, for bursts. The kernel limits the pages of all pipes of one user, the
host's own among them (pipe-user-pages-soft, 64 MiB)."""

_CHUNK = 64 * 1024
_DRAIN_CHUNKS = 64
_CHATTER_SHARE = 0.5
_LEVELS = {"stdout": "info", "stderr": "warn"}


class _RelayedPipe:
    """The reading end of a pipe that replaces a standard stream.

    Attributes:
        fd: its descriptor.
        last: when bytes came last, on the monotonic clock (seconds).
        name: ``stdout`` or ``stderr``.
        splitter: cuts its bytes into lines.
    """

    __slots__ = ("fd", "last", "name", "splitter")

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        self.splitter = LineSplitter()
        self.last = 0.0


class StandardStreams:
    """Owns the process's stdout and stderr from ``take()`` to the end, or to ``restore()``.

    The real ones are private and closed on exec. Otherwise a child that outlives the plugin would
    hold them open, and go-plugin's Kill would wait for it (client.go, clientWaitGroup).
    """

    def __init__(self, encode: Callable[[str, str, str], bytes]) -> None:
        """Replace the descriptors; call ``take()`` instead, which also registers the end."""
        self._encode = encode
        self._flush_requests: deque[threading.Event] = deque()
        self._announced = False
        self._stopping = False
        self._restored = False
        self._forked = False
        for stream in (sys.stdout, sys.stderr):
            _flush_quietly(stream)
        _fill_missing()
        self._real_out, self._real_err = _private(1), _private(2)
        self._sources = [_replace(1, "stdout"), _replace(2, "stderr")]
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._python = (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = _text_stream(sys.stdout, 1), _text_stream(sys.stderr, 2)
        # A crash kills the thread that reads the pipes, so its report goes straight to the host.
        # Its lines are plain text, which the host does not take for JSON.
        faulthandler.enable(self._real_err)

        self._writer = LineWriter(self._real_err, self._dropped_note)
        self._reader = threading.Thread(target=self._read, name="mm_asgi-output", daemon=True)
        self._reader.start()

    @classmethod
    def take(cls, encode: Callable[[str, str, str], bytes]) -> StandardStreams:
        """Replace fds 1 and 2 by pipes; call it before anything can be printed.

        Output is flushed when the process ends by itself; call ``flush()`` before ``os._exit``. A
        child made by fork alone writes into the pipes, too.

        Args:
            encode: returns a line for the host, without its newline, from level, logger's name and
                text: ``observe.hclog.relay``.
        """
        streams = cls(encode)
        atexit.register(streams.flush)
        os.register_at_fork(after_in_child=streams._in_forked_child)
        return streams

    @property
    def announced(self) -> bool:
        """Whether the line for the host's stdout was written."""
        return self._announced

    def announce(self, line: str) -> None:
        """Write the only line for the host's stdout: the handshake, or a fault.

        Raises:
            ConfigError: the host is gone.
        """
        assert not self._announced, "stdout has had its line"
        self._announced = True
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        try:
            while data:
                data = data[os.write(self._real_out, data) :]
        except OSError as exc:
            raise ConfigError(
                f"stdout: the handshake cannot be written: {exc.strerror}; "
                "the host that started this plugin is gone"
            ) from exc

    def write(self, line: bytes) -> None:
        """Send one encoded line to the real stderr; never block and never raise."""
        if not self._forked:
            self._writer.write(line)
            return
        # The parent's thread reads this pipe, and relays such lines with their own level.
        with contextlib.suppress(OSError):
            os.write(2, line + b"\n")

    def flush(self, timeout: float = 1.0) -> bool:
        """Wait until all output and log lines are written to the host.

        Args:
            timeout: seconds to wait at the most.

        Returns:
            whether they are.
        """
        if self._forked or threading.current_thread() is self._reader:
            return False
        until = time.monotonic() + timeout
        for stream in (sys.stdout, sys.stderr):
            _flush_quietly(stream)
        if self._reader.is_alive():
            request = threading.Event()
            self._flush_requests.append(request)
            self._wake()
            request.wait(timeout)
        return self._writer.flush(max(until - time.monotonic(), 0.0))

    def restore(self, timeout: float = 1.0) -> None:
        """Restore fds 1 and 2, for tests and tools; the app must not print any more."""
        if self._restored:
            return
        self.flush(timeout)
        atexit.unregister(self.flush)
        self._restored = True
        os.dup2(self._real_out, 1)
        os.dup2(self._real_err, 2)
        sys.stdout, sys.stderr = self._python
        faulthandler.disable()
        self._stopping = True
        self._wake()
        self._reader.join(timeout)
        self._writer.close(timeout)
        if not self._reader.is_alive():
            self._close_pipes()
            os.close(self._real_out)
            # A writer that hangs, because the host does not read, still uses the descriptor.
            if self._writer.flush(0):
                os.close(self._real_err)

    # The reading thread.

    def _read(self) -> None:
        poll = select.poll()
        open_sources = {source.fd: source for source in self._sources}
        for fd in (*open_sources, self._wake_read):
            poll.register(fd, select.POLLIN)
        while not self._stopping:
            lying = any(source.splitter.pending for source in self._sources)
            for fd, _ in poll.poll(_MOMENT * 1000 if lying else None):
                if fd == self._wake_read:
                    _read_some(fd)
                elif self._relay_some(open_sources[fd]) == b"":
                    # The app closed the last writing end, as a program that turns daemon does.
                    poll.unregister(fd)
            self._flush_lying()
            self._serve_flush_requests()
        self._drain()

    def _relay_some(self, source: _RelayedPipe) -> bytes | None:
        """Relay the next chunk and return it: None if there is none now, empty at the end."""
        chunk = _read_some(source.fd)
        if chunk:
            source.last = time.monotonic()
            self._relay(source, source.splitter.feed(chunk))
        return chunk

    def _relay(self, source: _RelayedPipe, lines: list[str]) -> None:
        for line in lines:
            encoded = self._encode(_LEVELS[source.name], source.name, line)
            self._writer.write(encoded, share=_CHATTER_SHARE)

    def _flush_lying(self) -> None:
        before = time.monotonic() - _MOMENT
        for source in self._sources:
            if source.splitter.pending and source.last <= before:
                self._relay(source, source.splitter.flush())

    def _serve_flush_requests(self) -> None:
        # Counted first: a request that comes while this drains is for output that is newer.
        count = len(self._flush_requests)
        if count:
            self._drain()
        for _ in range(count):
            self._flush_requests.popleft().set()

    def _drain(self) -> None:
        for source in self._sources:
            # Bounded: a child may write faster than this reads.
            for _ in range(_DRAIN_CHUNKS):
                if not self._relay_some(source):
                    break
            self._relay(source, source.splitter.flush())

    # The rest.

    def _dropped_note(self, count: int) -> bytes:
        text = f"{count} log lines were dropped: the host did not read them in time"
        return self._encode("warn", "mm_asgi.streams", text)

    def _wake(self) -> None:
        # The pipe is full if the thread is being woken already.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    def _in_forked_child(self) -> None:
        # If the reading ends stayed open here, a child would block for ever on a full pipe once
        # the parent is gone, and hold the host's pipes open. In a child's own child they are closed
        # already, and their numbers may belong to files of the app.
        if self._restored or self._forked:
            return
        self._forked = True
        self._close_pipes()
        faulthandler.enable(2)
        os.close(self._real_out)
        os.close(self._real_err)

    def _close_pipes(self) -> None:
        for fd in (*(source.fd for source in self._sources), self._wake_read, self._wake_write):
            os.close(fd)


def _private(fd: int) -> int:
    """Return a copy of a descriptor that children do not inherit, with a number above 2."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _fill_missing() -> None:
    """Open descriptors that the parent closed: a pipe must not get a standard stream's number."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _replace(fd: int, name: str) -> _RelayedPipe:
    reading, writing = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    os.dup2(writing, fd)
    os.close(writing)
    os.set_blocking(reading, False)
    return _RelayedPipe(reading, name)


def _text_stream(stream: TextIO, fd: int) -> TextIO:
    """Return Python's stream for the fd: the same object if possible, since code may hold it."""
    if isinstance(stream, io.TextIOWrapper):
        with contextlib.suppress(OSError, ValueError):
            if stream.fileno() == fd:
                stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
                return stream
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _flush_quietly(stream: TextIO | None) -> None:
    # None: the process was started without it. ValueError: the app closed it.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        stream.flush()  # type: ignore[union-attr]


def _read_some(fd: int) -> bytes | None:
    """Return the bytes that can be read without waiting: None if there are none, empty at the end."""
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        return None
