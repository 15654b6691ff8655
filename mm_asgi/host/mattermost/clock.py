"""The server's time, which a test may move."""

from __future__ import annotations

import time

__all__ = ["Clock"]


class Clock:
    """Milliseconds since the epoch, as Mattermost counts them: this machine's time, moved."""

    def __init__(self) -> None:
        self._ahead = 0
        self._stopped: int | None = None

    def now(self) -> int:
        """Unix milliseconds."""
        here = int(time.time() * 1000) if self._stopped is None else self._stopped
        return here + self._ahead

    def stop(self) -> None:
        """Let time stand still until it is moved."""
        self._stopped = self.now() - self._ahead

    def advance(self, seconds: float) -> None:
        """Move it on: what expires in that time has expired."""
        self._ahead += round(seconds * 1000)
