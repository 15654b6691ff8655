"""Rows S1 to S4: versions, paths and the query of the scope."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

import mm_asgi
from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequest, ServeHTTPRequestInit
from tests.contract.scoped import AT_ROOT, SECRET, SETTINGS, SITE, made, scope_of, values
from tests.roads import PLUGIN_ID, HTTPRoad, MessageRoad, Road, on
from tests.roads.h2c import H2CRequest

if TYPE_CHECKING:
    from tests.roads.host_road import HostRoad

PREFIX = f"/mm/plugins/{PLUGIN_ID}"
ROOT = f"/plugins/{PLUGIN_ID}"

# ---------------------------------------------------------------- S1


@on("m", "w", "g")
async def test_S1_type_and_versions(road: Road) -> None:
    scope = await road.scope()
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}
    assert (scope["method"], scope["http_version"]) == ("GET", "1.1")
    assert set(scope) == {
        *("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "root_path"),
        *("query_string", "headers", "client", "server", "state", "extensions"),
    }


@on("m", "w", "g")
async def test_S1_http_1_0(road: Road) -> None:
    assert (await road.scope(version="1.0"))["http_version"] == "1.0"


@on("m", "w")
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


@on("m", "w", "g")
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "PROPFIND"])
async def test_S1_method(road: Road, method: str) -> None:
    assert (await road.http(method, "/scope")).literal["method"] == method


@on("g", but="s")  # uvicorn speaks HTTP/1.1 only
async def test_S1_http_2(road: HTTPRoad) -> None:
    request = await H2CRequest.open(
        road.host.address,
        [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "chat.example.com"),
            (":path", f"{PREFIX}/scope/a%2Fb?b=1&access_token=token-alice&a=2"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ],
        last=True,
    )
    body = await request.rest()
    await request.close()
    scope = ast.literal_eval(body.decode())
    assert scope["http_version"] == "2"
    assert scope["root_path"] == PREFIX
    assert scope["raw_path"] == f"{PREFIX}/scope/a%2Fb".encode()
    assert scope["query_string"] == b"b=1&a=2"
    assert scope["headers"][0] == (b"host", b"chat.example.com")
    assert values(scope, b"cookie") == [b"a=1; b=2"]
    assert mm_asgi.identity(scope).user_id == "alice"


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


@on("m", "w", "g")
@pytest.mark.parametrize(("target", "prefix"), SPELLINGS)
async def test_S2_paths_however_they_are_spelled(road: Road, target: str, prefix: str) -> None:
    scope = await road.scope(target)
    assert scope["root_path"] == PREFIX
    assert scope["path"] == f"{PREFIX}/scope/a"
    assert scope["raw_path"] == f"{prefix}/scope/a".encode()


@on("m", "w", "g")
async def test_S2_without_a_slash_at_the_end(road: Road) -> None:
    scope = await road.scope(PREFIX)
    assert (scope["root_path"], scope["path"]) == (PREFIX, PREFIX)
    scope = await road.scope("http://evil.example" + PREFIX)
    assert (scope["root_path"], scope["path"]) == (PREFIX, PREFIX)
    scope = await road.scope(f"{PREFIX}/")
    assert (scope["root_path"], scope["path"]) == (PREFIX, f"{PREFIX}/")


@on("m", "w")
async def test_S2_paths_that_do_not_fit(road: MessageRoad) -> None:
    init = made(request_uri=f"/elsewhere?access_token={SECRET}", url="/scope/b%20c")
    scope = await scope_of(road, init)
    assert scope["root_path"] == f"/plugins/{PLUGIN_ID}"
    assert scope["path"] == f"/plugins/{PLUGIN_ID}/scope/b c"
    line = await road.logged("is not the end of request_uri's path '/elsewhere'", "warn")
    assert SECRET not in line.message


@on("m", settings={"root_path": "/a/b"})
@pytest.mark.parametrize("uri", ["/a/b/scope", "/elsewhere", "/a/scope"])
async def test_S2_a_configured_root_path(road: MessageRoad, uri: str) -> None:
    scope = await scope_of(road, made(request_uri=uri, url="/scope"))
    found = "/a" if uri == "/a/scope" else "/a/b"
    assert (scope["root_path"], scope["path"]) == (found, f"{found}/scope")


@on("m", "w", "g")
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


@on("m", "w", "g")
async def test_S2_fastapis_docs_lead_back(road: Road) -> None:
    page = await road.http("GET", "/fastapi/docs")
    url = f"{PREFIX}/fastapi/openapi.json"
    assert f"url: '{url}'" in page.body.decode()
    openapi = await road.http("GET", url)
    assert f'"servers":[{{"url":"{PREFIX}/fastapi"}}]' in openapi.body.decode()


# ---------------------------------------------------------------- S2: a site without a subpath


@on("m", "w", "g", but="s", settings=SETTINGS, site=AT_ROOT, one_wire=True)
async def test_S2_without_a_subpath(road: Road) -> None:
    scope = await road.scope("/scope/a%2Fb?x", [("Host", SITE)])
    # What the client sent counts, not the setting root_path.
    assert (scope["root_path"], scope["path"]) == (ROOT, f"{ROOT}/scope/a/b")
    assert scope["raw_path"] == f"{ROOT}/scope/a%2Fb".encode()


@on("m", "w", "g", but="s", settings=SETTINGS, site=AT_ROOT, one_wire=True)
async def test_S2_starlette_without_a_subpath(road: Road) -> None:
    base = f"https://{SITE}{ROOT}/starlette"
    home = await road.http("GET", "/starlette/", [("Host", SITE)])
    for url in (f'"home":"{base}/"', f'"file":"{base}/static/hello.txt"'):
        assert url in home.body.decode()
    assert (await road.http("GET", "/starlette/away", [("Host", SITE)])).header(
        "location"
    ) == f"{base}/"
    file = await road.http("GET", "/starlette/static/hello.txt", [("Host", SITE)])
    assert file.body == b"hello from a file\n"
    leaf = await road.http("GET", "/starlette/branch/twig", [("Host", SITE)])
    assert leaf.body.decode() == f"twig {ROOT}/starlette/branch/twig"


@on("m", "w", "g", but="s", settings=SETTINGS, site=AT_ROOT, one_wire=True)
async def test_S2_fastapis_docs_without_a_subpath(road: Road) -> None:
    page = await road.http("GET", "/fastapi/docs", [("Host", SITE)])
    assert f"url: '{ROOT}/fastapi/openapi.json'" in page.body.decode()
    openapi = await road.http("GET", "/fastapi/openapi.json", [("Host", SITE)])
    assert f'"servers":[{{"url":"{ROOT}/fastapi"}}]' in openapi.body.decode()


@on("m", "w", settings=SETTINGS, site=AT_ROOT, one_wire=True)
async def test_S2_the_setting_where_the_paths_do_not_fit(road: MessageRoad) -> None:
    init = ServeHTTPRequestInit(request_uri=f"/elsewhere?{SECRET}", url="/scope")
    init.headers.append(HTTPHeader(key="X-Case", values=["scope"]))
    got = await road.exchange(ServeHTTPRequest(init=init, body_complete=True))
    scope = got.answer().literal
    assert (scope["root_path"], scope["path"]) == ("/proxy/demo", "/proxy/demo/scope")
    line = await road.logged("is not the end of request_uri's path", "warn")
    assert SECRET not in str(line)


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


@on("m", "w", "g")
@pytest.mark.parametrize(("spelled", "path"), PATHS)
async def test_S3_path_and_raw_path(road: Road, spelled: str, path: str) -> None:
    # Request lines are bytes; the roads write text as latin-1.
    scope = await road.scope(spelled.encode().decode("latin-1") + "?a=%2F?")
    assert scope["path"] == PREFIX + path
    assert scope["raw_path"] == (PREFIX + spelled).encode()
    assert scope["root_path"] == PREFIX


@on("m", "w", "g", but="s")  # h11 refuses bytes over 0x7f in a target
async def test_S3_path_and_S4_query_with_bare_utf8(road: Road) -> None:
    scope = await road.scope("/scope/€?a=€".encode().decode("latin-1"))
    assert scope["path"] == PREFIX + "/scope/€"
    assert scope["raw_path"] == (PREFIX + "/scope/€").encode()
    assert scope["query_string"] == "a=€".encode()


@on("m", "w")
@pytest.mark.parametrize(("spelled", "path"), UNCLEAN)
async def test_S3_path_that_the_host_would_clean(
    road: MessageRoad, spelled: str, path: str
) -> None:
    scope = await scope_of(road, made(request_uri=PREFIX + spelled, url=spelled))
    assert scope["path"] == PREFIX + path
    assert scope["raw_path"] == (PREFIX + spelled).encode()
    assert scope["root_path"] == PREFIX


@on("g")
@pytest.mark.parametrize(
    ("path", "status"), [("//a", 301), ("/../a", 301), ("/%2e%2e/a", 301), ("/%zz", 400)]
)
async def test_S3_what_the_host_answers_itself(road: Road, path: str, status: int) -> None:
    assert (await road.http("GET", f"/scope{path}")).status == status


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


@on("m", "w", "g")
@pytest.mark.parametrize(("query", "expected"), QUERIES)
async def test_S4_the_query_without_the_token(road: Road, query: str, expected: str) -> None:
    answer = await road.http(
        "GET", "/scope?" + query.encode().decode("latin-1"), [("Referer", f"/x?{SECRET}")]
    )
    assert answer.literal["query_string"] == expected.encode()
    assert SECRET not in answer.body.decode()
    assert SECRET not in str(await road.lines())


@on("m", "w", "g")
async def test_S4_a_query_reaches_no_log(road: Road) -> None:
    await road.http("GET", f"/nowhere?a={SECRET}")  # a 500 with a traceback
    await road.http("GET", f"/scope?a={SECRET}", [("Upgrade", "websocket")])
    await road.logged("the app raised KeyError", "error")
    assert SECRET not in str(await road.lines())


@on("m", "w")
async def test_S4_urls_query_only_without_a_request_uri(road: MessageRoad) -> None:
    init = made(request_uri="", url="/scope?b=1&access_token=x&a=2")
    assert (await scope_of(road, init))["query_string"] == b"b=1&a=2"
    init = made(request_uri=f"{PREFIX}/scope", url="/scope?a=1")
    assert (await scope_of(road, init))["query_string"] == b""


@on("w", "g")
async def test_S4_no_token_and_no_query_in_the_hosts_whole_log(road: HostRoad) -> None:
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
