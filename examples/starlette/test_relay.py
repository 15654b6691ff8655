"""The relay in-process, and as a plugin of the simulated host and of the Go host (marker full)."""

import asyncio
import contextlib
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from relay.app import app

from mm_asgi.host import Host
from mm_asgi.testing import as_user, lifespan

HERE = Path(__file__).parent
STATIC = HERE / "relay" / "static"
PLUGIN_ID = "com.example.relay"
SUBPATH = "/chat"  # Mattermost itself below a path: the hardest case for URLs
ROOT_PATH = f"{SUBPATH}/plugins/{PLUGIN_ID}"
CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}

FULL = [pytest.mark.full, pytest.mark.timeout(180)]  # the first test builds the Go host
HOSTS = [pytest.param("simulated", marks=FULL), pytest.param("go", marks=FULL)]


class Site(Protocol):
    def client(self) -> httpx.AsyncClient: ...


class InProcess:
    """The app, started, behind as_user."""

    def __init__(self, started: Any) -> None:
        self.transport = httpx.ASGITransport(
            as_user(started, "alice", plugin_id=PLUGIN_ID, root_path=ROOT_PATH)
        )

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self.transport, base_url=f"http://test{ROOT_PATH}")


class Plugin:
    """The app in a plugin's process, behind a host at this address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url,
            trust_env=False,
            cookies={"MMAUTHTOKEN": "token-alice", "MMCSRF": "csrf-alice"},
            headers={"X-CSRF-Token": "csrf-alice"},
        )


@contextlib.asynccontextmanager
async def through_host(kind: str) -> AsyncIterator[Plugin]:
    if kind == "simulated":
        async with Host(directory=HERE, plugin_id=PLUGIN_ID, subpath=SUBPATH) as host:
            yield Plugin(host.url)
        return
    # The rest of the repository, which is there for tests of this example only.
    sys.path.append(str(HERE.parents[1]))
    from tests.go_host import GoHost, go_missing_reason

    if reason := go_missing_reason():
        pytest.skip(reason)
    async with GoHost(HERE, plugin_id=PLUGIN_ID, subpath=SUBPATH) as go_host:
        yield Plugin(go_host.plugin_url)


@pytest.fixture(params=["in-process", *HOSTS])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    if request.param == "in-process":
        async with lifespan(app) as started:
            yield InProcess(started)
    else:
        async with through_host(request.param) as plugin:
            yield plugin


@pytest.fixture(params=HOSTS)
async def plugin(request: pytest.FixtureRequest) -> AsyncIterator[Plugin]:
    async with through_host(request.param) as plugin:
        yield plugin


async def pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(CONTENT), 100_000):
        yield CONTENT[start : start + 100_000]


async def waiting(client: httpx.AsyncClient, name: str) -> httpx.Response:
    """The head of a parcel, once it waits."""
    while True:
        response = await client.head(f"parcels/{name}")
        if response.status_code == 200:
            return response
        await asyncio.sleep(0)  # in-process a request may end without giving way to the sender


async def test_the_page_links_below_the_prefix(site: Site) -> None:
    async with site.client() as client:
        page = await client.get("")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        base = str(client.base_url)
        for name in ("relay.css", "relay.js", "icon.svg"):
            assert f'"{base}static/{name}"' in page.text
            file = await client.get(f"{base}static/{name}")
            assert file.content == (STATIC / name).read_bytes()
        assert f'action="{base}name"' in page.text
        assert f'data-activity="{base}activity"' in page.text
        assert f'data-live="{base.replace("http", "ws", 1)}live"' in page.text
        assert (await client.get("static/nothing.css")).status_code == 404


async def test_a_session_keeps_the_name(site: Site) -> None:
    async with site.client() as client, site.client() as other:
        saved = await client.post("name", data={"name": '<b>"Ada"</b> '})
        assert (saved.status_code, saved.headers["location"]) == (303, str(client.base_url))
        assert 'value="&lt;b&gt;&quot;Ada&quot;&lt;/b&gt;"' in (await client.get("")).text
        assert 'value=""' in (await other.get("")).text
        await client.post("name", data={"name": " "})
        assert 'value=""' in (await client.get("")).text
        assert "session" not in client.cookies


async def test_without_a_name_of_ones_own_it_is_mattermosts(site: Site) -> None:
    async with site.client() as client:
        assert 'placeholder="alice"' in (await client.get("")).text
        sending = asyncio.create_task(client.put("parcels/a", content=b"1"))
        await waiting(client, "a")
        await client.get("parcels/a")
        assert (await sending).json()["sender"] == "alice"


async def test_outside_mattermost_it_is_somebodys() -> None:
    async with lifespan(app) as started:
        transport = httpx.ASGITransport(started)  # as under uvicorn
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert 'placeholder="somebody"' in (await client.get("/")).text


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_parcel_is_hashed_while_it_moves(site: Site, chunked: bool) -> None:
    async with site.client() as sender, site.client() as receiver:
        await sender.post("name", data={"name": "Ada"})
        body = pieces() if chunked else CONTENT
        sending = asyncio.create_task(sender.put("parcels/bild%201.png", content=body))
        head = await waiting(receiver, "bild%201.png")
        assert head.headers["content-disposition"] == "attachment; filename*=utf-8''bild%201.png"
        received = await receiver.get("parcels/bild%201.png")
        assert received.content == CONTENT
        if not chunked:
            assert received.headers["content-length"] == str(len(CONTENT))
        sent = await sending
        assert sent.json() == {
            "name": "bild 1.png",
            "sender": "Ada",
            "length": None if chunked else len(CONTENT),
            "size": len(CONTENT),
            "sha256": SHA256,
            "state": "done",
        }
        assert '<strong id="sent">1</strong>' in (await sender.get("")).text
        assert (await receiver.get("parcels/bild%201.png")).status_code == 404


async def test_the_newest_parcel_is_a_redirect_away(site: Site) -> None:
    async with site.client() as sender, site.client() as receiver:
        assert (await receiver.get("latest")).status_code == 404
        sending = asyncio.create_task(sender.put("parcels/a%20b%3F.txt", content=b"hello"))
        await waiting(receiver, "a%20b%3F.txt")
        away = await receiver.get("latest")
        url = f"{receiver.base_url}parcels/a%20b%3F.txt"
        assert (away.status_code, away.headers["location"]) == (307, url)
        assert (await receiver.get("latest", follow_redirects=True)).content == b"hello"
        assert (await sending).status_code == 200


async def test_an_empty_parcel(site: Site) -> None:
    async with site.client() as sender, site.client() as receiver:
        sending = asyncio.create_task(sender.put("parcels/empty", content=b""))
        await waiting(receiver, "empty")
        assert (await receiver.get("parcels/empty")).content == b""
        assert (await sending).json()["sha256"] == hashlib.sha256().hexdigest()


async def test_two_parcels_of_one_name(site: Site) -> None:
    async with site.client() as sender, site.client() as receiver:
        sending = asyncio.create_task(sender.put("parcels/a", content=b"1"))
        await waiting(receiver, "a")
        assert (await receiver.put("parcels/a", content=b"2")).status_code == 409
        assert (await receiver.get("parcels/a")).content == b"1"
        assert (await sending).status_code == 200


async def test_a_slash_too_many_is_a_redirect(site: Site) -> None:
    async with site.client() as client:
        response = await client.get("latest/")
        assert response.status_code == 307
        assert response.headers["location"] == f"{client.base_url}latest"
        base = str(client.base_url)
        response = await client.get(base.rstrip("/"))
        assert (response.status_code, response.headers["location"]) == (307, base)


async def test_a_websocket_gets_a_plain_http_answer(site: Site) -> None:
    async with site.client() as client:
        response = await client.get("live", headers=UPGRADE)
    assert (response.status_code, response.text) == (404, "Not Found")


async def test_a_websocket_opens_where_there_is_one() -> None:
    sent: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "websocket", "path": "/live", "headers": [], "query_string": b""}

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async with lifespan(app) as started:
        socket = asyncio.ensure_future(started(scope, receive, sent.put))
        assert (await sent.get())["type"] == "websocket.accept"
        assert json.loads((await sent.get())["text"]) == []
        socket.cancel()
        with pytest.raises(asyncio.CancelledError):
            await socket


# ------------------------------------------------------------------ what needs a real connection


async def news(response: httpx.Response) -> AsyncIterator[list[dict[str, Any]]]:
    async for line in response.aiter_lines():
        if line:
            yield json.loads(line.removeprefix("data: "))


async def test_the_activity_streams(plugin: Plugin) -> None:
    async with plugin.client() as client, client.stream("GET", "activity") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        events = news(response)
        assert await anext(events) == []
        sending = asyncio.create_task(client.put("parcels/a", content=b"hello"))
        assert [parcel["state"] for parcel in await anext(events)] == ["waiting"]
        await client.get("parcels/a")
        await sending
        async for parcels in events:
            if parcels[0]["state"] == "done":
                break
        assert parcels[0]["size"] == 5


async def test_the_receiver_sets_the_pace(plugin: Plugin) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 100_000
            yield bytes(100_000)

    async with plugin.client() as sender, plugin.client() as receiver:
        sending = asyncio.create_task(sender.put("parcels/zeros", content=endless()))
        await waiting(receiver, "zeros")
        async with receiver.stream("GET", "parcels/zeros") as response:
            chunks = response.aiter_bytes()
            size = 0
            while size < 1_000_000:
                size += len(await anext(chunks))
        # The receiver has left. Go passes an early answer on only to who stops sending; other
        # clients are cut. Either way the sender ends.
        with contextlib.suppress(httpx.TransportError):
            assert (await sending).status_code == 410
    assert given >= size


async def test_a_sender_that_leaves_is_seen_by_the_receiver(plugin: Plugin) -> None:
    async with plugin.client() as sender, plugin.client() as receiver:
        body = {"Content-Length": str(len(CONTENT) + 1)}
        hold = asyncio.Event()

        async def cut() -> AsyncIterator[bytes]:
            async for piece in pieces():
                yield piece
            await hold.wait()

        sending = asyncio.create_task(sender.put("parcels/cut", content=cut(), headers=body))
        await waiting(receiver, "cut")
        async with receiver.stream("GET", "parcels/cut") as response:
            chunks = response.aiter_bytes()
            size = 0
            while size < len(CONTENT):
                size += len(await anext(chunks))
            sending.cancel()
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(chunks)
        with pytest.raises(asyncio.CancelledError):
            await sending
