"""The PluginHooks service on a grpc.aio server of the caller's own, without go-plugin."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest

from mm_asgi import Plugin
from mm_asgi.errors import ConfigError, StartupError
from mm_asgi.servicer import Servicer, add_to_server
from mm_asgi.settings import Settings
from tests.go_host import GoHost, go_missing_reason
from tests.roads.process.peer import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mm_asgi.requester import Identity


class App:
    """Notes its lifespan; /hold waits until it may go on, /exit leaves."""

    def __init__(self, fault: str = "") -> None:
        self.notes: list[str] = []
        self.held = asyncio.Event()
        self.go_on = asyncio.Event()
        self._fault = fault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        path = scope["path"].removeprefix(scope["root_path"])
        if path == "/exit":
            sys.exit(3)
        if path == "/hold":
            self.held.set()
            await self.go_on.wait()
        body = f"{scope['root_path']} {path}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        self.notes.append("startup")
        if self._fault:
            await send({"type": "lifespan.startup.failed", "message": self._fault})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.notes.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})


@contextlib.asynccontextmanager
async def served(target: object, **more: Any) -> AsyncIterator[tuple[Servicer, Peer]]:
    """The target on a plain grpc.aio server, and a connection to it."""
    folder = tempfile.mkdtemp(prefix="servicer-")
    server = grpc.aio.server()
    servicer = add_to_server(target, server, plugin_id="com.example.demo", **more)
    path = f"{folder}/socket"
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    peer = Peer(["1", "1", "unix", path, "grpc"])
    try:
        yield servicer, peer
    finally:
        peer.close()
        await servicer.shutdown(1)
        await server.stop(0.1)
        shutil.rmtree(folder)


async def get(peer: Peer, path: str) -> tuple[int, bytes]:
    answer = await asyncio.to_thread(peer.get, path)
    return answer.status, answer.body


async def test_the_app_starts_at_the_first_request_when_nobody_activates_it() -> None:
    app = App()
    async with served(app) as (_, peer):
        assert app.notes == []
        answers = await asyncio.gather(*(get(peer, f"/{number}") for number in range(5)))
        assert answers[1] == (200, b"/plugins/com.example.demo /1")
        assert app.notes == ["startup"]
    assert app.notes == ["startup", "shutdown"]


async def test_a_host_that_activates_it_starts_it_once() -> None:
    app = App()
    async with served(app) as (_, peer):
        hooks = await asyncio.to_thread(peer.implemented)
        assert hooks == ["OnActivate", "OnDeactivate", "OnConfigurationChange", "ServeHTTP"]
        assert await asyncio.to_thread(peer.activate) is None
        assert (await get(peer, "/"))[0] == 200
        assert app.notes == ["startup"]
        await asyncio.to_thread(peer.hook, "OnDeactivate", 30)
        assert app.notes == ["startup", "shutdown"]
        assert (await get(peer, "/"))[0] == 503


async def test_its_owner_can_start_it_before_the_first_request() -> None:
    app = App()
    async with served(app) as (servicer, peer):
        await servicer.startup()
        assert app.notes == ["startup"]
        assert (await get(peer, "/"))[0] == 200


async def test_a_failed_start_is_told_to_whoever_asks() -> None:
    async with served(App("no database")) as (servicer, peer):
        with pytest.raises(StartupError, match=r"startup failed: no database"):
            await servicer.startup()
        assert (await get(peer, "/"))[0] == 503
        assert "no database" in (await asyncio.to_thread(peer.activate) or "")


async def test_its_shutdown_drains_and_runs_lifespan_shutdown_once() -> None:
    app = App()
    async with served(app) as (servicer, peer):
        running = asyncio.create_task(get(peer, "/hold"))
        await app.held.wait()
        stop = asyncio.create_task(servicer.shutdown(60))
        while (await get(peer, "/"))[0] != 503:
            pass
        assert not stop.done()
        app.go_on.set()
        assert (await running)[0] == 200
        await stop
        await servicer.shutdown()
        assert app.notes == ["startup", "shutdown"]


async def test_sys_exit_in_a_request_is_a_500_and_ends_nothing() -> None:
    async with served(App()) as (_, peer):
        assert (await get(peer, "/exit"))[0] == 500
        assert (await get(peer, "/"))[0] == 200


async def test_hooks_and_settings_are_those_that_were_given() -> None:
    app = App()
    plugin = Plugin(app)
    seen = []

    @plugin.hook
    async def on_activate(context: Identity) -> None:
        seen.append(context.plugin_id)

    async with served(plugin, settings=Settings(lifespan="off")) as (servicer, peer):
        await servicer.startup()
        assert seen == ["com.example.demo"]
        assert (await get(peer, "/"))[0] == 200
    assert app.notes == []


async def test_what_is_no_app_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither an ASGI app nor an"):
        add_to_server(5, grpc.aio.server())


@pytest.mark.full
@pytest.mark.timeout(60)
async def test_the_go_host_dials_it_without_go_plugin() -> None:
    if (reason := go_missing_reason()) is not None:
        pytest.skip(reason)
    app = App()
    folder = tempfile.mkdtemp(prefix="servicer-")
    server = grpc.aio.server()
    servicer = add_to_server(app, server, plugin_id="com.example.demo")
    server.add_insecure_port(f"unix:{folder}/socket")
    await server.start()
    try:
        async with (
            GoHost(target=f"unix:{folder}/socket", plugin_id="com.example.demo") as host,
            httpx.AsyncClient(base_url=host.plugin_url, trust_env=False) as client,
        ):
            assert "ServeHTTP" in host.implemented
            assert (await client.get("/a%20b")).text == "/plugins/com.example.demo /a b"
            assert app.notes == ["startup"]
        assert app.notes == ["startup", "shutdown"]
    finally:
        await servicer.shutdown(1)
        await server.stop(0.1)
        shutil.rmtree(folder)
