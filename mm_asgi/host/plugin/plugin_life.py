"""The plugin's life behind the gate: started, replaced, restarted, deactivated, ended.

A life is a sequence of plugins, at most one at a time: the old one's process is gone before the next one
starts, since it may hold locks. Changes (a start, a replacement, a restart after a failed health check)
run one after the other, each in a task that the host's end cancels. What requests meet follows from the
change: a start holds them at the gate, a failure refuses them with its reason, an active plugin lets them
through. A process that ends by itself refuses them until the health check or a caller starts the next.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from mm_asgi.host.plugin.changes import Changes
from mm_asgi.host.plugin.health import HealthCheck
from mm_asgi.host.plugin.host_error import HostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.host.plugin.gate import Gate
    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.host.plugin.process import Fate
    from mm_asgi.host.plugin.running_plugin import RunningPlugin

__all__ = ["PluginLife"]

RESTART_WAIT = 3.0
"""Seconds that a restart waits for requests without an answer; a guess at a slow view."""

EXIT_DEACTIVATE = 0.8
"""Seconds for OnDeactivate when the host itself ends; a real one waits 10."""

EXIT_SHUTDOWN = 0.25
"""Seconds for the Shutdown RPC then; a real host waits for ever."""

EXIT_BUDGET = 1.6
"""Seconds until SIGKILL then, all in all. With the pipes' last bytes the exit stays below 2."""


class PluginLife:
    """Run one plugin after the other, and open, close or fail the gate for each.

    Attributes:
        plugin: the present process, active or about to end.
        ended: set when a process ends by itself, until the next one runs.
    """

    def __init__(
        self,
        plugin_id: str,
        start: Callable[[], Awaitable[RunningPlugin]],
        gate: Gate,
        log: HostLog,
        patience: float,
    ) -> None:
        self.plugin: RunningPlugin | None = None
        self.ended = asyncio.Event()
        self._plugin_id = plugin_id
        self._start_plugin = start
        self._gate = gate
        self._log = log
        self._patience = patience
        self._changes = Changes()
        self._health = HealthCheck(plugin_id, log)
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the first plugin.

        Raises:
            HostError: it did not start.
        """
        await self._changes.run(self._start_next())

    async def restart(self) -> None:
        """Replace the plugin while requests wait.

        Raises:
            HostError: the new one did not start.
        """
        await self._changes.run(self._replace_plugin())

    async def deactivate(self, timeout: float) -> Fate | None:
        """Deactivate the plugin and end its process: OnDeactivate, Shutdown, 2 s, SIGKILL.

        Args:
            timeout: seconds for OnDeactivate.

        Returns:
            Fate | None: how the process ended; None when there was none.
        """
        self._gate.fail(f"{self._plugin_id} is disabled")
        plugin = self.plugin
        if plugin is None:
            return None
        await plugin.deactivate(timeout)
        fate = await plugin.kill()
        self.plugin = None  # only now: a `close` before this has to end it
        return fate

    async def stop_changes(self) -> None:
        """Cancel the health checks and the change under way, and let no other follow."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._changes.close()

    async def end_quickly(self) -> None:
        """End the plugin within EXIT_BUDGET, because the whole host ends."""
        plugin, self.plugin = self.plugin, None
        if plugin is None:
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + EXIT_BUDGET
        await plugin.deactivate(EXIT_DEACTIVATE)
        await plugin.kill(end - loop.time() - EXIT_SHUTDOWN, shutdown_timeout=EXIT_SHUTDOWN)

    # ---------------------------------------------------------------- health

    def watch(self, interval: Callable[[], float]) -> None:
        """Check the health once an interval, until the interval is 0."""

        async def rounds() -> None:
            while (seconds := interval()) > 0:
                await asyncio.sleep(seconds)
                await self.check_health()

        self._watch = asyncio.create_task(rounds(), name="health checks")

    async def check_health(self) -> bool:
        """Check the plugin's health once.

        Returns:
            bool: False when the plugin failed and was restarted or deactivated.
        """
        plugin = self.plugin
        if plugin is None or plugin.stopping or await self._health.passes(plugin.connection):
            return True
        if plugin.stopping:
            return True  # the host asked it to end meanwhile
        with contextlib.suppress(HostError):  # the log has it already
            await self._changes.run(self._replace_failed(plugin))
        return False

    async def _replace_failed(self, plugin: RunningPlugin) -> None:
        if self.plugin is not plugin:
            return  # another change has replaced it
        name, restart = self._plugin_id, self._health.fail()
        self._gate.fail(f"{name} failed its health check and is being restarted", status=404)
        error = await plugin.deactivate(crashed=True)
        if error is not None:
            self._log.host("error", "Plugin OnDeactivate() error", plugin_id=name, error=error)
        await plugin.kill()
        self.plugin = None
        if not restart:
            self._gate.fail(f"{name} failed to stay running and was deactivated", status=404)
            return
        try:
            await self._start_next(wait=False)
        except HostError as exc:
            self._log.host("error", "Failed to restart plugin", id=name, error=exc.error)
            raise

    # ---------------------------------------------------------------- the steps

    async def _replace_plugin(self) -> None:
        self._gate.close()
        try:
            if self.plugin is not None:
                await self._gate.answered(RESTART_WAIT)
                await self.plugin.deactivate(self._patience)
                await self.plugin.kill(shutdown_timeout=self._patience / 3)
                self.plugin = None
            await self._start_next()
        except BaseException:
            if not self._gate.failure:
                self._gate.fail("the plugin's restart was interrupted")
            raise

    async def _start_next(self, *, wait: bool = True) -> None:
        """Start a plugin and open the gate.

        Args:
            wait: whether new requests wait for the plugin meanwhile.

        Raises:
            HostError: it did not start; the gate refuses requests with the reason.
        """
        if wait:
            self._gate.close()
        try:
            plugin = await self._start_plugin()
        except HostError as exc:
            self._log.host("error", str(exc), stage=exc.stage)
            self._gate.fail(_failure_text(self._plugin_id, exc))
            raise
        self.plugin = plugin
        self.ended.clear()
        self._gate.open(plugin)
        plugin.process.on_exit(lambda: self._note_exit(plugin))

    def _note_exit(self, plugin: RunningPlugin) -> None:
        """Refuse requests from now on if the process has ended by itself."""
        if not plugin.stopping and self.plugin is plugin:
            fate = plugin.process.fate
            self._log.host("error", "the plugin's process ended by itself", end=str(fate))
            reason = f"{self._plugin_id}: its process ended by itself ({fate})"
            self._gate.fail(reason, status=plugin.gone_status)
            self.ended.set()


def _failure_text(plugin_id: str, exc: HostError) -> str:
    """Return the answer to requests while there is no plugin, with the last lines of its stderr."""
    lines = "".join(f"\n  {line}" for line in exc.stderr)
    return f"{plugin_id} did not start ({exc.stage}): {exc.error}\n{lines}"
