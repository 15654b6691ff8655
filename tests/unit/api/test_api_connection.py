"""The connection under the clients: deadline, both kinds of errors, repeats, loops and threads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import grpc
import pytest

from mm_asgi import Plugin, errors, types
from mm_asgi.api import API, AsyncAPI
from mm_asgi.api.api_connection import APIConnection
from mm_asgi.protocol import api_channel_post_pb2, api_kv_config_pb2, api_user_team_pb2
from mm_asgi.wire.http2.channel import NativeChannel
from tests.unit.api.loopback import Loopback, Status, loopback
from tests.wire.grpcio_channel import GrpcioChannel

if TYPE_CHECKING:
    from collections.abc import Iterator

UNAVAILABLE = Status(grpc.StatusCode.UNAVAILABLE, "going away")
ALICE = api_user_team_pb2.GetUserResponse(user=types.User(username="alice"))


@pytest.fixture
def host() -> Iterator[Loopback]:
    with loopback() as made:
        yield made


# -------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("code", "kind", "status_code"),
    [
        ("INVALID_ARGUMENT", errors.InvalidArgument, 400),
        ("UNAUTHENTICATED", errors.Unauthenticated, 401),
        ("PERMISSION_DENIED", errors.PermissionDenied, 403),
        ("NOT_FOUND", errors.NotFound, 404),
        ("ALREADY_EXISTS", errors.AlreadyExists, 409),
        ("RESOURCE_EXHAUSTED", errors.ResourceExhausted, 0),
        ("UNIMPLEMENTED", errors.Unimplemented, 501),
        ("UNAVAILABLE", errors.Unavailable, 503),
        ("INTERNAL", errors.Internal, 500),
        ("DATA_LOSS", errors.Internal, 0),
        ("UNKNOWN", errors.Internal, 0),
    ],
)
async def test_a_status_is_an_api_error(
    host: Loopback, code: str, kind: type[errors.APIError], status_code: int
) -> None:
    host.answer = Status(grpc.StatusCode[code], "app.user.missing_account.const: No such user: x")
    async with AsyncAPI(host.target) as api:
        with pytest.raises(errors.APIError) as caught:
            await api.get_user(user_id="x")
    error = caught.value
    assert type(error) is kind
    assert (error.id, error.message) == ("app.user.missing_account.const", "No such user: x")
    assert (error.status_code, error.detailed_error, error.where) == (status_code, "", "")
    assert str(error) == "No such user: x"
    assert error.__notes__ == [f"call: GetUser; status: {code}"]


@pytest.mark.parametrize(
    "text",
    ["", "unknown method GetGroups", "not found: x", "rpc error: code = Internal desc = a.b: c"],
)
async def test_a_status_without_an_id(host: Loopback, text: str) -> None:
    host.answer = Status(grpc.StatusCode.INTERNAL, text)
    async with AsyncAPI(host.target) as api:
        with pytest.raises(errors.Internal) as caught:
            await api.get_user(user_id="x")
    assert (caught.value.id, caught.value.message) == ("", text or "INTERNAL")


async def test_an_error_in_the_answer(host: Loopback) -> None:
    host.answer = api_channel_post_pb2.GetPostResponse(
        error=types.AppError(
            id="app.post.get.app_error", message="Unable to get the post.", detailed_error="sql: no rows",
            status_code=404, where="GetSinglePost", request_id="r1",
        )
    )  # fmt: skip
    async with AsyncAPI(host.target) as api:
        with pytest.raises(errors.NotFound, match=r"Unable to get the post\.") as caught:
            await api.get_post(post_id="p")
    error = caught.value
    assert (error.id, error.where) == ("app.post.get.app_error", "GetSinglePost")
    assert (error.detailed_error, error.status_code) == ("sql: no rows", 404)
    assert error.__notes__ == ["call: GetPost; the host's request: r1"]


async def test_an_empty_error_is_an_error(host: Loopback) -> None:
    host.answer = api_kv_config_pb2.KVSetResponse(error=types.AppError())
    async with AsyncAPI(host.target) as api:
        with pytest.raises(errors.Internal):
            await api.kv_set(key="k", value=b"v")


async def test_an_answer_that_is_no_message(host: Loopback) -> None:
    host.answer = b"\xff\xff"
    async with AsyncAPI(host.target) as api:
        with pytest.raises(errors.Internal, match="cannot be parsed"):
            await api.get_user(user_id="x")


# -------------------------------------------------------------------- sizes


async def test_large_answers_are_taken(host: Loopback) -> None:
    host.answer = api_user_team_pb2.GetProfileImageResponse(image=bytes(20 * 2**20))
    async with AsyncAPI(host.target) as api:
        assert len(await api.get_profile_image(user_id="x")) == 20 * 2**20


async def test_a_request_over_four_mebibytes_is_not_sent(host: Loopback) -> None:
    async with AsyncAPI(host.target) as api:
        with pytest.raises(errors.ResourceExhausted, match="it was not sent"):
            await api.kv_set(key="k", value=bytes(4 * 2**20))
    assert host.received == []


# -------------------------------------------------------------------- time


async def test_the_deadline(host: Loopback) -> None:
    go_on = threading.Event()
    host.answer = lambda request: b"" if go_on.wait(10) else b""
    async with AsyncAPI(host.target, timeout=0.2) as api:
        with pytest.raises(errors.Unavailable, match=r"GetUser: no answer in 0\.2 s"):
            await api.get_user(user_id="x")
    go_on.set()
    assert host.remaining is not None
    assert host.remaining < 1
    assert len(host.received) == 1  # a deadline is not a reason to ask again


@pytest.mark.parametrize(("timeout", "bound"), [(None, 10.0), (60.0, 60.0)])
async def test_the_deadline_is_told(host: Loopback, timeout: float | None, bound: float) -> None:
    async with AsyncAPI(host.target, timeout=timeout) as api:
        await api.get_teams()
    assert host.remaining is not None
    assert bound - 5 < host.remaining < bound + 1  # the core rounds up


async def test_zero_is_no_deadline(host: Loopback) -> None:
    async with AsyncAPI(host.target, timeout=0) as api:
        await api.get_teams()
    assert host.remaining is None or host.remaining > 3600


async def test_clients_share_a_connection_with_timeouts_of_their_own(host: Loopback) -> None:
    async with AsyncAPI(host.target, timeout=20) as api:
        async with AsyncAPI(api, timeout=50) as slow:
            await slow.get_teams()
            assert host.remaining is not None
            assert host.remaining > 40
        same = AsyncAPI(api)
        await same.get_teams()  # closing a client that shares closes nothing
        assert host.remaining is not None
        assert 10 < host.remaining < 21


# -------------------------------------------------------------------- repeats


async def test_a_read_is_repeated(host: Loopback) -> None:
    host.answers.extend([UNAVAILABLE, UNAVAILABLE, ALICE])
    async with AsyncAPI(host.target) as api:
        assert (await api.get_user(user_id="x")).username == "alice"
    assert len(host.received) == 3


async def test_a_read_is_repeated_twice_at_most(host: Loopback) -> None:
    host.answer = UNAVAILABLE
    async with AsyncAPI(host.target) as api:
        with pytest.raises(errors.Unavailable, match="going away"):
            await api.get_user(user_id="x")
    assert len(host.received) == 3


async def test_a_read_is_not_repeated_past_its_deadline(host: Loopback) -> None:
    host.answer = UNAVAILABLE
    async with AsyncAPI(host.target, timeout=0.2) as api:
        with pytest.raises(errors.Unavailable, match="going away"):
            await api.get_user(user_id="x")
    assert len(host.received) == 2


async def test_a_write_is_never_repeated(host: Loopback) -> None:
    host.answer = UNAVAILABLE
    async with AsyncAPI(host.target) as api:
        with pytest.raises(errors.Unavailable):
            await api.create_post(post=types.Post(message="once"))
        with pytest.raises(errors.Unavailable):
            await api.get_direct_channel(user_id_1="a", user_id_2="b")
    assert [name for name, _ in host.received] == ["CreatePost", "GetDirectChannel"]


async def test_other_failures_are_not_repeated(host: Loopback) -> None:
    host.answer = Status(grpc.StatusCode.INTERNAL, "no")
    async with AsyncAPI(host.target) as api:
        with pytest.raises(errors.Internal):
            await api.get_user(user_id="x")
    assert len(host.received) == 1


# -------------------------------------------------------------------- address and end


async def test_no_address_is_told_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATTERMOST_PLUGIN_API_TARGET", raising=False)
    api = Plugin().api
    with pytest.raises(errors.Unavailable, match="GetTeams: the host's API has no address"):
        await api.get_teams()


async def test_the_address_of_the_environment(
    host: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = Plugin()
    monkeypatch.setenv("MATTERMOST_PLUGIN_API_TARGET", host.target)
    assert await plugin.api.get_teams() == []
    await plugin.connection.close()


async def test_what_the_runtime_says_counts(
    host: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = Plugin()
    assert plugin.api is plugin.api
    monkeypatch.setenv("MATTERMOST_PLUGIN_API_TARGET", "unix:/nowhere")
    plugin.connection.use(host.target, 33.0)
    assert await plugin.api.get_teams() == []
    assert host.remaining is not None
    assert 25 < host.remaining < 34
    await plugin.connection.close()
    with pytest.raises(errors.Unavailable, match="the plugin has stopped"):
        await plugin.api.get_teams()


async def test_a_wire_may_open_the_channel_itself_when_the_host_lets_it(host: Loopback) -> None:
    """As on net/rpc, where the way to the API comes with OnActivate."""
    plugin = Plugin()
    activated: list[str] = []
    opened = []

    def open_api() -> NativeChannel:
        if not activated:
            raise errors.Unavailable("the host's API comes with OnActivate")
        opened.append(asyncio.get_running_loop())
        return NativeChannel(activated[0])

    plugin.connection.use(open_api, 10.0)
    with pytest.raises(errors.Unavailable, match="comes with OnActivate"):
        await plugin.api.get_teams()
    activated.append(host.target)
    assert await plugin.api.get_teams() == []
    # A thread's call goes to the same channel, which is of the plugin's loop.
    assert await asyncio.to_thread(API(plugin.api).get_teams) == []
    assert opened == [asyncio.get_running_loop()]
    await plugin.connection.close()


async def test_the_channel_is_the_one_that_was_given(host: Loopback) -> None:
    opened: list[str] = []

    def open_channel(target: str) -> GrpcioChannel:
        opened.append(target)
        return GrpcioChannel(target)

    connection = APIConnection(host.target, open_channel=open_channel)
    api = AsyncAPI(connection)
    assert await api.get_teams() == await AsyncAPI(api).get_teams() == []
    assert opened == [host.target]
    await connection.close()


async def test_nobody_at_the_address() -> None:
    async with AsyncAPI("unix:/nowhere/at.all") as api:
        with pytest.raises(errors.Unavailable):
            await api.kv_set(key="k", value=b"v")


async def test_the_end_reaches_calls_under_way(host: Loopback) -> None:
    started, go_on = threading.Event(), threading.Event()

    def hold(request: bytes) -> bytes:
        started.set()
        go_on.wait(10)
        return b""

    host.answer = hold
    api = AsyncAPI(host.target)
    call = asyncio.create_task(api.get_teams())
    await asyncio.to_thread(started.wait, 10)
    await api.close()
    with pytest.raises(errors.Unavailable, match="GetTeams: ended before the answer came"):
        await call
    go_on.set()
    await api.close()


async def test_a_cancelled_call_is_cancelled(host: Loopback) -> None:
    started, go_on = threading.Event(), threading.Event()

    def hold(request: bytes) -> bytes:
        started.set()
        go_on.wait(10)
        return b""

    host.answer = hold
    async with AsyncAPI(host.target) as api:
        call = asyncio.create_task(api.get_teams())
        await asyncio.to_thread(started.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go_on.set()


# -------------------------------------------------------------------- loops and threads


async def test_threads_go_to_the_loop_of_the_plugin(host: Loopback) -> None:
    host.answer = ALICE
    plugin = Plugin()
    plugin.connection.use(host.target, 10.0)
    api = API(plugin.api)

    def work() -> str:
        return api.get_user(user_id="x").username

    assert await asyncio.gather(*(asyncio.to_thread(work) for _ in range(8))) == ["alice"] * 8
    assert not any(thread.name == "mm_asgi api" for thread in threading.enumerate())
    await plugin.connection.close()


async def test_blocking_on_the_loop_is_refused(host: Loopback) -> None:
    plugin = Plugin()
    plugin.connection.use(host.target, 10.0)
    with pytest.raises(
        RuntimeError, match=r"GetTeams: the blocking client was called on an event loop"
    ):
        API(plugin.api).get_teams()
    with pytest.raises(RuntimeError, match="on an event loop"):
        API(host.target).get_teams()
    assert host.received == []


def test_without_a_loop_the_blocking_client_has_a_thread_of_its_own(host: Loopback) -> None:
    host.answer = ALICE
    with API(host.target) as api:
        assert api.get_user(user_id="x").username == "alice"
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("mm_asgi api") == 1
        # And who has a loop may use it too.
        assert asyncio.run(AsyncAPI(api).get_user(user_id="x")).username == "alice"
    assert "mm_asgi api" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(errors.Unavailable, match="closed"):
        api.get_teams()
    api.close()


def test_a_loop_that_has_ended_is_replaced(host: Loopback) -> None:
    host.answer = ALICE
    api = AsyncAPI(host.target)
    for _ in range(2):
        assert asyncio.run(api.get_user(user_id="x")).username == "alice"
    asyncio.run(api.close())


async def test_close_from_another_loop(host: Loopback) -> None:
    api = AsyncAPI(host.target)
    await api.get_teams()
    await asyncio.to_thread(asyncio.run, api.close())
    with pytest.raises(errors.Unavailable):
        await api.get_teams()


def test_a_client_that_was_never_used_closes(host: Loopback) -> None:
    with API(host.target):
        pass
    asyncio.run(AsyncAPI(host.target).close())


async def test_what_the_caller_changes_after_the_call_is_its_own(host: Loopback) -> None:
    post = types.Post(message="before")
    async with AsyncAPI(host.target) as api:
        call = asyncio.ensure_future(api.create_post(post=post))
        await asyncio.sleep(0)
        post.message = "after"
        await call
    sent = api_channel_post_pb2.CreatePostRequest.FromString(host.last())
    assert sent.post.message == "before"


def test_a_call_imports_no_grpcio(host: Loopback) -> None:
    host.answer = ALICE
    code = (
        "import sys\nfrom mm_asgi.api import API\n"
        "with API(sys.argv[1]) as api: print(api.get_user(user_id='x').username)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('grpc', 'cygrpc')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, host.target], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("alice\n[]\n", "")
