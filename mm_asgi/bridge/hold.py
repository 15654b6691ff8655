"""The wait of a response's start for its first body event (row R1): one timer for all requests."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from mm_asgi.bridge.http import HTTPCycle

__all__ = ["HOLD", "Holds"]

HOLD = 0.005
"""Seconds that a start may wait for its first body event (row R1): nobody sees 5 ms."""


class Holds:
    """The starts that are held. They all wait equally long, so they end in the order they came.

    Args:
        spawn: gives a coroutine a task that somebody holds.
    """

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._spawn = spawn
        self._held: deque[tuple[float, HTTPCycle]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, cycle: HTTPCycle) -> None:
        """Send a cycle's head in HOLD seconds, unless it has sent or lost it by then."""
        loop = asyncio.get_running_loop()
        self._held.append((loop.time() + HOLD, cycle))
        if self._timer is None:
            self._timer = loop.call_later(HOLD, self._release)

    def _release(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._held and self._held[0][0] <= now:
            cycle = self._held.popleft()[1]
            if cycle.is_held:
                self._spawn(cycle.release())
        self._timer = loop.call_at(self._held[0][0], self._release) if self._held else None
