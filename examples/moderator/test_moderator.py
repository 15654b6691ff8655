"""The functions alone; then the plugin behind the simulated host and the Go host (marker full)."""

import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from moderator.main import app, message_will_be_posted, message_will_be_updated
from moderator.rules import Rules
from moderator.store import Journal

from mm_asgi import Reject, types
from mm_asgi.host import AppError, Host
from mm_asgi.requester import Identity
from mm_asgi.testing import as_user

HERE = Path(__file__).parent
PLUGIN_ID = "com.example.moderator"
FULL = [pytest.mark.full, pytest.mark.timeout(180)]  # the first test builds the Go host

# ------------------------------------------------------------------ the functions alone


@pytest.mark.parametrize(
    ("text", "word"),
    [("well, DARN!", "darn"), ("darned", None), ("what the heck", "heck"), ("", None)],
)
def test_words(text: str, word: str | None) -> None:
    assert Rules().forbidden(text) == word


@pytest.mark.parametrize(
    ("text", "calm"),
    [
        ("HELLO EVERYBODY", "Hello everybody"),
        ("Hello Everybody", "Hello Everybody"),
        ("LGTM", "LGTM"),
        ("", ""),
    ],
)
def test_shouting(text: str, calm: str) -> None:
    assert Rules().calmed(text) == calm
    assert Rules(shouting=100).calmed(text) == text


def test_rules_change() -> None:
    rules = Rules(words=["b"]).with_words(("A", "c")).without_words(("B",)).with_shouting(5)
    assert rules == Rules(words=["a", "c"], shouting=5)
    with pytest.raises(ValueError, match="pattern"):
        rules.with_words(("two words",))
    with pytest.raises(ValueError, match="less than or equal to 100"):
        rules.with_shouting(101)


async def test_the_filter_without_a_host(caplog: pytest.LogCaptureFixture) -> None:
    """No API can be reached: the log says so, and the filter does its work."""
    post = types.Post(user_id="alice", message="darn it")
    with pytest.raises(Reject, match="“darn” is not for here"):
        await message_will_be_posted(Identity(), post)
    assert await message_will_be_posted(Identity(), types.Post(message="hello")) is None
    shout = types.Post(user_id="alice", message="GOOD MORNING")
    changed = await message_will_be_updated(Identity(), shout, types.Post())
    assert changed is not None
    assert changed.message == "Good morning"
    assert "the name of alice is not known" in caplog.text
    assert "the author was not told" in caplog.text


async def test_the_journal_goes_on_where_a_reader_was() -> None:
    journal = Journal()
    journal.note("refused", "alice", "one")
    journal.note("calmed", "bob", "two")
    assert [(await anext(journal.since(last))).id for last in (0, 1, 99)] == [1, 2, 1]


async def test_the_page_is_for_who_is_logged_in() -> None:
    for user, status in (("alice", 200), (None, 401)):
        transport = httpx.ASGITransport(as_user(app, user, plugin_id=PLUGIN_ID))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/rules")).status_code == status
            page = await client.get("/")
            assert page.headers["content-type"] == "text/html; charset=utf-8"


# ------------------------------------------------------------------ behind a host


class Server(Protocol):
    """What users of a Mattermost do, and see."""

    url: str

    async def post(self, user: str, text: str) -> str:
        """The text as it was posted, or why it was not."""
        ...

    async def command(self, user: str, text: str) -> str: ...

    async def whispers(self) -> list[str]: ...


class Simulated:
    def __init__(self, host: Host) -> None:
        self.url = host.url
        self._mattermost = host.mattermost

    async def post(self, user: str, text: str) -> str:
        try:
            return (await self._mattermost.post("town-square", user, text)).message
        except AppError as error:
            return str(error)

    async def command(self, user: str, text: str) -> str:
        return (await self._mattermost.execute_command(user, "town-square", text)).text

    async def whispers(self) -> list[str]:
        return [
            json.loads(event.data["post"])["message"]
            for event in self._mattermost.events
            if event.name == "ephemeral_message"
        ]


class Go:
    def __init__(self, host: Any) -> None:
        self.url = host.plugin_url
        self._host = host

    async def post(self, user: str, text: str) -> str:
        said = {"user": user, "channel": "town-square", "message": text}
        answer = await self._host.control("/api/post", said)
        return str(answer["error"] or answer["post"]["message"])

    async def command(self, user: str, text: str) -> str:
        typed = {"user": user, "channel": "town-square", "command": text}
        answer = await self._host.control("/api/command", typed)
        return str(answer["response"]["text"])

    async def whispers(self) -> list[str]:
        state = await self._host.control("/api/state", method="GET")
        return [shown["post"]["message"] for shown in state["ephemeral"]]


@contextlib.asynccontextmanager
async def go_host(*flags: str) -> AsyncIterator[Any]:
    # The rest of the repository, which is there for tests of this example only.
    sys.path.append(str(HERE.parents[1]))
    from tests.go_host import GoHost, go_missing_reason

    if reason := go_missing_reason():
        pytest.skip(reason)
    async with GoHost(HERE, plugin_id=PLUGIN_ID, flags=flags) as host:
        yield host


@pytest.fixture(params=[pytest.param(kind, marks=FULL) for kind in ("simulated", "go")])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    if request.param == "go":
        async with go_host("-api") as host:
            yield Go(host)
    else:
        async with Host(directory=HERE, plugin_id=PLUGIN_ID) as simulated:
            yield Simulated(simulated)


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url, cookies={"MMAUTHTOKEN": "token-alice"}, trust_env=False, timeout=20
    )


async def test_posts_commands_and_the_page(server: Server) -> None:
    async with client_of(server.url) as client, client.stream("GET", "acts") as stream:
        lines = stream.aiter_lines()

        async def next_act() -> tuple[str, str, str]:
            async for line in lines:
                if line.startswith("data: "):
                    act = json.loads(line.removeprefix("data: "))
                    return act["kind"], act["user"], act["text"]
            raise EOFError("the stream has ended")

        assert await server.post("alice", "hello") == "hello"
        assert "“darn” is not for here" in await server.post("alice", "darn")
        assert await next_act() == ("refused", "alice", "because of “darn”")
        assert await server.post("bob", "GOOD MORNING ALL") == "Good morning all"
        assert await next_act() == ("calmed", "bob", "a post in capital letters")
        assert ["No need to shout" in text for text in await server.whispers()][:1] == [True]

        assert await server.command("alice", "/words") == "Refused are: darn, heck."
        refusal = "Only a system administrator may change the rules."
        assert await server.command("alice", "/words add sprouts") == refusal
        answer = await server.command("sysadmin", "/words add Sprouts kale")
        assert answer == "Refused are now: darn, heck, kale, sprouts."
        assert (await next_act())[:2] == ("rules", "sysadmin")
        assert "“kale”" in await server.post("bob", "Kale?")
        await server.command("sysadmin", "/words remove kale darn")
        assert await server.post("bob", "darn kale") == "darn kale"
        assert "not a whole number" in await server.command("sysadmin", "/shouting loud")
        assert "1 to 100" in await server.command("sysadmin", "/shouting 500")
        assert "Above 100 %" in await server.command("sysadmin", "/shouting 100")
        assert await server.post("bob", "GOOD MORNING ALL") == "GOOD MORNING ALL"
        assert (await client.get("rules")).json() == {"words": ["heck", "sprouts"], "shouting": 100}

        page = await client.get("")
        for name in ("moderator.css", "moderator.js", "icon.svg"):
            assert f'"static/{name}"' in page.text
            assert (await client.get(f"static/{name}")).status_code == 200


@pytest.mark.full
@pytest.mark.timeout(60)
async def test_rules_outlive_a_restart() -> None:
    async with Host(directory=HERE, plugin_id=PLUGIN_ID) as host:
        server = Simulated(host)
        await server.command("sysadmin", "/words add kale")
        await host.restart()
        assert await server.command("alice", "/words") == "Refused are: darn, heck, kale."


@pytest.mark.full
@pytest.mark.timeout(180)
async def test_a_host_without_an_api() -> None:
    async with go_host() as host, client_of(host.plugin_url) as client:
        assert (await client.get("rules")).json() == {"words": ["darn", "heck"], "shouting": 70}
        said = [line["message"] for line in host.log_lines("plugin") if line["level"] == "warn"]
        assert any("the rules could not be loaded" in line for line in said)
