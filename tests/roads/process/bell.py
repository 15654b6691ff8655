"""A bell that an app in another process rings and may wait at, so that no test has to sleep."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Bell"]

WAIT = 10.0  # s: a bound for what should take milliseconds, on a machine that is busy


class Bell:
    """A unix socket: apps/process_bell.py connects to it and says a name.

    Attributes:
        address: what the plugin's process finds in PROCESS_BELL.
        rings: ``(name, time.monotonic())`` in the order in which they came.
    """

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="bell-")
        self.address = str(Path(self._folder) / "bell")
        self.rings: list[tuple[str, float]] = []
        self._released: set[str] = set()
        self._closed = False
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.address)
        self._socket.listen(128)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def names(self) -> list[str]:
        """The names that were rung, in their order."""
        with self._changed:
            return [name for name, _ in self.rings]

    def wait(self, name: str, *, count: int = 1, timeout: float = WAIT) -> float:
        """Wait until ``name`` was rung ``count`` times; the time of the last of them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._times(name)) >= count, timeout):
                raise AssertionError(f"{name!r} was not rung {count} times; rung: {self.rings}")
            return self._times(name)[count - 1]

    def release(self, *names: str) -> None:
        """Let go on who waits, or will wait, at these names."""
        with self._changed:
            self._released.update(names)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # A close alone does not wake accept().
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(WAIT)
        self._socket.close()
        shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _times(self, name: str) -> list[float]:
        return [at for rung, at in self.rings if rung == name]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            verb, _, name = lines.readline().decode().strip().partition(" ")
            with self._changed:
                self.rings.append((name, time.monotonic()))
                self._changed.notify_all()
                if verb == "hold":
                    self._changed.wait_for(lambda: self._closed or name in self._released)
            connection.sendall(b"\n")
