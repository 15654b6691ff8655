"""The server's clock, which a test may stop and move."""

from __future__ import annotations

import time

__all__ = ["Clock"]


class Clock:
    """This machine's time plus an offset, in milliseconds since the epoch as Mattermost has it."""

    def __init__(self) -> None:
        self._ahead = 0
        self._stopped: int | None = None

    def now(self) -> int:
        """Return Unix milliseconds."""
        here = int(time.time() * 1000) if self._stopped is None else self._stopped
        return here + self._ahead

    def stop(self) -> None:
        """Stop the clock; only `advance` moves it from now on."""
        self._stopped = self.now() - self._ahead

    def advance(self, seconds: float) -> None:
        """Move the clock on, so that entries of this age expire."""
        self._ahead += round(seconds * 1000)
