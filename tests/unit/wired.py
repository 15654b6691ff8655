"""A plugin behind the memory wire, and an app that notes what happens to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mm_asgi.grpc_hooks import SERVICE, methods
from mm_asgi.plugin import Plugin
from mm_asgi.protocol import hooks_lifecycle_pb2
from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest, ServeHTTPRequestInit
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
from mm_asgi.wire.port import StatusCode
from tests.wire.memory import MemoryServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.life import Phase
    from mm_asgi.plugin import Loaded
    from mm_asgi.requester import Identity
    from tests.wire.memory import MemoryPeer

__all__ = ["App", "Wired", "forever", "now", "with_hook"]


async def forever() -> None:
    await asyncio.Event().wait()


class App:
    """An ASGI app that notes its lifespan and holds every request until it may go on."""

    def __init__(self, startup: Callable[[], Awaitable[None]] | None = None) -> None:
        self.notes: list[str] = []
        self.held = asyncio.Event()
        self.go_on = asyncio.Event()
        self.startup = startup
        self.starting = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for name in ("startup", "shutdown"):
                await receive()
                self.notes.append(name)
                self.starting.set()
                if self.startup is not None and name == "startup":
                    await self.startup()
                await send({"type": f"lifespan.{name}.complete"})
            return
        self.held.set()
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


class Wired:
    """A plugin behind a memory server."""

    def __init__(
        self,
        target: Plugin | Callable[[], Plugin],
        *,
        self_starting: bool = False,
        **settings: Any,
    ) -> None:
        self.loads = 0
        self._target = target
        self.serving = Serving(
            Settings(**settings),
            "com.example.demo",
            load=self._load,
            self_starting=self_starting,
        )
        self.life = self.serving.life
        self._server = MemoryServer()

    def _load(self) -> Loaded:
        self.loads += 1
        plugin = self._target if isinstance(self._target, Plugin) else self._target()
        return plugin.freeze()

    def phase(self) -> Phase:
        return self.life.phase

    async def send(self, name: str, seconds: float | None = None) -> MemoryPeer:
        await self._server.start(None, methods(self.serving))
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        peer = self._server.open(SERVICE + name, deadline=deadline)
        peer.send(getattr(hooks_lifecycle_pb2, f"{name}Request")())
        peer.half_close()
        return peer

    async def call(self, name: str, seconds: float | None = None) -> Any:
        peer = await self.send(name, seconds)
        answer = await peer.receive()
        assert await peer.ended() == (StatusCode.OK, "")
        return answer

    async def activate(self) -> str | None:
        """Implemented, then OnActivate: its error's text."""
        await self.call("Implemented")
        answer = await self.call("OnActivate")
        return answer.error.detailed_error if answer.HasField("error") else None

    async def get(self) -> MemoryPeer:
        await self._server.start(None, methods(self.serving))
        peer = self._server.open(SERVICE + "ServeHTTP")
        init = ServeHTTPRequestInit(method="GET", url="/", request_uri="/plugins/com.example.demo/")
        peer.send(ServeHTTPRequest(init=init, body_complete=True))
        peer.half_close()
        return peer

    async def status(self) -> int:
        """A request's status."""
        answer = await (await self.get()).receive()
        assert answer is not None
        return int(answer.init.status_code)


def with_hook(name: str, function: Callable[[Identity], Any], app: App | None = None) -> Plugin:
    plugin = Plugin(app)
    function.__name__ = name
    plugin.hook(function)
    return plugin


def now() -> float:
    return asyncio.get_running_loop().time()
