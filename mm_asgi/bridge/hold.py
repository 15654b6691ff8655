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

    Nearly every body event follows in the same turn of the loop: only a start that outlives its
    turn gets a place in the queue.

    Args:
        spawn: gives a coroutine a task that somebody holds.
    """

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._spawn = spawn
        self._fresh: list[HTTPCycle] = []
        self._held: deque[tuple[float, HTTPCycle]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, cycle: HTTPCycle) -> None:
        """Send a cycle's head in HOLD seconds, unless it has sent or lost it by then."""
        if not self._fresh:
            asyncio.get_running_loop().call_soon(self._queue)
        self._fresh.append(cycle)

    def _queue(self) -> None:
        fresh, self._fresh = self._fresh, []
        loop = asyncio.get_running_loop()
        until = loop.time() + HOLD
        self._held.extend((until, cycle) for cycle in fresh if cycle.is_held)
        if self._held and self._timer is None:
            self._timer = loop.call_at(until, self._release)

    def _release(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._held and self._held[0][0] <= now:
            cycle = self._held.popleft()[1]
            if cycle.is_held:
                self._spawn(cycle.release())
        self._timer = loop.call_at(self._held[0][0], self._release) if self._held else None
