"""The hosts of net/rpc and gobecho themselves, with a plugin in Go: what other tests rely on."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass

from tests.go_api import GoAPI
from tests.go_host import StartFailed, go_missing_reason
from tests.net_hooks import HOOKS, arguments_of, response_of
from tests.net_host import MODULE, NetHost, go_plugin_bundle
from tests.real_gob import RealGob, RealGobRefused

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

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
        assert not answer["ok"]
        # By how far the host's session has noticed the end.
        assert answer["message"] in ("unexpected EOF", "session shutdown")
        assert answer["response"][0]["message"] == "crash"


async def test_the_contracts_messages_stand_for_arguments_and_results(bundle: Path) -> None:
    """As the host of gRPC takes and shows them."""
    async with NetHost(bundle) as host:
        post = {"message": "hi", "createAt": "5", "props": {"a": [1]}}
        order = {"plugin_context": {"ipAddress": "::1"}, "post": post}
        answer = await host.control("/hook/MessageWillBePosted", order)
        changed = {"message": "hi (seen)", "create_at": "5", "props": {"a": [1]}}
        assert (answer["code"], answer["response"]) == ("OK", {"modified_post": changed})
        order = {"file_info": {"name": "a.txt"}, "file_content": "YWJj"}
        answer = await host.control("/hook/FileWillBeUploaded", order)
        assert answer["response"] == {
            "modified_file_info": {"name": "A.TXT"},
            "modified_content": "Y2Jh",
        }
        answer = await host.control("/hook/OnConfigurationChange")
        assert not answer["listed"]
        answer = await host.control("/hook/MessageWillBePosted", {"post": {"message": "crash"}})
        assert (answer["code"], answer["response"]) == ("Unavailable", None)


NOT_IN_JSON = {
    "Channel.auto_translation",
    "CommandArgs.site_url", "CommandArgs.t", "CommandArgs.user_mention",
    "CommandArgs.channel_mention", "TeamMember.create_at",
}  # fmt: skip
"""What Mattermost's JSON leaves out."""


def filled(message: Message, depth: int = 0) -> None:
    """Set every field that can be given."""
    for field in message.DESCRIPTOR.fields:
        if f"{message.DESCRIPTOR.name}.{field.name}" in NOT_IN_JSON or depth > 4:
            continue
        if field.name == "context":
            continue
        if message.DESCRIPTOR.name.endswith("Json"):
            setattr(message, field.name, b"{}")
        elif field.message_type is None:
            sample = {field.TYPE_STRING: "1", field.TYPE_BYTES: b"1", field.TYPE_BOOL: True}
            value = (
                field.enum_type.values[1].number if field.enum_type else sample.get(field.type, 1)
            )
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
        elif field.message_type.full_name == "google.protobuf.Struct":
            getattr(message, field.name).update({"a": [1, None]})
        elif field.message_type.GetOptions().map_entry:
            continue
        elif field.is_repeated:
            filled(getattr(message, field.name).add(), depth + 1)
        else:
            getattr(message, field.name).SetInParent()
            filled(getattr(message, field.name), depth + 1)


async def test_every_field_of_the_contract_has_a_name_that_go_knows(bundle: Path) -> None:
    async with NetHost(bundle) as host:
        for name in HOOKS:
            if name not in ("ServeHTTP", "Implemented"):
                request = GetMessageClass(HOOKS[name].input_type)()
                filled(request)
                answer = await host.control(f"/hook/{name}", MessageToDict(request))
                assert answer["listed"] is (name in host.implemented)


def test_each_hook_has_the_parameters_of_its_message() -> None:
    for row in (MODULE.parents[1] / "proto" / "netrpc" / "params.tsv").read_text().splitlines():
        face, name, parameters, results = row.split("\t")
        if face != "Hooks" or name not in HOOKS or name == "ServeHTTP":
            continue
        kinds = [one.split(" ", 1)[1] for one in parameters.split("; ") if one]
        assert len(arguments_of(name, {})) == len([kind for kind in kinds if kind != "io.Writer"])
        values = [
            kind for kind in results.split("; ") if kind not in ("", "error", "*model.AppError")
        ]
        assert response_of(name, [None] * len(values), None) == {}


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
