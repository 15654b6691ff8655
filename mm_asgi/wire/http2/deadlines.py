"""Deadlines of many calls on one timer.

A timer for each call would cost each a place in the loop's heap. Most calls end long before their
deadline. So one timer is set to the earliest deadline, and looks at the calls that are left when it
fires.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["Deadlines", "Expiring"]

_GRAIN: Final = 0.005
"""Seconds between two looks at the least. Each look walks over all calls, so thousands that expire one
by one must not cause a look each."""


class Expiring(Protocol):
    """A call with a deadline.

    Attributes:
        deadline: when it expires, on the loop's clock (seconds); None: never.
    """

    deadline: float | None

    def expire(self) -> None:
        """End the call: its deadline has passed."""


class Deadlines:
    """The calls of one loop that have a deadline."""

    __slots__ = ("_calls", "_loop", "_next", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: set[Expiring] = set()
        self._next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: Expiring, deadline: float) -> None:
        """Call ``call.expire()`` at its deadline, unless ``discard()`` is called before."""
        self._calls.add(call)
        if deadline < self._next:
            self._arm(deadline)

    def discard(self, call: Expiring) -> None:
        """Forget a call that has ended."""
        self._calls.discard(call)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._next = math.inf

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = deadline
        self._timer = self._loop.call_at(deadline, self._expire_due)

    def _expire_due(self) -> None:
        # The loop calls a timer up to its clock's resolution early.
        now = self._loop.time() + 1e-6
        self._next, self._timer = math.inf, None
        earliest = math.inf
        expired: list[Expiring] = []
        for call in self._calls:
            deadline = call.deadline
            assert deadline is not None
            if deadline <= now:
                expired.append(call)
            elif deadline < earliest:
                earliest = deadline
        for call in expired:
            self._calls.discard(call)
            call.expire()
        if earliest < self._next:
            self._arm(max(earliest, now + _GRAIN))
