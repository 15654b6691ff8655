"""Road s: the simulated host in the place of the Go host, with as much of its driver as roads use."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mm_asgi.host import Host

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SimulatedHost"]


class SimulatedHost:
    """A ``mm_asgi.host.Host`` that answers to the names of ``tests.go_host.GoHost``."""

    def __init__(
        self,
        directory: Path,
        executable: str,
        *,
        plugin_id: str,
        subpath: str = "/",
        env: dict[str, str] | None = None,
        read_timeout: float = 300.0,
        write_timeout: float = 300.0,
    ) -> None:
        self._host = Host(
            argv=[sys.executable, executable],
            directory=directory,
            plugin_id=plugin_id,
            subpath=subpath,
            env=env,
            log_level="debug",
            read_timeout=read_timeout,
            write_timeout=write_timeout,
        )
        self.running = False

    @property
    def address(self) -> str:
        """``127.0.0.1:port``."""
        return self._host.address.removeprefix("http://")

    @property
    def plugin_url(self) -> str:
        """The plugin's root."""
        return self._host.url

    async def start(self) -> None:
        """Start the host and its plugin."""
        await self._host.__aenter__()
        self.running = True

    async def stop(self) -> None:
        """The end of host and plugin."""
        self.running = False
        await self._host.close()

    async def wait_gone(self) -> None:
        """The plugin has gone with the host."""

    async def close(self) -> None:
        """The same as ``stop``; safe to call again."""
        await self.stop()

    def log_lines(self, source: str | None = None) -> list[dict[str, Any]]:
        """The log, in the Go host's form."""
        return [
            {"level": line.level, "message": line.message, "fields": line.fields}
            for line in self._host.log.lines(source)
        ]

    async def control(self, path: str, body: object = None) -> dict[str, Any]:
        """The two requests of the control server that the HTTP roads make."""
        if path == "/ping":
            await self._host.ping()
            return {"ok": True}
        assert path.startswith("/hook/"), path
        await self._host.hook(path.removeprefix("/hook/"))
        return {}
