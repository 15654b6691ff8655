"""The gate before the plugin: open to one plugin, closed while it is replaced."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.host.plugin.running_plugin import RunningPlugin

__all__ = ["Gate", "Unanswered"]


class Unanswered:
    """A request that its plugin has, and has not begun to answer: a restart waits for it."""

    def __init__(self, among: set[Unanswered], changed: asyncio.Event) -> None:
        self._among = among
        self._changed = changed
        among.add(self)

    def settle(self) -> None:
        """It is answered, or over."""
        self._among.discard(self)
        self._changed.set()


class Gate:
    """Lets requests through to the running plugin, holds them while there is none.

    Attributes:
        on_change: called after each change of what a request would meet.
    """

    def __init__(self) -> None:
        self.plugin: RunningPlugin | None = None
        self.failure = ""
        self.status = 503
        self.on_change: Callable[[], None] = lambda: None
        self._decided = asyncio.Event()
        self._unanswered: set[Unanswered] = set()
        self._changed = asyncio.Event()

    def open(self, plugin: RunningPlugin) -> None:
        """Let everybody through, to this plugin."""
        self.plugin, self.failure = plugin, ""
        self._decided.set()
        self.on_change()

    def close(self) -> None:
        """Hold everybody who comes."""
        self.plugin = None
        self._decided.clear()
        self.on_change()

    def fail(self, reason: str, *, status: int = 503) -> None:
        """Tell everybody why there is no plugin; with 404 only the log does, as on a server."""
        self.plugin, self.failure, self.status = None, reason, status
        self._decided.set()
        self.on_change()

    @property
    def holds(self) -> bool:
        """Whether requests wait for what becomes of a start."""
        return not self._decided.is_set()

    async def enter(self) -> RunningPlugin | None:
        """The plugin to ask, or None: then `failure` says why there is none."""
        await self._decided.wait()
        return self.plugin

    def leads_to(self, plugin: RunningPlugin) -> bool:
        """Whether a request may still be handed to this plugin."""
        return self.plugin is plugin

    def handed_over(self) -> Unanswered:
        """Note a request that its plugin is about to get."""
        return Unanswered(self._unanswered, self._changed)

    async def answered(self, timeout: float) -> bool:
        """Wait until no request is without the beginning of an answer; False: not in time.

        A plugin that stops refuses what reaches it then: this keeps a request that is just on
        its way from being refused.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._unanswered:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True
