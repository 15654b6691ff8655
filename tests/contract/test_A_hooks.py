"""Plugins that call the API of the Go host that calls them: from hooks, commands and routes.

Not on s: these tests make the Go host's API fail, stop and start again. Not on n where the API goes
away: there it is on the connection of the hooks. test_A_released.py has what holds there.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from mm_asgi import types
from mm_asgi.api import AsyncAPI
from mm_asgi.host import AppError, Host
from tests.browser.dev_terminal import DevTerminal
from tests.go_api import GoAPI
from tests.go_host import GoHost, StartFailed
from tests.roads import HTTPRoad, on
from tests.roads.letters import LETTERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "com.example.demo"
ALICE = {"Authorization": "Bearer token-alice"}


# -------------------------------------------------------------------- a first plugin

FIRST = """\
from fastapi import FastAPI
from mm_asgi import Plugin, Reject

plugin = Plugin(app := FastAPI())

@plugin.hook
async def message_will_be_posted(context, post):
    if "darn" in post.message:
        raise Reject("mind your language")
    post.message = post.message.replace("teh", "the")
    return post

@plugin.command("hi", hint="[name]", description="Greet somebody")
async def hi(context, name: str = "all"):
    return f"{await email(context.user_id)} greets {name}"

@app.get("/emails/{user_id}")
async def email(user_id: str) -> str:
    return (await plugin.api.get_user(user_id=user_id)).email
"""


class Simulated:
    """What alice does, in the simulated host."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.host = Host("first:plugin", directory=folder, plugin_id=PLUGIN, env=env)

    async def __aenter__(self) -> Simulated:
        await self.host.__aenter__()
        self.url = self.host.url
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.host.close()

    async def post(self, message: str) -> str:
        """The post's text as it is kept, or the id of the error."""
        try:
            return (await self.host.mattermost.post("town-square", "alice", message)).message
        except AppError as error:
            return error.id

    async def command(self, text: str) -> str:
        """What the command answers, or the id of the error."""
        try:
            return (await self.host.mattermost.execute_command("alice", "town-square", text)).text
        except AppError as error:
            return error.id


class Dev:
    """The same in ``mm-asgi dev``, through the page that it serves."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._terminal = DevTerminal(folder, "first:plugin", "--port", "0", environ=env)

    async def __aenter__(self) -> Dev:
        await self._terminal.__aenter__()
        self.url = await self._terminal.greeting()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._terminal.__aexit__()

    async def post(self, message: str) -> str:
        async with self._terminal.client() as client:
            order = {"channel": "town-square", "text": message}
            url = str(httpx.URL(self.url).join("/_mm/message"))
            answer = (await client.post(url, json=order)).json()
        if answer["outcome"] == "rejected":
            return f"Post rejected by plugin. {answer['text']}"
        text: str = answer.get("id") or answer["text"]
        return text

    async def command(self, text: str) -> str:
        return await self.post(text)


class ThroughGo:
    """The same through the Go host."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.host = GoHost(folder, plugin_id=PLUGIN, env=env, api="beside")
        self.api = GoAPI(self.host)

    async def __aenter__(self) -> ThroughGo:
        await self.host.__aenter__()
        self.url = self.host.plugin_url
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.host.close()

    async def post(self, message: str) -> str:
        return outcome(await self.api.post("alice", message), "post", "message")

    async def command(self, text: str) -> str:
        return outcome(await self.api.command("alice", text), "response", "text")


def outcome(answer: dict[str, Any], name: str, field: str) -> str:
    """What a user reads: the text, or the error's id."""
    found: str = answer["error"]["id"] if answer["error"] else answer[name][field]
    return found


@pytest.mark.parametrize(
    ("site", "wire"),
    [
        pytest.param(Simulated, "native", id="simulated"),
        pytest.param(Dev, "native", id="dev", marks=[pytest.mark.full, pytest.mark.timeout(60)]),
        pytest.param(ThroughGo, "native", id="go-native", marks=LETTERS["g"].marks()),
        pytest.param(ThroughGo, "grpcio", id="go-grpcio", marks=LETTERS["g"].marks()),
    ],
)
async def test_a_first_plugin_of_20_lines(
    site: type[Simulated | Dev | ThroughGo], wire: str, tmp_path: Path
) -> None:
    assert len(FIRST.splitlines()) <= 20
    (tmp_path / "first.py").write_text(FIRST)
    (tmp_path / "plugin.py").write_text('import mm_asgi\n\nmm_asgi.run("first:plugin")\n')
    async with site(tmp_path, {"MM_ASGI_WIRE": wire}) as alice:
        assert await alice.post("teh cat") == "the cat"
        assert await alice.post("darn") == "Post rejected by plugin. mind your language"
        assert await alice.command("/hi bob") == "alice@example.com greets bob"
        assert await alice.command("/HI") == "alice@example.com greets all"
        assert "not_found" in await alice.command("/bye")
        async with httpx.AsyncClient(trust_env=False, headers=ALICE) as client:
            answer = await client.get(f"{alice.url}/emails/bob")
            assert answer.json() == "bob@example.com"


# -------------------------------------------------------------------- hooks that call the API


BUSY = "tests.contract.apps.busy:plugin"
SETTINGS = {"hook_budget": 1.5, "api_timeout": 5}


class Busy:
    """What a test asks of the plugin of apps/busy.py: a client of the API that the host serves."""

    def __init__(self, road: HTTPRoad) -> None:
        self.road = road
        self.host = road.host
        self.go = road.api

    async def posted(self, message: str) -> tuple[str, str]:
        """What a user's post says when it is kept, and the request's id."""
        answer = await self.go.post("alice", message)
        assert answer["error"] is None
        return answer["post"]["message"], answer["request_id"]

    async def error_of(self, request_id: str) -> str:
        """The text of the request's error in the log."""
        self.road.expected.add(request_id)
        for _ in range(1000):
            for line in self.road.errors():
                if line.request_id == request_id:
                    return line.message
            await self.road.turn()
        raise AssertionError(f"no error of {request_id}: {self.road.log_lines()}")


@pytest_asyncio.fixture(loop_scope="session")
async def busy(road: HTTPRoad) -> AsyncIterator[Busy]:
    """The road, seen so."""
    made = Busy(road)
    await made.go.calls()
    yield made
    await made.go.restored()


@on("g", but="s", plugin=BUSY, settings=SETTINGS, api=True)
async def test_A1_a_hook_calls_and_is_called_meanwhile(road: HTTPRoad, busy: Busy) -> None:
    assert (await busy.posted("count 20"))[0] == "count 20"
    await busy.go.settled()
    posts = (await busy.go.state())["posts"]
    counted = [post["message"] for post in posts if post["message"].startswith("count")]
    assert sorted(counted) == sorted(f"count {number}" for number in range(1, 21))
    calls = await busy.go.calls()
    assert [call["call"] for call in calls] == ["CreatePost"] * 19
    if not road.is_released:  # there the session is the only connection
        assert len({call["peer"] for call in calls}) == 1


@on("g", but="s", plugin=BUSY, settings=SETTINGS, api=True)
async def test_A1_a_filter_asks_the_api_before_it_answers(road: HTTPRoad, busy: Busy) -> None:
    assert (await busy.posted("who"))[0] == "alice@example.com"
    asked = await asyncio.gather(*(busy.posted("who") for _ in range(30)))
    assert {message for message, _ in asked} == {"alice@example.com"}
    assert await busy.go.names() == ["GetUser"] * 31


@on("g", but="sn", plugin=BUSY, settings=SETTINGS, api=True)
async def test_H3_a_filter_in_a_thread_calls_the_blocking_api(road: HTTPRoad, busy: Busy) -> None:
    road.expected.add("the hook message_will_be_updated failed: LookupError: seen before")
    async with AsyncAPI(busy.go.target) as api:
        channel_id = (await busy.go.state())["channels"]["town-square"]
        made = await api.create_post(
            post=types.Post(user_id="bob", channel_id=channel_id, message="one")
        )
        for message, kept in (("two", "two (was: one)"), ("three", "three")):
            made.message = message  # the second time the hook raises, and nothing is changed
            assert (await api.update_post(post=made)).message == kept


@on("g", but="s", plugin=BUSY, settings=SETTINGS, api=True)
@pytest.mark.parametrize("failure", ["raise", "exit", "nonsense", "overrun", "ask for nobody"])
async def test_H2_a_filter_that_fails_never_blocks_a_users_post(
    road: HTTPRoad, busy: Busy, failure: str
) -> None:
    message, request_id = await busy.posted(failure)
    assert message == failure
    said = await busy.error_of(request_id)
    assert said.startswith("the hook message_will_be_posted ")
    assert "the host got its default" in said


@on("g", but="sn", plugin=BUSY, settings=SETTINGS, api=True)
async def test_H2_an_api_that_is_away_blocks_no_post_and_may_return(
    road: HTTPRoad, busy: Busy
) -> None:
    await busy.go.stop()
    message, request_id = await busy.posted("who")
    assert message == "who"
    await busy.error_of(request_id)
    await busy.go.start()
    async with asyncio.timeout(10):
        while (await busy.posted("who"))[0] == "who":
            pass  # each try waits for the plugin's next attempt to connect


@on("g", but="sn", plugin=BUSY, settings=SETTINGS, api=True)
async def test_A1_a_command_is_registered_at_each_activation(road: HTTPRoad, busy: Busy) -> None:
    async def whoami() -> str:
        return outcome(await busy.go.command("bob", "/whoami"), "response", "text")

    assert await whoami() == "bob@example.com"
    await busy.host.control("/deactivate")
    assert await whoami() == "plugin.grpc.execute_command.error"
    await busy.go.stop()
    facts = await busy.host.control("/activate")
    assert facts["event"] == "ready"  # the API is away: the log says so, and the plugin runs
    await road.logged("/whoami is not registered", "warn")
    await busy.go.start()
    await busy.host.control("/deactivate")
    await busy.go.calls()
    assert (await busy.host.control("/activate"))["event"] == "ready"
    assert "RegisterCommand" in await busy.go.names()
    assert await whoami() == "bob@example.com"


@on("g", but="s", plugin=BUSY, settings=SETTINGS, api=True)
async def test_S7_the_site_and_the_settings_are_read_at_each_change(
    road: HTTPRoad, busy: Busy
) -> None:
    async def known() -> Any:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(busy.host.plugin_url)).json()

    assert await known() == {"scheme": "http", "config": {}}
    await busy.go.configure({
        "ServiceSettings": {"SiteURL": "https://chat.example.com"},
        "PluginSettings": {"Plugins": {PLUGIN: {"Greeting": "hi"}}},
    })  # fmt: skip
    assert (await busy.host.control("/hook/OnConfigurationChange"))["ok"]
    assert await known() == {"scheme": "https", "config": {"greeting": "hi"}}
    await busy.go.configure({})  # settings are null then
    await busy.go.fail("GetConfig", code="UNIMPLEMENTED")
    assert (await busy.host.control("/hook/OnConfigurationChange"))["ok"]
    # On a released server GetConfig cannot fail, and the configuration has no SiteURL any more.
    scheme = "http" if road.is_released else "https"
    assert await known() == {"scheme": scheme, "config": {}}


# -------------------------------------------------------------------- without grpcio


@pytest.fixture
def no_grpcio(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python in which nobody can import grpc."""
    blocked = tmp_path / "grpc"
    blocked.mkdir()
    why = "raise ModuleNotFoundError('there is no grpc here', name='grpc')\n"
    (blocked / "__init__.py").write_text(why)
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}


@on("g")
async def test_A1_the_fastapi_example_needs_no_grpcio(no_grpcio: dict[str, str]) -> None:
    folder = ROOT / "examples" / "fastapi"
    with pytest.raises(StartFailed, match=r"grpc"):  # there is indeed none
        await GoHost(folder, env=no_grpcio | {"MM_ASGI_WIRE": "grpcio"}).__aenter__()
    async with GoHost(folder, env=no_grpcio, api="beside") as host:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{host.plugin_url}/me", headers=ALICE)
        assert answer.json() == {"id": "alice", "username": "alice"}
        assert "GetUser" in await GoAPI(host).names()
        if sys.platform == "linux":
            loaded = await asyncio.to_thread(Path(f"/proc/{host.pid}/maps").read_text)
            assert "libpython" in loaded or "python" in loaded
            assert "cygrpc" not in loaded
