"""The poll in-process, and as a plugin of the simulated host and of the Go host (marker full)."""

import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from lunch import app as module
from lunch.poll import DISHES, Poll

from mm_asgi.contrib.wsgi import WSGIMiddleware
from mm_asgi.host import Host
from mm_asgi.testing import as_user

HERE = Path(__file__).parent
STATIC = HERE / "lunch" / "static"
PLUGIN_ID = "com.example.lunch"
SUBPATH = "/chat"  # Mattermost itself below a path: the hardest case for URLs
ROOT_PATH = f"{SUBPATH}/plugins/{PLUGIN_ID}"

FULL = [pytest.mark.full, pytest.mark.timeout(180)]  # the first test builds the Go host
HOSTS = [pytest.param("simulated", marks=FULL), pytest.param("go", marks=FULL)]


class Site(Protocol):
    def client(self, user: str | None = "alice") -> httpx.AsyncClient: ...


class InProcess:
    """The app behind as_user."""

    def __init__(self) -> None:
        self._app: Any = WSGIMiddleware(module.app)

    def client(self, user: str | None = "alice") -> httpx.AsyncClient:
        wrapped = as_user(self._app, user, plugin_id=PLUGIN_ID, root_path=ROOT_PATH)
        transport = httpx.ASGITransport(wrapped)
        return httpx.AsyncClient(transport=transport, base_url=f"http://test{ROOT_PATH}")


class Plugin:
    """The app in a plugin's process, behind a host at this address."""

    def __init__(self, url: str, host: Any) -> None:
        self.url = url
        self.host = host

    def client(self, user: str | None = "alice") -> httpx.AsyncClient:
        cookies, headers = {}, {}
        if user is not None:
            cookies = {"MMAUTHTOKEN": f"token-{user}", "MMCSRF": f"csrf-{user}"}
            headers = {"X-CSRF-Token": f"csrf-{user}"}
        return httpx.AsyncClient(
            base_url=self.url, cookies=cookies, headers=headers, trust_env=False
        )


@contextlib.asynccontextmanager
async def through_host(kind: str) -> AsyncIterator[Plugin]:
    if kind == "simulated":
        async with Host(directory=HERE, plugin_id=PLUGIN_ID, subpath=SUBPATH) as host:
            yield Plugin(host.url, host)
        return
    # The rest of the repository, which is there for tests of this example only.
    sys.path.append(str(HERE.parents[1]))
    from tests.go_host import GoHost, go_missing_reason

    if reason := go_missing_reason():
        pytest.skip(reason)
    async with GoHost(HERE, plugin_id=PLUGIN_ID, subpath=SUBPATH) as go_host:
        yield Plugin(go_host.plugin_url, go_host)


@pytest.fixture(autouse=True)
def new_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "poll", Poll())


@pytest.fixture(params=["in-process", *HOSTS])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    if request.param == "in-process":
        yield InProcess()
    else:
        async with through_host(request.param) as plugin:
            yield plugin


@pytest.fixture(params=HOSTS)
async def plugin(request: pytest.FixtureRequest) -> AsyncIterator[Plugin]:
    async with through_host(request.param) as plugin:
        yield plugin


async def test_a_vote(site: Site) -> None:
    """A form, a redirect, who asks, a streamed table: one plugin each, since a start takes long."""
    async with site.client() as alice, site.client("bob") as bob:
        base = str(alice.base_url)
        answer = await alice.post("votes", data={"dish": "Ramen"})
        assert (answer.status_code, answer.headers["location"]) == (303, f"{ROOT_PATH}/")
        page = await alice.get("")
        assert "signed in as <strong>alice</strong>" in page.text
        assert re.search(r'value="Ramen" aria-pressed="true"', page.text)
        for name in ("lunch.css", "lunch.js", "icon.svg"):
            assert f'"{ROOT_PATH}/static/{name}"' in page.text
            assert (await alice.get(f"static/{name}")).content == (STATIC / name).read_bytes()
        assert f'data-events="{ROOT_PATH}/events"' in page.text

        await bob.post(f"{base}votes", data={"dish": "Pizza"})
        await bob.post("votes", data={"dish": "Ramen"})
        assert (await bob.get("counts")).json() == {"Lentil soup": 0, "Pizza": 0, "Ramen": 2}
        assert (await bob.post("votes", data={"dish": "Moon"})).status_code == 422
        assert (await bob.get("nowhere")).status_code == 404
        table = await bob.get("votes.csv")
        assert table.text.splitlines() == ["user,dish", "alice,Ramen", "bob,Ramen"]


async def test_who_may_vote(site: Site) -> None:
    """Row S6: WSGI has one key for all spellings of Mattermost-User-Id."""
    claims = {
        "Mattermost-User-Id": "mallory",
        "Mattermost_User_Id": "mallory",
        "MATTERMOST_USER-ID": "mallory",
        "Remote_User": "mallory",
    }
    async with site.client(None) as nobody, site.client() as alice:
        answer = await nobody.post("votes", data={"dish": "Pizza"}, headers=claims)
        assert answer.status_code == 401
        assert (await alice.post("votes", data={"dish": "Pizza"}, headers=claims)).is_redirect
        assert (await alice.get("votes.csv")).text.splitlines()[1:] == ["alice,Pizza"]


async def test_another_menu(site: Site) -> None:
    async with site.client() as client:
        menu = "Käsespätzle\n\n  Salad \nSalad\n".encode()
        answer = await client.post("menu", files={"menu": ("menu.txt", menu)})
        assert answer.status_code == 303
        assert (await client.get("counts")).json() == {"Käsespätzle": 0, "Salad": 0}
        files = {"menu": ("menu.txt", b"\n")}
        assert (await client.post("menu", files=files)).status_code == 422
        files = {"menu": ("menu.txt", b"x" * 100_000)}
        assert (await client.post("menu", files=files)).status_code == 413


async def test_votes_arrive_as_events_and_a_stop_waits_for_no_thread(plugin: Plugin) -> None:
    async with plugin.client() as client, client.stream("GET", "events") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        events = (
            json.loads(line.removeprefix("data: "))
            async for line in response.aiter_lines()
            if line.startswith("data: ")
        )
        assert await anext(events) == dict.fromkeys(DISHES, 0)
        await client.post("votes", data={"dish": "Pizza"})
        assert (await anext(events))["Pizza"] == 1
        if hasattr(plugin.host, "control"):
            ended = await plugin.host.control("/deactivate")
            assert (ended["error"], ended["exit_code"], ended["sigkill"]) == (None, 0, False)
            with pytest.raises(StopAsyncIteration):
                await anext(events)
