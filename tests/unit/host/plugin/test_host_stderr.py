"""Lines of a plugin's stderr as go-plugin reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.host.plugin.stderr import LINE_LIMIT, LogLine, StderrReader

STAMP = "2026-01-02T03:04:05.000006Z"


def only(text: str) -> LogLine:
    [line] = StderrReader().feed(text.encode() + b"\n")
    return line


def hclog(**more: Any) -> str:
    return json.dumps({"@level": "info", "@message": "hello", "@module": "shop", **more})


def test_a_structured_line() -> None:
    assert only(hclog(**{"@timestamp": STAMP, "user_id": "joe"})) == LogLine(
        source="plugin", level="info", message="hello", module="shop",
        timestamp=STAMP, fields={"user_id": "joe"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("hello", "debug"),
        ("[WARN] careful", "warn"),
        ("[ERROR] no", "error"),
        ("[nothing]", "debug"),
        ("[1, 2]", "debug"),
        ("null", "debug"),
        ('{"a": NaN}', "debug"),
        ('{"@level": "loud", "@message": "x"}', "debug"),
        ('{"@message": "x"}', "debug"),
        (hclog(**{"@timestamp": "2026-01-02T03:04:05Z"}), "debug"),  # not six digits
        ("[" * 100_00, "debug"),
        ("\xff", "debug"),
    ],
)
def test_anything_else_comes_as_it_is(text: str, level: str) -> None:
    line = only(text)
    assert (line.source, line.level, line.message, line.fields) == ("plugin", level, text, {})


def test_after_a_panic_every_plain_line_is_an_error() -> None:
    lines = StderrReader().feed(b"before\npanic: no\ngoroutine 1\n" + hclog().encode() + b"\n")
    assert [line.level for line in lines] == ["debug", "error", "error", "info"]


@pytest.mark.parametrize("key", ["@message", "@level", "@timestamp"])
def test_a_line_that_would_end_the_server_is_told(key: str) -> None:
    line = only(hclog(**{key: 5}))
    assert (line.source, line.level) == ("host", "error")
    assert "would have ended the Mattermost server" in line.message


def test_a_long_line_comes_in_pieces_as_text() -> None:
    long = hclog(fill="x" * LINE_LIMIT)
    lines = StderrReader().feed(long.encode() + b"\n" + hclog().encode() + b"\n")
    assert [line.level for line in lines] == ["debug", "debug", "info"]
    assert "".join(line.message for line in lines[:2]) == long


def test_the_last_line_needs_no_end() -> None:
    reader = StderrReader()
    assert reader.feed(b"bye") == []
    assert [line.message for line in reader.close()] == ["bye"]
    assert reader.close() == []


@given(st.lists(st.binary(max_size=40), max_size=20), st.data())
def test_cuts_change_nothing(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    cut = data.draw(st.integers(0, len(whole)))
    reader = StderrReader()
    assert reader.feed(whole[:cut]) + reader.feed(whole[cut:]) == StderrReader().feed(whole)
