"""File descriptors 1 and 2 belong to the plugin runtime: nothing reaches the host unsanitised.

The host dies of one malformed line on stderr (log_entry.go) and stops reading stdout after one
line over 64 KiB, so the app gets pipes in their place and a thread turns what comes out of them
into log lines. That holds for ``print``, ``os.write``, C code and children alike.

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
"""Seconds that unterminated output may lie: a prompt or progress dots, without a line for each."""

_PIPE_SIZE = 256 * 1024
"""Four times Linux's default, for bursts. More would eat into the pages that the kernel grants
all pipes of one user, the host's own among them (pipe-user-pages-soft, 64 MiB)."""

_CHUNK = 64 * 1024
_DRAIN_CHUNKS = 64
_CHATTER_SHARE = 0.5
_LEVELS = {"stdout": "info", "stderr": "warn"}


class _RelayedPipe:
    """The reading end of a pipe that stands where a standard stream was."""

    __slots__ = ("fd", "last", "name", "splitter")

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        self.splitter = LineSplitter()
        self.last = 0.0


class StandardStreams:
    """Owns the process's stdout and stderr from ``take()`` to the end, or to ``restore()``.

    The real ones are private and closed on exec. A child that outlives the plugin can therefore
    not hold them open, for which go-plugin's Kill would wait (client.go, clientWaitGroup).
    """

    def __init__(self, encode: Callable[[str, str, str], bytes]) -> None:
        """Use ``take()``."""
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
        sys.stdout, sys.stderr = _text(sys.stdout, 1), _text(sys.stderr, 2)
        # A crash kills the thread that reads the pipes. These lines of plain text cannot be
        # taken for JSON, so they may go straight to the host.
        faulthandler.enable(self._real_err)

        self._writer = LineWriter(self._real_err, self._dropped_note)
        self._reader = threading.Thread(target=self._read, name="mm_asgi-output", daemon=True)
        self._reader.start()

    @classmethod
    def take(cls, encode: Callable[[str, str, str], bytes]) -> StandardStreams:
        """Put pipes in the place of fds 1 and 2; do it before anything can be printed.

        What was printed is flushed when the process ends by itself; before ``os._exit`` call
        ``flush()``. A child made by fork alone writes into the pipes too.

        Args:
            encode: makes a line for the host from level, logger's name and text, without its
                newline: ``observe.hclog.relay``.
        """
        streams = cls(encode)
        atexit.register(streams.flush)
        os.register_at_fork(after_in_child=streams._in_forked_child)
        return streams

    @property
    def announced(self) -> bool:
        """Whether the host's stdout has had its line."""
        return self._announced

    def announce(self, line: str) -> None:
        """Write the one line that the host's stdout ever gets: handshake or fault."""
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
        """Send one line, made for the host, to the real stderr. Never blocks, never raises."""
        if not self._forked:
            self._writer.write(line)
            return
        # The parent's thread reads this pipe and knows such lines again.
        with contextlib.suppress(OSError):
            os.write(2, line + b"\n")

    def flush(self, timeout: float = 1.0) -> bool:
        """Wait until all that was printed or logged is at the host; False if it takes longer."""
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
        """Give fds 1 and 2 back, after the app can no longer print: for tests and for tools."""
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
            # A writer that hangs on a host that does not read still has its number.
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
        """Relay a chunk; the chunk: None when there is none now, empty when there is no more."""
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
        # Counted before: one that comes while this drains asks for what was printed since.
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
        # Full: it is awake already.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    def _in_forked_child(self) -> None:
        # With the reading ends open here too, a child would block for ever on a pipe that
        # nobody reads once the parent is gone, and hold the host's pipes open. In a child's own
        # child they are closed already, and their numbers may belong to files of the app.
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
    """A copy that children do not inherit, above the numbers of the standard streams."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _fill_missing() -> None:
    """Open what the parent left closed: a pipe must not get a standard stream's number."""
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


def _text(stream: TextIO, fd: int) -> TextIO:
    """Python's stream for the fd: the same object where that works, since code may hold it."""
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
    """What can be read without waiting; None when that is nothing, empty at the end."""
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        return None
