"""What roads through a host's process share: its log, its hooks, its end."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from tests.go_api import GoAPI
from tests.roads.line import from_host_log
from tests.roads.memory import HOOKS
from tests.roads.road import Answer, HookOutcome, Road, Site

if TYPE_CHECKING:
    from tests.roads.line import Line

__all__ = ["HostRoad"]


class HostRoad(Road):
    """A road through a running host.

    Attributes:
        host: the tests of one letter may ask it for what no road does.
    """

    def __init__(self, host: Any, site: Site, letter: str = "") -> None:
        super().__init__(site, letter)
        self.host = host
        self._seen = len(host.log_lines("plugin"))

    @property
    def api(self) -> GoAPI:
        """The PluginAPI of a host that serves it; each time one that has seen no call yet."""
        return GoAPI(self.host)

    def log_lines(self) -> list[Line]:
        return from_host_log(self.host.log_lines("plugin")[self._seen :])

    async def turn(self) -> None:
        await self.host.control("/ping")

    async def hook(
        self,
        name: str,
        request: dict[str, Any],
        *,
        deadline: float | None = None,
        overruns: bool = False,
    ) -> HookOutcome:
        query = "" if deadline is None else f"?deadline_ms={deadline * 1000:.0f}"
        answer = await self.host.control(f"/hook/{name}{query}", request)
        assert answer["listed"], name
        if answer["response"] is None:
            return HookOutcome(answer["code"], None)
        message = GetMessageClass(HOOKS[name].output_type)()
        return HookOutcome("OK", json_format.ParseDict(answer["response"], message))

    async def implemented(self) -> list[str]:
        return list(self.host.implemented)

    async def inter_plugin(self, path: str, **order: Any) -> Answer:
        """A request of another plugin, which never was on a socket."""
        got = await self.host.control("/interplugin", {"path": path, **order})
        headers = [(name, value) for name, values in got["headers"].items() for value in values]
        return Answer(got["status"], headers, base64.b64decode(got["body_base64"] or ""))

    async def deactivate(self) -> None:
        self.is_down = True
        await self.host.control("/hook/OnDeactivate")

    async def stop(self) -> None:
        self.is_down = True
        await self.host.stop()
        await self.host.wait_gone()
