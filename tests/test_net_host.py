"""The hosts of net/rpc and gobecho themselves, with a plugin in Go: what other tests rely on."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.go_api import GoAPI
from tests.go_host import StartFailed, go_missing_reason
from tests.net_host import NetHost, go_plugin_bundle
from tests.real_gob import RealGob, RealGobRefused

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(300),  # the first of them builds
    pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason())),
]

ALICE = {"Authorization": "Bearer token-alice"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return go_plugin_bundle(tmp_path)


def browser(host: NetHost) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=host.plugin_url, headers=ALICE, trust_env=False, timeout=30)


@pytest.mark.parametrize("flush", [True, False])
async def test_http_hooks_and_calls_pass(bundle: Path, flush: bool) -> None:
    async with NetHost(bundle, flush=flush) as host, browser(host) as client:
        assert (await client.get("/hello")).text == "Hello, world!"
        seen = (await client.get("/whoami?b=2&a=1&access_token=x")).json()
        assert (seen["user"], seen["context"]["SessionId"]) == ("alice", "session-alice")
        assert seen["url"] == "/whoami?a=1&b=2"
        assert "Authorization" not in seen["header"]
        assert (await client.get("/user?id=bob")).text == "bob"
        assert (await client.get("/user?id=nobody")).status_code == 404
        body = os.urandom(300_000)
        answer = await client.post("/up?hash=1", content=body)
        assert answer.text == f"300000 {hashlib.sha256(body).hexdigest()}"
        assert len((await client.get("/down?bytes=300000")).content) == 300_000

        api = GoAPI(host)
        assert await api.names() == ["RegisterCommand", "GetUser", "GetUser"]
        assert (await api.post("alice", "hi"))["post"]["message"] == "hi (seen)"
        refused = await api.post("alice", "refuse")
        assert refused["error"]["id"] == "Post rejected by plugin. no"
        assert (await api.command("bob", "/hello"))["response"]["text"] == "Hello bob"
        [command] = (await api.state())["commands"]
        assert command["trigger"] == "hello"


async def test_a_hook_is_called_with_the_arguments_of_its_signature(bundle: Path) -> None:
    async with NetHost(bundle) as host:
        post = {"message": "hi", "props": {"a": [1]}}
        answer = await host.hook("MessageWillBePosted", {"UserAgent": "test"}, post)
        [changed, rejection] = answer["response"]
        assert (changed["message"], changed["props"], rejection) == ("hi (seen)", {"a": [1]}, "")
        assert answer["ok"]
        content = base64.b64encode(b"abc").decode()
        answer = await host.hook("FileWillBeUploaded", {}, {"name": "a.txt"}, content)
        assert base64.b64decode(answer["written"]) == b"cba"
        assert answer["response"][0]["name"] == "A.TXT"
        answer = await host.hook("UserHasLoggedIn", {}, {})
        assert answer == {"ok": False, "listed": False, "called": False}
        # The host goes on as if nothing had been said; its log says why.
        answer = await host.hook("MessageWillBePosted", {}, {"message": "crash"})
        assert (answer["ok"], answer["message"]) == (False, "unexpected EOF")
        assert answer["response"][0]["message"] == "crash"


@pytest.mark.parametrize("flush", [True, False])
async def test_a_server_before_11_2_holds_events_back(bundle: Path, flush: bool) -> None:
    async with NetHost(bundle, flush=flush) as host, browser(host) as client:
        async with client.stream("GET", "/events?count=2") as answer:
            pieces = [piece async for piece in answer.aiter_raw()]
    assert b"".join(pieces) == b"data: 00000000\n\ndata: 00000001\n\n"
    assert len(pieces) == (2 if flush else 1)


async def test_a_killed_plugin_comes_back_at_the_health_check(bundle: Path) -> None:
    async with NetHost(bundle) as host, browser(host) as client:
        assert await host.control("/health") == {"checked": True, "healthy": True, "error": None}
        first = host.pid
        os.kill(first, signal.SIGKILL)
        await host.wait_gone()
        assert (await client.get("/hello")).status_code == 500
        assert not (await host.control("/ping"))["ok"]
        checked = await host.control("/health?after_exit=1")
        assert checked == {"checked": True, "healthy": False, "restarted": True, "error": None}
        assert (await client.get("/hello")).status_code == 200
        assert host.pid != first
        # The third failure within the hour is the last.
        for restarted in (True, False):
            os.kill(host.pid, signal.SIGKILL)
            checked = await host.control("/health?after_exit=1")
            assert checked["restarted"] is restarted
        assert (await client.get("/hello")).status_code == 404


async def test_deactivation_activation_and_the_servers_stop(bundle: Path) -> None:
    async with NetHost(bundle) as host, browser(host) as client:
        facts = await host.control("/deactivate")
        assert (facts["exit_code"], facts["error"], facts["timed_out"]) == (0, None, False)
        assert (await client.get("/hello")).status_code == 404
        assert (await host.control("/activate"))["event"] == "ready"
        assert (await client.get("/hello")).status_code == 200
        stopped = await host.stop()
        assert (stopped["exit_code"], stopped["pid"]) == (0, host.pid)
        await host.wait_gone()


async def test_the_plugin_sees_what_a_released_server_shows(bundle: Path) -> None:
    async with NetHost(bundle, env={"SOME": "thing"}) as host, browser(host) as client:
        seen: dict[str, Any] = (await client.get("/env")).json()
    names = dict(entry.split("=", 1) for entry in seen["environment"])
    assert names["MATTERMOST_PLUGIN"] == "Securely message teams, anywhere."
    assert names["SOME"] == "thing"
    assert not {"MATTERMOST_PLUGIN_ID", "MATTERMOST_PLUGIN_API_TARGET"} & set(names)
    assert seen["folder"] == os.getcwd()  # the server's own, not the plugin's


async def test_a_plugin_that_speaks_grpc_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text('print("1|1|unix|/nowhere|grpc|", flush=True)\ninput()\n')
    with pytest.raises(StartFailed, match=r'unsupported plugin protocol "grpc"') as failed:
        async with NetHost(tmp_path, "plugin.py"):
            pass
    assert failed.value.stage == "start"


def test_gob_goes_both_ways() -> None:
    with RealGob() as go:
        post = {"Id": "a", "Props": [["k", {"$type": "[]interface {}", "value": [None]}]]}
        stream = go.encode("*model.Post", [post, {}])
        assert go.decode("model.Post", stream) == ([post, {}], stream)
        with pytest.raises(RealGobRefused, match="not among those"):
            go.encode("no.Such", [])
        with pytest.raises(RealGobRefused, match="value 0"):
            go.decode("int", stream)
