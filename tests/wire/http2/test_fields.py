"""Header lists (RFC 9113 sections 8.1 to 8.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mm_asgi.wire.http2.fields import (
    MalformedError,
    check_trailers,
    request_head,
    response_head,
)

if TYPE_CHECKING:
    from mm_asgi.wire.http2.hpack import Field

LINE = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"host"), (b":path", b"/p")]
STATUS = [(b":status", b"204")]


def test_the_facts_of_a_head() -> None:
    head = request_head([*LINE, (b"te", b"trailers"), (b"content-length", b"12")])
    assert (head.method, head.scheme, head.authority, head.path) == (
        b"GET",
        b"http",
        b"host",
        b"/p",
    )
    assert (head.fields, head.length) == ([(b"te", b"trailers"), (b"content-length", b"12")], 12)
    assert response_head(STATUS).status == 204
    assert response_head(STATUS).length == -1


@pytest.mark.parametrize(
    "fields",
    [
        [(b":method", b"CONNECT"), (b":authority", b"host:1")],
        [*LINE, (b"content-length", b"3"), (b"content-length", b"3")],
        [*LINE, (b"x", b""), (b"x", b"\x80\xff"), (b"a-z_.!#$%&'*+^`|~09", b"a\tb c")],
        LINE[:2] + LINE[3:],
    ],
)
def test_requests_that_are_right(fields: list[Field]) -> None:
    request_head(fields)


@pytest.mark.parametrize("missing", [0, 1, 3])
@pytest.mark.parametrize("empty", [False, True])
def test_requests_that_miss_something(missing: int, empty: bool) -> None:
    fields: list[Field] = list(LINE)
    name, _ = fields.pop(missing)
    with pytest.raises(MalformedError, match=f"has no {name.decode()}"):
        request_head([(name, b""), *fields] if empty else fields)


WRONG: list[Field] = [
    (b"", b"x"), (b"X", b"x"), (b"a b", b"x"), (b"a:b", b"x"), (b"a\x7f", b"x"), (b"\xe4", b"x"),
    (b"a\n", b"x"),
    (b"x", b" a"), (b"x", b"a "), (b"x", b"\ta"), (b"x", b"a\t"),
    (b"x", b"a\0b"), (b"x", b"a\rb"), (b"x", b"a\nb"), (b"x", b"a\n"),
    (b"connection", b"close"), (b"keep-alive", b"1"), (b"proxy-connection", b"x"),
    (b"transfer-encoding", b"chunked"), (b"upgrade", b"h2c"), (b"te", b"gzip"),
    (b":status", b"200"), (b":path", b"/"), (b":unknown", b"x"), (b":", b"x"),
    (b"content-length", b"-1"), (b"content-length", b"+1"), (b"content-length", b"1 1"),
    (b"content-length", b""), (b"content-length", b"1" * 19), (b"content-length", b"\xb2"),
]  # fmt: skip


@pytest.mark.parametrize("field", WRONG, ids=str)
def test_fields_that_are_malformed(field: Field) -> None:
    with pytest.raises(MalformedError):
        request_head([*LINE, field])
    with pytest.raises(MalformedError):
        check_trailers([field])
    with pytest.raises(MalformedError):
        response_head([*STATUS, field])


def test_two_content_lengths() -> None:
    with pytest.raises(MalformedError):
        request_head([*LINE, (b"content-length", b"1"), (b"content-length", b"2")])


def test_a_pseudo_header_after_a_field() -> None:
    with pytest.raises(MalformedError, match="after other fields"):
        request_head([LINE[0], (b"x", b"y"), *LINE[1:]])
    with pytest.raises(MalformedError):
        response_head([(b"x", b"y"), *STATUS])


@pytest.mark.parametrize("status", [b"", b"20", b"2000", b"2x0", b"-20"])
def test_a_status_that_is_none(status: bytes) -> None:
    with pytest.raises(MalformedError, match=":status"):
        response_head([(b":status", status)])
