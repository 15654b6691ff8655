"""What the host strips, sets and rewrites: the cases of tests/gohost/rewrite_test.go and more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.host.http.headers import canonical, clean_value, media_type
from mm_asgi.host.http.rules import (
    GoRequest,
    Rewritten,
    Route,
    Rules,
    clean_path,
    identify_by_form,
    read_request,
    rewrite,
    route,
)
from mm_asgi.host.http.urls import parse_request_uri
from mm_asgi.host.ids import new_id

RULES = Rules(plugin_id="com.example.demo", subpath="/mm")
ROOT = "/mm/plugins/com.example.demo"
COOKIE = "Cookie: MMAUTHTOKEN=token-joe"
FORM = "Content-Type: application/x-www-form-urlencoded"


def request(target: str, *headers: str, method: str = "GET", **more: Any) -> GoRequest:
    raw_path, _, query = target.encode("latin-1").partition(b"?")
    pairs = [line.partition(": ") for line in ("Host: chat", *headers)]
    return read_request(
        {
            "method": method,
            "raw_path": raw_path,
            "query_string": query,
            "http_version": "1.1",
            "client": ("10.1.2.3", 4567),
            "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, _, v in pairs],
            **more,
        }
    )


def rewritten(target: str, *headers: str, rules: Rules = RULES) -> tuple[GoRequest, Rewritten]:
    made = request(ROOT + target, *headers)
    return made, rewrite(made, rules)


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (f"{ROOT}/a?b=1&a=2&flag&access_token=t", "/a?a=2&b=1&flag="),
        (f"{ROOT}/a%2Fb", "/a/b"),
        ("/mm/plugins/com.example.d%65mo/x", "/x"),
        (ROOT, ""),
        (f"http://evil{ROOT}/x", "http://evil/x"),
    ],
)
def test_the_url_is_trimmed_and_its_query_sorted(target: str, url: str) -> None:
    made = request(target)
    rewrite(made, RULES)
    assert str(made.url) == url
    assert made.request_uri == target


def test_headers_are_stripped_and_cookies_rebuilt() -> None:
    made, done = rewritten(
        "/",
        "Cookie: MMAUTHTOKEN=token-joe; a=1; broken name=2; MMCSRF=c",
        'Cookie: b="2"; c=x y; d',
        "Referer: x",
        "Mattermost-User-Id: evil",
        "mattermost-plugin-id: evil",
        "Mattermost_User_Id: evil",
    )
    assert made.header == {
        "Cookie": ['a=1; MMCSRF=c; b="2"; c="x y"; d='],
        "Mattermost_user_id": ["evil"],  # passes through the host
        "Mattermost-User-Id": ["joe"],
    }
    assert done.context.session_id == "session-joe"
    assert done.context.ip_address == "10.1.2.3"


@pytest.mark.parametrize(
    ("query", "headers", "user", "authorization"),
    [
        ("", ["Authorization: bearer token-joe"], "joe", None),
        ("", ["Authorization: Token token-joe"], "joe", None),
        ("?access_token=token-joe", [], "joe", None),
        ("", ["Authorization: Bearer mine", COOKIE], None, "Bearer mine"),
        ("", ["Authorization: Basic x", COOKIE], "joe", None),
        ("", ["Authorization: Bearer mfa-joe"], None, None),
        ("", [], None, None),
    ],
)
def test_who_is_logged_in(
    query: str, headers: list[str], user: str | None, authorization: str | None
) -> None:
    made, done = rewritten("/" + query, *headers)
    assert made.header.get("Mattermost-User-Id", [None]) == [user]
    assert made.header.get("Authorization", [None]) == [authorization]
    assert done.context.session_id == (f"session-{user}" if user else "")


def test_the_default_user_is_logged_in_until_a_token_comes() -> None:
    rules = Rules(plugin_id="com.example.demo", subpath="/mm", user="alice")
    for headers, user in (
        ([], ["alice"]),
        (["Authorization: Basic x"], ["alice"]),
        (["Cookie: MMAUTHTOKEN=token-bob"], ["bob"]),
        (["Cookie: MMAUTHTOKEN=nobody"], None),
    ):
        made, _ = rewritten("/", *headers, rules=rules)
        assert made.header.get("Mattermost-User-Id") == user
    made = request(ROOT + "/", "Authorization: Basic x", method="POST")
    rewrite(made, rules)
    assert made.header["Authorization"] == ["Basic x"]  # no token of Mattermost's: it stays
    assert made.header["Mattermost-User-Id"] == ["alice"]  # no cookie: no CSRF check


@pytest.mark.parametrize(
    ("strict", "headers", "body", "user"),
    [
        (False, [COOKIE], "x", None),
        (True, [COOKIE, "X-CSRF-Token: csrf-joe"], "x", "joe"),
        (False, [COOKIE, FORM, "X-CSRF-Token: no"], "csrf=csrf-joe", None),
        (False, [COOKIE, FORM], "a=1&csrf=csrf-joe", "joe"),
        (False, [COOKIE], "a=1&csrf=csrf-joe", None),
        (False, [COOKIE, "X-Requested-With: XMLHttpRequest"], "x", "joe"),
        (True, [COOKIE, "X-Requested-With: XMLHttpRequest"], "x", None),
        (True, ["Authorization: Bearer token-joe"], "x", "joe"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD"])
def test_csrf(strict: bool, headers: list[str], body: str, user: str | None, method: str) -> None:
    if FORM in headers and method != "POST":
        user = None  # a form is read of POST, PUT and PATCH only
    rules = Rules(plugin_id="com.example.demo", subpath="/mm", strict_csrf=strict)
    made = request(f"{ROOT}/", *headers, method=method)
    done = rewrite(made, rules)
    if done.form_of is not None:
        identify_by_form(made, done, body.encode(), strict=strict)
    assert made.header.get("Mattermost-User-Id", [None]) == [user]


def test_the_server_logs_why_a_user_is_nobody() -> None:
    def notes(*headers: str, strict: bool = False) -> list[tuple[str, str]]:
        rules = Rules(plugin_id="com.example.demo", subpath="/mm", strict_csrf=strict)
        made = request(f"{ROOT}/", *headers, method="POST")
        done = rewrite(made, rules)
        if done.form_of is not None:
            identify_by_form(made, done, b"", strict=strict)
        return [(level, note.split(" ")[0]) for level, note in done.notes]

    xhr = "X-Requested-With: XMLHttpRequest"
    assert notes() == []
    assert notes("Cookie: MMAUTHTOKEN=x") == [("debug", "Token")]
    assert notes("Cookie: MMAUTHTOKEN=mfa-joe") == [("warn", "Treating")]
    assert notes(COOKIE) == [("debug", "CSRF")]
    assert notes(COOKIE, "X-CSRF-Token: no") == [("debug", "CSRF")]
    assert notes(COOKIE, "X-CSRF-Token: csrf-joe", xhr) == []
    assert notes(COOKIE, xhr) == [("debug", "CSRF")]  # of the deprecation: the user is joe
    assert notes(COOKIE, xhr, strict=True) == [("warn", "CSRF"), ("debug", "CSRF")]


def test_a_form_over_10_mib_has_no_fields() -> None:
    for size, users in ((10 << 20, ["joe"]), ((10 << 20) + 1, [None])):
        made = request(f"{ROOT}/", COOKIE, FORM, method="POST")
        identify_by_form(
            made, rewrite(made, RULES), b"csrf=csrf-joe&x=".ljust(size, b"z"), strict=False
        )
        assert made.header.get("Mattermost-User-Id", [None]) == users


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("text/HTML ; charset=x", "text/html"),
        ("a/b; a=1; A=2", ""),
        ('a/b; a=1; a="1"', "a/b"),
        (r'a/b; a="\;"; a=;', "a/b"),
        ("", ""),
    ],
)
def test_media_types(text: str, kind: str) -> None:
    assert media_type(text) == kind


def test_csrf_in_the_query() -> None:
    made = request(f"{ROOT}/?csrf=csrf-joe", COOKIE, method="POST")
    done = rewrite(made, RULES)
    identify_by_form(made, done, b"", strict=True)
    assert made.header["Mattermost-User-Id"] == ["joe"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (ROOT, Route("plugin")),
        (f"{ROOT}/a/b", Route("plugin")),
        ("/mm/plugins/com.example.d%65mo/a%2Fb", Route("plugin")),
        (f"{ROOT}/public", Route("plugin")),
        (f"{ROOT}/public/a/no", Route("public", file="a/no")),
        (f"{ROOT}/public/", Route("not found")),
        (f"{ROOT}/x%0Ay", Route("redirect", 302, f"/mm{ROOT}/x%0Ay")),
        (f"{ROOT}/a//b?x", Route("redirect", 301, f"{ROOT}/a/b?x")),
        (f"{ROOT}/a/../b/", Route("redirect", 301, f"{ROOT}/b/")),
        (f"{ROOT}/a/%2e%2e/b", Route("redirect", 301, f"{ROOT}/b")),
        ("/mm/plugins/other/a", Route("not found")),
        ("/plugins/com.example.demo/a/", Route("redirect", 302, f"{ROOT}/a")),
        ("/", Route("redirect", 302, "/mm")),
    ],
)
def test_routes_under_a_subpath(target: str, expected: Route) -> None:
    assert route(parse_request_uri(target), RULES) == expected


@pytest.mark.parametrize(
    ("target", "kind"),
    [("/plugins/x", "plugin"), ("/plugins/x/", "plugin"), ("/plugins/xy", "not found"),
     ("/", "not found"), ("/plugins/", "not found"), ("//", "redirect")],
)  # fmt: skip
def test_routes_at_the_root(target: str, kind: str) -> None:
    assert route(parse_request_uri(target), Rules(plugin_id="x")).kind == kind


@given(st.text("/.a", max_size=12))
def test_a_clean_path_is_clean(path: str) -> None:
    cleaned = clean_path(path)
    assert clean_path(cleaned) == cleaned
    assert cleaned.startswith("/")
    assert not {"", ".", ".."} & set(cleaned.strip("/").split("/")) or cleaned == "/"


def test_a_request_as_net_http_reads_it() -> None:
    made = request(
        "/x?y", "x-a: 1", "X-A: 2", "Pragma: no-cache", "Content-Length: 3", "Content-Length: 3"
    )
    assert made.header == {
        "X-A": ["1", "2"],
        "Pragma": ["no-cache"],
        "Cache-Control": ["no-cache"],
        "Content-Length": ["3"],
    }
    assert (made.host, made.remote_addr, made.content_length) == ("chat", "10.1.2.3:4567", 3)
    chunked = request("/", "Transfer-Encoding: chunked", "Trailer: x", client=("::1", 1))
    assert (chunked.header, chunked.content_length, chunked.remote_addr) == ({}, -1, "[::1]:1")
    assert request("/", client=None).remote_addr == ""
    with pytest.raises(ValueError, match="Host"):
        request("/", "Host: other")


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ([], "10.1.2.3"),
        (["X-Real-Ip: 1.2.3.4, 5.6.7.8"], "1.2.3.4"),
        (["X-Real-Ip:  "], "10.1.2.3"),
    ],
)
def test_the_address_behind_a_trusted_proxy(headers: list[str], address: str) -> None:
    rules = Rules(
        plugin_id="com.example.demo", trusted_proxy_headers=("X-Forwarded-For", "x-real-ip")
    )
    assert rewrite(request("/", *headers), rules).context.ip_address == address


def test_cookies_beyond_go_limit_all_vanish() -> None:
    made, _ = rewritten("/", "Cookie: " + "a=1;" * 3000)
    assert "Cookie" not in made.header


@pytest.mark.parametrize(
    ("name", "shown"),
    [("mattermost-user-ID", "Mattermost-User-Id"), ("x_A-b", "X_a-B"), ("a b", "a b"), ("", "")],
)
def test_names_become_canonical(name: str, shown: str) -> None:
    assert canonical(name) == shown


def test_line_ends_in_a_value_become_spaces() -> None:
    assert clean_value(" a\r\nb: c\t") == "a  b: c"


def test_ids_look_like_mattermost_ids() -> None:
    assert len(new_id()) == 26
    assert new_id() != new_id()


@given(st.lists(st.tuples(st.text("ab-_", min_size=1), st.text('=; "x,', max_size=8))))
def test_no_request_keeps_an_identity_of_its_own(pairs: list[tuple[str, str]]) -> None:
    lines = [f"{name}: {value}" for name, value in pairs]
    made, _ = rewritten(
        "/", *lines, "MATTERMOST-USER-ID: evil", "Cookie: MMAUTHTOKEN=x; MMAUTHTOKEN=y"
    )
    assert "Mattermost-User-Id" not in made.header
    assert "MMAUTHTOKEN" not in str(made.header)
