"""What is read of the server's configuration, over a real API, and what becomes of it (row S7)."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from mm_asgi import Plugin
from mm_asgi.protocol.api_kv_config_pb2 import GetConfigResponse, LoadPluginConfigurationResponse
from tests.unit.api.loopback import Loopback, Status, loopback
from tests.unit.wired import Wired, with_hook

if TYPE_CHECKING:
    from collections.abc import Iterator

SAID = "the plugin's settings or the site's URL could not be read"


@pytest.fixture
def host() -> Iterator[Loopback]:
    with loopback() as made:
        yield made


def settings(value: Any) -> LoadPluginConfigurationResponse:
    return LoadPluginConfigurationResponse(config_json=json.dumps(value).encode())


def site(url: Any) -> GetConfigResponse:
    config = {"ServiceSettings": {"SiteURL": url}, "SqlSettings": {}}
    return GetConfigResponse(config_json=json.dumps(config).encode())


class Started:
    """A plugin of this API: the schemes that its app saw, and its settings at each moment."""

    def __init__(self, target: str | None, **settings: Any) -> None:
        self.schemes: list[str] = []
        self.seen: list[tuple[str, Any]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await receive()
                self.seen.append(("startup", self.plugin.config))
                await send({"type": "lifespan.startup.complete"})
                await receive()
                return
            self.schemes.append(scope["scheme"])
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})

        def changed(context: object) -> None:
            self.seen.append(("change", self.plugin.config))

        self.plugin = with_hook("on_configuration_change", changed)
        self.plugin.app = app
        self.wired = Wired(self.plugin, **settings)
        self._target = target

    async def activate(self) -> str | None:
        self.plugin.connection.use(self._target, 10)
        return await self.wired.activate()

    async def change(self) -> None:
        assert not (await self.wired.call("OnConfigurationChange")).HasField("error")

    async def scheme(self) -> str:
        assert await self.wired.status() == 200
        return self.schemes[-1]

    async def stop(self) -> None:
        await self.wired.call("OnDeactivate")
        await self.plugin.connection.close()


async def test_they_are_there_from_the_start_and_follow_each_change(host: Loopback) -> None:
    host.answers.extend([settings({"colour": "blue"}), site("https://chat.example.com/mm")])
    started = Started(host.target)
    assert started.plugin.config == {}
    assert await started.activate() is None
    assert started.seen == [("startup", {"colour": "blue"}), ("change", {"colour": "blue"})]
    assert await started.scheme() == "https"
    host.answers.extend([settings({"colour": "red"}), site("http://chat.example.com")])
    await started.change()
    assert started.seen[2:] == [("change", {"colour": "red"})]
    assert await started.scheme() == "http"
    assert [name for name, _ in host.received] == ["LoadPluginConfiguration", "GetConfig"] * 2
    await started.stop()


async def test_the_setting_site_url_wins(host: Loopback) -> None:
    host.answers.extend([settings({}), site("http://chat.example.com")])
    started = Started(host.target, site_url="https://chat.example.com")
    await started.activate()
    assert await started.scheme() == "https"
    await started.stop()


@pytest.mark.parametrize("url", ["", "chat.example.com", "ftp://x", None, 5, "http://[::1"])
async def test_what_is_no_site_url(
    host: Loopback, url: Any, caplog: pytest.LogCaptureFixture
) -> None:
    host.answers.extend([settings(None), site(url)])
    started = Started(host.target)
    assert await started.activate() is None
    assert started.plugin.config == {}
    assert await started.scheme() == "http"
    assert await started.scheme() == "http"
    await started.stop()


UNIMPLEMENTED = Status(grpc.StatusCode.UNIMPLEMENTED, "not here")
BROKEN = LoadPluginConfigurationResponse(config_json=b"{")
FAILURES = [
    ([UNIMPLEMENTED, site("https://x")], logging.INFO, "https"),
    ([UNIMPLEMENTED, UNIMPLEMENTED], logging.INFO, "http"),
    ([Status(grpc.StatusCode.INTERNAL, "oh"), site("https://x")], logging.WARNING, "https"),
    ([settings([1]), site("https://x")], logging.WARNING, "https"),
    ([BROKEN, site("https://x")], logging.WARNING, "https"),
    ([settings({}), GetConfigResponse(config_json=b"\xff")], logging.WARNING, "http"),
    ([settings({}), GetConfigResponse(config_json=b'{"ServiceSettings": 1}')], None, "http"),
]


@pytest.mark.parametrize(("answers", "level", "scheme"), FAILURES)
async def test_what_is_not_told_fails_nothing_and_is_logged_once(
    host: Loopback,
    answers: list[Any],
    level: int | None,
    scheme: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    host.answers.extend(answers * 2)
    started = Started(host.target)
    assert await started.activate() is None
    await started.change()
    assert await started.scheme() == scheme
    assert not host.answers
    lines = [record.levelno for record in caplog.records if SAID in record.getMessage()]
    assert lines == ([] if level is None else [level])
    await started.stop()


@pytest.mark.parametrize("target", ["", "unix:/nowhere/at.all"])
async def test_without_an_api(target: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    started = Started(target)
    assert await started.activate() is None
    await started.change()
    assert await started.scheme() == "http"
    lines = [record.levelno for record in caplog.records if SAID in record.getMessage()]
    assert lines == [logging.INFO]
    await started.stop()


async def test_a_failure_keeps_what_was_known(host: Loopback) -> None:
    host.answers.extend([settings({"a": 1}), site("https://x"), UNIMPLEMENTED, UNIMPLEMENTED])
    started = Started(host.target)
    await started.activate()
    await started.change()
    assert started.plugin.config == {"a": 1}
    assert await started.scheme() == "https"
    await started.stop()


async def test_a_second_run_does_not_begin_with_the_settings_of_the_first(host: Loopback) -> None:
    host.answers.extend([settings({"a": 1}), site("https://x")])
    started = Started(host.target)
    await started.activate()
    assert started.plugin.config == {"a": 1}
    await started.stop()
    again = Wired(started.plugin)
    started.plugin.connection.use(None, 1)
    assert await again.activate() is None
    assert started.plugin.config == {}
    await again.call("OnDeactivate")


async def test_a_change_before_the_activation_asks_nothing(host: Loopback) -> None:
    wired = Wired(Plugin())
    await wired.call("OnConfigurationChange")
    assert host.received == []
