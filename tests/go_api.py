"""What a test asks of the PluginAPI that a Go host serves: tests/gohost/README.md, "PluginAPI".

async with GoHost(folder, api="beside") as host:
    api = GoAPI(host)
    await api.fail("GetUser", app_error={"id": "app.x", "status_code": 404})
    assert [call["call"] for call in await api.calls()] == ["GetUser"]
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.go_host import HostProcess

__all__ = ["GoAPI"]

Facts = dict[str, Any]


class GoAPI:
    """The server that ``host`` runs."""

    def __init__(self, host: HostProcess) -> None:
        self._host = host
        self._seen = 0

    @property
    def target(self) -> str:
        """``127.0.0.1:PORT``."""
        return self._host.api_target

    # ------------------------------------------------------------ what came

    async def calls(self) -> list[Facts]:
        """The calls that came since the last time, oldest first."""
        answer = await self._host.control(f"/api/calls?since={self._seen}", method="GET")
        self._seen = answer["total"]
        calls: list[Facts] = answer["calls"]
        return calls

    async def names(self) -> list[str]:
        """Their names alone."""
        return [call["call"] for call in await self.calls()]

    async def state(self) -> Facts:
        """posts, ephemeral, keys, commands, events, channels by name, team_id."""
        state = await self._host.control("/api/state", method="GET")
        state["keys"] = {name: base64.b64decode(value) for name, value in state["keys"].items()}
        return state

    async def arrived(self, call: str, count: int = 1, *, ended: bool = False) -> None:
        """Wait until this call has come so often since the start, or has been answered so often."""
        order = {"call": call, "count": count, "ended": ended}
        await self._host.control("/api/await", order)

    async def held(self, count: int = 1) -> None:
        """Wait until so many calls are held."""
        await self._host.control("/api/await", {"held": count})

    async def settled(self) -> None:
        """Wait until the hooks that only tell have ended."""
        await self._host.control("/api/settle")

    # ------------------------------------------------------------ what shall happen

    async def fail(self, call: str, **how: Any) -> None:
        """Let a call fail, or hold it; README.md has the keys. It replaces what was ordered."""
        await self._host.control("/api/faults", [{"call": call, **how}])

    async def heal(self) -> None:
        """No faults any more; what is held goes on."""
        await self._host.control("/api/faults", [])
        await self._host.control("/api/release")

    async def restored(self) -> None:
        """As at the beginning, but for the state: no faults, nothing held, serving."""
        await self.heal()
        facts = await self._host.control(f"/api/calls?since={self._seen}", method="GET")
        if not facts["serving"]:
            await self.start()

    async def stop(self, *, gracefully: bool = False) -> None:
        """End the server; its state stays."""
        await self._host.control("/api/stop", {"gracefully": gracefully})

    async def start(self) -> None:
        """Serve again at the same address."""
        await self._host.control("/api/start")

    async def configure(self, config: Facts) -> None:
        """Replace what GetConfig and LoadPluginConfiguration give; no hook hears of it."""
        await self._host.control("/api/config", config)

    # ------------------------------------------------------------ what users do

    async def post(self, user: str, message: str, channel: str = "town-square") -> Facts:
        """A user's post: ``{"post", "error", "request_id"}``."""
        order = {"user": user, "channel": channel, "message": message}
        return await self._host.control("/api/post", order)

    async def command(self, user: str, command: str, channel: str = "town-square") -> Facts:
        """A user's slash command: ``{"response", "error", "request_id"}``."""
        order = {"user": user, "channel": channel, "command": command}
        return await self._host.control("/api/command", order)

    async def file(self, name: str, size: int) -> str:
        """Put a file of so many bytes there, 0 to 255 over and over; its id."""
        answer = await self._host.control("/api/file", {"name": name, "size": size})
        file_id: str = answer["id"]
        return file_id
