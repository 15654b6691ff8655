"""The fixture mm: a Mattermost in memory with the plugin running in it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from mm_asgi import Plugin, Reject
from mm_asgi.api import AsyncAPI
from mm_asgi.contrib.fastapi import API, CurrentUser  # noqa: TC001 - FastAPI reads them
from mm_asgi.errors import ConfigError, StartupError
from mm_asgi.host import AppError
from mm_asgi.settings import Settings
from mm_asgi.testing import MM
from mm_asgi.testing.records import LogRecorder
from tests.unit.testing.wire_apps import WireApp, plugin_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

shop = FastAPI()
plugin = Plugin(shop)


@shop.post("/orders")
async def order(user: CurrentUser, api: API) -> None:
    logging.getLogger("shop").info("ordered by %s", user.id)
    team = (await api.get_teams())[0]
    channel = await api.get_channel_by_name(team_id=team.id, name="town-square")
    text = {
        "channel_id": channel.id,
        "user_id": user.id,
        "message": f"{user.username} ordered",
    }
    await api.create_post(post=text)  # type: ignore[arg-type]


@shop.get("/events")
async def events() -> StreamingResponse:
    async def ticks() -> AsyncIterator[str]:
        while True:
            yield "data: tick\n\n"
            await asyncio.sleep(0.005)

    return StreamingResponse(ticks(), media_type="text/event-stream")


@plugin.hook
async def message_will_be_posted(context: Any, post: Any) -> None:
    if "badword" in post.message:
        raise Reject("no")


@pytest.fixture
def wire_app() -> WireApp:
    return WireApp()


@pytest.fixture
def mm_app(request: pytest.FixtureRequest, wire_app: WireApp) -> Plugin:
    """What mm runs here: the shop, or the plugin of wire_apps for tests with ``wire_app``."""
    return plugin_of(wire_app) if "wire_app" in request.node.fixturenames[:2] else plugin


# ---------------------------------------------------------------- a user's tests, as they are written


async def test_order(mm):  # type: ignore[no-untyped-def]
    alice = mm.add_user("alice")
    r = await mm.client(user=alice).post("/orders")
    assert r.status_code == 200
    assert mm.posts[-1].message == "alice ordered"


async def test_sse(mm):  # type: ignore[no-untyped-def]
    async with mm.client().stream("GET", "/events") as r:
        assert (await anext(r.aiter_lines())).startswith("data:")
        await mm.disconnect(r)  # the app must see http.disconnect


async def test_filter(mm):  # type: ignore[no-untyped-def]
    assert (await mm.post("badword")).rejected == "no"


# ---------------------------------------------------------------- what mm tells


async def test_what_happened_is_kept(mm: MM) -> None:
    assert (await mm.client(user="alice").post("/orders")).status_code == 200
    calls = [call.name for call in mm.calls][-4:]
    assert calls == ["GetUser", "GetTeams", "GetChannelByName", "CreatePost"]
    assert mm.calls[-1].response.post.message == "alice ordered"  # type: ignore[union-attr]
    assert [hook.name for hook in mm.hook_calls] == ["MessageWillBePosted"]
    assert [event.name for event in mm.events] == ["posted"]
    assert [line.message for line in mm.log] == ["ordered by alice"]


async def test_who_is_not_logged_in(mm: MM) -> None:
    assert (await mm.client().post("/orders")).status_code == 401
    assert mm.posts == []


async def test_a_user_comes_with_the_client(mm: MM) -> None:
    assert "carol" not in mm.mattermost.users
    assert (await mm.client(user="carol").post("/orders")).status_code == 200
    assert mm.posts[-1].user_id == "carol"
    dave = mm.add_user("dave", roles="system_admin system_user")
    assert mm.mattermost.users["dave"].roles == dave.roles == "system_admin system_user"


async def test_a_client_for_the_api_finds_it_in_the_environment(mm: MM) -> None:
    async with AsyncAPI() as api:
        assert (await api.get_user(user_id="bob")).username == "bob"
    assert mm.calls[-1].name == "GetUser"
    assert os.environ["MATTERMOST_PLUGIN_API_TARGET"] == mm.api_target


async def test_a_post_and_its_hooks(wire_app: WireApp, mm: MM) -> None:
    posted = await mm.post("hello", user="bob", channel="off-topic")
    assert posted.rejected is None
    assert posted.post is not None
    assert posted.post == mm.posts[-1]
    assert wire_app.seen == ["startup", "posted hello"]
    assert (await mm.post("x" * 20_000)).rejected == "model.post.is_valid.message_length.app_error"


async def test_a_command(wire_app: WireApp, mm: MM) -> None:
    answer = await mm.command("/shop tea", user=mm.add_user("bob"))
    assert answer.text == "ordered tea for @bob"
    with pytest.raises(AppError, match="There is no such command"):
        await mm.command("/nothing")


async def test_background_work_is_waited_for(wire_app: WireApp, mm: MM) -> None:
    await mm.client().get("/background")
    wire_app.gate.set()
    await mm.settled()
    assert wire_app.seen[-1] == "background"


async def test_an_exception_can_be_answered(wire_app: WireApp, mm: MM) -> None:
    with pytest.raises(ValueError, match="planted"):
        await mm.client().get("/raises")
    assert (await mm.client(raise_app_exceptions=False).get("/raises")).status_code == 500
    await mm.settled()  # the answer was all that was wanted
    assert [line.level for line in mm.log if line.fields.get("error")] == [
        "error",
        "error",
    ]


async def test_a_client_does_not_start_the_plugin_again(wire_app: WireApp) -> None:
    made = MM(wire_app)
    client = made.client()
    with pytest.raises(RuntimeError, match="the plugin does not run"):
        await client.get("/")
    async with made:
        assert (await client.get("/")).status_code == 200
    with pytest.raises(RuntimeError, match="the plugin does not run"):
        await client.get("/")
    assert made.api_target == ""


async def test_a_failed_start_leaves_the_log_as_it_was() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    made = MM(app, settings=Settings(lifespan="on"))
    with pytest.raises(StartupError):
        await made.__aenter__()
    assert (root.level, root.handlers) == before


async def test_one_plugin_runs_again_and_again() -> None:
    for _ in range(3):
        async with MM(plugin) as mm:
            assert (await mm.client(user="alice").post("/orders")).status_code == 200
            assert len(mm.posts) == 1
    plugin.hook(on_configuration_change)  # it is not frozen


async def test_one_plugin_object_runs_in_one_place_at_a_time() -> None:
    async with MM(plugin) as mm:
        with pytest.raises(ConfigError, match="this Plugin object runs in another place already"):
            await MM(plugin).__aenter__()
        async with mm:  # the same run, once more
            pass
        assert (await mm.client(user="alice").post("/orders")).status_code == 200
    async with MM(plugin) as mm:
        assert (await mm.client(user="alice").post("/orders")).status_code == 200


def test_a_run_whose_loop_is_gone_is_in_nobodys_way() -> None:
    async def forget() -> None:
        """A run that its test never left, as far as a plugin sees it."""
        plugin.freeze()
        plugin.connection.use("", 1.0)

    asyncio.run(forget())

    async def next_test() -> None:
        async with MM(plugin) as mm:
            assert (await mm.client(user="alice").post("/orders")).status_code == 200

    asyncio.run(next_test())


async def on_configuration_change(context: Any) -> None:
    """A hook that is added after runs."""


# ---------------------------------------------------------------- nothing stays behind


async def one_test(mm: MM, number: int) -> None:
    """What a test does, in one of many shapes."""
    client = mm.client(user=f"user{number}")
    match number % 5:
        case 0:
            assert (await client.get("/hello")).text == f"hello user{number}"
        case 1:
            assert len((await client.post("/echo", content=b"x" * 70_000)).content) == 70_000
        case 2:
            async with client.stream("GET", "/events") as response:
                await anext(response.aiter_lines())
                await mm.disconnect(response)
        case 3:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/half")
        case _:
            assert (await mm.post(f"badword {number}")).rejected == "no"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


async def test_a_hundred_tests_at_once_leave_nothing_behind(wire_app: WireApp, mm: MM) -> None:
    await one_test(mm, 0)
    gc.collect()
    tasks, open_files = asyncio.all_tasks(), descriptors()
    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(one_test(mm, number))
    await mm.settled()
    assert await until_gone(tasks) == set()
    assert descriptors() == open_files
    channel = mm._engine.channel
    assert channel._calls() == []
    assert len(channel._transports) == 1


async def test_the_end_leaves_nothing_behind() -> None:
    tasks, open_files = asyncio.all_tasks(), descriptors()
    for number in range(5):
        async with MM(plugin_of(WireApp())) as mm:
            await one_test(mm, number)
            left = await mm.client().send(mm.client().build_request("GET", "/events"), stream=True)
            assert left.status_code == 200  # nobody closes it
            folder = mm.api_target.removeprefix("unix:").rpartition("/")[0]
        assert not os.path.exists(folder)  # noqa: ASYNC240
    assert await until_gone(tasks) == set()
    assert descriptors() == open_files


async def until_gone(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """The tasks beside those of before, once what is at its end has ended."""
    for _ in range(10):
        if not asyncio.all_tasks() - before:
            break
        await asyncio.sleep(0)
    return asyncio.all_tasks() - before


def test_a_line_with_wrong_arguments_is_no_exception_of_the_app(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorder = LogRecorder(lambda line: pytest.fail(line.message))
    recorder.handle(logging.LogRecord("shop", logging.INFO, __file__, 1, "%d", ("x",), None))
    assert "--- Logging error ---" in capsys.readouterr().err
