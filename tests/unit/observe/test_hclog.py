"""observe/hclog.py: whatever goes in, one line comes out that the host can read."""

from __future__ import annotations

import datetime
import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.observe.hclog import LEVELS, LINE_LIMIT, encode, relay, safe_text

# Go's layout 2006-01-02T15:04:05.000000Z07:00 (log_entry.go).
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")

ANY_TEXT = st.text(st.characters(codec=None))
JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner)
        | st.dictionaries(ANY_TEXT | st.integers(), inner)
        | st.frozensets(st.integers())
    ),
    max_leaves=10,
)


def as_go(line: bytes) -> dict[str, Any]:
    """The line as the host's parseJSON takes it, without what would end the host."""
    assert len(line) + 1 <= LINE_LIMIT
    assert b"\n" not in line

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    entry: dict[str, Any] = json.loads(line.decode(), parse_constant=refuse)
    for name in ("@level", "@message", "@module", "@timestamp"):
        assert type(entry[name]) is str
    assert entry["@level"] in LEVELS
    assert TIMESTAMP.fullmatch(entry["@timestamp"])
    names = ["@level", "@message", "@module", "@timestamp"]
    assert sorted(name for name in entry if name.startswith("@")) == names
    return entry


@given(
    ANY_TEXT,
    ANY_TEXT,
    ANY_TEXT,
    st.none() | st.floats(),
    st.dictionaries(ANY_TEXT | st.just("@message"), JSON_LIKE),
)
def test_any_input_gives_a_good_line(
    level: str, module: str, message: str, created: float | None, fields: dict[str, object]
) -> None:
    as_go(encode(level, module, message, created=created, fields=fields))


@given(
    st.sampled_from(["x", "\x01", "\n", '"', "\\", "é", "\U0001f600", "\udc80", "\u2028"]),
    st.integers(60_000, 70_000) | st.just(1_000_000),
    st.integers(0, 300),
)
def test_any_length_fits(char: str, length: int, extras: int) -> None:
    fields = {f"{char}{number}": char * 2000 for number in range(extras)}
    fields["exception"] = char * length
    entry = as_go(encode("info", char * 1000, char * length, fields=fields))
    assert entry["@message"].endswith(f"[cut, {length} characters in all]")


def test_the_longest_line_is_not_cut() -> None:
    bare = len(encode("info", "m", "", created=0.0))
    longest = "x" * (LINE_LIMIT - 1 - bare)
    assert as_go(encode("info", "m", longest, created=0.0))["@message"] == longest
    assert as_go(encode("info", "m", longest + "x", created=0.0))["@message"] != longest + "x"


def test_a_long_traceback_keeps_its_end() -> None:
    trace = "Traceback\n" + "  frame\n" * 20_000 + "ValueError: the reason"
    entry = as_go(encode("error", "m", "failed", fields={"exception": trace}))
    assert entry["exception"].endswith("ValueError: the reason")
    assert entry["exception"].startswith("[cut, ")
    assert entry["@message"] == "failed"


def test_many_facts_are_counted_when_they_are_left_out() -> None:
    fields = {f"name{number}": "x" * 900 for number in range(100)}
    entry = as_go(encode("info", "m", "told", fields=fields))
    assert entry["@message"] == "told"
    assert entry["fields_cut"] == 100 - sum(name.startswith("name") for name in entry)


def test_a_fact_that_is_too_long_is_cut_as_text() -> None:
    entry = as_go(encode("info", "m", "x" * LINE_LIMIT, fields={"list": ["y" * 2000]}))
    assert entry["list"].startswith('["yyy')
    assert "[cut, " in entry["list"]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (1, 1),
        (2**53, 2**53),
        (2**53 + 1, str(2**53 + 1)),
        (-(2**70), str(-(2**70))),
        pytest.param(10**5000, "<unprintable int>", id="huge"),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (True, True),
        (None, None),
        (b"\xff", "b'\\xff'"),
        ((1, {"@a": {2: [3]}}), [1, {"field_a": {"2": "[3]"}}]),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (list(range(100)), list(range(50))),
    ],
)
def test_values(value: object, plain: object) -> None:
    assert as_go(encode("info", "m", "x", fields={"value": value}))["value"] == plain


class Evil:
    def __str__(self) -> str:
        raise SystemExit("from __str__")


class EvilDict(dict[str, object]):
    def items(self) -> Any:
        raise RuntimeError


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return Text("inner")


def test_values_with_their_own_ideas() -> None:
    fields = {"evil": Evil(), "dict": EvilDict(a=1), "text": Text("outer"), "nested": [Evil()]}
    entry = as_go(encode("info", "m", "x", fields=fields))
    assert entry["evil"] == "<unprintable Evil>"
    assert entry["dict"] == "{'a': 1}"
    assert entry["text"] == "inner"
    assert type(safe_text(Text("outer"))) is str


def test_a_list_that_holds_itself() -> None:
    loop: list[object] = []
    loop.append(loop)
    as_go(encode("info", "m", "x", fields={"loop": loop}))


@pytest.mark.parametrize(
    ("created", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250000Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
        (1.9999999999, "1970-01-01T00:00:01.999999Z"),
        (-62135596800.0, "0001-01-01T00:00:00.000000Z"),
        (253402300799.0, "9999-12-31T23:59:59.000000Z"),
    ],
)
def test_timestamp(created: float, text: str) -> None:
    assert as_go(encode("info", "m", "x", created=created))["@timestamp"] == text


@pytest.mark.parametrize("created", [253402300800.0, 1e300, float("nan"), float("inf"), -1e12])
def test_a_time_that_go_cannot_read_is_now(created: float) -> None:
    stamp = as_go(encode("info", "m", "x", created=created))["@timestamp"]
    moment = datetime.datetime.fromisoformat(stamp)
    assert abs(moment.timestamp() - time.time()) < 60


@given(ANY_TEXT | st.from_regex(r'\{"@level": ?"(info|error|x)", ?"@message": ?("x"|5|\{\})\}?'))
def test_relay_of_any_line(text: str) -> None:
    as_go(relay("info", "stdout", text))


@given(
    st.sampled_from(LEVELS),
    ANY_TEXT,
    ANY_TEXT.filter(lambda text: not text.startswith("@")),
)
def test_relay_knows_our_own_lines_again(level: str, message: str, name: str) -> None:
    line = encode(level, "app", message, fields={name: 1})
    again = as_go(relay("warn", "stderr", line.decode()))
    assert again == {**as_go(line), "@timestamp": again["@timestamp"]}


@pytest.mark.parametrize(
    "text",
    [
        '{"@message": 5}',
        '{"@level": "info"}',
        '{"@level": "info", "@message": null}',
        '{"@level": "fatal", "@message": "x"}',
        '{"@level": ["info"], "@message": "x"}',
        '{"@level": "info", "@message": "x"',
        pytest.param('{"@level": "info", "@message": "x", "n": ' + "9" * 5000 + "}", id="huge"),
        pytest.param('{"@level": ' + "[" * 100_000, id="deep"),
        "[1]",
    ],
)
def test_relay_of_what_is_no_such_line(text: str) -> None:
    entry = as_go(relay("warn", "stderr", text))
    assert (entry["@level"], entry["@module"]) == ("warn", "stderr")
    assert entry["@message"][:1000] == text[:1000]


def test_relay_checks_the_name_too() -> None:
    entry = as_go(relay("warn", "stderr", '{"@level":"info","@message":"x","@module":5,"n":1e999}'))
    assert entry["@module"] == "stderr"
    assert entry["n"] == "inf"
