"""One plugin from its start to its end, in the order of Mattermost's supervisor and environment."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from mm_asgi.host.plugin.hook_client import HOOK_TIMEOUT, HookClient
from mm_asgi.host.plugin.host_connection import GRPC_HOST
from mm_asgi.host.plugin.host_error import HostError
from mm_asgi.host.plugin.plugin_connection import RPCFailed
from mm_asgi.host.plugin.process import PluginProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.host.plugin.plugin_connection import HostWire
    from mm_asgi.host.plugin.process import Fate

__all__ = ["RunningPlugin"]

HEALTH_TIMEOUT = 10.0
"""Seconds for the first Check; a real host asks it later, and without a deadline."""

KILL_AFTER = 2.0
"""Seconds between Shutdown and SIGKILL; go-plugin's Kill."""


class RunningPlugin:
    """An active plugin: its process, its connection and its hooks.

    Args:
        seconds: receives the duration of each step, see `Host.seconds`.
    """

    def __init__(
        self,
        process: PluginProcess,
        log: HostLog,
        hook_timeout: float,
        seconds: dict[str, float],
        wire: HostWire,
    ) -> None:
        self.process = process
        self.connection: Any = wire.connect(process.target, log)
        self.hooks = HookClient(self.connection, log, hook_timeout, wire)
        self.gone_status = wire.gone_status
        self.stopping = False
        self._log = log
        self._seconds = seconds

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        directory: Path | str,
        environ: Mapping[str, str],
        timeout: float,
        log: HostLog,
        hook_timeout: float = HOOK_TIMEOUT,
        seconds: dict[str, float] | None = None,
        wire: HostWire = GRPC_HOST,
    ) -> RunningPlugin:
        """Start a plugin: process, handshake, health, Implemented twice, OnActivate.

        Raises:
            HostError: one of the steps failed; the process has been ended.
        """
        seconds = {} if seconds is None else seconds
        with _timed(seconds, "handshake"):
            process = await PluginProcess.start(
                argv,
                directory=directory,
                environ=environ,
                timeout=timeout,
                log=log,
                protocol=wire.protocol,
            )
        plugin = cls(process, log, hook_timeout, seconds, wire)
        try:
            await plugin._activate()
        except BaseException as exc:
            plugin.stopping = True
            if not isinstance(exc, HostError):
                await plugin.kill(0.5, shutdown_timeout=0.3)
                raise
            # A process that has just died wrote its reason to stderr.
            await process.wait(0.2)
            await plugin.kill()
            raise HostError(exc.stage, exc.error, process.last_words()) from None
        return plugin

    async def _activate(self) -> None:
        try:
            await self.connection.open()
            await self.connection.ping(HEALTH_TIMEOUT)
        except RPCFailed as exc:
            raise HostError("health", f"the plugin does not answer: {exc}") from None
        with _timed(self._seconds, "implemented"):
            await self.hooks.learn()
        with _timed(self._seconds, "activate"):
            error = await self.hooks.lifecycle("OnActivate")
        if error is not None:
            raise HostError("activate", error)

    async def deactivate(
        self, timeout: float | None = None, *, crashed: bool = False
    ) -> str | None:
        """Call OnDeactivate, and return its error as the host logs it, or None.

        Args:
            timeout: seconds; None: the hooks'.
            crashed: call it although the process has ended, as the health check does.
        """
        self.stopping = True
        if not (self.process.running or crashed):
            return None
        with _timed(self._seconds, "deactivate"):
            return await self.hooks.lifecycle("OnDeactivate", timeout)

    async def kill(self, after: float = KILL_AFTER, *, shutdown_timeout: float = 10.0) -> Fate:
        """End the process as go-plugin's Kill does: Shutdown, wait, SIGKILL.

        Args:
            after: seconds for the process to end by itself.
            shutdown_timeout: seconds for the Shutdown RPC; a real host has no limit there.

        Returns:
            Fate: how the process ended.
        """
        self.stopping = True
        process = self.process
        if process.running:
            with _timed(self._seconds, "shutdown"):
                await self._ask_to_end(shutdown_timeout)
                ended = await process.wait(after)
            if not ended:
                self._log.go_plugin("warn", "plugin failed to exit gracefully", pid=process.pid)
        fate = await process.kill()
        await self.connection.close()
        return fate

    async def _ask_to_end(self, timeout: float) -> None:
        """Call Shutdown, and wait until it is answered or the process is gone."""
        asked = asyncio.create_task(self.connection.shutdown(timeout))
        gone = asyncio.create_task(self.process.wait())
        try:
            await asyncio.wait((asked, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            asked.cancel()
            # The result is ignored on purpose, as go-plugin ignores errors of Shutdown.
            await asyncio.gather(asked, gone, return_exceptions=True)


@contextlib.contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        seconds[step] = time.monotonic() - started
