"""gob against Go's own: what this side writes Go reads, and what Go writes this side reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mm_asgi.wire.netrpc.gob_reader import INCOMPLETE, GobReader
from mm_asgi.wire.netrpc.gob_scope import TypeScope
from mm_asgi.wire.netrpc.gob_types import INT8, INT64, STRING, GobType, StructOf
from mm_asgi.wire.netrpc.gob_values import GoTime, Registered, read_time, write_time
from mm_asgi.wire.netrpc.gob_writer import GobWriter, SentTypes
from tests.wire.tools import go_missing_reason

from .go_side import GobEcho, GoRefused
from .shapes import REGISTERED, SHAPES, TIMES, VALUES, anys, as_go_sends

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(180),  # the first test builds gopeer
    pytest.mark.skipif(go_missing_reason() is not None, reason=str(go_missing_reason())),
]
SCOPE, SENT = TypeScope(), SentTypes()
# Without shrinking: each try is a round trip through another process.
LONG = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    report_multiple_bugs=False,
)


@pytest.fixture(scope="module")
def go() -> Iterator[GobEcho]:
    with GobEcho() as running:
        yield running


def values_of(stream: bytes) -> list[Any]:
    reader = GobReader(SCOPE)
    reader.feed(stream)
    found = []
    while (value := reader.take()) is not INCOMPLETE:
        found.append(value)
    return found


def through_go(go: GobEcho, *values: tuple[str, Any]) -> list[Any]:
    """The values, sent on one stream and sent back by Go on another."""
    writer = GobWriter(SENT, REGISTERED)
    stream = b"".join(writer.encode(SHAPES[shape], value) for shape, value in values)
    return values_of(go.echo(stream, *(shape for shape, _ in values)))


@LONG
@given(value=VALUES)
def test_every_kind_there_and_back(go: GobEcho, value: dict[str, Any]) -> None:
    assert through_go(go, ("All", value)) == [as_go_sends(SHAPES["All"], value)]


@LONG
@given(values=st.lists(anys(), min_size=1, max_size=4))
def test_interfaces_there_and_back(go: GobEcho, values: list[Any]) -> None:
    """Several on one stream: Go cuts a value where it meets a type for the first time."""
    notes = [("Note", {"Id": "n", "Props": {"x": value}}) for value in values]
    expected = [as_go_sends(SHAPES["Note"], note) for _, note in notes]
    assert through_go(go, *notes) == expected


@LONG
@given(time=TIMES)
def test_times_there_and_back(go: GobEcho, time: GoTime) -> None:
    (raw,) = through_go(go, ("time", write_time(time)))
    assert read_time(raw) == time


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ("int", -1),
        ("int", 0),
        ("string", ""),
        ("bytes", b""),
        ("bytes", bytes(100_000)),
        ("strings", ["", "a"]),
        ("header", {"A": ["b", "c"], "D": []}),
        ("Empty", {}),
        ("Inner", {}),
    ],
)
def test_values_alone_on_a_stream(go: GobEcho, shape: str, value: Any) -> None:
    assert through_go(go, (shape, value), (shape, value)) == [value, value]


def test_a_pointer_to_zero_arrives(go: GobEcho) -> None:
    """What Go cannot send: Go decodes it and leaves it out again, so Go's text has to tell."""
    value = {"Maybe": False, "MaybeInt": 0, "Words": ""}
    writer = GobWriter(SENT, REGISTERED)
    stream = writer.encode(SHAPES["All"], value)
    assert go.pointers(stream, "All") == "Maybe=false MaybeInt=0 Words="
    assert go.pointers(GobWriter(SENT).encode(SHAPES["All"], {"Text": "x"}), "All") == ""


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (StructOf("Inner", [("Name", INT64)]), {"Name": 1}, "wrong type"),
        (StructOf("Inner", [("Count", INT64)]), {"Count": 2**40}, "out of range"),
        (STRING, "x", "type mismatch"),
    ],
)
def test_go_refuses_what_is_of_another_type(
    go: GobEcho, kind: GobType, value: Any, text: str
) -> None:
    """The fatal mistake of this wire; the right types refuse such values before they are sent."""
    with pytest.raises(GoRefused, match=text):
        go.echo(GobWriter(SentTypes()).encode(kind, value), "Inner")


def test_a_smaller_int_is_the_same_type_to_go(go: GobEcho) -> None:
    kind = StructOf("Inner", [("Count", INT8)])
    stream = GobWriter(SentTypes()).encode(kind, {"Count": 5})
    assert values_of(go.echo(stream, "Inner")) == [{"Count": 5}]


def test_an_unregistered_name_is_refused_by_go(go: GobEcho) -> None:
    other = {"*main.Other": SHAPES["Inner"]}
    note = {"Props": {"x": Registered("*main.Other", {"Name": "a"})}}
    with pytest.raises(GoRefused, match="name not registered for interface"):
        go.echo(GobWriter(SentTypes(), other).encode(SHAPES["Note"], note), "Note")


def test_one_value_of_many_new_types_comes_in_many_messages(go: GobEcho) -> None:
    note: dict[str, Any] = {"Id": "0", "Props": {}}
    for level in range(20):
        inner = [Registered("main.Inner", {"Name": "i"}), {"deep": Registered("*main.Note", note)}]
        note = {"Id": str(level), "Props": {"list": inner}}
    assert through_go(go, ("Note", note)) == [as_go_sends(SHAPES["Note"], note)]
