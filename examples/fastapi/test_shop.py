"""The shop in-process (httpx.ASGITransport), and as a plugin of both hosts (marker full)."""

import contextlib
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from shop.main import app

from mm_asgi.host import Host
from mm_asgi.testing import as_user, lifespan

if TYPE_CHECKING:
    from mm_asgi.testing.asgi import ASGIApp
    from tests.go_host import GoHost

HERE = Path(__file__).parent
STATIC = HERE / "shop" / "static"
PLUGIN_ID = "com.example.shop"
SUBPATH = "/chat"  # Mattermost itself below a path: the hardest case for URLs
ROOT_PATH = f"{SUBPATH}/plugins/{PLUGIN_ID}"

GO = [pytest.mark.full, pytest.mark.timeout(180)]  # the first test builds the host


@dataclass
class InProcess:
    """The app, started, behind as_user."""

    app: "ASGIApp"

    def client(self, user: str | None = "alice") -> httpx.AsyncClient:
        wrapped = as_user(self.app, user, plugin_id=PLUGIN_ID, root_path=ROOT_PATH)
        transport = httpx.ASGITransport(wrapped)
        return httpx.AsyncClient(transport=transport, base_url=f"http://test{ROOT_PATH}")


@dataclass
class ThroughHost:
    """The plugin, started by a host; users log in by cookie, as a browser's do."""

    url: str

    def client(self, user: str | None = "alice") -> httpx.AsyncClient:
        cookies, headers = {}, {}
        if user is not None:
            cookies = {"MMAUTHTOKEN": f"token-{user}", "MMCSRF": f"csrf-{user}"}
            headers = {"X-CSRF-Token": f"csrf-{user}"}
        return httpx.AsyncClient(
            base_url=self.url, cookies=cookies, headers=headers, trust_env=False
        )


class ThroughGo(ThroughHost):
    """The Go host, of which some tests ask more."""

    def __init__(self, host: "GoHost") -> None:
        super().__init__(host.plugin_url)
        self.host = host


class Events:
    """The events of an open text/event-stream, one at a time."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[str, Any]:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line and "data" in fields:
                return fields["event"], json.loads(fields["data"])
            name, _, value = line.partition(": ")
            fields[name] = value
        raise EOFError("the stream has ended")


@contextlib.asynccontextmanager
async def through_go() -> AsyncIterator[ThroughGo]:
    # The rest of the repository, which is there for tests of this example only.
    sys.path.append(str(HERE.parents[1]))
    from tests.go_host import GoHost, go_missing_reason

    if reason := go_missing_reason():
        pytest.skip(reason)
    async with GoHost(HERE, plugin_id=PLUGIN_ID, subpath=SUBPATH) as host:
        yield ThroughGo(host)


@pytest.fixture(
    params=[
        "in-process",
        pytest.param("simulated", marks=pytest.mark.full),
        pytest.param("go", marks=GO),
    ]
)
async def site(request: pytest.FixtureRequest) -> AsyncIterator[InProcess | ThroughHost]:
    if request.param == "go":
        async with through_go() as site:
            yield site
    elif request.param == "simulated":
        async with Host(directory=HERE, plugin_id=PLUGIN_ID, subpath=SUBPATH) as host:
            yield ThroughHost(host.url)
    else:
        async with lifespan(app) as started:
            yield InProcess(started)


@pytest.fixture
async def go() -> AsyncIterator[ThroughGo]:
    async with through_go() as site:
        yield site


Site = InProcess | ThroughHost


async def test_json(site: Site) -> None:
    async with site.client() as client:
        products = (await client.get("products")).json()
        assert [product["id"] for product in products] == ["mug", "shirt", "stickers"]

        response = await client.post("orders", json={"product": "mug", "quantity": 2})
        assert response.status_code == 201
        order = response.json()
        assert (order["product"], order["quantity"], order["buyer"]) == ("mug", 2, "alice")

        # url_for knows the prefix.
        assert response.headers["location"] == str(client.base_url.join("orders/1"))
        found = (await client.get(response.headers["location"])).json()
        assert found["id"] == order["id"] == 1
        assert len((await client.get("orders")).json()) == 1


async def test_what_is_not_there_or_wrong(site: Site) -> None:
    async with site.client() as client:
        assert (await client.get("orders/1")).status_code == 404
        assert (await client.post("orders", json={"product": "moon"})).status_code == 422
        assert (await client.post("orders", content=b"{")).status_code == 422
        assert (await client.get("nowhere")).json() == {"detail": "Not Found"}
        assert (await client.delete("orders")).status_code == 405


async def test_a_form(site: Site) -> None:
    async with site.client() as client:
        form = {"product": "shirt", "quantity": "3", "note": "größe M & blau"}
        response = await client.post("orders/form", data=form)
        assert response.status_code == 201
        order = response.json()
        assert (order["quantity"], order["note"]) == (3, "größe M & blau")
        assert (await client.post("orders/form", data={"product": "moon"})).status_code == 422


async def test_a_file_upload(site: Site) -> None:
    content = bytes(range(256)) * 10_000
    async with site.client() as client:
        response = await client.post("files", files={"file": ("bild 1.png", content)})
    assert response.json() == {
        "name": "bild 1.png",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


async def test_a_streamed_upload(site: Site) -> None:
    chunk = b"0123456789" * 10_000

    async def body() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield chunk

    async with site.client() as client:
        response = await client.put("files/stream", content=body())
    assert response.json() == {
        "name": "stream",
        "size": 30 * len(chunk),
        "sha256": hashlib.sha256(chunk * 30).hexdigest(),
    }


@pytest.mark.parametrize("size", [0, 1, 65536, 3_000_001])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_download(site: Site, size: int, chunked: bool) -> None:
    async with site.client() as client:
        response = await client.get("files/pattern", params={"size": size, "chunked": chunked})
    assert response.content == (bytes(range(256)) * (size // 256 + 1))[:size]
    length = response.headers.get("content-length")
    # A short answer without a length gets one from mm_asgi or from Go's net/http.
    assert length == str(size) or chunked


async def test_sse_that_ends(site: Site) -> None:
    async with site.client() as client:
        response = await client.get("events/ticks", params={"count": 3, "interval": 0})
    events = Events(response)
    assert [await events.next() for _ in range(3)] == [("tick", {"tick": n}) for n in (1, 2, 3)]
    with pytest.raises(EOFError):
        await events.next()


async def test_the_page_and_its_files(site: Site) -> None:
    async with site.client() as client:
        page = await client.get("")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.content == (STATIC / "index.html").read_bytes()
        for name in ("shop.css", "shop.js", "csrf.js", "icon.svg"):
            file = await client.get(f"static/{name}")
            assert file.content == (STATIC / name).read_bytes()
            again = await client.get(
                f"static/{name}", headers={"If-None-Match": file.headers["etag"]}
            )
            assert (again.status_code, again.content) == (304, b"")
        assert (await client.get("static/nothing.css")).status_code == 404
        part = await client.get("static/shop.js", headers={"Range": "bytes=3-9"})
        assert (part.status_code, part.content) == (206, (STATIC / "shop.js").read_bytes()[3:10])


async def test_the_prefix_without_a_slash_is_sent_to_the_page(site: Site) -> None:
    async with site.client() as client:
        base = str(client.base_url)
        response = await client.get(base.rstrip("/"))
        assert response.status_code == 307
        assert response.headers["location"] == base


async def test_docs_need_no_internet(site: Site) -> None:
    async with site.client() as client:
        page = await client.get("docs")
        assert page.status_code == 200
        assert "//" not in page.text  # no host but our own
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js"):
            url = f"{ROOT_PATH}/docs/{name}"
            assert f'"{url}"' in page.text
            assert (await client.get(str(client.base_url.join(url)))).status_code == 200


async def test_openapi_names_the_prefix_as_server(site: Site) -> None:
    async with site.client() as client:
        schema = (await client.get("openapi.json")).json()
    assert schema["servers"] == [{"url": ROOT_PATH}]
    assert "/orders/{order_id}" in schema["paths"]


@pytest.mark.parametrize("user", ["alice", None])
async def test_who_asks(site: Site, user: str | None) -> None:
    async with site.client(user) as client:
        claim = {"Mattermost-User-Id": "mallory"}
        assert (await client.get("me", headers=claim)).json()["id"] == user


async def test_name_and_permissions_are_mattermosts() -> None:
    async with Host(directory=HERE, plugin_id=PLUGIN_ID) as host:
        site = ThroughHost(host.url)
        async with site.client() as alice, site.client(None) as nobody:
            name = host.mattermost.users["alice"].username
            assert (await alice.get("me")).json() == {"id": "alice", "username": name}
            assert (await nobody.get("me")).json() == {"id": None, "username": None}
            assert (await alice.post("orders/forget")).status_code == 403
        async with site.client("sysadmin") as admin:
            await admin.post("orders", json={"product": "mug"})
            assert (await admin.post("orders/forget")).status_code == 200
            assert (await admin.get("orders")).json() == []


async def test_my_orders_are_for_who_is_logged_in(site: Site) -> None:
    async with site.client() as alice, site.client("bob") as bob, site.client(None) as nobody:
        await alice.post("orders", json={"product": "mug"})
        assert [order["buyer"] for order in (await alice.get("orders/mine")).json()] == ["alice"]
        assert (await bob.get("orders/mine")).json() == []
        refused = await nobody.get("orders/mine")
        assert (refused.status_code, refused.json()["detail"]) == (
            401,
            "Not logged in to Mattermost.",
        )


async def test_without_an_api_there_is_no_name() -> None:
    async with lifespan(app) as started, InProcess(started).client() as client:
        assert (await client.get("me")).json() == {"id": "alice", "username": None}


async def test_lifespan_state_lasts(site: Site) -> None:
    async with site.client() as alice, site.client("bob") as bob:
        before = (await alice.get("status")).json()
        await bob.post("orders", json={"product": "mug"})
        after = (await alice.get("status")).json()
    assert after == before | {"orders": 1}
    assert before["orders"] == before["watchers"] == 0


async def test_the_background_task_in_process() -> None:
    async with lifespan(app) as started, InProcess(started).client() as client:
        assert (await client.post("orders", json={"product": "mug"})).json()["status"] == "new"
        # ASGITransport returns when the app does, so after the task.
        assert (await client.get("orders/1")).json()["status"] == "confirmed"


async def test_outside_mattermost_nobody_is_logged_in() -> None:
    async with lifespan(app) as started:
        transport = httpx.ASGITransport(started)  # as under uvicorn: no facts from a host
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/me")).json()["id"] is None


# ------------------------------------------------------------------ what needs a real connection


def go_test(function: Any) -> Any:
    for mark in GO:
        function = mark(function)
    return function


@go_test
async def test_news_arrive_one_by_one(go: ThroughGo) -> None:
    async with go.client() as client, client.stream("GET", "events/news") as response:
        # The stream is open though nothing has been sent: it is idle.
        events = Events(response)
        for number in (1, 2, 3):
            placed = await client.post("orders", json={"product": "mug", "quantity": number})
            assert placed.json()["status"] == "new"
            for status in ("new", "confirmed"):  # the second is told by the background task
                kind, news = await events.next()
                order = news["order"]
                assert (kind, order["id"], order["status"]) == ("order", number, status)


@go_test
async def test_ticks_arrive_while_the_stream_is_open(go: ThroughGo) -> None:
    params = {"interval": 0.01}
    async with go.client() as client, client.stream("GET", "events/ticks", params=params) as answer:
        events = Events(answer)
        assert [await events.next() for _ in range(3)] == [("tick", {"tick": n}) for n in (1, 2, 3)]


@go_test
async def test_a_client_that_leaves_is_noticed(go: ThroughGo) -> None:
    async with go.client() as alice, alice.stream("GET", "events/news") as stays:
        events = Events(stays)
        async with go.client("bob") as bob, bob.stream("GET", "events/news") as leaves:
            Events(leaves)
            assert (await events.next())[1]["watchers"] == 2
        assert (await events.next())[1]["watchers"] == 1


@go_test
async def test_deactivation_ends_an_idle_stream_in_good_order(go: ThroughGo) -> None:
    async with go.client() as client, client.stream("GET", "events/news") as response:
        events = Events(response)
        ended = await go.host.control("/deactivate")
        with pytest.raises(EOFError):
            await events.next()
    assert ended["error"] is None
    assert (ended["exit_code"], ended["sigkill"]) == (0, False)
    levels = {line["level"] for line in go.host.log_lines("plugin")}
    assert not levels & {"warn", "error"}


@go_test
async def test_without_a_csrf_token_a_post_loses_its_user(go: ThroughGo) -> None:
    async with go.client() as client:
        order = {"product": "mug"}
        assert (await client.post("orders", json=order)).json()["buyer"] == "alice"
        del client.headers["X-CSRF-Token"]
        assert (await client.post("orders", json=order)).json()["buyer"] is None
        assert (await client.post("orders", json=order)).json()["buyer"] is None
        assert (await client.get("me")).json()["id"] == "alice"
    said = [line for line in go.host.log_lines("plugin") if "without its user" in str(line)]
    assert [line["level"] for line in said] == ["warn"]  # once, and what to do
