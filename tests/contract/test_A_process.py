"""Rows A1 and A2: the host's API as a plugin's process calls it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc
import pytest

from mm_asgi import types
from mm_asgi.protocol import api_file_bot_pb2, api_kv_config_pb2, api_user_team_pb2
from tests.roads import on
from tests.roads.process.light_host import LightHost
from tests.unit.api.loopback import Loopback, Status, loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE = api_user_team_pb2.GetUserResponse(user=types.User(username="alice"))
UNAVAILABLE = Status(grpc.StatusCode.UNAVAILABLE, "going away")


@pytest.fixture
def api() -> Iterator[Loopback]:
    with loopback() as made:
        made.answer = ALICE
        yield made


def said(host: LightHost, path: str) -> str:
    """What a route answers."""
    return host.get(path).body.decode()


@on("p")
def test_A1_calls_go_from_the_loop_and_from_threads(api: Loopback) -> None:
    with LightHost("api_calls:plugin", MATTERMOST_PLUGIN_API_TARGET=api.target) as host:
        host.start()
        assert said(host, "/user") == "alice"
        assert said(host, "/thread") == "alice"
        assert "on an event loop's own thread" in said(host, "/blocked")
        assert host.stop().code == 0
        # The connection is there from lifespan.startup until lifespan.shutdown has ended.
        assert host.bell.names == ["startup: alice", "shutdown: alice"]
        names = [name for name, _ in api.received]
        assert names == ["LoadPluginConfiguration", "GetConfig", *["GetUser"] * 4]


@on("p")
def test_A1_both_ways_of_an_error_are_one_tree(api: Loopback) -> None:
    with LightHost("api_calls:plugin", MATTERMOST_PLUGIN_API_TARGET=api.target) as host:
        host.start()
        api.answer = Status(grpc.StatusCode.NOT_FOUND, "app.user.missing.app_error: No such user.")
        assert said(host, "/user") == "NotFound 404 app.user.missing.app_error: No such user."
        error = types.AppError(id="app.kv.app_error", message="Not you.", status_code=403)
        api.answer = api_kv_config_pb2.KVSetResponse(error=error)
        assert said(host, "/write") == "PermissionDenied 403 app.kv.app_error: Not you."


@on("p")
def test_A1_only_reads_are_repeated(api: Loopback) -> None:
    with LightHost("api_calls:plugin", MATTERMOST_PLUGIN_API_TARGET=api.target) as host:
        host.start()
        api.received.clear()
        api.answers.append(UNAVAILABLE)
        assert said(host, "/user") == "alice"
        api.answers.append(UNAVAILABLE)
        assert said(host, "/write") == "Unavailable 503 : going away"
        assert [name for name, _ in api.received] == ["GetUser", "GetUser", "KVSet"]


@on("p")
def test_A1_sizes(api: Loopback) -> None:
    with LightHost("api_calls:plugin", MATTERMOST_PLUGIN_API_TARGET=api.target) as host:
        host.start()
        assert "the host takes 4194304; it was not sent" in said(host, "/large-request")
        at_the_start = ["LoadPluginConfiguration", "GetConfig", "GetUser"]
        assert [name for name, _ in api.received] == at_the_start
        api.answer = api_file_bot_pb2.GetFileResponse(data=bytes(30 * 2**20))
        assert said(host, "/large-answer") == str(30 * 2**20)


@on("p")
def test_A1_the_deadline_is_the_setting(api: Loopback) -> None:
    go_on = threading.Event()
    with LightHost(
        "api_calls:plugin", api_timeout=0.3, MATTERMOST_PLUGIN_API_TARGET=api.target
    ) as host:
        host.start()
        api.answer = lambda request: b"" if go_on.wait(10) else b""
        assert said(host, "/user").startswith("Unavailable 0 : GetUser: no answer in 0.3 s")
        go_on.set()


@on("p")
def test_A2_without_an_address_only_the_call_fails() -> None:
    with LightHost("api_calls:plugin") as host:
        host.start()
        text = said(host, "/user")
        assert text.startswith("Unavailable 0 : GetUser: the host's API has no address")
        assert "MATTERMOST_PLUGIN_API_TARGET is not set" in text
        assert host.stop().code == 0


@on("p")
def test_A2_nobody_at_the_address_fails_only_the_call() -> None:
    with LightHost("api_calls:plugin", MATTERMOST_PLUGIN_API_TARGET="unix:/nowhere/at.all") as host:
        host.start()
        assert said(host, "/write").startswith("Unavailable 503 : ")
        assert host.stop().code == 0
