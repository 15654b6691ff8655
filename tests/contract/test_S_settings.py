"""Row S7: a plugin's settings are the same at the same moments, whoever runs the plugin."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mm_asgi.host import Host
from mm_asgi.protocol.api_kv_config_pb2 import (
    GetConfigResponse,
    LoadPluginConfigurationResponse,
)
from mm_asgi.testing import MM
from tests.browser.dev_terminal import DevTerminal
from tests.contract.apps.process import settings_seen
from tests.roads import on
from tests.roads.process.facts import APPS
from tests.roads.process.real_host import RealHost
from tests.unit.api.loopback import loopback

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = {
    "id": "demo",
    "settings_schema": {"settings": [{"key": "Greeting", "type": "text", "default": "hello"}]},
}
HELLO, BYE = {"greeting": "hello"}, {"greeting": "bye"}
AT_FIRST = [
    ["lifespan.startup", HELLO],
    ["on_configuration_change", HELLO],
    ["on_activate", HELLO],
    ["a request", HELLO],
]
AFTER_A_CHANGE = [*AT_FIRST[:3], ["on_configuration_change", BYE], ["a request", BYE]]


async def seen(client: httpx.AsyncClient, method: str = "GET") -> Any:
    """What the plugin has seen; POST has it save other settings first."""
    response = await client.request(method, "", headers={"X-Requested-With": "XMLHttpRequest"})
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_plugin_sees_its_settings_under_the_fixture_mm() -> None:
    for _ in range(2):  # a second run starts with its own host's settings
        async with MM(settings_seen.plugin, plugin_id="demo") as mm:
            assert await seen(mm.client()) == [[moment, {}] for moment, _ in AT_FIRST]
            await mm.mattermost.save_plugin_config({"Greeting": "bye"})
            assert (await seen(mm.client()))[3:] == AFTER_A_CHANGE[3:]
    mm = MM(settings_seen.plugin, plugin_id="demo")
    mm.mattermost.manifest.update(MANIFEST)
    async with mm:
        assert await seen(mm.client()) == AT_FIRST
        assert await seen(mm.client(), "POST") == AFTER_A_CHANGE


def dev_folder(folder: Path) -> Path:
    shutil.copy(APPS / "settings_seen.py", folder)
    (folder / "plugin.json").write_text(json.dumps(MANIFEST))
    return folder


async def test_a_plugin_sees_its_settings_under_the_simulated_host(tmp_path: Path) -> None:
    """Road s, which is the host of ``mm-asgi dev``."""
    folder = dev_folder(tmp_path)
    argv = [sys.executable, "-m", "mm_asgi", "serve", "settings_seen:plugin"]
    async with (
        Host(argv=argv, directory=folder, plugin_id="demo") as host,
        httpx.AsyncClient(base_url=host.url) as client,
    ):
        assert await seen(client) == AT_FIRST
        assert await seen(client, "POST") == AFTER_A_CHANGE


@pytest.mark.full
@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform != "linux", reason="pidfd")
async def test_a_plugin_sees_its_settings_under_dev(tmp_path: Path) -> None:
    command = DevTerminal(dev_folder(tmp_path), "settings_seen:plugin", "--port", "0")
    async with command as terminal:
        async with httpx.AsyncClient(base_url=await terminal.greeting()) as client:
            assert await seen(client) == AT_FIRST
            assert await seen(client, "POST") == AFTER_A_CHANGE
        terminal.press_ctrl_c()
        assert await terminal.end() == 0


@on("g")
def test_S7_a_plugin_sees_its_settings_under_the_go_host() -> None:
    with (
        loopback() as api,
        RealHost(
            "settings_seen:plugin", flags=("-log-level=debug", f"-api-target={api.target}")
        ) as host,
    ):
        api.answers.extend(said(HELLO))
        host.start()
        assert json.loads(host.get("/").body) == AT_FIRST
        api.answers.extend(said(BYE))
        host.call_hook("OnConfigurationChange")
        assert json.loads(host.get("/").body) == AFTER_A_CHANGE


def said(settings: dict[str, str]) -> list[Any]:
    return [
        LoadPluginConfigurationResponse(config_json=json.dumps(settings).encode()),
        GetConfigResponse(config_json=b"{}"),
    ]
