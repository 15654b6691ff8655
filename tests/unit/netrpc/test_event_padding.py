"""Comments between events: where one fits, and that each pushes something."""

from __future__ import annotations

import pytest

from mm_asgi.bridge.response import ResponseHead
from mm_asgi.netrpc.event_padding import PADDING, EventEnds, can_pad

EVENTS = (b"content-type", b"text/event-stream")


def test_a_comment_fills_what_the_server_collects() -> None:
    assert len(PADDING) == 4096
    assert PADDING.startswith(b":")
    assert PADDING.endswith(b"\n\n")
    assert PADDING.count(b"\n") == 2
    assert b"\r" not in PADDING


@pytest.mark.parametrize("line", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("empty", [b"\n", b"\r", b"\r\n"])
def test_a_comment_fits_behind_an_event(line: bytes, empty: bytes) -> None:
    if (line, empty) == (b"\r", b"\n"):
        return  # these two are one line's end
    ends = EventEnds()
    for byte in b"data: 1" + line + empty:  # cut anyhow
        ends.wrote(bytes([byte]))
    assert ends.padding() == PADDING


@pytest.mark.parametrize(
    "part", [b"data: 1", b"data: 1\n", b"data: 1\r\n", b"\n\ndata", b"a\n\nb\n"]
)
def test_no_comment_fits_into_an_event(part: bytes) -> None:
    ends = EventEnds()
    ends.wrote(part)
    assert ends.padding() == b""
    ends.wrote(memoryview(b"\n\n"))
    assert ends.padding() == PADDING


def test_the_head_is_pushed_and_nothing_twice() -> None:
    ends = EventEnds()
    assert ends.padding() == PADDING
    assert ends.padding() == b""
    ends.wrote(b"data: 1\n\n")
    assert ends.padding() == PADDING
    assert ends.padding() == b""


def test_what_somebody_counts_or_encodes_is_left_alone() -> None:
    def padded(
        *headers: tuple[bytes, bytes], length: int | None = None, bodiless: bool = False
    ) -> bool:
        return can_pad(ResponseHead(200, list(headers), length, bodiless, head_request=False))

    assert padded(EVENTS)
    assert padded((b"content-type", b"Text/Event-Stream; charset=utf-8"))
    assert not padded((b"content-type", b"text/plain"))
    assert not padded()
    assert not padded(EVENTS, length=10)
    assert not padded(EVENTS, bodiless=True)
    assert not padded(EVENTS, (b"content-encoding", b"gzip"))
