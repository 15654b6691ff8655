"""net/rpc as a Wire of a process: the API opens with OnActivate, and the host's end is the plugin's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mm_asgi import Plugin, errors
from mm_asgi.api.aio import AsyncAPI
from mm_asgi.api.api_connection import APIConnection
from mm_asgi.netrpc import http_exchange
from mm_asgi.netrpc.plugin_wire import NetRPCWire
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
from mm_asgi.wire.netrpc.gob_types import BOOL, STRING
from mm_asgi.wire.netrpc.live_calls import RPCCaller
from mm_asgi.wire.netrpc.mux_link import MuxLink
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING, GobBook
from mm_asgi.wire.netrpc.shapes import gob_type, registered_types
from mm_asgi.wire.netrpc.stream_owner import StreamOwner
from mm_asgi.wire.netrpc.tables import HOOKS
from tests.wire.netrpc.live_host import PathListener, own
from tests.wire.netrpc.memory_host import ServedAPI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Any


class Process:
    """A wire that listens, and a host that has dialled it."""

    def __init__(self, path: Path) -> None:
        self.listener = PathListener(path)
        self.wire = NetRPCWire()
        self.ends = 0
        self.ended = asyncio.Event()
        self.loads = 0
        self.settings = Settings()
        self.book = GobBook(registered_types())
        self.control, self.hooks = RPCCaller(self.book), RPCCaller(self.book)
        self.link: MuxLink = None  # type: ignore[assignment]

    def _end(self) -> None:
        self.ends += 1
        self.ended.set()

    def serving(self) -> Serving:
        self.loads += 1
        return Serving(self.settings, "com.example.demo", load=Plugin().freeze)

    async def begin(self) -> None:
        await self.wire.start(self.listener, self.serving, on_shutdown=self._end, tls=None)
        assert self.loads == 0  # the handshake is printed before anything is imported
        loop = asyncio.get_running_loop()
        _, self.link = await loop.create_unix_connection(
            lambda: MuxLink(client=True), self.listener.address
        )
        for owner in (self.control, StreamOwner(), StreamOwner()):
            own(self.link, owner)
        self.link.dial(await self.control.call("Dispenser.Dispense", STRING, "hooks"), self.hooks)

    async def activate(self, number: int) -> Any:
        await self.hooks.call("Plugin.Implemented", NOTHING, {})
        kind = gob_type(HOOKS["OnActivate"][0])
        return await self.hooks.call("Plugin.OnActivate", kind, {"APIMuxId": number})


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    made = Process(tmp_path / "s")
    await made.begin()
    yield made
    await made.wire.stop(1)
    made.link.close()
    await made.link.closed


async def test_the_api_is_there_from_activation_on(process: Process) -> None:
    api = AsyncAPI(APIConnection(process.wire.api))
    with pytest.raises(errors.Unavailable, match="Mattermost opens it with OnActivate"):
        await api.kv_set(key="k", value=b"v")

    async def version(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"A": "11.6.0"}

    served = ServedAPI(process.book, process.link, GetServerVersion=version)
    assert await process.activate(served.number) == {}
    assert await api.get_server_version() == "11.6.0"
    assert process.loads == 1


async def test_quit_is_the_end(process: Process) -> None:
    await process.control.call("Control.Quit", BOOL, True)
    assert process.ends == 1


async def test_a_lost_connection_is_the_end(process: Process) -> None:
    """On net/rpc no host dials a running plugin again."""
    await process.control.call("Control.Ping", BOOL, True)
    process.link.close()
    await process.ended.wait()
    assert process.ends == 1


async def test_a_stop_closes_the_connection(process: Process) -> None:
    await process.control.call("Control.Ping", BOOL, True)
    await process.wire.stop(1)
    await process.link.closed
    with pytest.raises(ConnectionError):
        await process.control.call("Control.Ping", BOOL, True)


async def test_what_was_answered_leaves_before_a_stop(process: Process) -> None:
    await process.control.call("Control.Ping", BOOL, True)
    quitting = process.control.call("Control.Quit", BOOL, True)
    await process.ended.wait()
    await process.wire.stop(1)
    assert await quitting == {}


@pytest.mark.parametrize(("setting", "pads"), [("auto", True), ("off", False)])
async def test_requests_are_padded_as_the_setting_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, setting: str, pads: bool
) -> None:
    given = []

    make = http_exchange.HTTPCalls

    def noted(handler: Any, **more: Any) -> http_exchange.HTTPCalls:
        given.append(more)
        return make(handler, **more)

    monkeypatch.setattr(http_exchange, "HTTPCalls", noted)
    made = Process(tmp_path / "s")
    made.settings = Settings(event_padding=setting)
    await made.begin()
    assert given == [{"pads_events": pads}, {"pads_events": False}]  # requests, metrics
    await made.wire.stop(1)
    made.link.close()
    await made.link.closed
