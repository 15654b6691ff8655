"""The roads of a hook: m, Dispatch on the memory wire; g, the Go host and a plugin process."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import httpx
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from mm_asgi.grpc_hooks import SERVICE, methods
from mm_asgi.observe.logs import HclogHandler
from mm_asgi.protocol import hooks_pb2
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
from tests.contract.hook_plugin.scripted import Script, build
from tests.go_host import GoHost
from tests.wire.memory import MemoryServer

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mm_asgi.plugin import Plugin

__all__ = [
    "METHODS",
    "GoHookRoad",
    "HookRoad",
    "Line",
    "MemoryHookRoad",
    "Outcome",
    "wait_for_errors",
]

ROOT = Path(__file__).resolve().parents[2]
METHODS = hooks_pb2.DESCRIPTOR.services_by_name["PluginHooks"].methods_by_name


class Outcome(NamedTuple):
    """A hook's status by name, and its response; None when it failed."""

    code: str
    response: Any

    @property
    def fields(self) -> dict[str, Any]:
        """What is set in the response, as protojson."""
        made: dict[str, Any] = json_format.MessageToDict(
            self.response, preserving_proto_field_name=True
        )
        return made


class Line(NamedTuple):
    """A line of the plugin's log."""

    level: str
    message: str
    fields: dict[str, Any]


class HookRoad:
    """What a test sees of either road."""

    implemented: list[str]

    async def do(self, word: str) -> None:
        """Order what every function does."""
        raise NotImplementedError

    async def hook(
        self, name: str, request: dict[str, Any], deadline: float | None = None
    ) -> Outcome:
        """Call a hook; the host waits for so many seconds, else as it does."""
        raise NotImplementedError

    def lines(self) -> list[Line]:
        """The log since the last ``do``."""
        raise NotImplementedError


class Served:
    """A plugin behind a memory server."""

    def __init__(self, plugin: Plugin, settings: Settings) -> None:
        self.serving = Serving(settings, "demo", load=plugin.freeze)
        self.server = MemoryServer()

    async def start(self) -> None:
        await self.server.start(None, methods(self.serving))
        assert await self.serving.life.activate() is None


class MemoryHookRoad(HookRoad):
    """m: in this process."""

    def __init__(self, kind: str, **settings: Any) -> None:
        self.script = Script()
        plugin = build(self.script, kind=kind)
        self._long, self._short = (
            Served(plugin, Settings(hook_budget=budget, **settings)) for budget in (28.0, 0.1)
        )
        self._lines: list[Line] = []
        self._handler = HclogHandler(self._write)

    async def __aenter__(self) -> Self:
        logging.getLogger().addHandler(self._handler)
        for served in (self._short, self._long):
            await served.start()
        self.implemented = list((await self.hook("Implemented", {})).response.hooks)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.script.do("none")
        for served in (self._short, self._long):
            await served.serving.life.deactivate(1.0)
        logging.getLogger().removeHandler(self._handler)

    async def do(self, word: str) -> None:
        self.script.do(word)
        self._lines.clear()

    async def call(self, name: str, request: Message, deadline: float | None = None) -> Outcome:
        """Call a hook with a message."""
        # Only what has to overrun has little time: machines are busy.
        is_short = self.script.word in ("hang", "stubborn") and deadline is None
        served = self._short if is_short else self._long
        at = None if deadline is None else asyncio.get_running_loop().time() + deadline
        peer = served.server.open(SERVICE + name, deadline=at)
        peer.send(request)
        peer.half_close()
        response = await peer.receive()
        code, _ = await peer.ended()
        return Outcome(code.name, response)

    async def hook(
        self, name: str, request: dict[str, Any], deadline: float | None = None
    ) -> Outcome:
        message = GetMessageClass(METHODS[name].input_type)()
        return await self.call(name, json_format.ParseDict(request, message), deadline)

    def lines(self) -> list[Line]:
        return list(self._lines)

    def _write(self, written: bytes) -> None:
        entry = json.loads(written)
        fields = {name: value for name, value in entry.items() if not name.startswith("@")}
        self._lines.append(Line(entry["@level"], entry["@message"], fields))


class GoHookRoad(HookRoad):
    """g: through the Go host."""

    def __init__(self, target: str, wire: str, *, budget: float = 1) -> None:
        env = {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MM_ASGI_WIRE": wire,
            "MM_ASGI_HOOK_BUDGET": str(budget),
            "HOOKS_TARGET": target,
        }
        folder = Path(__file__).parent / "hook_plugin"
        self.host = GoHost(folder, "start_hooks.py", env=env)
        self._seen = 0

    async def __aenter__(self) -> Self:
        await self.host.start()
        self.implemented = self.host.implemented
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.host.close()

    async def do(self, word: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.host.plugin_url}/do/{word}")
        assert answer.status_code == 200
        self._seen = len(self.host.log_lines("plugin"))

    async def hook(
        self, name: str, request: dict[str, Any], deadline: float | None = None
    ) -> Outcome:
        query = "" if deadline is None else f"?deadline_ms={deadline * 1000:.0f}"
        answer = await self.host.control(f"/hook/{name}{query}", request)
        assert answer["listed"], name
        if answer["response"] is None:
            return Outcome(answer["code"], None)
        message = GetMessageClass(METHODS[name].output_type)()
        return Outcome("OK", json_format.ParseDict(answer["response"], message))

    def lines(self) -> list[Line]:
        return [
            Line(line.get("level", ""), line["message"], line.get("fields") or {})
            for line in self.host.log_lines("plugin")[self._seen :]
        ]


async def wait_for_errors(road: HookRoad, count: int) -> list[Line]:
    """The errors in the log, once there are so many."""
    until = time.monotonic() + 10
    while len(found := [line for line in road.lines() if line.level == "error"]) < count:
        assert time.monotonic() < until, found
        # The Go host's log is a file, and a file tells nobody that it has grown.
        await asyncio.sleep(0.01)
    return found
