"""Row L12: over net/rpc an event loop that stands still costs only its own time.

The host gives up what it offers after 5 s, and a connection without an answer to its ping after 30 s
and 10 more, so that only minutes show the last. The host is the real plugin package.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mm_asgi.wire.netrpc.broker import write_number
from mm_asgi.wire.netrpc.gob_types import STRING
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING, GobBook
from mm_asgi.wire.netrpc.shapes import registered_types
from mm_asgi.wire.netrpc.yamux_session import PongReceived
from tests.contract.test_L_released import bundle, environ
from tests.net_host import NetHost
from tests.roads import on
from tests.roads.process.light_host import LightHost
from tests.wire.netrpc.still_loop import Called, StillHost

if TYPE_CHECKING:
    from pathlib import Path

    from mm_asgi.wire.netrpc.rpc_conversation import Outcome

BLOCKED = 70
APP = """
import os, time
from pathlib import Path
from mm_asgi import Plugin


async def app(scope, receive, send):
    assert scope["type"] == "http"
    path = scope["path"].removeprefix(scope["root_path"])
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    if path.startswith("/still/"):
        Path(os.environ["BELL"]).write_bytes(b"still")
        time.sleep(float(path.removeprefix("/still/")))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body or b"nothing"})


plugin = Plugin(app)


@plugin.hook
async def file_will_be_uploaded(context, file_info, file_content):
    return b"replaced " + file_content
"""
START = """#!/usr/bin/env python3
import mm_asgi

if __name__ == "__main__":
    mm_asgi.run("demo:plugin")
"""


class Held:
    """A plugin whose loop a request can hold up.

    Args:
        folder: an empty one.
        more: variables of the plugin.
    """

    def __init__(self, folder: Path, **more: str) -> None:
        self._bell = folder / "bell"
        os.mkfifo(self._bell)
        plugin = bundle(folder / "bundle", APP, START)
        self.host = NetHost(plugin, env=environ(BELL=str(self._bell), **more))
        self.client: httpx.AsyncClient

    async def __aenter__(self) -> Held:
        await self.host.start()
        self.client = httpx.AsyncClient(base_url=self.host.plugin_url, trust_env=False, timeout=100)
        return self

    async def __aexit__(self, *failure: Any) -> None:
        await self.client.aclose()
        await self.host.__aexit__(*failure)

    async def hold(self, seconds: float) -> asyncio.Task[httpx.Response]:
        """Begin a request that holds the loop up; return when it does."""
        held = asyncio.create_task(self.client.get(f"/still/{seconds:g}"))
        assert await asyncio.to_thread(self._bell.read_bytes) == b"still"
        return held

    async def check_all_are_served(self, seconds: float) -> None:
        """Hold the loop up, ask for each kind of thing that comes with streams, and see it whole."""
        held = await self.hold(seconds)
        bodies = [b"", b"y" * 100, b"z" * 1_000_000] * 3
        asked = [asyncio.create_task(self.client.post("/", content=body)) for body in bodies]
        info = {"name": "a.txt"}
        upload = asyncio.create_task(
            self.host.hook("FileWillBeUploaded", {}, info, b64encode(b"abc").decode())
        )
        for task, body in zip(asked, bodies, strict=True):
            answer = await task
            assert (answer.status_code, answer.content) == (200, body or b"nothing")
        assert (await held).content == b"nothing"
        assert b64decode((await upload)["written"]) == b"replaced abc"
        assert (await self.host.control("/ping"))["ok"]


class DialledHost(StillHost):
    """A host of ours that has dialled a plugin's process and waits for its answers."""

    def __init__(self, address: str) -> None:
        opened = socket.socket(socket.AF_UNIX)
        opened.connect(address)
        super().__init__(opened)
        book = GobBook(registered_types())
        self.control = Called(self, self.open(), book)
        self.open()
        self.open()
        self.control.call("Dispenser.Dispense", STRING, "hooks")
        dial = write_number(self.answer(self.control).value)
        self.hooks = Called(self, self.open(dial), book, skip=len(dial))

    def answer(self, called: Called) -> Outcome:
        """Return the next answer of a stream."""
        while not (found := called.answers()):
            self.wait()
        return found[0]

    def pong(self, value: int) -> None:
        """Wait for the answer to a ping."""
        while PongReceived(value) not in self.events:
            self.wait()
            self.read()

    def wait(self) -> None:
        """Wait until the plugin has sent something."""
        assert select.select([self.socket], [], [], 10)[0], "nothing came"


@on("p")
def test_L12_a_slow_import_answers_its_hosts_pings() -> None:
    """An import holds the loop up, from the call of Implemented on."""
    with LightHost("imports:app", PROCESS_HOLD="yes", wire="netrpc") as plugin:
        host = DialledHost(plugin.handshake()[3])
        with host.socket:
            host.hooks.call("Plugin.Implemented", NOTHING, {})
            plugin.bell.wait("import held")
            value = host.session.ping()
            host.send()
            host.pong(value)
            host.control.call("Control.Ping")
            assert host.answer(host.control).error is None
            plugin.bell.release("import held")
            assert "ServeHTTP" in host.answer(host.hooks).value


@on("n")
async def test_L12_whatever_comes_meanwhile_waits_and_is_answered(tmp_path: Path) -> None:
    async with Held(tmp_path) as plugin:
        await plugin.check_all_are_served(8)
        assert [line for line in plugin.host.log_lines() if line["level"] == "error"] == []


@on("n", tier="nightly")
@pytest.mark.parametrize(
    ("seconds", "more"),
    [(20, {}), (60, {"MM_ASGI_BLOCKED_KILL": "0"})],
    ids=["20 s", "60 s, and blocked-kill 0"],
)
async def test_L12_it_lives_as_long_as_it_may(
    seconds: float, more: dict[str, str], tmp_path: Path
) -> None:
    async with Held(tmp_path, **more) as plugin:
        first = plugin.host.pid
        await plugin.check_all_are_served(seconds)
        assert plugin.host.pid == first


@on("n", tier="nightly")
async def test_L10_after_30_s_it_ends_and_the_next_health_check_starts_it(tmp_path: Path) -> None:
    async with Held(tmp_path) as plugin:
        first = plugin.host.pid
        held = await plugin.hold(3600)
        waits = asyncio.create_task(plugin.client.get("/"))
        assert (await plugin.host.wait_event("exited", timeout=45))["exit_code"] == BLOCKED
        assert (await held).status_code == 500
        assert (await waits).status_code == 500
        checked = await plugin.host.control("/health?after_exit=1")
        assert (checked["healthy"], checked["restarted"]) == (False, True)
        assert (await plugin.client.get("/")).status_code == 200
        assert plugin.host.pid != first
