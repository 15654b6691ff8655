"""build_http alone: tables for its corners, and what holds for any init message."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mm_asgi.bridge.request import HTTPRequest
from mm_asgi.bridge.scope import Mount, build_http, strip_access_token
from mm_asgi.bridge.serve_http import GRPCExchange
from mm_asgi.protocol.hooks_common_pb2 import PluginContext
from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequest, ServeHTTPRequestInit
from mm_asgi.protocol.hooks_http_read_pb2 import ServeHTTPRequest as ReadRequest
from tests.wire.memory import MemoryStream

ROOT = "/plugins/demo"


def scope_and_remark(init: ServeHTTPRequestInit, **mount: Any) -> tuple[dict[str, Any], str | None]:
    first = ReadRequest.FromString(ServeHTTPRequest(init=init).SerializeToString())
    return build_http(GRPCExchange(MemoryStream(), first).request, Mount("demo", **mount), {})[:2]


def scope_of(init: ServeHTTPRequestInit, **mount: Any) -> dict[str, Any]:
    return scope_and_remark(init, **mount)[0]


# ---------------------------------------------------------------- strip_access_token

STRIPPED = [
    ("", ""),
    ("a=1&b=2", "a=1&b=2"),
    ("access_token=T", ""),
    ("access_token", ""),
    ("access_token=", ""),
    ("a=1&access_token=T", "a=1"),
    ("access_token=T&a=1", "a=1"),
    ("a=1&access_token=T&b=2", "a=1&b=2"),
    ("access_token=T&access_token=T", ""),
    ("&access_token=T&", "&"),
    ("a&&access_token=T&&b", "a&&&b"),
    ("%61ccess_token=T&a", "a"),
    ("access%5ftoken=T&a", "a"),
    ("%61%63%63%65%73%73%5F%74%6F%6B%65%6E=T&a", "a"),
    ("access_token=T;T&a", "a"),
    ("a=1;access_token=T", "a=1"),
    ("a=1;b=2;access_token=T;c=3&d", "a=1;b=2&d"),
    (";access_token=T", ""),
    (";;access%5Ftoken=T&a", ";&a"),
    ("a;b&c;d", "a;b&c;d"),
    # The same letters, but another key for every decoder.
    ("access+token=1", "access+token=1"),
    ("+access_token=1", "+access_token=1"),
    ("access_token+=1", "access_token+=1"),
    ("Access_Token=1", "Access_Token=1"),
    ("my_access_token=1", "my_access_token=1"),
    ("access%255Ftoken=1", "access%255Ftoken=1"),
    ("a=access_token", "a=access_token"),
    ("a=1%26access_token=2", "a=1%26access_token=2"),
    ("%FFaccess_token=1", "%FFaccess_token=1"),
    ("%zz=%&token=%4", "%zz=%&token=%4"),
]


@pytest.mark.parametrize(("query", "expected"), STRIPPED)
def test_strip_access_token(query: str, expected: str) -> None:
    assert strip_access_token(query) == expected


# ---------------------------------------------------------------- paths

# request_uri, url, root_path, path, raw_path
PATHS = [
    ("/plugins/demo/a", "/a", ROOT, "/plugins/demo/a", "/plugins/demo/a"),
    ("/mm/plugins/demo/a", "/a", "/mm" + ROOT, "/mm/plugins/demo/a", "/mm/plugins/demo/a"),
    ("/plugins/de%6do/a", "/a", ROOT, "/plugins/demo/a", "/plugins/de%6do/a"),
    ("/plugins/demo", "", ROOT, ROOT, "/plugins/demo"),
    ("/plugins/demo", "/", ROOT, ROOT, "/plugins/demo"),
    ("/plugins/demo?a=/b", "?a=/b", ROOT, ROOT, "/plugins/demo"),
    ("/plugins/demo/", "/", ROOT, ROOT + "/", "/plugins/demo/"),
    ("/plugins/demo/a%2Fb", "/a/b", ROOT, ROOT + "/a/b", "/plugins/demo/a%2Fb"),
    ("/plugins/demo/a%252Fb", "/a%252Fb", ROOT, ROOT + "/a%2Fb", "/plugins/demo/a%252Fb"),
    ("/plugins/demo/%00", "/%00", ROOT, ROOT + "/\0", "/plugins/demo/%00"),
    ("/plugins/demo/%FF", "/%FF", ROOT, ROOT + "/\ufffd", "/plugins/demo/%FF"),
    ("/plugins/demo//a", "//a", ROOT, ROOT + "//a", "/plugins/demo//a"),
    ("/plugins/demo/plugins/demo/a", "/plugins/demo/a", ROOT, ROOT * 2 + "/a", ROOT * 2 + "/a"),
    ("http://e/plugins/demo/a?b", "http://e/a?b", ROOT, ROOT + "/a", "/plugins/demo/a"),
    ("http://e/plugins/demo", "http://e", ROOT, ROOT, "/plugins/demo"),
    ("h2c://u:p@[::1]:1/plugins/demo/a", "h2c://u:p@[::1]:1/a", ROOT, ROOT + "/a", ROOT + "/a"),
    ("http:/plugins/demo/a", "http:/a", ROOT, ROOT + "/a", "/plugins/demo/a"),
    ("/plugins/demo/http://e/a", "/http://e/a", ROOT, ROOT + "/http://e/a", ROOT + "/http://e/a"),
    # An inter-plugin request.
    ("", "/a%20b?c", ROOT, ROOT + "/a b", "/plugins/demo/a%20b"),
    ("", "", ROOT, ROOT, "/plugins/demo"),
    ("", "/é", ROOT, ROOT + "/é", "/plugins/demo/é"),
]


@pytest.mark.parametrize(("uri", "url", "root_path", "path", "raw_path"), PATHS)
def test_paths(uri: str, url: str, root_path: str, path: str, raw_path: str) -> None:
    scope, remark = scope_and_remark(ServeHTTPRequestInit(request_uri=uri, url=url))
    assert remark is None
    assert (scope["root_path"], scope["path"]) == (root_path, path)
    assert scope["raw_path"] == raw_path.encode()


@pytest.mark.parametrize(
    ("configured", "uri", "url", "root_path", "path", "agree"),
    [
        (None, "/elsewhere", "/a", ROOT, ROOT + "/a", False),
        ("/x/y", "/elsewhere", "/a", "/x/y", "/x/y/a", False),
        ("/x/y", "/x/y/a", "/a", "/x/y", "/x/y/a", True),
        # What the client really sent is truer than a setting.
        ("/x/y", "/z/a", "/a", "/z", "/z/a", True),
        ("/x/y", "/x/y", "/", "/x/y", "/x/y", True),
        ("/x", "/x", "", "/x", "/x", True),
        ("/x y", "", "/a", "/x y", "/x y/a", True),
    ],
)
def test_paths_with_a_setting_and_without_a_fit(
    configured: str | None, uri: str, url: str, root_path: str, path: str, agree: bool
) -> None:
    init = ServeHTTPRequestInit(request_uri=f"{uri}?q=SECRET" if uri else "", url=url)
    scope, remark = scope_and_remark(init, root_path=configured)
    assert (scope["root_path"], scope["path"]) == (root_path, path)
    assert (remark is None) is agree
    if remark is not None:
        assert repr(uri) in remark
        assert "SECRET" not in remark


def test_a_setting_is_spelled_in_raw_path() -> None:
    scope = scope_of(ServeHTTPRequestInit(url="/a%20b"), root_path="/é")
    assert (scope["path"], scope["raw_path"]) == ("/é/a b", b"/%C3%A9/a%20b")


@pytest.mark.parametrize(
    ("uri", "url", "query"),
    [
        ("/x/a?b=1&access_token=T&a=2", "/a?a=2&b=1", b"b=1&a=2"),
        ("/x/a", "/a?a=2", b""),
        ("", "/a?a=2&access_token=T", b"a=2"),
        ("/x/a?b?c", "/a?b", b"b?c"),
        ("/x/a?é", "/a?e", "é".encode()),
    ],
)
def test_query(uri: str, url: str, query: bytes) -> None:
    assert scope_of(ServeHTTPRequestInit(request_uri=uri, url=url))["query_string"] == query


# ---------------------------------------------------------------- addresses

# An address as Go writes it, and what it says of host and port.
ADDRESSES = [
    ("192.0.2.1:80", ("192.0.2.1", 80)),
    ("192.0.2.1", ("192.0.2.1", None)),
    ("192.0.2.1:", ("192.0.2.1", None)),
    ("chat.example.com:8065", ("chat.example.com", 8065)),
    ("[2001:db8::1]:80", ("2001:db8::1", 80)),
    ("[2001:db8::1]", ("2001:db8::1", None)),
    ("[2001:db8::1]:", ("2001:db8::1", None)),
    ("2001:db8::1", ("2001:db8::1", None)),
    ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
    ("h:0", ("h", 0)),
    ("h:http", ("h", None)),
    ("h:-1", ("h", None)),
    ("h:1_0", ("h", None)),
    ("h:\u0663", ("h", None)),
    ("h:\u00b2", ("h", None)),
    ("h:999999", ("h", None)),
    ("@", None),
    ("@:1", None),
    (":80", None),
    (":", None),
    ("[]:80", None),
    ("", None),
]


@pytest.mark.parametrize(("address", "found"), ADDRESSES)
def test_client_and_server(address: str, found: tuple[str, int | None] | None) -> None:
    scope = scope_of(ServeHTTPRequestInit(host=address, remote_addr=address))
    if found is None:
        assert (scope["client"], scope["server"]) == (None, None)
        return
    name, port = found
    assert scope["client"] == (name, port or 0)
    assert scope["server"] == (name, 80 if port is None else port)
    secure = scope_of(ServeHTTPRequestInit(host=address), site_url="HTTPS://chat.example.com")
    assert secure["scheme"] == "https"
    assert secure["server"] == (name, 443 if port is None else port)


# ---------------------------------------------------------------- whatever comes

KEYS = ["access_token", "%61ccess_token", "access%5Ftoken", "access%5ftoke%6E", "access+token"]
PIECES = [*KEYS, "&", ";", "=", "%", "%2", "%3B", "%26", "+", "?", "#", "a", "TOKEN", "é"]
QUERIES = st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=30)
PARTS = ["/", "plugins", "demo", "a", "%2F", "%FF", "%", "..", "http:", "//", "*", "?", "é", "\0"]
TARGETS = st.builds(
    lambda parts, query: "".join(parts) + query,
    st.lists(st.sampled_from(PARTS), max_size=10),
    st.just("") | QUERIES.map("?{}".format) | st.text(max_size=10),
)
NAMES = ["Mattermost-User-Id", "Mattermost_User_Id", "Connection", "X-Forwarded-Proto", "Host"]
HEADERS = st.builds(
    HTTPHeader,
    key=st.sampled_from(NAMES) | st.text(max_size=8),
    values=st.lists(st.text(max_size=8), max_size=3),
)
INITS = st.builds(
    ServeHTTPRequestInit,
    method=st.text(max_size=5),
    url=TARGETS,
    request_uri=TARGETS,
    proto=st.text(max_size=8),
    proto_major=st.integers(-(2**31), 2**31 - 1),
    host=st.text(max_size=12),
    remote_addr=st.text(max_size=12),
    content_length=st.integers(-(2**63), 2**63 - 1),
    headers=st.lists(HEADERS, max_size=4),
    plugin_context=st.builds(PluginContext, ip_address=st.text(max_size=8)),
)


def keys_of(query: bytes) -> set[bytes]:
    """The keys that any parser may find: decoded here by hand, split at ``&`` and ``;``."""

    def byte(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 16)])

    keys = (piece.split(b"=")[0].replace(b"+", b" ") for piece in re.split(b"[&;]", query))
    return {re.sub(rb"%([0-9A-Fa-f]{2})", byte, key) for key in keys}


@settings(deadline=None)
@given(query=QUERIES)
@example(query=";access_token=T;T")
def test_no_decoder_finds_a_token(query: str) -> None:
    stripped = strip_access_token(query)
    assert b"access_token" not in keys_of(stripped.encode())
    assert strip_access_token(stripped) == stripped
    if b"access_token" not in keys_of(query.encode()):
        assert stripped == query


@settings(deadline=None)
@given(before=QUERIES, key=st.sampled_from(KEYS[:4]), after=QUERIES)
def test_no_byte_of_a_token_is_left(before: str, key: str, after: str) -> None:
    stripped = strip_access_token(f"{before}&{key}=S3CRET;S3CRET&{after}")
    assert "S3CRET" not in stripped


@settings(deadline=None)
@given(init=INITS, root_path=st.sampled_from([None, ROOT, "/mm/plugins/demo", "/x y"]))
@example(init=ServeHTTPRequestInit(request_uri="http:", url="http://"), root_path=None)
@example(init=ServeHTTPRequestInit(request_uri="*", url="*?access_token"), root_path=ROOT)
def test_any_init_makes_a_valid_scope(init: ServeHTTPRequestInit, root_path: str | None) -> None:
    scope = scope_of(init, root_path=root_path)
    assert type(scope["path"]) is str
    assert type(scope["root_path"]) is str
    assert scope["path"].startswith(scope["root_path"])
    assert type(scope["raw_path"]) is bytes
    assert b"?" not in scope["raw_path"]
    assert b"access_token" not in keys_of(scope["query_string"])
    assert scope["method"]
    assert scope["scheme"] in ("http", "https")
    assert scope["type"] == "http"
    for name, value in scope["headers"]:
        assert type(name) is type(value) is bytes
        assert name == name.decode().lower().encode()
        assert b"_" not in name
    for address in (scope["client"], scope["server"]):
        assert address is None or (type(address[0]) is str and type(address[1]) is int)


@settings(deadline=None)
@given(init=INITS)
def test_no_name_passes_for_an_identity(init: ServeHTTPRequestInit) -> None:
    vouched = [
        value.encode()
        for header in init.headers
        if header.key.lower() == "mattermost-user-id"
        for value in header.values
    ]
    for allowed in (False, True):
        scope = scope_of(init, underscores=allowed)
        folded = [
            value
            for name, value in scope["headers"]
            if name.replace(b"_", b"-") == b"mattermost-user-id"
        ]
        assert folded == vouched


# ---------------------------------------------------------------- a wire of bytes


def raw_request(target: str, headers: list[tuple[bytes, bytes]]) -> HTTPRequest:
    """The facts as a wire brings them that does not force text to be UTF-8."""
    return HTTPRequest(
        "GET", target, target, "", "", "HTTP/1.1", 1, -1, headers, "", "", "", "", ""
    )


def test_headers_that_are_not_utf8_are_kept_byte_by_byte() -> None:
    headers = [(b"X-\xc9", b"\xff"), (b"X-\xc3\x89", b"a"), (b"X-A", b"\xe9")]
    scope = build_http(raw_request("/", headers), Mount("demo"), {}).scope
    assert scope["headers"] == [(b"x-\xc9", b"\xff"), (b"x-\xc3\xa9", b"a"), (b"x-a", b"\xe9")]


def test_a_user_that_is_not_utf8_is_still_a_text() -> None:
    headers = [(b"Mattermost-User-Id", b"a\xff")]
    scope = build_http(raw_request("/", headers), Mount("demo"), {}).scope
    assert scope["extensions"]["mattermost"]["user_id"] == "a\ufffd"


def test_a_target_that_is_not_utf8_is_kept_in_raw_path_and_replaced_in_path() -> None:
    target = b"/caf\xe9/%ff?q=\xe9&access_token=T".decode("utf-8", "surrogateescape")
    scope = build_http(raw_request(target, []), Mount("demo"), {}).scope
    assert (scope["raw_path"], scope["query_string"]) == (b"/caf\xe9/%ff", b"q=\xe9")
    assert scope["path"] == "/caf\ufffd/\ufffd"
    scope["path"].encode()
