"""net/http's ResponseWriter: what leaves when, and with which headers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.host.http.sniff import detect_content_type
from mm_asgi.host.http.writer import ResponseWriter, WriteRefused

TEXT = ("content-type", "text/plain")


def made(status: int = 200, *pairs: tuple[str, str], method: str = "GET") -> ResponseWriter:
    writer = ResponseWriter(method)
    writer.write_header(status, pairs)
    return writer


def heads(events: list[dict[str, Any]]) -> dict[str, str]:
    start = events[0]
    assert start["type"] == "http.response.start"
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    assert found.pop("Date")
    return found


def body(events: list[dict[str, Any]]) -> bytes:
    return b"".join(e["body"] for e in events if e["type"] == "http.response.body")


def test_a_small_answer_leaves_whole_with_its_length() -> None:
    writer = made(200, TEXT)
    writer.write(b"hello")
    assert writer.take() == []
    writer.finish()
    events = writer.take()
    assert heads(events) == {"Content-Type": "text/plain", "Content-Length": "5"}
    assert body(events) == b"hello"
    assert events[-1]["more_body"] is False


def test_a_flush_lets_the_head_and_each_chunk_leave() -> None:
    writer = made(200, TEXT)
    writer.flush()
    assert heads(writer.take()) == {"Content-Type": "text/plain"}
    writer.write(b"data: 1\n\n")
    assert writer.take() == []
    writer.flush()
    assert [e["body"] for e in writer.take()] == [b"data: 1\n\n"]
    writer.finish()
    assert [e["more_body"] for e in writer.take()] == [False]


def test_without_a_flush_4_kib_stay_behind() -> None:
    writer = made(200, TEXT)
    writer.write(b"x" * 2049)  # over the first buffer: the head is decided, without a length
    assert writer.head_decided
    assert writer.take() == []
    writer.write(b"y" * 2500)
    first = writer.take()
    assert heads(first) == {"Content-Type": "text/plain"}
    writer.finish()
    assert body(first) + body(writer.take()) == b"x" * 2049 + b"y" * 2500


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_head_has_no_body_and_a_length_only_of_bytes(method: str) -> None:
    writer = made(200, method=method)
    writer.finish()
    assert ("Content-Length" in heads(writer.take())) is (method == "GET")
    writer = made(200, TEXT, method="HEAD")
    writer.write(b"abc")
    writer.finish()
    events = writer.take()
    assert heads(events)["Content-Length"] == "3"
    assert body(events) == b""


@pytest.mark.parametrize(("status", "kept"), [(204, {"Content-Type": "text/plain"}), (304, {})])
def test_an_answer_without_a_body_refuses_one(status: int, kept: dict[str, str]) -> None:
    writer = made(status, TEXT, ("content-length", "3"))
    with pytest.raises(WriteRefused):
        writer.write(b"abc")
    writer.finish()
    assert heads(writer.take()) == kept
    assert not writer.cut


@pytest.mark.parametrize(
    ("data", "cut"), [([b"abc"], False), ([b"ab"], True), ([b"a", b"bcd"], True)]
)
def test_a_wrong_length_cuts_the_connection(data: list[bytes], cut: bool) -> None:
    writer = made(200, TEXT, ("Content-Length", "3"))
    for piece in data[:-1]:
        writer.write(piece)
    if sum(map(len, data)) > 3:
        with pytest.raises(WriteRefused):
            writer.write(data[-1])  # refused whole
    else:
        writer.write(data[-1])
    writer.finish()
    events = writer.take()
    assert writer.cut is cut
    assert (events[-1].get("more_body") is False) is not cut
    assert body(events) == (data[0] if cut else b"abc")


@pytest.mark.parametrize(
    ("given_length", "sent"), [("+3", "3"), ("3", "3"), ("x", "3"), ("-1", "3"), ("9" * 30, "3")]
)
def test_an_odd_length_never_reaches_the_wire(given_length: str, sent: str) -> None:
    writer = made(200, TEXT, ("Content-Length", given_length), ("content-length", "4"))
    writer.write(b"abc")
    writer.finish()
    assert heads(writer.take())["Content-Length"] == sent


def test_headers_are_canonical_sorted_and_harmless() -> None:
    writer = made(
        200, ("x-b", "1\r\nx-c: 2"), ("bad name", "1"), ("X-A", " a\x01 "), ("set-cookie", "1"),
        ("Set-Cookie", "2"), ("Transfer-Encoding", "chunked"), ("Trailer", "x"), ("date", "today"),
    )  # fmt: skip
    writer.finish()
    assert writer.take()[0]["headers"] == [
        (b"Content-Length", b"0"),
        (b"Date", b"today"),
        (b"Set-Cookie", b"1"),
        (b"Set-Cookie", b"2"),
        (b"X-A", b"a"),
        (b"X-B", b"1  x-c: 2"),
    ]


def test_the_type_is_sniffed_unless_something_says_it() -> None:
    for pairs, kind in (
        ([], "text/html; charset=utf-8"),
        ([("Content-Type", "")], ""),
        ([("Content-Encoding", "gzip")], None),
    ):
        writer = made(200, *pairs)
        writer.write(b"<html> hello")
        writer.finish()
        assert heads(writer.take()).get("Content-Type") == kind


@pytest.mark.parametrize("act", ["write", "flush", "finish"])
def test_a_write_without_a_status_is_a_200(act: str) -> None:
    writer = ResponseWriter("GET")
    if act == "write":
        writer.write(b"x")
    if act == "flush":
        writer.flush()
    writer.finish()
    assert writer.take()[0]["status"] == 200


@pytest.mark.parametrize("size", [1, 2049])
def test_the_connection_may_still_be_closed_before_the_head_is_taken(size: int) -> None:
    writer = made(413, ("Connection", "keep-alive"))
    writer.write(b"x" * size)
    writer.finish()
    assert writer.head_decided
    writer.close_connection()
    sent = [value for name, value in writer.take()[0]["headers"] if name == b"Connection"]
    assert sent == [b"close"]


@given(st.lists(st.tuples(st.integers(0, 9000), st.booleans()), max_size=8), st.booleans())
def test_every_byte_leaves_once_and_in_order(steps: list[tuple[int, bool]], declared: bool) -> None:
    data = bytes(range(256)) * 300
    total = sum(size for size, _ in steps)
    writer = made(200, TEXT, *([("Content-Length", str(total))] if declared else []))
    events: list[dict[str, Any]] = []
    at = 0
    for size, flush in steps:
        writer.write(data[at : at + size])
        at += size
        if flush:
            writer.flush()
        events += writer.take()
        left = len(body(events))
        assert left == at if flush else at - left <= 2048 + 4096
    writer.finish()
    events += writer.take()
    assert body(events) == data[:total]
    assert [e["type"] for e in events].count("http.response.start") == 1
    assert not writer.cut


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "text/plain; charset=utf-8"),
        (b"  <!doctype html>", "text/html; charset=utf-8"),
        (b"<P>x", "text/html; charset=utf-8"),
        (b"<pre>", "text/plain; charset=utf-8"),
        (b" <?xml v", "text/xml; charset=utf-8"),
        (b"{}", "text/plain; charset=utf-8"),
        (b"a\x01", "application/octet-stream"),
        (b"%PDF-1", "application/pdf"),
        (b"\xef\xbb\xbfa", "text/plain; charset=utf-8"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\x00\x00\x01\x00x", "image/x-icon"),
        (b"RIFF1234WEBPVP8", "image/webp"),
        (b"\x00\x00\x00\x10ftypmp42\x00\x00\x00\x00", "video/mp4"),
        (b"\x00\x00\x00\x14ftypisom\x00\x00\x00\x00mp41", "video/mp4"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00", "application/octet-stream"),
        (b"\x1f\x8b\x08", "application/x-gzip"),
        (b"Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"),
        (b"\x00asm", "application/wasm"),
    ],
)
def test_content_types(data: bytes, kind: str) -> None:
    assert detect_content_type(data) == kind
