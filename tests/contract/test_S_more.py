"""Rows S1 to S9 where test_S_scope.py cannot see them: HTTP/2, a site without a subpath, settings.

Its host serves below /mm with the default settings. Here a second one serves at the site's root,
behind a trusted proxy, to a plugin whose settings all differ; the rest is what only a client on
HTTP/2, a cookie or the whole of the host's log can show.
"""

from __future__ import annotations

import ast
import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

import mm_asgi
from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequest, ServeHTTPRequestInit
from tests.contract.roads import (
    PLUGIN_ID,
    PREFIX,
    Answer,
    GoRoad,
    HTTPExchange,
    HTTPRoad,
    MemoryRoad,
    MessageRoad,
    RawRoad,
    Road,
    roads,
)
from tests.go_host import GoHost, go_missing_reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "TOPSECRET"
ROOT = f"/plugins/{PLUGIN_ID}"
SITE = "chat.example.com"
SETTINGS = {
    "underscore_headers": True,
    "site_url": "https://chat.example.com",
    "root_path": "/proxy/demo",
    "access_log": True,
}
FULL = [
    pytest.mark.full,
    pytest.mark.timeout(120),
    pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason())),
]
everywhere = pytest.mark.parametrize(
    "other", ["m", pytest.param("w", marks=FULL), pytest.param("g", marks=FULL)], indirect=True
)
on_messages = pytest.mark.parametrize("other", ["m", pytest.param("w", marks=FULL)], indirect=True)
through_the_host = pytest.mark.parametrize("other", [pytest.param("g", marks=FULL)], indirect=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def root_hosts() -> AsyncIterator[list[GoHost]]:
    """The host at the site's root, once a test has asked for it."""
    hosts: list[GoHost] = []
    yield hosts
    for host in hosts:
        try:
            if host.running:
                await host.stop()
                await host.wait_gone()
        finally:
            await host.close()


def root_host() -> GoHost:
    """A Go host at the site's root, behind a proxy, with a plugin that has SETTINGS."""
    tests = Path(__file__).resolve().parents[1]
    return GoHost(
        tests / "contract" / "plugin",
        "start_contract.py",
        plugin_id=PLUGIN_ID,
        env={
            "PYTHONPATH": str(tests.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            **{f"MM_ASGI_{name.upper()}": str(value) for name, value in SETTINGS.items()},
        },
        flags=["-log-level=debug", "-trusted-proxy-header=X-Forwarded-For"],
    )


class RootRoad(HTTPRoad):
    """g: targets are below the plugin of a site without a subpath."""

    async def open(self, method: str, target: str, *args: Any, **more: Any) -> HTTPExchange:
        return await super().open(method, ROOT + target, *args, **more)


@pytest_asyncio.fixture(loop_scope="session")
async def other(request: pytest.FixtureRequest, root_hosts: list[GoHost]) -> AsyncIterator[Road]:
    """The kind's road to a plugin with SETTINGS, without a subpath on the Go host."""
    if request.param == "m":
        async with MemoryRoad(**SETTINGS) as memory:
            yield memory
        return
    if not root_hosts:
        root_hosts.append(root_host())
        await root_hosts[0].start()
    made = RawRoad(root_hosts[0]) if request.param == "w" else RootRoad(root_hosts[0])
    yield made
    await made.finish()


async def at_root(road: Road, target: str, headers: Sequence[tuple[str, str]] = ()) -> Any:
    """The scope of a GET for ``target`` below the plugin of a site without a subpath."""
    return (await ask_at_root(road, target, [("X-Case", "scope"), *headers])).literal


async def ask_at_root(road: Road, target: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """The answer to it."""
    if not isinstance(road, MessageRoad):
        return await road.http("GET", target, [("Host", SITE), *headers])
    init = ServeHTTPRequestInit(
        method="GET",
        url=target,
        request_uri=ROOT + target,
        host=SITE,
        headers=[HTTPHeader(key=name, values=[value]) for name, value in headers],
    )
    return (await road.exchange(ServeHTTPRequest(init=init, body_complete=True))).answer()


def values(scope: dict[str, Any], name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


# ---------------------------------------------------------------- HTTP/2


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame (RFC 9113 4.1)."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


async def ask_h2c(address: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """The body of a GET over HTTP/2 with prior knowledge; no client at hand speaks it."""
    settings, data, goaway, end, ack = 4, 0, 7, 1, 1
    # Literals without indexing or Huffman code, each shorter than 127 bytes (RFC 7541 6.2.2).
    block = b"".join(
        b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in pair) for pair in headers
    )
    name, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    try:
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings, 0, 0))
        writer.write(frame(1, end | 4, 1, block))  # HEADERS, END_STREAM and END_HEADERS
        body = b""
        while True:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            assert kind != goaway, payload
            if kind == settings and not flags & ack:
                writer.write(frame(settings, ack, 0))
            if kind == data:
                body += payload
            if stream and kind in (0, 1) and flags & end:
                return body
    finally:
        writer.close()
        await writer.wait_closed()


@roads("g", simulated=False)  # uvicorn speaks HTTP/1.1 only
async def test_S1_http_2(road: HTTPRoad) -> None:
    body = await ask_h2c(
        road.host.address,
        [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "chat.example.com"),
            (":path", f"{PREFIX}/scope/a%2Fb?b=1&access_token=token-alice&a=2"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ],
    )
    scope = ast.literal_eval(body.decode())
    assert scope["http_version"] == "2"
    assert scope["root_path"] == PREFIX
    assert scope["raw_path"] == f"{PREFIX}/scope/a%2Fb".encode()
    assert scope["query_string"] == b"b=1&a=2"
    assert scope["headers"][0] == (b"host", b"chat.example.com")
    assert values(scope, b"cookie") == [b"a=1; b=2"]
    assert mm_asgi.identity(scope).user_id == "alice"


# ---------------------------------------------------------------- a site without a subpath


@everywhere
async def test_S2_without_a_subpath(other: Road) -> None:
    scope = await at_root(other, "/scope/a%2Fb?x")
    # What the client sent counts, not the setting root_path.
    assert (scope["root_path"], scope["path"]) == (ROOT, f"{ROOT}/scope/a/b")
    assert scope["raw_path"] == f"{ROOT}/scope/a%2Fb".encode()


@everywhere
async def test_S2_starlette_without_a_subpath(other: Road) -> None:
    base = f"https://{SITE}{ROOT}/starlette"
    home = await ask_at_root(other, "/starlette/")
    for url in (f'"home":"{base}/"', f'"file":"{base}/static/hello.txt"'):
        assert url in home.body.decode()
    assert (await ask_at_root(other, "/starlette/away")).header("location") == f"{base}/"
    file = await ask_at_root(other, "/starlette/static/hello.txt")
    assert file.body == b"hello from a file\n"
    leaf = await ask_at_root(other, "/starlette/branch/twig")
    assert leaf.body.decode() == f"twig {ROOT}/starlette/branch/twig"


@everywhere
async def test_S2_fastapis_docs_without_a_subpath(other: Road) -> None:
    page = await ask_at_root(other, "/fastapi/docs")
    assert f"url: '{ROOT}/fastapi/openapi.json'" in page.body.decode()
    openapi = await ask_at_root(other, "/fastapi/openapi.json")
    assert f'"servers":[{{"url":"{ROOT}/fastapi"}}]' in openapi.body.decode()


@on_messages
async def test_S2_the_setting_where_the_paths_do_not_fit(other: MessageRoad) -> None:
    init = ServeHTTPRequestInit(request_uri=f"/elsewhere?{SECRET}", url="/scope")
    init.headers.append(HTTPHeader(key="X-Case", values=["scope"]))
    got = await other.exchange(ServeHTTPRequest(init=init, body_complete=True))
    scope = got.answer().literal
    assert (scope["root_path"], scope["path"]) == ("/proxy/demo", "/proxy/demo/scope")
    line = await other.logged("is not the end of request_uri's path", "warn")
    assert SECRET not in str(line)


# ---------------------------------------------------------------- S3, S4


@roads("g")
@pytest.mark.parametrize(
    ("path", "status"), [("//a", 301), ("/../a", 301), ("/%2e%2e/a", 301), ("/%zz", 400)]
)
async def test_S3_what_the_host_answers_itself(road: Road, path: str, status: int) -> None:
    assert (await road.http("GET", f"/scope{path}")).status == status


@roads("w", "g")
async def test_S4_no_token_and_no_query_in_the_hosts_whole_log(road: GoRoad) -> None:
    login = "access_token=token-SECRETIVE"
    for query in (login, login.replace("_", "%5F"), f"a;{login}", f"q={SECRET}"):
        await road.http("GET", f"/scope?{query}")
        await road.http("GET", f"/nowhere?{query}")  # a 500 with a traceback
    # What it expects of errors; each of them has come when this returns.
    lines = await road.lines()
    assert len([line for line in lines if "the app raised KeyError" in line.message]) == 4
    road.expected.add("the app raised KeyError")
    whole = str(road.host.log_lines())
    assert "token-SECRETIVE" not in whole
    assert SECRET not in whole


# ---------------------------------------------------------------- S5, S6: headers


@roads("m", "w", "g")
async def test_S5_cookie_pairs(road: Road) -> None:
    cookies = [("Cookie", "a=1; MMAUTHTOKEN=token-alice; b=x=y"), ("Cookie", "MMCSRF=c; a=2")]
    scope = await road.scope(headers=cookies)
    assert values(scope, b"cookie") == [b"a=1; b=x=y; MMCSRF=c; a=2"]


@everywhere
async def test_S6_underscores_by_setting(other: Road) -> None:
    folding = ["Mattermost_User_Id", "mattermost-user_ID", "MATTERMOST_Plugin-Id"]
    headers = [("X_Under", "1"), *((name, SECRET) for name in folding)]
    scope = await at_root(other, "/scope", headers)
    assert values(scope, b"x_under") == [b"1"]
    assert SECRET not in str(scope)
    assert mm_asgi.identity(scope).is_anonymous


@roads("m", "w", "g")
@pytest.mark.parametrize("name", ["Mattermost-User-Id", "mattermost-user-id", "Mattermost_User_Id"])
async def test_S6_a_user_cannot_be_another(road: Road, name: str) -> None:
    login = ("Authorization", "Bearer token-alice")
    scope = await road.scope(headers=[(name, "admin"), login, (name, "root")])
    assert values(scope, b"mattermost-user-id") == [b"alice"]
    assert mm_asgi.identity(scope).user_id == "alice"


# ---------------------------------------------------------------- S7: addresses


@everywhere
async def test_S7_the_site_url_tells_the_scheme(other: Road) -> None:
    for forwarded in ([], [("X-Forwarded-Proto", "https")]):
        scope = await at_root(other, "/scope", forwarded)
        assert (scope["scheme"], scope["server"]) == ("https", (SITE, 443))


@through_the_host
async def test_S7_the_client_behind_a_proxy(other: Road) -> None:
    for address in ("198.51.100.7", "2001:db8::1"):
        scope = await at_root(other, "/scope", [("X-Forwarded-For", f"{address}, 192.0.2.1")])
        assert scope["client"][0] == address
        assert mm_asgi.identity(scope).ip_address == address


# ---------------------------------------------------------------- S8: who asks

LOGINS = {
    "cookie": ("/scope", [("Cookie", "MMAUTHTOKEN=token-alice")]),
    "bearer": ("/scope", [("Authorization", "bearer token-alice")]),
    "token": ("/scope", [("Authorization", "Token token-alice")]),
    "query": ("/scope?access_token=token-alice", []),
    "encoded query": ("/scope?access%5Ftoken=token-alice", []),
}


@roads("m", "w", "g")
@pytest.mark.parametrize("login", LOGINS)
async def test_S8_each_way_to_log_in(road: Road, login: str) -> None:
    target, headers = LOGINS[login]
    scope = await road.scope(target, headers)
    identity = mm_asgi.identity(scope)
    assert (identity.user_id, identity.session_id) == ("alice", "session-alice")
    assert not identity.is_anonymous
    assert "token-alice" not in str(scope)
    assert values(scope, b"authorization") == values(scope, b"cookie") == []


@roads("m", "w", "g")
@pytest.mark.parametrize(
    "headers",
    [
        [("Cookie", "MMAUTHTOKEN=stolen")],
        [("Cookie", "MMAUTHTOKEN=mfa-alice")],
        [("Authorization", "Bearer stolen"), ("Cookie", "MMAUTHTOKEN=token-alice")],
    ],
)
async def test_S8_no_login_is_nobody(road: Road, headers: list[tuple[str, str]]) -> None:
    identity = mm_asgi.identity(await road.scope(headers=headers))
    assert (identity.user_id, identity.session_id) == (None, "")


@roads("m", "w", "g")
async def test_S8_a_cookie_without_its_csrf_token_is_nobody(road: Road) -> None:
    cookie = ("Cookie", "MMAUTHTOKEN=token-alice")
    for more, user in (([], None), ([("X-CSRF-Token", "csrf-alice")], "alice")):
        headers = [("X-Case", "scope"), cookie, *more]
        answer = await road.http("POST", "/scope", headers)
        assert mm_asgi.identity(answer.literal).user_id == user


@roads("m", "w", "g")
async def test_S8_the_identity_is_frozen(road: Road) -> None:
    scope = await road.scope()
    facts = scope["extensions"]["mattermost"]
    assert type(facts) is dict
    identity = mm_asgi.identity(scope)
    assert dataclasses.asdict(identity) == facts
    for field in dataclasses.fields(identity):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(identity, field.name, "admin")


# ---------------------------------------------------------------- S9: another plugin asks


@roads("w")
async def test_S9_a_user_asks_through_another_plugin(road: GoRoad) -> None:
    answer = await road.inter_plugin(
        f"/scope?b=1&access_token={SECRET}",
        method="PUT",
        source_plugin_id="com.example.other",
        user_id="bob",
        headers={"X-One": ["1", "2"], "Mattermost_Plugin_Id": [SECRET]},
    )
    scope = answer.literal
    assert scope["method"] == "PUT"
    assert scope["query_string"] == b"b=1"
    assert values(scope, b"x-one") == [b"1", b"2"]
    assert SECRET not in str(scope)
    identity = mm_asgi.identity(scope)
    assert (identity.user_id, identity.source_plugin_id) == ("bob", "com.example.other")
    assert SECRET not in str(road.host.log_lines())


@pytest.mark.parametrize("other", [pytest.param("w", marks=FULL)], indirect=True)
async def test_S9_the_setting_says_where_the_app_is(other: GoRoad) -> None:
    scope = (await other.inter_plugin("/scope/x%20y")).literal
    assert (scope["root_path"], scope["path"]) == ("/proxy/demo", "/proxy/demo/scope/x y")
    assert scope["raw_path"] == b"/proxy/demo/scope/x%20y"
    assert (scope["scheme"], scope["server"], scope["client"]) == ("https", None, None)
