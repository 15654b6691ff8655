"""A WSGI app as a plugin process, behind the simulated host and the Go host."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mm_asgi.host import Host
from tests.go_host import GoHost, go_missing_reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.full, pytest.mark.timeout(120)]

APP = """
import sys
import threading

from mm_asgi import Plugin
from mm_asgi.api import API


def answer(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/exit":
        sys.exit(3)
    if path == "/stuck":
        start_response("200 OK", [])
        return stuck()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/name":
        return [api.get_user(user_id=environ["REMOTE_USER"]).username.encode()]
    if path == "/cut":
        return cut()
    return [environ["SCRIPT_NAME"].encode()]


def stuck():
    yield b"begun"
    threading.Event().wait()


def cut():
    yield b"begun"
    raise ValueError("half way")


def hidden(*arguments):  # which takes three as well
    return answer(*arguments)


plugin = Plugin(answer)
api = API(plugin.api)
"""
ENV = {"MM_ASGI_DRAIN": "0.2"}


@contextlib.asynccontextmanager
async def client_of(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": "Bearer token-alice"}, trust_env=False
    ) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old.py").write_text(APP)
    (tmp_path / "plugin.py").write_text('import mm_asgi\n\nmm_asgi.run("old:plugin")\n')
    return tmp_path


async def test_a_plugin_around_a_wsgi_app(folder: Path) -> None:
    async with Host(directory=folder, plugin_id="old") as host, client_of(host.url) as client:
        assert (await client.get("name")).text == "alice"
        assert (await client.get("exit")).status_code == 500
        assert (await client.get("")).text == "/plugins/old"
    assert any("SystemExit" in str(line) for line in host.log.lines())


async def test_the_setting_for_what_cannot_be_told(folder: Path) -> None:
    env = {"MM_ASGI_INTERFACE": "wsgi"}
    async with (
        Host("old:hidden", directory=folder, plugin_id="old", env=env) as host,
        client_of(host.url) as client,
    ):
        assert (await client.get("x")).text == "/plugins/old"


async def test_a_thread_that_never_ends_holds_up_no_stop(folder: Path) -> None:
    if reason := go_missing_reason():
        pytest.skip(reason)
    async with (
        GoHost(folder, plugin_id="old", env=ENV) as host,
        client_of(host.plugin_url) as client,
    ):
        assert (await client.get("name")).status_code == 500  # no API here
        with contextlib.suppress(httpx.RemoteProtocolError):
            assert (await client.get("cut")).text == "begun"
        async with client.stream("GET", "stuck") as response:
            chunks = response.aiter_bytes()
            assert await anext(chunks) == b"begun"
            ended: dict[str, Any] = await host.control("/deactivate")
        assert (ended["exit_code"], ended["sigkill"]) == (0, False)
        assert "half way" in str(host.log_lines("plugin"))
