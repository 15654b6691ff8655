"""Rows S1 to S9 by name: what of a request stands in the scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

import mm_asgi
from mm_asgi.protocol.hooks_common_pb2 import PluginContext
from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequest, ServeHTTPRequestInit
from tests.contract.roads import (
    PLUGIN_ID,
    PREFIX,
    GoRoad,
    MemoryRoad,
    MessageRoad,
    Road,
    build_init,
    roads,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "TOPSECRET"


async def scope_of(road: MessageRoad, init: ServeHTTPRequestInit) -> dict[str, Any]:
    """The scope that an init makes, whatever is in it."""
    init.headers.append(HTTPHeader(key="X-Case", values=["scope"]))
    got = await road.exchange(ServeHTTPRequest(init=init, body_complete=True))
    scope: dict[str, Any] = got.answer().literal
    return scope


def made(target: str = "/scope", **changes: Any) -> ServeHTTPRequestInit:
    """The host's init for a GET, with fields that are changed afterwards."""
    init = build_init("GET", target)
    for name, value in changes.items():
        setattr(init, name, value)
    return init


def values(scope: dict[str, Any], name: bytes) -> list[bytes]:
    """A header's values in their order."""
    return [value for key, value in scope["headers"] if key == name]


# ---------------------------------------------------------------- S1


@roads("m", "w", "g")
async def test_S1_type_and_versions(road: Road) -> None:
    scope = await road.scope()
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}
    assert (scope["method"], scope["http_version"]) == ("GET", "1.1")
    assert set(scope) == {
        *("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "root_path"),
        *("query_string", "headers", "client", "server", "state", "extensions"),
    }


@roads("m", "w", "g")
async def test_S1_http_1_0(road: Road) -> None:
    assert (await road.scope(version="1.0"))["http_version"] == "1.0"


@roads("m", "w")
@pytest.mark.parametrize(
    ("proto", "major", "minor", "version"),
    [
        ("HTTP/2.0", 2, 0, "2"),
        ("HTTP/1.1", 1, 1, "1.1"),
        ("HTTP/1.0", 1, 0, "1.0"),
        ("", 0, 0, "1.1"),
    ],
)
async def test_S1_http_version(
    road: MessageRoad, proto: str, major: int, minor: int, version: str
) -> None:
    init = made(proto=proto, proto_major=major, proto_minor=minor)
    assert (await scope_of(road, init))["http_version"] == version


@roads("m", "w", "g")
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "PROPFIND"])
async def test_S1_method(road: Road, method: str) -> None:
    assert (await road.http(method, "/scope")).literal["method"] == method


# ---------------------------------------------------------------- S2: where the app is

# What a client may send for /scope/a below the plugin, and the prefix in it.
SPELLINGS = [
    ("/mm/plugins/com.example.demo/scope/a", "/mm/plugins/com.example.demo"),
    ("/mm/plugins/com.example.d%65mo/scope/a", "/mm/plugins/com.example.d%65mo"),
    ("/m%6D/plugins/com.example.demo/scope/a", "/m%6D/plugins/com.example.demo"),
    ("/mm%2Fplugins/com.example.demo/scope/a", "/mm%2Fplugins/com.example.demo"),
    ("http://evil.example/mm/plugins/com.example.demo/scope/a", "/mm/plugins/com.example.demo"),
    ("HTTP://evil.example:1/mm/plugins/com.example.demo/scope/a", "/mm/plugins/com.example.demo"),
    ("h2+x.1://u:p@evil/mm/plugins/com.example.demo/scope/a", "/mm/plugins/com.example.demo"),
    ("http:/mm/plugins/com.example.demo/scope/a", "/mm/plugins/com.example.demo"),
]


@roads("m", "w", "g")
@pytest.mark.parametrize(("target", "prefix"), SPELLINGS)
async def test_S2_paths_however_they_are_spelled(road: Road, target: str, prefix: str) -> None:
    scope = await road.scope(target)
    assert scope["root_path"] == PREFIX
    assert scope["path"] == f"{PREFIX}/scope/a"
    assert scope["raw_path"] == f"{prefix}/scope/a".encode()


@roads("m", "w", "g")
async def test_S2_without_a_slash_at_the_end(road: Road) -> None:
    scope = await road.scope(PREFIX)
    assert (scope["root_path"], scope["path"]) == (PREFIX, PREFIX)
    scope = await road.scope("http://evil.example" + PREFIX)
    assert (scope["root_path"], scope["path"]) == (PREFIX, PREFIX)
    scope = await road.scope(f"{PREFIX}/")
    assert (scope["root_path"], scope["path"]) == (PREFIX, f"{PREFIX}/")


@roads("m", "w")
async def test_S2_paths_that_do_not_fit(road: MessageRoad) -> None:
    init = made(request_uri=f"/elsewhere?access_token={SECRET}", url="/scope/b%20c")
    scope = await scope_of(road, init)
    assert scope["root_path"] == f"/plugins/{PLUGIN_ID}"
    assert scope["path"] == f"/plugins/{PLUGIN_ID}/scope/b c"
    line = await road.logged("is not the end of request_uri's path '/elsewhere'", "warn")
    assert SECRET not in line.message


@roads("m")
@pytest.mark.parametrize("uri", ["/a/b/scope", "/elsewhere", "/a/scope"])
async def test_S2_a_configured_root_path(road: Road, uri: str) -> None:
    async with MemoryRoad(root_path="/a/b") as own:
        scope = await scope_of(own, made(request_uri=uri, url="/scope"))
        found = "/a" if uri == "/a/scope" else "/a/b"
        assert (scope["root_path"], scope["path"]) == (found, f"{found}/scope")


@roads("m", "w", "g")
async def test_S2_starlette_knows_where_it_is(road: Road) -> None:
    base = f"http://chat.example.com:8065{PREFIX}/starlette"
    home = await road.http("GET", "/starlette/?a=1")
    assert b'"home":"%s/"' % base.encode() in home.body
    assert b'"url":"%s/?a=1"' % base.encode() in home.body
    assert b'"leaf":"%s/branch/twig"' % base.encode() in home.body
    assert b'"file":"%s/static/hello.txt"' % base.encode() in home.body
    leaf = await road.http("GET", "/starlette/branch/twig")
    assert leaf.body.decode() == f"twig {PREFIX}/starlette/branch/twig"
    assert (await road.http("GET", "/starlette/static/hello.txt")).body == b"hello from a file\n"
    assert (await road.http("GET", "/starlette/away")).header("location") == f"{base}/"
    # The router's own redirect, from a slash too many, however the prefix is spelled.
    slash = await road.http("GET", "/mm/plugins/com.example.d%65mo/starlette/count/")
    assert (slash.status, slash.header("location")) == (307, f"{base}/count")


@roads("m", "w", "g")
async def test_S2_fastapis_docs_lead_back(road: Road) -> None:
    page = await road.http("GET", "/fastapi/docs")
    url = f"{PREFIX}/fastapi/openapi.json"
    assert f"url: '{url}'" in page.body.decode()
    openapi = await road.http("GET", url)
    assert f'"servers":[{{"url":"{PREFIX}/fastapi"}}]' in openapi.body.decode()


# ---------------------------------------------------------------- S3: the path itself

PATHS = [
    ("/scope/a%2Fb", "/scope/a/b"),
    ("/scope/a%252Fb", "/scope/a%2Fb"),
    ("/scope/%00", "/scope/\0"),
    ("/scope/a%20b+c", "/scope/a b+c"),
    ("/scope/%E2%82%AC", "/scope/€"),
    ("/scope/%ff/x", "/scope/\ufffd/x"),
    ("/scope/%E2%82/x", "/scope/\ufffd/x"),
    ("/scope/a%3Fb", "/scope/a?b"),
    ("/scope/a%23b;c=d:e@f", "/scope/a#b;c=d:e@f"),
]
# These the host answers itself, with a redirect or a 400; another host might not.
UNCLEAN = [
    ("/scope//a//", "/scope//a//"),
    ("/scope/../a/./b", "/scope/../a/./b"),
    ("/scope/%2e%2e/a", "/scope/../a"),
    ("/scope/%zz%", "/scope/%zz%"),
]


@roads("m", "w", "g")
@pytest.mark.parametrize(("spelled", "path"), PATHS)
async def test_S3_path_and_raw_path(road: Road, spelled: str, path: str) -> None:
    # Request lines are bytes; the roads write text as latin-1.
    scope = await road.scope(spelled.encode().decode("latin-1") + "?a=%2F?")
    assert scope["path"] == PREFIX + path
    assert scope["raw_path"] == (PREFIX + spelled).encode()
    assert scope["root_path"] == PREFIX


@roads("m", "w", "g", simulated=False)  # h11 refuses bytes over 0x7f in a target
async def test_S3_path_and_S4_query_with_bare_utf8(road: Road) -> None:
    scope = await road.scope("/scope/€?a=€".encode().decode("latin-1"))
    assert scope["path"] == PREFIX + "/scope/€"
    assert scope["raw_path"] == (PREFIX + "/scope/€").encode()
    assert scope["query_string"] == "a=€".encode()


@roads("m", "w")
@pytest.mark.parametrize(("spelled", "path"), UNCLEAN)
async def test_S3_path_that_the_host_would_clean(
    road: MessageRoad, spelled: str, path: str
) -> None:
    scope = await scope_of(road, made(request_uri=PREFIX + spelled, url=spelled))
    assert scope["path"] == PREFIX + path
    assert scope["raw_path"] == (PREFIX + spelled).encode()
    assert scope["root_path"] == PREFIX


# ---------------------------------------------------------------- S4: the query

QUERIES = [
    ("b=1&a=2&flag", "b=1&a=2&flag"),
    ("", ""),
    ("&&a=%2f%2F+%20&", "&&a=%2f%2F+%20&"),
    ("a=1&access_token=TOPSECRET&b=2", "a=1&b=2"),
    ("access_token=TOPSECRET", ""),
    ("access_token=TOPSECRET&access_token=TOPSECRET&x", "x"),
    ("x&access%5Ftoken=TOPSECRET", "x"),
    ("%61ccess_token=TOPSECRET&x=1", "x=1"),
    ("a;access_token=TOPSECRET;b&x=1", "a&x=1"),
    ("access_token=TOPSECRET;x&y;z", "y;z"),
    ("access_token=TOPSECRET=TOPSECRET?x&y?z", "y?z"),
    ("access_token&x", "x"),
    ("my_access_token=1&access_token_=2&Access_Token=3", "my_access_token=1&access_token_=2&Access_Token=3"),
    ("access+token=1", "access+token=1"),
    ("a=%zz&%=%", "a=%zz&%=%"),
]  # fmt: skip


@roads("m", "w", "g")
@pytest.mark.parametrize(("query", "expected"), QUERIES)
async def test_S4_the_query_without_the_token(road: Road, query: str, expected: str) -> None:
    answer = await road.http(
        "GET", "/scope?" + query.encode().decode("latin-1"), [("Referer", f"/x?{SECRET}")]
    )
    assert answer.literal["query_string"] == expected.encode()
    assert SECRET not in answer.body.decode()
    assert SECRET not in str(await road.lines())


@roads("m", "w", "g")
async def test_S4_a_query_reaches_no_log(road: Road) -> None:
    await road.http("GET", f"/nowhere?a={SECRET}")  # a 500 with a traceback
    await road.http("GET", f"/scope?a={SECRET}", [("Upgrade", "websocket")])
    await road.logged("the app raised KeyError", "error")
    assert SECRET not in str(await road.lines())


@roads("m", "w")
async def test_S4_urls_query_only_without_a_request_uri(road: MessageRoad) -> None:
    init = made(request_uri="", url="/scope?b=1&access_token=x&a=2")
    assert (await scope_of(road, init))["query_string"] == b"b=1&a=2"
    init = made(request_uri=f"{PREFIX}/scope", url="/scope?a=1")
    assert (await scope_of(road, init))["query_string"] == b""


# ---------------------------------------------------------------- S5, S6: headers


@roads("m", "w", "g")
async def test_S5_names_and_values(road: Road) -> None:
    utf8 = "Grüße €".encode().decode("latin-1")
    scope = await road.scope(
        headers=[("X-One", "1"), ("x-TWO", "2"), ("X-One", "3"), ("X-Name", utf8), ("X-Empty", "")]
    )
    assert scope["headers"][0] == (b"host", b"chat.example.com:8065")
    assert values(scope, b"x-one") == [b"1", b"3"]
    assert values(scope, b"x-two") == [b"2"]
    assert values(scope, b"x-name") == ["Grüße €".encode()]
    assert values(scope, b"x-empty") == [b""]
    assert all(name == name.lower() for name, _ in scope["headers"])


@roads("m", "w")
async def test_S5_order_is_kept(road: MessageRoad) -> None:
    init = made(host="h")
    init.headers.append(HTTPHeader(key="B", values=["1", "2"]))
    init.headers.append(HTTPHeader(key="Cookie", values=["a=1; b=2", "c=3"]))
    init.headers.append(HTTPHeader(key="A", values=["3"]))
    init.headers.append(HTTPHeader(key="b", values=["4"]))
    init.headers.append(HTTPHeader(key="Nothing"))
    scope = await scope_of(road, init)
    assert scope["headers"] == [
        (b"host", b"h"),
        (b"b", b"1"),
        (b"b", b"2"),
        (b"cookie", b"a=1; b=2"),
        (b"cookie", b"c=3"),
        (b"a", b"3"),
        (b"b", b"4"),
        (b"x-case", b"scope"),
    ]


FOLDING = [
    "Mattermost_User_Id",
    "mattermost-user_id",
    "MATTERMOST_Plugin-Id",
    "Mattermost_Plugin_ID",
]


@roads("m", "w", "g")
@pytest.mark.parametrize("name", [*FOLDING, "X_Under", "_"])
async def test_S6_names_with_an_underscore_are_dropped(road: Road, name: str) -> None:
    scope = await road.scope(headers=[(name, SECRET)])
    assert SECRET not in str(scope)
    assert scope["extensions"]["mattermost"]["user_id"] is None
    assert scope["extensions"]["mattermost"]["source_plugin_id"] is None


@roads("m")
async def test_S6_underscores_by_setting_but_none_that_folds_to_an_identity(road: Road) -> None:
    async with MemoryRoad(underscore_headers=True) as own:
        scope = await own.scope(headers=[(name, SECRET) for name in FOLDING])
        assert SECRET not in str(scope)
        scope = await own.scope(headers=[("X_Under", "1")])
        assert values(scope, b"x_under") == [b"1"]


@roads("m", "w", "g")
async def test_S6_an_identity_that_a_client_sends_is_no_identity(road: Road) -> None:
    scope = await road.scope(headers=[("Mattermost-User-Id", "x"), ("mattermost-plugin-id", "y")])
    facts = scope["extensions"]["mattermost"]
    assert (facts["user_id"], facts["source_plugin_id"]) == (None, None)


@roads("m", "w", "g")
async def test_S6_hop_by_hop_names_are_dropped(road: Road) -> None:
    hops = ["Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade", "Proxy-Authorization"]
    scope = await road.scope(headers=[(name, "x") for name in hops])
    names = [name.decode() for name, _ in scope["headers"]]
    assert not set(names) & {hop.lower() for hop in hops}


@roads("m", "w", "g")
async def test_S6_names_in_connection_are_kept(road: Road) -> None:
    login = ("Authorization", "Bearer token-alice")
    scope = await road.scope(
        headers=[login, ("Connection", "Mattermost-User-Id, X-Kept"), ("X-Kept", "1")]
    )
    assert values(scope, b"x-kept") == [b"1"]
    assert values(scope, b"mattermost-user-id") == [b"alice"]
    assert values(scope, b"connection") == []


@roads("m", "w")
async def test_S6_all_hop_by_hop_names(road: MessageRoad) -> None:
    init = made()
    for name in ("Connection", "Transfer-Encoding", "proxy-authenticate", "UPGRADE"):
        init.headers.append(HTTPHeader(key=name, values=["x"]))
    assert [name for name, _ in (await scope_of(road, init))["headers"]] == [b"host", b"x-case"]


# ---------------------------------------------------------------- S7: addresses


@roads("m", "w", "g")
@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("chat.example.com", ("chat.example.com", 80)),
        ("chat.example.com:8065", ("chat.example.com", 8065)),
        ("[2001:db8::1]:8065", ("2001:db8::1", 8065)),
        ("[2001:db8::1]", ("2001:db8::1", 80)),
    ],
)
async def test_S7_server_comes_from_host(road: Road, host: str, server: object) -> None:
    scope = await road.scope(headers=[("Host", host)])
    assert scope["server"] == server
    assert scope["headers"][0] == (b"host", host.encode())


@roads("m", "w", "g")
@pytest.mark.parametrize(
    ("forwarded", "scheme"),
    [("https", "https"), ("HTTPS, http", "https"), ("http", "http"), ("http, https", "http"), ("ftp", "http")],
)  # fmt: skip
async def test_S7_scheme_comes_from_the_proxy(road: Road, forwarded: str, scheme: str) -> None:
    headers = [("X-Forwarded-Proto", forwarded), ("Host", "chat.example.com")]
    scope = await road.scope(headers=headers)
    assert scope["scheme"] == scheme
    assert scope["server"] == ("chat.example.com", 443 if scheme == "https" else 80)


@roads("m")
async def test_S7_scheme_comes_from_the_site_url(road: Road) -> None:
    async with MemoryRoad(site_url="https://chat.example.com/mm") as own:
        scope = await own.scope(headers=[("Host", "chat.example.com")])
        assert (scope["scheme"], scope["server"]) == ("https", ("chat.example.com", 443))
        scope = await own.scope(headers=[("X-Forwarded-Proto", "https")])
        assert scope["scheme"] == "https"


@roads("m", "w", "g")
async def test_S7_client(road: Road) -> None:
    host, port = (await road.scope())["client"]
    assert host == ("127.0.0.1" if road.kind == "g" else "192.0.2.1")
    assert 0 < port < 65536


ADDRESSES = [
    ("192.0.2.1:5555", "", ("192.0.2.1", 5555)),
    ("192.0.2.1:5555", "198.51.100.7", ("198.51.100.7", 5555)),
    ("[2001:db8::1]:5555", "", ("2001:db8::1", 5555)),
    ("2001:db8::1", "", ("2001:db8::1", 0)),
    ("192.0.2.1", "", ("192.0.2.1", 0)),
    ("@", "", None),
    ("@", "198.51.100.7", ("198.51.100.7", 0)),
    ("", "", None),
    ("pipe:99999999", "", ("pipe", 0)),
    ("[fe80::1%eth0]:1", "", ("fe80::1%eth0", 1)),
    (":::", "", (":::", 0)),
]


@roads("m", "w")
@pytest.mark.parametrize(("remote", "ip", "client"), ADDRESSES)
async def test_S7_odd_addresses(road: MessageRoad, remote: str, ip: str, client: object) -> None:
    init = made(remote_addr=remote)
    init.plugin_context.CopyFrom(PluginContext(ip_address=ip))
    assert (await scope_of(road, init))["client"] == client


# ---------------------------------------------------------------- S8: state and identity


@roads("m", "w", "g")
async def test_S8_each_request_has_a_shallow_copy_of_the_state(road: Road) -> None:
    first, second = road.token(), road.token()
    before = (await road.http("GET", "/state", [("X-Token", first)])).literal
    after = (await road.http("GET", "/state", [("X-Token", second)])).literal
    assert before["fixed"] == after["fixed"] == "from lifespan"
    assert set(after) == {"fixed", "shared"}
    assert after["shared"] == [*before["shared"], first]


@roads("m", "w", "g")
async def test_S8_who_asks(road: Road) -> None:
    scope = await road.scope(
        headers=[
            ("Authorization", "Bearer token-alice"),
            ("User-Agent", "tests/1"),
            ("Accept-Language", "de"),
        ]
    )
    assert set(scope["extensions"]) == {"mattermost"}
    facts = scope["extensions"]["mattermost"]
    assert len(facts.pop("request_id")) == 26
    assert facts == {
        "plugin_id": PLUGIN_ID,
        "user_id": "alice",
        "session_id": "session-alice",
        "ip_address": scope["client"][0],
        "user_agent": "tests/1",
        "accept_language": "de",
        "source_plugin_id": None,
    }
    assert b"token-alice" not in dict(scope["headers"]).get(b"authorization", b"")


@roads("m", "w", "g")
async def test_S8_nobody_asks(road: Road) -> None:
    scope = await road.scope()
    identity = mm_asgi.identity(scope)
    assert (identity.user_id, identity.session_id, identity.is_anonymous) == (None, "", True)
    assert identity.plugin_id == PLUGIN_ID
    assert identity.request_id == scope["extensions"]["mattermost"]["request_id"]


@roads("m", "w", "g")
async def test_S8_a_token_in_the_query_logs_in_and_is_gone(road: Road) -> None:
    scope = await road.scope("/scope?a=1&access_token=token-alice")
    assert mm_asgi.identity(scope).user_id == "alice"
    assert scope["query_string"] == b"a=1"
    assert "token-alice" not in str(await road.lines())


@roads("m", "w")
async def test_S8_empty_identity_headers_are_none(road: MessageRoad) -> None:
    init = made()
    init.headers.append(HTTPHeader(key="Mattermost-User-Id", values=[""]))
    init.headers.append(HTTPHeader(key="Mattermost-Plugin-ID", values=[""]))
    facts = (await scope_of(road, init))["extensions"]["mattermost"]
    assert (facts["user_id"], facts["source_plugin_id"]) == (None, None)


# ---------------------------------------------------------------- S9: another plugin asks


def check_inter_plugin(scope: dict[str, Any]) -> None:
    root = f"/plugins/{PLUGIN_ID}"
    assert (scope["path"], scope["root_path"]) == (f"{root}/scope/x y", root)
    assert scope["raw_path"] == f"{root}/scope/x%20y".encode()
    assert scope["query_string"] == b"a=1&b=2"
    assert (scope["method"], scope["scheme"]) == ("GET", "http")
    assert (scope["client"], scope["server"]) == (None, None)
    assert values(scope, b"host") == []
    facts = scope["extensions"]["mattermost"]
    assert (facts["source_plugin_id"], facts["user_id"]) == ("com.example.other", None)
    # What frameworks make of a scope, they have to be able to make of this one.
    assert urlsplit(scope["path"]).path == scope["path"]


def other_plugin() -> Iterable[HTTPHeader]:
    yield HTTPHeader(key="Mattermost-User-Id", values=[""])
    yield HTTPHeader(key="Mattermost-Plugin-ID", values=["com.example.other"])


@roads("m", "w")
async def test_S9_an_inter_plugin_request(road: MessageRoad) -> None:
    init = ServeHTTPRequestInit(
        method="GET", url="/scope/x%20y?a=1&b=2", proto="HTTP/1.1", proto_major=1, proto_minor=1
    )
    init.headers.extend(other_plugin())
    check_inter_plugin(await scope_of(road, init))


@roads("w")
async def test_S9_through_the_hosts_own_call(road: GoRoad) -> None:
    answer = await road.inter_plugin(
        "/scope/x%20y?b=2&a=1", source_plugin_id="com.example.other", user_id=""
    )
    check_inter_plugin(answer.literal)
    answer = await road.inter_plugin("/scope")
    identity = mm_asgi.identity(answer.literal)
    assert identity.source_plugin_id == "com.mattermost.server"


@roads("w")
async def test_S9_starlette_answers_another_plugin(road: GoRoad) -> None:
    answer = await road.inter_plugin("/starlette/")
    assert (answer.status, answer.header("content-type")) == (200, "application/json")


@roads("m", "w")
async def test_S9_an_empty_init_is_a_scope(road: MessageRoad) -> None:
    scope = await scope_of(road, ServeHTTPRequestInit())
    assert (scope["method"], scope["path"]) == ("GET", f"/plugins/{PLUGIN_ID}")
    assert scope["headers"] == [(b"x-case", b"scope")]
