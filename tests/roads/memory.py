"""Road m: the plugin in the test's own process, on the wire in memory."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
from typing import TYPE_CHECKING, Any, Self

from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from mm_asgi.grpc_hooks import SERVICE, methods
from mm_asgi.loading import with_asgi_apps
from mm_asgi.observe.logs import HclogHandler
from mm_asgi.plugin import as_plugin
from mm_asgi.protocol import hooks_pb2
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
from tests.roads.line import from_entry
from tests.roads.messages import RPC, MessageRoad
from tests.roads.road import APP, DEFAULTS, PLUGIN_ID, HookOutcome, Site
from tests.wire.memory import MemoryServer

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mm_asgi.plugin import Plugin
    from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest, ServeHTTPResponse
    from tests.roads.line import Line
    from tests.roads.messages import Messages
    from tests.wire.memory import MemoryPeer

__all__ = ["HOOKS", "MemoryRPC", "MemoryRoad"]

HOOKS = hooks_pb2.DESCRIPTOR.services_by_name["PluginHooks"].methods_by_name
# s: the budget of a hook that will overrun, and of all others; a machine may be busy.
LITTLE, PLENTY = 0.1, 28.0


def load(target: str) -> Plugin:
    """The Plugin that ``module:name`` is, or is the app of."""
    module, _, name = target.partition(":")
    return as_plugin(getattr(importlib.import_module(module), name))


class Served:
    """A plugin's hooks on a server in memory."""

    def __init__(self, plugin: Plugin, settings: Settings) -> None:
        self.serving = Serving(
            settings, PLUGIN_ID, load=lambda: with_asgi_apps(plugin.freeze(), settings)
        )
        self.server = MemoryServer()

    async def start(self) -> None:
        """Serve; nothing is activated yet."""
        await self.server.start(None, methods(self.serving))

    async def activate(self) -> None:
        """Call OnActivate, which must not fail."""
        assert await self.serving.life.activate() is None

    async def stop(self) -> None:
        """End it at once."""
        await self.serving.stop(0.0)
        await self.server.stop(0.0)


class MemoryRPC(RPC):
    """A stream on the memory wire."""

    def __init__(self, peer: MemoryPeer) -> None:
        super().__init__()
        self.peer = peer

    async def send(self, *messages: ServeHTTPRequest) -> bool:
        for message in messages:
            self.peer.send(message)
        return True

    async def half_close(self) -> None:
        self.peer.half_close()

    async def receive(self) -> ServeHTTPResponse | None:
        message: ServeHTTPResponse | None = await self.peer.receive()
        if message is not None:
            self.got.add(message)
        return message

    async def rest(self) -> Messages:
        while await self.receive() is not None:
            pass
        code, text = await self.peer.ended()
        # A cancel leaves messages unread that had left the plugin before.
        for message in self.peer.messages[len(self.got.messages) :]:
            self.got.add(message)
        self.got.code, self.got.text = int(code), text
        return self.got

    async def cancel(self) -> None:
        self.peer.cancel()


class MemoryRoad(MessageRoad):
    """m: a plugin in this process, its log caught as the host would get it.

    Args:
        plugin: ``module:name`` of an app or a Plugin.
        settings: of the plugin, beside DEFAULTS; but the hook's budget is this road's own.
    """

    kind = "m"

    def __init__(self, plugin: str = APP, *, site: Site | None = None, **settings: Any) -> None:
        super().__init__(site or Site())
        facts: dict[str, Any] = {**DEFAULTS, **settings}
        loaded = load(plugin)
        self.served = Served(loaded, Settings(**{**facts, "hook_budget": PLENTY}))
        self._hurried = Served(loaded, Settings(**{**facts, "hook_budget": LITTLE}))
        self._has_hurried = False
        self._lines: list[Line] = []
        self._handler = HclogHandler(self._write)
        self._level = logging.getLogger().level

    async def start(self) -> Self:
        """Serve and catch the log; nothing is activated yet."""
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(logging.DEBUG)
        await self.served.start()
        return self

    async def close(self) -> None:
        """End it all."""
        await self.served.stop()
        if self._has_hurried:
            await self._hurried.stop()
        root = logging.getLogger()
        root.removeHandler(self._handler)
        root.setLevel(self._level)

    async def __aenter__(self) -> Self:
        await self.start()
        await self.served.activate()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                await self.finish()
        finally:
            await self.close()

    async def stream(self, *messages: ServeHTTPRequest, window: int | None = None) -> MemoryRPC:
        rpc = MemoryRPC(self.served.server.open(SERVICE + "ServeHTTP", window=window))
        await rpc.send(*messages)
        return rpc

    async def call(
        self,
        name: str,
        request: Message,
        *,
        deadline: float | None = None,
        overruns: bool = False,
    ) -> HookOutcome:
        """Call a hook with a message; see ``hook``."""
        served = self._hurried if overruns and deadline is None else self.served
        if overruns and not self._has_hurried:
            self._has_hurried = True
            await self._hurried.start()
            await self._hurried.activate()
        at = None if deadline is None else asyncio.get_running_loop().time() + deadline
        peer = served.server.open(SERVICE + name, deadline=at)
        peer.send(request)
        peer.half_close()
        response = await peer.receive()
        code, _ = await peer.ended()
        return HookOutcome(code.name, response)

    async def hook(
        self,
        name: str,
        request: dict[str, Any],
        *,
        deadline: float | None = None,
        overruns: bool = False,
    ) -> HookOutcome:
        message = GetMessageClass(HOOKS[name].input_type)()
        json_format.ParseDict(request, message)
        return await self.call(name, message, deadline=deadline, overruns=overruns)

    async def implemented(self) -> list[str]:
        return list((await self.hook("Implemented", {})).response.hooks)

    def log_lines(self) -> list[Line]:
        return list(self._lines)

    def _write(self, written: bytes) -> None:
        self._lines.append(from_entry(json.loads(written)))

    async def turn(self) -> None:
        await asyncio.sleep(0)

    async def deactivate(self) -> None:
        self.is_down = True
        serving = self.served.serving
        await serving.life.deactivate(serving.settings.drain)

    async def stop(self) -> None:
        await self.deactivate()
