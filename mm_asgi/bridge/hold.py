"""The wait of a response's start for its first body event (row R1): one timer for all requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from mm_asgi.bridge.http import HTTPCycle

__all__ = ["HOLD", "Holds"]

HOLD = 0.005
"""Seconds that a start may wait for its first body event (row R1): nobody sees 5 ms."""


class Holds:
    """The starts that are held, in two ages: each is let go after half of HOLD to all of it.

    Nearly every body event follows at once, so a timer for each start would be most of its cost.

    Args:
        spawn: gives a coroutine a task that somebody holds.
    """

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._spawn = spawn
        self._young: list[HTTPCycle] = []
        self._old: list[HTTPCycle] = []
        self._runs = False

    def add(self, cycle: HTTPCycle) -> None:
        """Send a cycle's head in at most HOLD seconds, unless it has sent or lost it by then."""
        self._young.append(cycle)
        if not self._runs:
            self._runs = True
            asyncio.get_running_loop().call_later(HOLD / 2, self._age)

    def _age(self) -> None:
        old, self._old, self._young = self._old, self._young, []
        self._old = [cycle for cycle in self._old if cycle.is_held]
        for cycle in old:
            if cycle.is_held:
                self._spawn(cycle.release())
        self._runs = bool(self._old)
        if self._runs:
            asyncio.get_running_loop().call_later(HOLD / 2, self._age)
