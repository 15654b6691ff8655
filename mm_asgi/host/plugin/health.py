"""The server's health check of a plugin: health_check.go and supervisor.go of Mattermost.

A plugin that answers none of three pings in a row has failed a check and is restarted. The third
failure within 60 minutes deactivates it instead, until an admin enables it again. A ping has no
deadline: the check finds a process or connection that is gone, but never a plugin that hangs.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from mm_asgi.host.plugin.plugin_connection import RPCFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.host.plugin.plugin_connection import PluginConnection

__all__ = ["INTERVAL", "HealthCheck"]

INTERVAL = 30.0
"""Seconds; HealthCheckInterval."""

PINGS = 3
"""HealthCheckPingFailLimit."""

FAILURES = 3
"""HealthCheckNumRestartsLimit."""

WINDOW = 60 * 60.0
"""Seconds; HealthCheckDeactivationWindow."""


class HealthCheck:
    """The health check of one plugin, and its latest failures."""

    def __init__(
        self, plugin_id: str, log: HostLog, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._plugin_id = plugin_id
        self._log = log
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=FAILURES)

    async def passes(self, connection: PluginConnection) -> bool:
        """Return whether the plugin answers one of three pings."""
        for _ in range(PINGS):
            try:
                await connection.ping()
            except RPCFailed:
                continue
            return True
        return False

    def fail(self) -> bool:
        """Note a failed check.

        Returns:
            bool: whether the plugin has to be restarted; False: it has to be deactivated.
        """
        error = "plugin RPC connection is not responding"
        self._log.host("warn", "Health check failed for plugin", id=self._plugin_id, error=error)
        now = self._clock()
        self._failures.append(now)
        if len(self._failures) == FAILURES and now - self._failures[0] <= WINDOW:
            self._log.host(
                "debug", "Deactivating plugin due to multiple crashes", id=self._plugin_id
            )
            self._failures.clear()
            return False
        self._log.host("debug", "Restarting plugin due to failed health check", id=self._plugin_id)
        return True
