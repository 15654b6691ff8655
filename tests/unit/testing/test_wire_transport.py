"""WireTransport: an app behind httpx, through the host's rules and the wire."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from mm_asgi import Plugin
from mm_asgi.errors import ConfigError, StartupError
from mm_asgi.settings import Settings
from mm_asgi.testing import WireTransport
from mm_asgi.testing.httpx2 import WireTransport as WireTransport2
from tests.unit.testing.wire_apps import WireApp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

USER = b"mattermost-user-id"


@pytest.fixture
def app() -> WireApp:
    return WireApp()


@pytest.fixture
async def transport(app: WireApp) -> AsyncIterator[WireTransport]:
    async with WireTransport(app, user="alice") as made:
        yield made


@pytest.fixture
async def client(transport: WireTransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport, base_url=transport.base_url) as made:
        yield made


def header(app: WireApp, name: bytes) -> list[bytes]:
    return [value for key, value in app.scopes[-1]["headers"] if key == name]


# ---------------------------------------------------------------- life


async def test_the_lifespan_runs_and_its_state_is_shared(app: WireApp) -> None:
    async with WireTransport(app, user="alice") as transport:
        assert app.seen == ["startup"]
        # The client's end closes its transport, which is not the end of the outer block.
        async with httpx.AsyncClient(transport=transport, base_url=transport.base_url) as client:
            assert (await client.get("/")).text == "hello alice"
        assert app.seen == ["startup"]
    assert app.seen == ["startup", "shutdown"]


async def test_a_client_alone_starts_and_stops_the_app(app: WireApp) -> None:
    client = httpx.AsyncClient(transport=WireTransport(app), base_url="http://test")
    assert (await client.get("/")).text == "hello None"
    await client.aclose()
    assert app.seen == ["startup", "shutdown"]
    async with httpx.AsyncClient(transport=WireTransport(app), base_url="http://test") as client:
        assert app.seen[2:] == ["startup"]
    assert app.seen[3:] == ["shutdown"]


async def test_a_client_that_closes_leaves_the_others_alone(app: WireApp) -> None:
    async with WireTransport(app) as transport:
        first = httpx.AsyncClient(transport=transport, base_url=transport.base_url)
        second = httpx.AsyncClient(transport=transport, base_url=transport.base_url)
        async with first.stream("GET", "/two") as response:
            await second.aclose()
            app.gate.set()
            assert await response.aread() == b"onetwo"


async def test_a_failed_start_is_told_with_its_cause() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise LookupError("no database")

    transport = WireTransport(app, settings=Settings(lifespan="on"))
    with pytest.raises(StartupError, match="LookupError in lifespan.startup") as caught:
        await transport.__aenter__()
    assert isinstance(caught.value.__cause__, LookupError)


async def test_a_plugin_without_an_app_has_no_pages() -> None:
    async with (
        WireTransport(Plugin()) as transport,
        httpx.AsyncClient(transport=transport) as client,
    ):
        assert (await client.get(transport.base_url)).status_code == 404
        await transport.settled()


async def test_what_is_no_app_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither an ASGI app nor"):
        WireTransport("shop.main:app")


def test_another_loop_is_told_so(app: WireApp) -> None:
    async def use(client: httpx.AsyncClient) -> None:
        with pytest.raises(RuntimeError, match="runs on another event loop"):
            await client.get("/")

    with asyncio.Runner() as first, asyncio.Runner() as second:
        transport = WireTransport(app)
        first.run(transport.__aenter__())
        second.run(use(httpx.AsyncClient(transport=transport, base_url=transport.base_url)))
        first.run(transport.__aexit__())


# ---------------------------------------------------------------- the host's rules


@pytest.mark.parametrize("path", ["/hello", "/plugins/com.example.plugin/hello"])
async def test_a_path_may_have_the_prefix(app: WireApp, path: str) -> None:
    async with WireTransport(app) as transport:
        client = httpx.AsyncClient(transport=transport, base_url="https://chat.test")
        await client.get(path + "?a=1&access_token=secret")
    scope = app.scopes[0]
    assert scope["path"] == "/plugins/com.example.plugin/hello"
    assert scope["root_path"] == "/plugins/com.example.plugin"
    assert (scope["scheme"], scope["query_string"]) == ("https", b"a=1")
    assert header(app, b"host") == [b"chat.test"]


async def test_a_subpath_and_an_id(app: WireApp) -> None:
    async with WireTransport(app, plugin_id="shop", subpath="/chat") as transport:
        assert transport.base_url == "http://mattermost.test/chat/plugins/shop"
        client = httpx.AsyncClient(transport=transport, base_url=transport.base_url)
        await client.get("/hello")
    assert app.scopes[0]["root_path"] == "/chat/plugins/shop"


async def test_claims_of_a_client_are_stripped(app: WireApp, client: httpx.AsyncClient) -> None:
    claims = {
        "Mattermost-User-Id": "mallory",
        "Cookie": "MMAUTHTOKEN=x; a=1",
        "Referer": "http://x",
    }
    response = await client.get("/hello", headers=claims)
    # A token that is nobody's: the host vouches for nobody.
    assert response.text == "hello None"
    assert (header(app, b"cookie"), header(app, b"referer"), header(app, USER)) == (
        [b"a=1"],
        [],
        [],
    )


@pytest.mark.parametrize(
    ("method", "headers", "user"),
    [
        ("GET", {}, "bob"),
        ("POST", {}, "None"),
        ("POST", {"X-CSRF-Token": "csrf-bob"}, "bob"),
        ("POST", {"X-Requested-With": "XMLHttpRequest"}, "bob"),
    ],
)
async def test_a_cookie_needs_a_csrf_token(
    client: httpx.AsyncClient, method: str, headers: dict[str, str], user: str
) -> None:
    headers = {"Cookie": "MMAUTHTOKEN=token-bob", **headers}
    response = await client.request(method, "/hello", headers=headers)
    assert response.text == f"hello {user}"


async def test_a_csrf_form_field_in_a_streamed_body(client: httpx.AsyncClient) -> None:
    async def form() -> AsyncIterator[bytes]:
        yield b"a=1&csrf="
        yield b"csrf-bob"

    headers = {
        "Cookie": "MMAUTHTOKEN=token-bob", "Content-Type": "application/x-www-form-urlencoded"
    }  # fmt: skip
    response = await client.post("/echo", headers=headers, content=form())
    assert response.content == b"a=1&csrf=csrf-bob"


async def test_what_the_host_answers_itself(app: WireApp, client: httpx.AsyncClient) -> None:
    public = await client.get("/public/logo.png")
    assert (public.status_code, "from the bundle" in public.text) == (404, True)
    unclean = await client.get("/a//b")
    assert unclean.status_code == 301
    assert unclean.headers["location"] == "/plugins/com.example.plugin/a/b"
    twice = await client.get("/hello", headers=[("Host", "a"), ("Host", "b")])
    assert twice.status_code == 400
    assert (await client.get("/hello", headers={b"X-A": b"\xff"})).status_code == 502
    assert app.scopes == []


async def test_a_cookie_of_the_plugins_path_comes_back(
    app: WireApp, client: httpx.AsyncClient
) -> None:
    await client.get("/cookie")
    await client.get("/hello")
    assert header(app, b"cookie") == [b"a=1"]


async def test_head_has_no_body(client: httpx.AsyncClient) -> None:
    response = await client.head("/hello")
    assert (response.headers["content-length"], response.content) == ("11", b"")


# ---------------------------------------------------------------- bodies


async def test_both_bodies_stream_at_once(client: httpx.AsyncClient) -> None:
    """Each piece is sent after the one before came back."""
    came = asyncio.Queue[bytes]()

    async def upload() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two", b"three"):
            yield piece
            assert await came.get() == piece

    async with client.stream("POST", "/echo", content=upload()) as response:
        async for chunk in response.aiter_bytes():
            came.put_nowait(chunk)
    assert came.empty()


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000])
async def test_a_body_of_any_size(client: httpx.AsyncClient, size: int) -> None:
    assert len((await client.post("/echo", content=b"x" * size)).content) == size

    async def upload() -> AsyncIterator[bytes]:
        yield b"x" * size

    assert len((await client.post("/echo", content=upload())).content) == size


async def test_a_slow_app_slows_the_upload(app: WireApp, client: httpx.AsyncClient) -> None:
    sent = 0

    async def upload() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65_536

    with pytest.raises(httpx.WriteTimeout, match="write timeout"):
        await client.post("/deaf", content=upload(), timeout=httpx.Timeout(5.0, write=0.05))
    assert sent < 10
    app.gate.set()


async def test_an_early_answer_ends_the_upload(client: httpx.AsyncClient) -> None:
    sent = 0

    async def upload() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65_536

    assert (await client.post("/early", content=upload())).text == "too large"
    before = sent
    await client.get("/hello")
    assert sent == before


async def test_an_upload_that_fails_is_a_truncated_body(
    app: WireApp, transport: WireTransport, client: httpx.AsyncClient
) -> None:
    async def upload() -> AsyncIterator[bytes]:
        yield b"one"
        await app.at_gate.wait()
        raise LookupError("planted in the body")

    with pytest.raises(LookupError, match="planted in the body"):
        await client.post("/echo", content=upload())
    await transport.settled()
    assert app.seen[-1] == "http.disconnect"


# ---------------------------------------------------------------- the app's exceptions


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/raises", "planted"),
        ("/raises_late", "planted late"),
        ("/raises_after", "planted after"),
    ],
)
async def test_an_exception_of_the_app_is_raised(
    client: httpx.AsyncClient, transport: WireTransport, path: str, text: str
) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        await client.get(path)
    await transport.settled()  # it is raised once


async def test_an_exception_behind_a_500_comes_in_its_place(
    client: httpx.AsyncClient,
) -> None:
    request = client.build_request("GET", "/raises_after")
    with pytest.raises(ValueError, match="planted after"):
        await client.send(request, stream=True)


async def test_an_exception_behind_a_500_in_pieces_comes_at_its_end(
    client: httpx.AsyncClient,
) -> None:
    async with client.stream("GET", "/raises_after_pieces") as response:
        chunks = response.aiter_raw()
        assert (response.status_code, await anext(chunks)) == (500, b"my own ")
        with pytest.raises(ValueError, match="planted after"):
            [chunk async for chunk in chunks]


async def test_a_timeout_of_the_app_is_its_own(client: httpx.AsyncClient) -> None:
    with pytest.raises(TimeoutError):
        await client.get("/raises_timeout")


@pytest.mark.parametrize(
    ("path", "body"),
    [("/raises", b"Internal Server Error"), ("/raises_after", b"my own words")],
)
async def test_an_exception_is_answered_on_demand(app: WireApp, path: str, body: bytes) -> None:
    async with WireTransport(app, raise_app_exceptions=False) as transport:
        client = httpx.AsyncClient(transport=transport, base_url=transport.base_url)
        response = await client.get(path)
        assert (response.status_code, response.content) == (500, body)
        await transport.settled()


async def test_what_settled_raised_the_answer_does_not(
    client: httpx.AsyncClient, transport: WireTransport
) -> None:
    async with client.stream("GET", "/raises_late") as response:
        with pytest.raises(ValueError, match="planted late"):
            await transport.settled()
        with pytest.raises(httpx.RemoteProtocolError):
            await response.aread()


async def test_an_exception_behind_the_answer_waits_for_settled(
    client: httpx.AsyncClient, transport: WireTransport
) -> None:
    assert (await client.get("/raises_behind")).text == "ok"
    with pytest.raises(ValueError, match="planted behind"):
        await transport.settled()
    await transport.settled()
    await client.get("/raises_behind")
    await client.get("/raises_behind")
    with pytest.raises(ExceptionGroup, match="the app failed"):
        await transport.settled()


async def test_a_background_task_is_awaited_on_demand(
    app: WireApp, client: httpx.AsyncClient, transport: WireTransport
) -> None:
    assert (await client.get("/background")).text == "ok"
    await app.at_gate.wait()
    assert "background" not in app.seen
    app.gate.set()
    await transport.settled()
    assert app.seen[-1] == "background"


# ---------------------------------------------------------------- time, and leaving


async def test_the_read_timeout_counts_for_the_head(
    app: WireApp, client: httpx.AsyncClient
) -> None:
    with pytest.raises(httpx.ReadTimeout) as caught:
        await client.get("/waits", timeout=0.02)
    assert caught.value.request.url.path.endswith("/waits")
    await client._transport.settled()  # type: ignore[attr-defined]
    assert app.seen[-1] == "http.disconnect"


async def test_the_read_timeout_counts_for_each_piece(
    client: httpx.AsyncClient,
) -> None:
    async with client.stream("GET", "/events", timeout=0.05) as response:
        chunks = response.aiter_bytes()
        assert await anext(chunks) == b"data: 0\n\n"
        with pytest.raises(httpx.ReadTimeout):
            await anext(chunks)


async def test_the_connect_timeout_counts_for_the_start() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.get_running_loop().create_future()

    client = httpx.AsyncClient(transport=WireTransport(app, settings=Settings(drain=0)))
    with pytest.raises(httpx.ConnectTimeout):
        await client.get("http://test/", timeout=httpx.Timeout(1.0, connect=0.02))


async def test_leaving_tells_the_app(
    app: WireApp, client: httpx.AsyncClient, transport: WireTransport
) -> None:
    async with client.stream("GET", "/events"):
        pass
    await transport.settled()
    assert app.seen[-1] == "http.disconnect"


async def test_a_cancelled_request_leaves(
    app: WireApp, client: httpx.AsyncClient, transport: WireTransport
) -> None:
    request = asyncio.ensure_future(client.get("/waits"))
    await app.at_gate.wait()
    request.cancel()
    await asyncio.wait((request,))
    await transport.settled()
    assert app.seen[-1] == "http.disconnect"


async def test_a_response_that_was_left_reads_no_more(
    client: httpx.AsyncClient, transport: WireTransport
) -> None:
    async with client.stream("GET", "/events") as response:
        chunks = response.aiter_raw()
        await anext(chunks)
        await transport.disconnect(response)
        with pytest.raises(httpx.ReadError):
            await anext(chunks)


async def test_an_app_that_does_not_listen_is_told_of(
    app: WireApp, client: httpx.AsyncClient, transport: WireTransport
) -> None:
    async with client.stream("GET", "/deaf") as response:
        with pytest.raises(TimeoutError, match="neither received http.disconnect nor ended"):
            await transport.disconnect(response, timeout=0.02)
    app.gate.set()


async def test_a_strangers_response_is_refused(transport: WireTransport) -> None:
    with pytest.raises(ValueError, match="did not come from the plugin"):
        await transport.disconnect(httpx.Response(200))


# ---------------------------------------------------------------- httpx2


async def test_httpx2_has_the_same(app: WireApp) -> None:
    async with WireTransport2(app, user="alice") as transport:
        client = httpx2.AsyncClient(transport=transport, base_url=transport.base_url)
        assert (await client.get("/hello")).text == "hello alice"
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get("/half")
        with pytest.raises(httpx2.ReadTimeout):
            await client.get("/waits", timeout=0.02)
        async with client.stream("GET", "/events") as response:
            assert await anext(response.aiter_lines()) == "data: 0"
            await transport.disconnect(response)
