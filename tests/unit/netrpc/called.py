"""A plugin whose hooks a host in memory calls, in Go's own values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.netrpc.hook_server import HookServer
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
from tests.wire.netrpc.memory_host import MemoryHost

if TYPE_CHECKING:
    from mm_asgi.plugin import Plugin
    from mm_asgi.wire.netrpc.live_calls import RPCAnswerer
    from mm_asgi.wire.netrpc.plugin_session import PluginSession
    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall

__all__ = ["Called"]


class Called:
    """A plugin that a host has dialled.

    Attributes:
        requests: the ServeHTTP calls.
        scrapes: the ServeMetrics calls.
        apis: the numbers that the API was offered on.
    """

    def __init__(self, plugin: Plugin, **settings: Any) -> None:
        self.serving = Serving(
            Settings(**settings), "com.example.demo", load=plugin.freeze, released=True
        )
        self.requests: list[IncomingCall] = []
        self.scrapes: list[IncomingCall] = []
        self.apis: list[int] = []
        self.server = HookServer(
            self.serving,
            serve_http=self._request,
            serve_metrics=self._scrape,
            use_api=self._use_api,
        )
        self.host = MemoryHost(self.server.handle)

    def _request(self, call: IncomingCall, answerer: RPCAnswerer, session: PluginSession) -> None:
        self.requests.append(call)
        answerer.refuse(call, "no requests here")

    def _scrape(self, call: IncomingCall, answerer: RPCAnswerer, session: PluginSession) -> None:
        self.scrapes.append(call)
        answerer.refuse(call, "no metrics here")

    def _use_api(self, session: PluginSession, number: int) -> None:
        assert session is self.host.session
        self.apis.append(number)

    async def begin(self) -> Called:
        await self.host.begin()
        return self

    async def activate(self) -> Any:
        await self.host.hook("Implemented")
        return await self.host.hook("OnActivate", {"APIMuxId": 7})

    async def end(self) -> None:
        await self.serving.stop(1)
        await self.host.end()
