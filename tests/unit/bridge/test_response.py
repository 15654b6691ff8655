"""response.py: an event is checked whole; what was checked are facts that any wire can carry."""

from __future__ import annotations

import array
import http
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.bridge import serve_http
from mm_asgi.bridge.response import (
    ResponseHead,
    check_body,
    check_length,
    check_start,
    fit,
    plain_answer,
    scope_cookies,
)
from mm_asgi.errors import AppProtocolError
from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPResponse, ServeHTTPResponseInit


class Unprintable:
    """A value of the app's whose repr fails too."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def start(method: str = "GET", **event: Any) -> ResponseHead:
    """A checked start; the status is 200 unless given."""
    return check_start({"type": "http.response.start", "status": 200, **event}, method)


def start_fault(**event: Any) -> str:
    """What the app is told about a start."""
    with pytest.raises(AppProtocolError) as caught:
        start(**event)
    return str(caught.value)


def init_of(head: ResponseHead) -> ServeHTTPResponseInit:
    """The init as it goes over the gRPC wire."""
    return ServeHTTPResponse.FromString(serve_http.encode_head(head)).init


def init_headers(head: ResponseHead) -> list[tuple[str, list[str]]]:
    """The headers as they go over the wire."""
    return [(header.key, list(header.values)) for header in init_of(head).headers]


# ---------------------------------------------------------------- R7: faults, each with its sentence

STATUS = "an int from 200 to 999"
INTERIM = "an int from 200 to 999 (1xx cannot be a final status)"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (1000, INTERIM),
        (199, INTERIM),
        (101, INTERIM),
        (100, INTERIM),
        (99, INTERIM),
        (0, INTERIM),
        (-200, INTERIM),
        ("200", STATUS),
        (b"200", STATUS),
        (200.0, STATUS),
        (True, STATUS),
        (None, STATUS),
    ],
)
def test_bad_status(status: object, expected: str) -> None:
    assert start_fault(status=status) == (
        f"http.response: status: the app sent {status!r}; expected {expected}"
    )


def test_a_missing_status_reads_as_none() -> None:
    with pytest.raises(AppProtocolError, match=r"status: the app sent None; expected an int"):
        check_start({"type": "http.response.start"}, "GET")


@pytest.mark.parametrize("status", [200, 299, 600, 999, http.HTTPStatus.CREATED])
def test_good_status(status: int) -> None:
    assert init_of(start(status=status)).status_code == status


def test_trailers_are_refused() -> None:
    assert start_fault(trailers=True) == (
        "http.response: trailers: the app sent True; expected no trailers: the host's wire has none"
    )
    assert start(trailers=False).status == 200


@pytest.mark.parametrize(
    "headers", [None, 5, "ab", [b"name", b"value"], [(b"a", b"b", b"c")], [5], {b"name": b"value"}]
)
def test_headers_that_are_no_pairs(headers: object) -> None:
    assert start_fault(headers=headers) == (
        f"http.response: headers: the app sent {headers!r};"
        " expected an iterable of (name, value) pairs of bytes"
    )


@pytest.mark.parametrize(
    "pair", [("a", b"b"), (b"a", "b"), ("a", "b"), (None, b"b"), (b"a", 5), (5, 5)]
)
def test_headers_that_are_not_bytes(pair: tuple[object, object]) -> None:
    assert start_fault(headers=[(b"ok", b"ok"), pair]) == (
        f"http.response: header: the app sent {pair!r}; expected name and value as bytes"
    )


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"a\0", b"\xe4", b"a\n", b"(a)"])
def test_bad_header_names(name: bytes) -> None:
    assert start_fault(headers=[(name, b"x")]) == (
        f"http.response: header name: the app sent {name.lower()!r};"
        " expected a token of RFC 9110 5.6.2"
    )


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b=c", b"a\r", b"\n", b"a\0b"])
def test_bad_header_values(value: bytes) -> None:
    assert start_fault(headers=[(b"X-A", value)]) == (
        f"http.response: header value: the app sent {(b'x-a', value)!r};"
        " expected no CR, LF or NUL in it"
    )


@pytest.mark.parametrize(
    "value",
    [b"", b" ", b"+3", b"-1", b"1 2", b"1,1", b"0x10", b"1.0", b"1_0", b"\xb2", b"9" * 19, b"abc"],
)
def test_bad_content_length(value: bytes) -> None:
    assert start_fault(headers=[(b"Content-Length", value)]) == (
        f"http.response: content-length: the app sent {value!r};"
        " expected decimal digits, at most 18 of them"
    )


@pytest.mark.parametrize("second", [b"5", b"6"])
def test_two_content_lengths(second: bytes) -> None:
    headers = [(b"content-length", b"5"), (b"Content-Length", second)]
    assert start_fault(headers=headers) == (
        f"http.response: second content-length: the app sent {second!r}; expected at most one"
    )


@pytest.mark.parametrize(
    ("value", "length"), [(b"0", 0), (b"007", 7), (b" 5\t", 5), (b"9" * 18, 10**18 - 1)]
)
def test_good_content_length(value: bytes, length: int) -> None:
    head = start(headers=[(b"content-length", value)])
    assert head.length == length
    assert init_headers(head) == [("content-length", [str(length)])]


def test_a_fault_shows_at_most_200_characters_of_what_came() -> None:
    text = start_fault(status="x" * 5000)
    assert len(text) < 320
    assert "xxx...;" in text


def test_a_fault_survives_a_value_that_cannot_be_printed() -> None:
    assert "the app sent <Unprintable>;" in start_fault(status=Unprintable())


@pytest.mark.parametrize("body", ["text", None, 5, [b"a"], array.array("B", b"a")])
def test_a_body_that_is_not_bytes(body: object) -> None:
    with pytest.raises(AppProtocolError) as caught:
        check_body({"type": "http.response.body", "body": body})
    assert str(caught.value) == (
        f"http.response: body: the app sent {body!r}; expected bytes, bytearray or memoryview"
    )


# ---------------------------------------------------------------- R7: what is no fault


@pytest.mark.parametrize(
    "headers",
    [
        [(b"X-One", b"1"), (b"x-TWO", b"2")],
        ((b"X-One", b"1"), (b"x-TWO", b"2")),
        [[b"X-One", b"1"], [b"x-TWO", b"2"]],
        iter([(b"X-One", b"1"), (b"x-TWO", b"2")]),
        (pair for pair in [(b"X-One", b"1"), (b"x-TWO", b"2")]),
        {b"X-One": b"1", b"x-TWO": b"2"}.items(),
        [(bytearray(b"X-One"), memoryview(b"1")), (memoryview(b"x-TWO"), bytearray(b"2"))],
    ],
    ids=["list", "tuple", "lists", "iterator", "generator", "items", "buffers"],
)
def test_headers_of_any_shape(headers: object) -> None:
    assert init_headers(start(headers=headers)) == [("x-one", ["1"]), ("x-two", ["2"])]


def test_no_headers_at_all() -> None:
    assert init_headers(start()) == []


def test_repeated_headers_keep_their_order() -> None:
    pairs = [(b"set-cookie", b"a=1"), (b"x", b""), (b"set-cookie", b"b=2"), (b"set-cookie", b"a=1")]
    assert init_headers(start(headers=pairs)) == [
        ("set-cookie", ["a=1"]),
        ("x", [""]),
        ("set-cookie", ["b=2"]),
        ("set-cookie", ["a=1"]),
    ]


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        (b"ab", b"ab"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (memoryview(b"a-b-")[::2], b"ab"),
        (memoryview(array.array("H", [0x6161, 0x6262])), b"aabb"),
        (memoryview(b"abcdef").cast("B", (2, 3)), b"abcdef"),
        (memoryview(b"a").cast("B", ()), b"a"),
        (memoryview(b"ab").cast("c"), b"ab"),
    ],
    ids=["bytes", "bytearray", "view", "strided", "wide", "table", "scalar", "chars"],
)
def test_a_body_of_any_buffer(body: Any, plain: bytes) -> None:
    checked, more = check_body({"type": "http.response.body", "body": body})
    assert not more
    assert bytes(checked) == plain
    assert len(checked) == len(plain)


def test_body_and_more_body_may_be_missing() -> None:
    assert check_body({"type": "http.response.body"}) == (b"", False)
    assert check_body({"type": "http.response.body", "more_body": True}) == (b"", True)


# ---------------------------------------------------------------- R12, R13


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        ("gr\u00fcn \U0001f600".encode(), "gr\u00fcn \U0001f600"),
        (b"gr\xfcn", "gr\u00fcn"),
        (b"\xff\x80 \xc3", "\u00ff\u0080 \u00c3"),
        (b"\xed\xa0\x80", "\u00ed\u00a0\u0080"),  # a surrogate: not UTF-8, and protobuf refuses it
    ],
)
def test_header_bytes_that_are_not_utf8_are_latin1(raw: bytes, text: str) -> None:
    head = start(headers=[(b"x-a", raw)])
    assert init_headers(head) == [("x-a", [text])]
    data = serve_http.encode_head(head)
    assert ServeHTTPResponse.FromString(data).SerializeToString() == data


@pytest.mark.parametrize(
    "name",
    [b"Transfer-Encoding", b"connection", b"Keep-Alive", b"upgrade", b"TE", b"Trailer"],
)
def test_hop_by_hop_headers_are_dropped(name: bytes) -> None:
    headers = [(b"x-a", b"1"), (name, b"chunked"), (b"x-b", b"2")]
    assert init_headers(start(headers=headers)) == [("x-a", ["1"]), ("x-b", ["2"])]


def test_a_hop_by_hop_header_is_checked_before_it_is_dropped() -> None:
    assert "header value" in start_fault(headers=[(b"connection", b"close\r\nx: y")])


# ---------------------------------------------------------------- R4, R6: bodiless, Content-Length


@pytest.mark.parametrize(
    ("method", "status", "bodiless"),
    [("GET", 200, False), ("GET", 204, True), ("GET", 304, True), ("HEAD", 200, True)],
)
def test_which_answers_have_no_body(method: str, status: int, bodiless: bool) -> None:
    assert start(method, status=status).bodiless is bodiless


@pytest.mark.parametrize(
    ("method", "status", "kept"),
    [("GET", 200, True), ("HEAD", 200, True), ("GET", 304, True), ("GET", 204, False)],
)
def test_a_declared_length_is_kept_but_for_204(method: str, status: int, kept: bool) -> None:
    head = start(method, status=status, headers=[(b"content-length", b"12"), (b"x-a", b"1")])
    length = [("content-length", ["12"])] if kept else []
    assert init_headers(head) == [("x-a", ["1"]), *length]


@pytest.mark.parametrize(
    ("method", "status", "size", "length"),
    [
        ("GET", 200, 5, 5),
        ("GET", 200, 0, 0),
        ("GET", 500, 3, 3),
        ("HEAD", 200, 5, 5),
        ("HEAD", 200, 0, None),
        ("GET", 204, 5, None),
        ("GET", 304, 5, None),
        ("GET", 304, 0, None),
    ],
)
def test_set_length(method: str, status: int, size: int, length: int | None) -> None:
    head = start(method, status=status)
    head.set_length(size)
    assert head.length == length


def test_set_length_leaves_a_declared_length_alone() -> None:
    head = start(headers=[(b"content-length", b"7")])
    head.set_length(5)
    assert head.length == 7


@pytest.mark.parametrize(
    ("method", "declared", "size", "whole", "length"),
    [
        ("GET", None, 5, True, 5),
        ("GET", None, 0, True, 0),
        ("GET", 5, 5, True, 5),
        ("GET", 5, 4, False, 5),
        ("GET", 5, 6, False, 5),
        ("HEAD", None, 5, False, None),
        ("HEAD", 5, 5, False, 5),
    ],
)
def test_fits_whole(
    method: str, declared: int | None, size: int, whole: bool, length: int | None
) -> None:
    head = replace(start(method), length=declared)
    assert (head.fits_whole(size), head.length) == (whole, length)


# ---------------------------------------------------------------- R5: lengths


@pytest.mark.parametrize(
    ("length", "size", "more"),
    [(None, 5, False), (None, 5, True), (5, 5, False), (5, 5, True), (5, 4, True), (0, 0, False)],
)
def test_a_length_that_holds(length: int | None, size: int, more: bool) -> None:
    assert check_length(replace(start(), length=length), size, more=more) is None


@pytest.mark.parametrize(
    ("size", "more", "sent"),
    [(4, False, "4 body bytes"), (6, False, "6 body bytes"), (6, True, "6 body bytes so far")],
)
def test_a_length_that_is_broken(size: int, more: bool, sent: str) -> None:
    fault = check_length(replace(start(), length=5), size, more=more)
    assert isinstance(fault, AppProtocolError)
    assert str(fault) == (
        f"http.response: the app sent {sent}; expected the 5 that its Content-Length declares"
    )


@pytest.mark.parametrize(
    ("sent", "body", "more", "kept", "goes_on", "faulty"),
    [
        (0, b"abcde", False, b"abcde", False, False),
        (0, b"abc", True, b"abc", True, False),
        (3, b"de", True, b"de", True, False),
        (3, b"def", True, b"de", False, True),
        (3, bytearray(b"def"), False, b"de", False, True),
        (5, b"f", False, b"", False, True),
        (3, b"d", False, b"d", False, True),
    ],
)
def test_fit(sent: int, body: bytes, more: bool, kept: bytes, goes_on: bool, faulty: bool) -> None:
    piece, after, fault = fit(replace(start(), length=5), sent, body, more=more)
    assert (bytes(piece), after, fault is not None) == (kept, goes_on, faulty)


@pytest.mark.parametrize("more", [True, False])
def test_fit_drops_the_body_of_a_bodiless_answer(more: bool) -> None:
    head = start("HEAD", headers=[(b"content-length", b"5")])
    assert fit(head, 0, b"much too long", more=more) == (b"", more, None)


# ---------------------------------------------------------------- plain_answer


@pytest.mark.parametrize(("method", "body"), [("GET", b"No"), ("HEAD", b""), ("POST", b"No")])
def test_plain_answer(method: str, body: bytes) -> None:
    head, sent = plain_answer(500, "No", method=method)
    assert sent == body
    assert init_of(head).status_code == 500
    assert init_headers(head) == [
        ("content-type", ["text/plain; charset=utf-8"]),
        ("content-length", ["2"]),
    ]


def test_plain_answer_that_asks_to_come_again() -> None:
    head, _ = plain_answer(503, "Later", method="GET", retry=True)
    assert init_headers(head)[1] == ("retry-after", ["1"])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"text/event-stream", "text/event-stream"),
        (b"Text/Event-Stream; charset=utf-8", "text/event-stream"),
        (b" text/plain ;x", "text/plain"),
        (b"", ""),
    ],
)
def test_content_type(value: bytes, kind: str) -> None:
    assert start(headers=[(b"content-type", value)]).content_type == kind


def test_no_content_type() -> None:
    assert start(headers=[(b"x", b"text/html")]).content_type == ""


# ---------------------------------------------------------------- R17: cookies

ROOT = "/mm/plugins/demo"


def scoped(*cookies: bytes, rewrite: bool) -> tuple[list[str], list[str]]:
    """The names that were found, and the cookies afterwards, as the gRPC wire has them."""
    head = start(headers=[(b"x-a", b"a=b; Path=/"), *((b"set-cookie", one) for one in cookies)])
    named = scope_cookies(head, ROOT, rewrite=rewrite)
    assert head.headers[0] == (b"x-a", b"a=b; Path=/")
    return named, [values[0] for name, values in init_headers(head) if name == "set-cookie"]


@pytest.mark.parametrize(
    ("cookie", "named", "root"),
    [
        (b"a=1; Path=/", ["a"], "a=1; Path=/mm/plugins/demo"),
        (b"a=1;path=/;HttpOnly", ["a"], "a=1;HttpOnly; Path=/mm/plugins/demo"),
        (b"a=1; PATH = / ; Secure", ["a"], "a=1; Secure; Path=/mm/plugins/demo"),
        (b" a =1; Path=/", ["a"], " a =1; Path=/mm/plugins/demo"),
        (b"a=1", [], "a=1; Path=/mm/plugins/demo"),
        (b"a=1; Path=", [], "a=1; Path=/mm/plugins/demo"),
        (b"a=1; Path", [], "a=1; Path=/mm/plugins/demo"),
        (b"a=1; Path=x", [], "a=1; Path=/mm/plugins/demo"),
        (b"a=1; Path=/x", [], "a=1; Path=/x"),
        (b"a=1; Path=/mm/plugins/demo/admin", [], "a=1; Path=/mm/plugins/demo/admin"),
        # RFC 6265 5.3: the last Path counts.
        (b"a=1; Path=/x; Path=/", ["a"], "a=1; Path=/mm/plugins/demo"),
        (b"a=1; Path=/; Path=/x", [], "a=1; Path=/; Path=/x"),
        (b"a=1; Path=/; Path=", [], "a=1; Path=/mm/plugins/demo"),
        # 5.2 splits at each semicolon, quoted or not.
        (b'a="x; Path=/y"; Path=/', ["a"], 'a="x; Path=/mm/plugins/demo'),
        (b"=1; Path=/", [""], "=1; Path=/mm/plugins/demo"),
        (b"a; Path=/", ["a"], "a; Path=/mm/plugins/demo"),
        (b"a=b=c; Path=/", ["a"], "a=b=c; Path=/mm/plugins/demo"),
        (b"", [], "; Path=/mm/plugins/demo"),
        (b"a=gr\xfcn; Path=/", ["a"], "a=gr\u00fcn; Path=/mm/plugins/demo"),
        (b"a=1; Xpath=/; Path=/y", [], "a=1; Xpath=/; Path=/y"),
    ],
)
def test_cookies_of_odd_syntax(cookie: bytes, named: list[str], root: str) -> None:
    try:
        text = cookie.decode()
    except UnicodeDecodeError:
        text = cookie.decode("latin-1")
    assert scoped(cookie, rewrite=False) == (named, [text])
    assert scoped(cookie, rewrite=True) == (named, [root])


def test_each_cookie_for_itself() -> None:
    assert scoped(b"a=1; Path=/", b"b=2; Path=/x", b"c=3", rewrite=True) == (
        ["a"],
        ["a=1; Path=/mm/plugins/demo", "b=2; Path=/x", "c=3; Path=/mm/plugins/demo"],
    )


def test_a_plugin_at_the_root_keeps_the_slash() -> None:
    head = start(headers=[(b"set-cookie", b"a=1; Path=/")])
    assert scope_cookies(head, "", rewrite=True) == ["a"]
    assert head.headers == [(b"set-cookie", b"a=1; Path=/")]


@given(
    st.lists(st.sampled_from(["Path=/", "path=/x", "Path", "Secure", "a=b", "", "Domain=x"])),
    st.booleans(),
)
def test_any_cookie_keeps_what_is_not_its_path(attributes: list[str], rewrite: bool) -> None:
    cookie = ";".join(["n=v", *attributes])
    _, (after,) = scoped(cookie.encode(), rewrite=rewrite)
    kept = [a for a in attributes if a.partition("=")[0].lower() != "path"]
    found = [a.strip() for a in after.split(";")[1:]]
    if rewrite:
        assert [a for a in found if a.partition("=")[0].lower() != "path"] == kept
        assert f"Path={ROOT}" in found or "path=/x" in found
    else:
        assert after == cookie


def test_a_host_cookie_keeps_the_one_path_that_browsers_take() -> None:
    head = start(headers=[(b"set-cookie", b"__Host-s=1; Secure; Path=/")])
    assert scope_cookies(head, ROOT, rewrite=True) == ["__Host-s"]
    assert head.headers == [(b"set-cookie", b"__Host-s=1; Secure; Path=/")]


def test_a_cookies_path_is_written_as_browsers_compare_it() -> None:
    head = start(headers=[(b"set-cookie", b"a=1; Path=/")])
    scope_cookies(head, "/m\xe4h; x/plugins/demo", rewrite=True)
    assert head.headers == [(b"set-cookie", b"a=1; Path=/m%C3%A4h%3B%20x/plugins/demo")]
