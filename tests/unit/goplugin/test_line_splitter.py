"""goplugin/line_splitter.py: any chunking gives the same lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.goplugin.line_splitter import KEEP, LineSplitter


def split(chunks: list[bytes], keep: int) -> list[str]:
    splitter = LineSplitter(keep)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return lines + splitter.flush()


PIECES = st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\xff", "ü".encode(), b"\0", b"long" * 5]))


@given(PIECES, st.integers(1, 30), st.data())
def test_any_chunking_gives_the_same_lines(
    pieces: list[bytes], keep: int, data: st.DataObject
) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    edges = [0, *cuts, len(stream)]
    chunks = [stream[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    assert split(chunks, keep) == split([stream], keep)


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\n\n\r\ntwo", ["one", "two"]),
        (b"10%\r20%\r\n", ["10%\r20%"]),
        (b"\xff\xfe \0\n", ["\\xff\\xfe \0"]),
        ("grün\n".encode(), ["grün"]),
    ],
)
def test_lines(stream: bytes, lines: list[str]) -> None:
    assert split([stream], KEEP) == lines


def test_a_long_line_is_cut_and_marked() -> None:
    (line,) = split([b"x" * 1_000_000, b"\n"], 100)
    assert line == "x" * 100 + " [cut, 1000000 bytes in all]"


def test_the_cut_goes_through_no_character() -> None:
    (line,) = split(["€€€".encode()], 4)
    assert line == "€ [cut, 9 bytes in all]"


def test_memory_stays_bounded() -> None:
    splitter = LineSplitter(100)
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000) == []
    assert len(splitter._kept) == 100
    assert splitter.pending


def test_flush_begins_a_new_line() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"half") == []
    assert splitter.pending
    assert splitter.flush() == ["half"]
    assert not splitter.pending
    assert splitter.flush() == []
    assert splitter.feed(b"other\n") == ["other"]
