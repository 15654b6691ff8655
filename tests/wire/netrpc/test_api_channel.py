"""The host's API as a Channel: right values both ways, and a status for each way to fail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi import errors, types
from mm_asgi.api.aio import AsyncAPI
from mm_asgi.api.api_connection import APIConnection
from mm_asgi.api.call_shape import CallShape
from mm_asgi.wire.netrpc import api_calls, dials
from mm_asgi.wire.netrpc.api_channel import APIChannel
from mm_asgi.wire.netrpc.gob_values import Registered
from mm_asgi.wire.netrpc.stream_owner import StreamOwner
from mm_asgi.wire.netrpc.tables import SINCE
from mm_asgi.wire.port import RPCError, StatusCode

from .memory_host import MemoryHost, ServedAPI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def host() -> AsyncIterator[MemoryHost]:
    made = await MemoryHost().begin()
    yield made
    await made.end()


class Client:
    """The API's client on a channel to what a test serves."""

    def __init__(self, host: MemoryHost, **calls: Any) -> None:
        self.served = ServedAPI(host.book, host.link, **calls)
        self.channel = APIChannel(host.session, self.served.number)
        self.connection = APIConnection(lambda: self.channel)
        self.api = AsyncAPI(self.connection)


def answering(**returns: Any) -> Any:
    async def answer(arguments: dict[str, Any]) -> dict[str, Any]:
        return returns

    return answer


# ---------------------------------------------------------------- values


async def test_a_call_carries_values_both_ways(host: MemoryHost) -> None:
    seen = []

    async def create(arguments: dict[str, Any]) -> dict[str, Any]:
        seen.append(arguments)
        return {"A": {**arguments["A"], "Id": "p", "CreateAt": 5}}

    client = Client(host, CreatePost=create)
    asked = types.Post(channel_id="c", message="caf\u00e9")
    asked.props.update({"n": 1.5, "l": [None]})
    post = await client.api.create_post(post=asked)
    assert (post.id, post.create_at, post.message) == ("p", 5, "caf\u00e9")
    assert post.props["n"] == 1.5
    assert seen == [
        {"A": {"ChannelId": "c", "Message": "caf\u00e9", "Props": {"n": 1.5, "l": [None]}}}
    ]


async def test_an_app_error_is_the_client_s_exception(host: MemoryHost) -> None:
    error = {
        "Id": "app.user.missing",
        "Message": "no user",
        "DetailedError": "id=x",
        "StatusCode": 404,
        "Where": "GetUser",
    }
    client = Client(host, GetUser=answering(B=error))
    with pytest.raises(errors.NotFound) as caught:
        await client.api.get_user(user_id="x")
    failure = caught.value
    assert (failure.id, failure.message, failure.status_code) == (
        "app.user.missing",
        "no user",
        404,
    )


@pytest.mark.parametrize("name", ["*plugin.ErrorString", "*pq.Error"])
async def test_a_plain_error_of_go_s_is_an_exception_too(host: MemoryHost, name: str) -> None:
    key = "Err" if name == "*plugin.ErrorString" else "Message"
    client = Client(host, UnregisterCommand=answering(A=Registered(name, {key: "no such trigger"})))
    with pytest.raises(errors.APIError, match="no such trigger"):
        await client.api.unregister_command(team_id="", trigger="x")


async def test_calls_at_once_get_their_own_answers_in_any_order(host: MemoryHost) -> None:
    waiting: dict[str, asyncio.Future[None]] = {}
    all_there = asyncio.Event()

    async def get(arguments: dict[str, Any]) -> dict[str, Any]:
        key = arguments["A"]
        waiting[key] = asyncio.get_running_loop().create_future()
        if len(waiting) == 32:
            all_there.set()
        await waiting[key]
        return {"A": key.encode()}

    client = Client(host, KVGet=get)
    calls = [asyncio.create_task(client.api.kv_get(key=f"k{n}")) for n in range(32)]
    await all_there.wait()
    for key in reversed(list(waiting)):
        waiting[key].set_result(None)
    assert await asyncio.gather(*calls) == [f"k{n}".encode() for n in range(32)]


# ---------------------------------------------------------------- failures


async def test_a_call_that_the_server_lacks_names_the_version_that_has_it(host: MemoryHost) -> None:
    client = Client(host)
    with pytest.raises(errors.Unimplemented, match=f"servers have it since {SINCE['API.GetUser']}"):
        await client.api.get_user(user_id="x")
    # The connection lives.
    client.served.calls["GetServerVersion"] = answering(A="11.6.0")
    assert await client.api.get_server_version() == "11.6.0"


async def test_an_error_of_net_rpc_is_internal(host: MemoryHost) -> None:
    async def broken(arguments: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("API GetUser called but not implemented")

    client = Client(host, GetUser=broken)
    with pytest.raises(errors.Internal, match="called but not implemented"):
        await client.api.get_user(user_id="x")


async def test_a_config_is_not_saved(host: MemoryHost) -> None:
    client = Client(host, SaveConfig=answering())
    with pytest.raises(errors.Unimplemented, match="loses every setting that"):
        await client.api.save_config(config_json=b"{}")
    assert client.served.seen == []


async def test_a_call_that_net_rpc_has_not_is_unimplemented(host: MemoryHost) -> None:
    client = Client(host)
    shape = CallShape("api_user_team", "GetUser")
    with pytest.raises(RPCError) as caught:
        await client.channel.unary("/x/GetNothing", shape.request({}), shape.response)
    assert caught.value.code is StatusCode.UNIMPLEMENTED
    assert "net/rpc has no such call" in str(caught.value)
    assert client.served.seen == []


async def test_a_call_has_its_time_and_its_late_answer_is_dropped(host: MemoryHost) -> None:
    go_on = asyncio.Event()

    async def late(arguments: dict[str, Any]) -> dict[str, Any]:
        await go_on.wait()
        return {"A": b"late"}

    client = Client(host, KVGet=late, GetServerVersion=answering(A="11.6.0"))
    slow = AsyncAPI(client.connection, timeout=0.05)
    with pytest.raises(errors.APIError) as caught:
        await slow.kv_get(key="k")
    assert "0.05 s" in str(caught.value)
    go_on.set()
    assert await client.api.get_server_version() == "11.6.0"


async def test_calls_end_with_the_connection(host: MemoryHost) -> None:
    arrived = asyncio.Event()

    async def never(arguments: dict[str, Any]) -> dict[str, Any]:
        arrived.set()
        await asyncio.Event().wait()
        return {}

    client = Client(host, KVSet=never)
    call = asyncio.create_task(client.api.kv_set(key="k", value=b"v"))
    await arrived.wait()
    host.link.close()
    with pytest.raises(errors.Unavailable, match="KVSet"):
        await call
    with pytest.raises(errors.Unavailable):
        await client.api.kv_set(key="k", value=b"v")


async def test_a_host_that_does_not_serve_its_api_is_unavailable(
    host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dials, "DIAL_TIMEOUT", 0.05)
    number = host.link.offer(StreamOwner())
    host.link.withdraw(number)
    api = AsyncAPI(APIConnection(lambda: APIChannel(host.session, number)))
    with pytest.raises(errors.Unavailable):
        await api.kv_set(key="k", value=b"v")


async def test_a_value_that_go_has_no_place_for_is_the_caller_s_fault(
    host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent: the stream of calls goes on."""
    client = Client(host, KVGet=answering(A=b"v"))
    with monkeypatch.context() as patched:
        patched.setattr(api_calls, "values_of", lambda message, struct: {"A": 5})
        with pytest.raises(errors.InvalidArgument, match="expected str, found int"):
            await client.api.kv_get(key="k")
    assert await client.api.kv_get(key="k") == b"v"
    assert client.served.seen == ["KVGet"]


async def test_an_answer_of_another_form_is_the_server_s_fault(
    host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(host)

    async def wrong(*args: Any) -> Any:
        return {"A": "no user"}

    monkeypatch.setattr(client.channel._caller, "call_raw", wrong)
    with pytest.raises(errors.Internal, match="GetUser: the server's answer has another form"):
        await client.api.get_user(user_id="x")


async def test_there_are_no_streams_of_messages(host: MemoryHost) -> None:
    client = Client(host)
    with pytest.raises(RPCError) as caught:
        client.channel.stream("/x/Any", CallShape("api_kv_config", "KVGet").response)
    assert caught.value.code is StatusCode.UNIMPLEMENTED


async def test_a_closed_channel_lets_open_calls_be_answered_and_takes_no_more(
    host: MemoryHost,
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def get(arguments: dict[str, Any]) -> dict[str, Any]:
        arrived.set()
        await go_on.wait()
        return {"A": b"v"}

    client = Client(host, KVGet=get)
    call = asyncio.create_task(client.api.kv_get(key="k"))
    await arrived.wait()
    await client.channel.close()
    with pytest.raises(errors.Unavailable):
        await client.api.kv_set(key="k", value=b"v")
    go_on.set()
    assert await call == b"v"


async def test_a_command_carries_its_autocomplete_data(host: MemoryHost) -> None:
    seen = []

    async def register(arguments: dict[str, Any]) -> dict[str, Any]:
        seen.append(arguments["A"])
        return {}

    client = Client(host, RegisterCommand=register)
    text = types.AutocompleteArg(
        name="n", help_text="h", text=types.AutocompleteTextArg(hint="[n]", pattern="p")
    )
    dynamic = types.AutocompleteArg(
        required=True, dynamic_list=types.AutocompleteDynamicListArg(fetch_url="/suggest")
    )
    data = types.AutocompleteData(
        trigger="do", sub_commands=[types.AutocompleteData(trigger="it", arguments=[dynamic, text])]
    )
    await client.api.register_command_with_autocomplete(
        command=types.Command(trigger="do", auto_complete=True), autocomplete=data
    )
    [command] = seen
    assert (command["Trigger"], command["AutoComplete"]) == ("do", True)
    [it] = command["AutocompleteData"]["SubCommands"]
    first, second = it["Arguments"]
    assert (first["Type"], first["Required"]) == ("DynamicList", True)
    assert first["Data"] == Registered(
        "*model.AutocompleteDynamicListArg", {"FetchURL": "/suggest"}
    )
    assert (second["Name"], second["Type"], second["HelpText"]) == ("n", "TextInput", "h")
    assert second["Data"] == Registered(
        "*model.AutocompleteTextArg", {"Hint": "[n]", "Pattern": "p"}
    )
