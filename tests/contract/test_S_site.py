"""Row S7 in the plugin's process: the site's URL and the plugin's settings come from the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from mm_asgi.protocol.api_kv_config_pb2 import GetConfigResponse, LoadPluginConfigurationResponse
from tests.contract.process_plugins.hosts import LightHost
from tests.unit.api.loopback import Loopback, Status, loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

SAID = "the plugin's settings or the site's URL could not be read"


@pytest.fixture
def api() -> Iterator[Loopback]:
    with loopback() as made:
        yield made


def told(url: str, **settings: Any) -> list[Any]:
    config = json.dumps({"ServiceSettings": {"SiteURL": url}}).encode()
    return [
        LoadPluginConfigurationResponse(config_json=json.dumps(settings).encode()),
        GetConfigResponse(config_json=config),
    ]


def test_S7_the_site_and_the_settings_come_from_the_api(api: Loopback) -> None:
    with LightHost("site_facts:plugin", MATTERMOST_PLUGIN_API_TARGET=api.target) as host:
        api.answers.extend(told("https://chat.example.com", colour="blue"))
        host.start()
        assert json.loads(host.get("/").body) == ["https", {"colour": "blue"}]
        api.answers.extend(told("http://chat.example.com", colour="red"))
        host.call_hook("OnConfigurationChange")
        assert json.loads(host.get("/").body) == ["http", {"colour": "red"}]


def test_S7_an_api_that_does_not_say_fails_nothing(api: Loopback) -> None:
    api.answer = Status(grpc.StatusCode.UNIMPLEMENTED, "not here")
    with LightHost("site_facts:plugin", MATTERMOST_PLUGIN_API_TARGET=api.target) as host:
        host.start()
        host.call_hook("OnConfigurationChange")
        assert json.loads(host.get("/").body) == ["http", {}]
        host.wait_log(SAID, level="info")
        assert len([line for line in host.log() if SAID in line.message]) == 1
