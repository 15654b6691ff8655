"""Rows A1 and A2 against grpc-go: the client of the PluginAPI, on both Channels, and the Go host's
own server of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from mm_asgi import errors, types
from mm_asgi.api import API, AsyncAPI
from mm_asgi.api.api_connection import APIConnection
from mm_asgi.protocol import api_pb2
from mm_asgi.protocol.api_kv_config_pb2 import KVSetRequest, KVSetResponse
from mm_asgi.wire.http2.channel import NativeChannel
from mm_asgi.wire.http2.client_call import UnaryCall
from mm_asgi.wire.http2.client_transport import ClientTransport
from tests.go_api import GoAPI
from tests.go_host import GoHost
from tests.roads import on
from tests.wire.grpcio_channel import GrpcioChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")
full = [pytest.mark.full, pytest.mark.timeout(60)]
nightly = [pytest.mark.nightly, pytest.mark.timeout(300)]

MIB = 2**20
CHANNELS: dict[str, Any] = {"native": NativeChannel, "grpcio": GrpcioChannel}
on_both = pytest.mark.parametrize("api", list(CHANNELS), indirect=True)
CLASSES = {
    400: errors.InvalidArgument,
    401: errors.Unauthenticated,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    409: errors.AlreadyExists,
    413: errors.ResourceExhausted,
    429: errors.ResourceExhausted,
    418: errors.Internal,
    500: errors.Internal,
    501: errors.Unimplemented,
    503: errors.Unavailable,
}
APIError = errors.APIError


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[GoHost]:
    async with GoHost(api="alone") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def go(host: GoHost) -> AsyncIterator[GoAPI]:
    made = GoAPI(host)
    await made.calls()
    yield made
    await made.restored()


@pytest_asyncio.fixture(loop_scope="module")
async def api(request: pytest.FixtureRequest, go: GoAPI) -> AsyncIterator[AsyncAPI]:
    connection = APIConnection(go.target, open_channel=CHANNELS[request.param])
    yield AsyncAPI(connection)
    await connection.close()


async def failure(call: Any) -> APIError:
    with pytest.raises(errors.APIError) as caught:
        await call
    return caught.value


# -------------------------------------------------------------------- errors


@on("g")
@on_both
async def test_A1_each_class_of_error_comes_by_both_ways(api: AsyncAPI, go: GoAPI) -> None:
    for code, kind in CLASSES.items():
        told = {"id": "app.told.app_error", "message": "No: 100 %", "detailed_error": "why",
                "where": "There", "status_code": code}  # fmt: skip
        await go.fail("GetUser", app_error=told)
        by_status = await failure(api.get_user(user_id="alice"))
        await go.fail("GetPost", app_error=told)
        in_answer = await failure(api.get_post(post_id="p"))
        assert type(by_status) is type(in_answer) is kind, code
        for error in (by_status, in_answer):
            assert (error.id, error.message) == ("app.told.app_error", "No: 100 %")
        # A status has no place for the rest, and one class may stand for several codes.
        assert (in_answer.status_code, in_answer.detailed_error) == (code, "why")
        assert in_answer.where == "There"
        assert by_status.status_code == {413: 0, 429: 0, 418: 500}.get(code, code)


@on("g")
@on_both
async def test_A1_errors_of_the_servers_own_state(api: AsyncAPI) -> None:
    error = await failure(api.get_user(user_id="nobody"))
    assert type(error) is errors.NotFound
    assert error.id == "app.user.missing_account.const"
    error = await failure(api.create_post(post=types.Post(channel_id="none")))
    assert type(error) is errors.NotFound
    assert error.where == "CreatePostMissingChannel"
    error = await failure(api.kv_set(key="", value=b"v"))
    assert type(error) is errors.InvalidArgument
    assert error.detailed_error == "key="
    error = await failure(api.register_command(command=types.Command()))
    assert (type(error), error.message) == (errors.Internal, "internal error: invalid command")


@on("g")
@on_both
async def test_A1_a_status_that_no_AppError_has_is_internal(api: AsyncAPI, go: GoAPI) -> None:
    for code in ("UNKNOWN", "DATA_LOSS", "ABORTED", "OUT_OF_RANGE", "FAILED_PRECONDITION"):
        await go.fail("GetUser", code=code, message="ü: \n%")
        error = await failure(api.get_user(user_id="alice"))
        assert (type(error), error.message, error.status_code) == (errors.Internal, "ü: \n%", 0)
        assert error.__notes__ == [f"call: GetUser; status: {code}"]


@on("g")
@on_both
async def test_A1_no_call_ends_the_server_and_those_it_lacks_say_so(
    api: AsyncAPI, go: GoAPI
) -> None:
    unserved: dict[str, str] = {}
    rpcs = api_pb2.DESCRIPTOR.services_by_name["PluginAPI"].methods
    for rpc in rpcs:
        file = rpc.input_type.file.name.rpartition("/")[2].removesuffix(".proto")
        try:  # with nothing given: what the server follows unchecked has to be sent all the same
            await api._call(file, rpc.name)
        except errors.Unimplemented as error:
            unserved[rpc.name] = error.message
        except (errors.NotFound, errors.InvalidArgument, errors.Internal):
            pass
    assert [call["call"] for call in await go.calls()] == [rpc.name for rpc in rpcs]
    assert len(unserved) == 236 - 35
    assert unserved == {name: f"method {name} not implemented" for name in unserved}
    assert {"GetPluginID", "GetGroups", "LogAuditRec"} <= unserved.keys()


# -------------------------------------------------------------------- state


@on("g")
@on_both
async def test_A1_what_a_call_changes_the_next_one_sees(api: AsyncAPI, go: GoAPI) -> None:
    team = await api.get_team_by_name(name="demo")
    channel = await api.get_channel_by_name(
        team_id=team.id, name="town-square", include_deleted=False
    )
    post = await api.create_post(
        post=types.Post(user_id="alice", channel_id=channel.id, message="a")
    )
    post.message = "b"
    assert (await api.update_post(post=post)).edit_at > 0
    assert (await api.get_post(post_id=post.id)).message == "b"
    await api.delete_post(post_id=post.id)
    assert type(await failure(api.get_post(post_id=post.id))) is errors.NotFound

    atomic = types.PluginKVSetOptions(atomic=True)
    assert await api.kv_set_with_options(key="k", value=b"1", options=atomic)
    assert not await api.kv_set_with_options(key="k", value=b"2", options=atomic)
    assert await api.kv_compare_and_set(key="k", old_value=b"1", new_value=b"2")
    assert await api.kv_get(key="k") == b"2"
    assert await api.kv_list(page=0, per_page=5) == ["k"]
    await api.kv_delete(key="k")
    assert await api.kv_get(key="k") == b""

    shown = await api.send_ephemeral_post(user_id="bob", post=types.Post(message="psst"))
    assert shown is not None
    assert shown.type == "system_ephemeral"
    await api.publish_web_socket_event(event="news", payload={"n": 1})
    state = await go.state()
    assert state["ephemeral"][-1]["post"]["message"] == "psst"
    assert state["events"][-1]["name"] == "custom_com.example.demo_news"
    assert state["events"][-1]["data"] == {"n": 1}
    assert await api.has_permission_to(user_id="sysadmin", permission_id="manage_system")
    assert not await api.has_permission_to(user_id="alice", permission_id="manage_system")
    assert b'"SiteURL":"http://' in await api.get_config()


@on("g")
@on_both
async def test_A1_many_calls_at_once_keep_their_answers_on_one_connection(
    api: AsyncAPI, go: GoAPI
) -> None:
    keys = [f"many {number}" for number in range(200)]
    await asyncio.gather(*(api.kv_set(key=key, value=key.encode()) for key in keys))
    values = await asyncio.gather(*(api.kv_get(key=key) for key in keys))
    assert values == [key.encode() for key in keys]
    await asyncio.gather(*(api.kv_delete(key=key) for key in keys))
    assert len({call["peer"] for call in await go.calls()}) == 1


@on("g")
@on_both
async def test_A1_threads_call_over_the_same_connection(api: AsyncAPI, go: GoAPI) -> None:
    blocking = API(api)

    def work(number: int) -> bytes:
        blocking.kv_set(key=f"t{number}", value=b"%d" % number)
        return blocking.kv_get(key=f"t{number}")

    await api.get_server_version()  # the connection belongs to this loop
    assert await asyncio.gather(*(asyncio.to_thread(work, n) for n in range(8))) == [
        b"%d" % number for number in range(8)
    ]
    assert len({call["peer"] for call in await go.calls()}) == 1


# -------------------------------------------------------------------- time


@on("g")
@on_both
async def test_A1_the_deadline_reaches_the_server_and_ends_the_call(
    api: AsyncAPI, go: GoAPI
) -> None:
    await go.fail("GetUser", hold=True)
    error = await failure(AsyncAPI(api, timeout=0.2).get_user(user_id="alice"))
    assert type(error) is errors.Unavailable
    assert error.message.startswith("GetUser: no answer in 0.2 s; the host may still do")
    await go.held(0)
    [call] = await go.calls()  # a deadline is no reason to ask again
    assert 0 < call["deadline_s"] <= 0.2


@on("g")
@on_both
async def test_A1_a_cancelled_call_is_cancelled_at_the_server(api: AsyncAPI, go: GoAPI) -> None:
    await go.fail("KVSet", hold=True, times=1)
    call = asyncio.create_task(api.kv_set(key="cancelled", value=b"v"))
    await go.held()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    total = sum(name == "KVSet" for name in await go.names())
    assert total == 1
    assert await api.kv_get(key="cancelled") == b""


# -------------------------------------------------------------------- sizes


@on("g")
@on_both
async def test_A1_an_answer_of_5_MiB(api: AsyncAPI, go: GoAPI) -> None:
    file_id = await go.file("five", 5 * MIB)
    assert await api.get_file(file_id=file_id) == bytes(range(256)) * (5 * MIB // 256)


@on("g", tier="nightly")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("api", ["native"], indirect=True)
async def test_A1_answers_of_up_to_128_MiB(api: AsyncAPI, go: GoAPI) -> None:
    largest = await go.file("largest", 128 * MIB - 5)  # a field's tag and length are 5 bytes
    assert len(await api.get_file(file_id=largest)) == 128 * MIB - 5
    error = await failure(api.get_file(file_id=await go.file("over", 128 * MIB)))
    assert type(error) is errors.ResourceExhausted
    assert await api.get_server_version()  # the connection is as good as before


@on("g")
@on_both
async def test_A1_a_request_is_refused_where_the_server_would(api: AsyncAPI, go: GoAPI) -> None:
    most = 4 * MIB - len(b"\x0a\x01k") - len(b"\x12") - 4  # the value's length takes 4 bytes
    await api.kv_set(key="k", value=bytes(most))
    [call] = await go.calls()
    assert (call["size"], call["code"]) == (4 * MIB, "OK")
    error = await failure(api.kv_set(key="k", value=bytes(most + 1)))
    assert "4194305 bytes, and the host takes 4194304; it was not sent" in error.message
    assert await go.calls() == []
    # And that is indeed where the server would.
    channel = api._connection._channel
    assert channel is not None
    with pytest.raises(Exception, match="4194305"):
        await channel.unary(
            "/mattermost.pluginapi.v1.PluginAPI/KVSet",
            KVSetRequest(key="k", value=bytes(most + 1)),
            KVSetResponse,
        )
    await api.kv_delete(key="k")


# -------------------------------------------------------------------- a server that goes away


@on("g")
@on_both
async def test_A1_reads_are_repeated_and_writes_are_not(api: AsyncAPI, go: GoAPI) -> None:
    await go.fail("KVGet", code="UNAVAILABLE", message="going away", times=2)
    assert await api.kv_get(key="none") == b""
    await go.fail("KVSet", code="UNAVAILABLE", message="going away", times=1)
    error = await failure(api.kv_set(key="k", value=b"v"))
    assert (type(error), error.message) == (errors.Unavailable, "going away")
    assert await go.names() == ["KVGet"] * 3 + ["KVSet"]


@on("g")
@on_both
async def test_A1_a_write_whose_answer_is_lost_is_not_made_again(api: AsyncAPI, go: GoAPI) -> None:
    await go.fail("KVSet", hold=True, after=True, times=1)
    call = asyncio.create_task(api.kv_set(key="lost", value=b"v"))
    await go.held()
    await go.stop()
    error = await failure(call)
    assert type(error) is errors.Unavailable
    await go.start()
    assert (await go.state())["keys"]["lost"] == b"v"
    assert await go.names() == ["KVSet"]
    await returned(api)
    await api.kv_delete(key="lost")


@on("g")
@on_both
async def test_A1_a_call_under_way_is_answered_by_a_server_that_stops_in_order(
    api: AsyncAPI, go: GoAPI
) -> None:
    await go.fail("KVSet", hold=True, times=1)
    call = asyncio.create_task(api.kv_set(key="last", value=b"v"))
    await go.held()
    stopped = asyncio.create_task(go.stop(gracefully=True))
    await go.heal()
    await call
    await stopped
    assert type(await failure(api.kv_set(key="last", value=b"w"))) is errors.Unavailable
    await go.start()
    await returned(api)
    assert await api.kv_get(key="last") == b"v"
    await api.kv_delete(key="last")


@on("g")
@on_both
async def test_A2_a_server_that_is_away_fails_the_call_at_once_and_may_return(
    api: AsyncAPI, go: GoAPI
) -> None:
    await go.stop()
    began = asyncio.get_running_loop().time()
    for call in (api.kv_set(key="k", value=b"v"), api.get_user(user_id="alice")):
        error = await failure(call)
        assert type(error) is errors.Unavailable
        assert go.target.rpartition(":")[2] in error.message  # which address it was
    assert asyncio.get_running_loop().time() - began < 5  # and not the timeout of either, 10 s
    await go.start()
    await returned(api)
    assert await go.names() == ["GetServerVersion"]


async def returned(api: AsyncAPI) -> None:
    """Call until the server is reached again; the pauses between attempts grow to 5 s."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(errors.Unavailable):
                await api.get_server_version()
                return


@on("g", tier="")  # each parameter has its own
@pytest.mark.parametrize(
    ("api", "restarts", "between"),
    [
        pytest.param("native", 6, 60, id="native", marks=full),
        pytest.param("grpcio", 6, 60, id="grpcio", marks=full),
        pytest.param("native", 40, 2_500, id="native-100000", marks=nightly),
    ],
    indirect=["api"],
)
async def test_A1_no_call_is_lost_or_doubled_by_a_server_that_restarts(
    api: AsyncAPI, go: GoAPI, restarts: int, between: int
) -> None:
    state = await go.state()
    channel_id = state["channels"]["off-topic"]
    earlier = {post["id"] for post in state["posts"]}
    confirmed: dict[str, str] = {}
    doubtful: set[str] = set()
    turns = asyncio.Semaphore(0)  # writers and restarts go hand in hand
    going = True

    async def write(worker: int) -> None:
        number = 0
        while going:
            number += 1
            message = f"{worker} {number}"
            post = types.Post(user_id="alice", channel_id=channel_id, message=message)
            try:
                made = await api.create_post(post=post)
            except errors.Unavailable:
                doubtful.add(message)
                await returned(api)
            else:
                assert made.message == message
                confirmed[message] = made.id
                turns.release()

    await returned(api)
    before = left()
    async with asyncio.TaskGroup() as writers:
        for worker in range(8):
            writers.create_task(write(worker))
        for restart in range(restarts):
            for _ in range(between):
                await turns.acquire()
            await go.stop(gracefully=restart % 2 == 1)
            await go.start()
        going = False
    await returned(api)
    after = left()

    posts = [post for post in (await go.state())["posts"] if post["id"] not in earlier]
    kept = {post["message"]: post["id"] for post in posts}
    assert len(kept) == len(posts)  # none twice
    assert {message: kept.get(message) for message in confirmed} == confirmed
    assert kept.keys() - confirmed.keys() <= doubtful
    assert len(confirmed) >= restarts * between
    for name, count in after.items():
        assert count <= before[name] + 3, (name, before, after)


def left() -> dict[str, int]:
    """What calls and connections may leave behind."""
    gc.collect()
    objects = gc.get_objects()
    return {
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/dev/fd")),
        "calls": sum(isinstance(each, UnaryCall) for each in objects),
        "connections": sum(isinstance(each, ClientTransport) for each in objects),
    }
