"""The gate before the plugin: open to one plugin, closed while it is replaced."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.host.plugin.running_plugin import RunningPlugin

__all__ = ["Gate", "Unanswered"]


class Unanswered:
    """A request whose plugin has not begun to answer it. A restart waits for it."""

    def __init__(self, among: set[Unanswered], changed: asyncio.Event) -> None:
        self._among = among
        self._changed = changed
        among.add(self)

    def settle(self) -> None:
        """Note that its answer has begun, or that it is over."""
        self._among.discard(self)
        self._changed.set()


class Gate:
    """Let requests through to the running plugin, or hold or refuse them while there is none.

    Attributes:
        plugin: the plugin that requests reach now.
        failure: the reason of a refusal; empty while nothing is refused.
        status: the HTTP status of a refusal.
        on_change: called after `open`, `close` and `fail`.
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
        """Let all requests through to this plugin."""
        self.plugin, self.failure = plugin, ""
        self._decided.set()
        self.on_change()

    def close(self) -> None:
        """Hold all requests from now on."""
        self.plugin = None
        self._decided.clear()
        self.on_change()

    def fail(self, reason: str, *, status: int = 503) -> None:
        """Refuse all requests from now on.

        Args:
            reason: the text of the answer.
            status: its HTTP status. With 404 and 500 the text is left out, as on a server.
        """
        self.plugin, self.failure, self.status = None, reason, status
        self._decided.set()
        self.on_change()

    @property
    def holds(self) -> bool:
        """Whether requests wait for a start to succeed or fail."""
        return not self._decided.is_set()

    async def enter(self) -> RunningPlugin | None:
        """Wait for the plugin and return it, or None when `failure` has the reason why not."""
        await self._decided.wait()
        return self.plugin

    def leads_to(self, plugin: RunningPlugin) -> bool:
        """Return whether a request may still be handed to this plugin."""
        return self.plugin is plugin

    def handed_over(self) -> Unanswered:
        """Note that a request is handed to its plugin now."""
        return Unanswered(self._unanswered, self._changed)

    async def answered(self, timeout: float) -> bool:
        """Wait until the answers of all requests have begun.

        A plugin that stops refuses new requests. This wait spares the requests that are on their
        way to it.

        Args:
            timeout: seconds.

        Returns:
            bool: False when not all have begun in time.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._unanswered:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True
