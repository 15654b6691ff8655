"""The gob core: Go's bytes, round trips, any cut and any damage of the input, and its limits."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc import gob_decoders
from mm_asgi.wire.netrpc.gob_numbers import (
    read_float,
    read_int,
    read_uint,
    write_float,
    write_int,
    write_uint,
)
from mm_asgi.wire.netrpc.gob_reader import INCOMPLETE, GobReader
from mm_asgi.wire.netrpc.gob_scope import GobLimits, TypeScope
from mm_asgi.wire.netrpc.gob_types import (
    ANY,
    BOOL,
    BYTES,
    FLOAT32,
    FLOAT64,
    INT,
    INT8,
    INT64,
    STRING,
    UINT8,
    ArrayOf,
    GobType,
    MapOf,
    OpaqueOf,
    SliceOf,
    StructOf,
    ValueSink,
)
from mm_asgi.wire.netrpc.gob_values import GoTime, Registered, read_time, write_time
from mm_asgi.wire.netrpc.gob_writer import ANY_LIST, ANY_MAP, GobWriter, SentTypes

from .mux_pair import cut
from .shapes import ALL, EMPTY, INNER, NOTE, REGISTERED, TIME, TIMES, VALUES, anys

# A machine that is busy is no failure of what is tested.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# What Go 1.26 writes (gopeer).
GO_NOTE = bytes.fromhex(
    "2fff83030101044e6f746501ff8400010301024964010c000106537461747573010400010550726f707301ff8600"
    "000027ff85040101176d61705b737472696e675d696e74657266616365207b7d01ff8600010c0110000029ff8401"
    "016e010d010104646565700e5b5d696e74657266616365207b7dff87020102ff880001100000ff9aff883d00040a"
    "6d61696e2e496e6e6572ff8903010105496e6e657201ff8a00010301044e616d65010c000105436f756e74010400"
    "01044e65787401ff8a00000058ff8a0801016902020a00000007666c6f61743634080400fef83f176d61705b7374"
    "72696e675d696e74657266616365207b7dff86230001016d0a2a6d61696e2e4e6f7465ff84110101320201017404"
    "626f6f6c020200010000"
)
NOTE_VALUE = {
    "Id": "n",
    "Status": -7,
    "Props": {
        "deep": [
            Registered("main.Inner", {"Name": "i", "Next": {"Count": 5}}),
            None,
            1.5,
            {"m": Registered("*main.Note", {"Id": "2", "Props": {"t": True}})},
        ]
    },
}
GO_INNERS = bytes.fromhex(
    "30ff8903010105496e6e657201ff8a00010301044e616d65010c000105436f756e7401040001044e65787401ff8a"
    "0000000dff8a010161010101010162000007ff8a02fe025800"
)


def read(*parts: bytes, scope: TypeScope | None = None, **limits: int) -> list[Any]:
    """Every value of a stream that comes in parts."""
    reader = GobReader(scope or TypeScope(), GobLimits(**limits))
    found = []
    for part in parts:
        reader.feed(part)
        while (value := reader.take()) is not INCOMPLETE:
            found.append(value)
    return found


def encode(kind: GobType, *values: Any) -> bytes:
    writer = GobWriter(SentTypes(), REGISTERED)
    return b"".join(writer.encode(kind, value) for value in values)


def message(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return write_uint(len(body)) + body


def define(kind: GobType, number: int, numbers: dict[GobType, int]) -> bytes:
    return message(write_int(-number), kind.definition(number, numbers))


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("number", "raw"),
    [
        (0, "00"),
        (7, "07"),
        (127, "7f"),
        (128, "ff80"),
        (256, "fe0100"),
        (2**64 - 1, "f8" + "ff" * 8),
    ],
)
def test_unsigned_numbers(number: int, raw: str) -> None:
    assert write_uint(number) == bytes.fromhex(raw)
    assert read_uint(bytes.fromhex(raw), 0) == (number, len(raw) // 2)


@pytest.mark.parametrize(
    ("number", "raw"),
    [(0, "00"), (-1, "01"), (1, "02"), (-129, "fe0101"), (-(2**63), "f8" + "ff" * 8)],
)
def test_signed_numbers(number: int, raw: str) -> None:
    assert write_int(number) == bytes.fromhex(raw)
    assert read_int(bytes.fromhex(raw), 0) == (number, len(raw) // 2)


@settings(CALM)
@given(st.floats(allow_nan=False))
def test_floats(number: float) -> None:
    raw = write_float(number)
    assert read_float(raw, 0) == (number, len(raw))


def test_seventeen_is_short_as_a_float() -> None:
    """Go's documentation says FE 31 40."""
    assert write_float(17.0) == bytes.fromhex("fe3140")


@pytest.mark.parametrize("raw", ["f7" + "00" * 9, "80", "fe01", "f8" + "00" * 7])
def test_bad_numbers(raw: str) -> None:
    with pytest.raises(HostProtocolError, match=r"gob: a number of \d+ bytes at byte 0"):
        read_uint(bytes.fromhex(raw), 0)


# ---------------------------------------------------------------- Go's bytes


def test_a_value_that_go_cut_into_messages() -> None:
    assert read(GO_NOTE) == [NOTE_VALUE]


@pytest.mark.parametrize("size", range(1, 40))
def test_no_cut_makes_a_difference_to_it(size: int) -> None:
    assert read(*cut(GO_NOTE, (size,))) == [NOTE_VALUE]


def test_a_type_in_itself_and_a_second_value() -> None:
    assert read(GO_INNERS) == [
        {"Name": "a", "Count": -1, "Next": {"Name": "b"}},
        {"Count": 300},
    ]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("050400fe0101", -129),
        ("050c0002c3bc", "ü"),
        ("0fff81040102ff8200010c01ff8000000b7f020102ff8000010c00000bff82000101410201620163",
         {"A": ["b", "c"]}),
        ("0aff8b050102ff8e00000013ff8c000f010000000edce5e80000000005003c",
         write_time(GoTime(1_700_000_000, 5, 3600))),
    ],
)  # fmt: skip
def test_go_writes_a_definition_after_the_type_that_needs_it(raw: str, value: Any) -> None:
    assert read(bytes.fromhex(raw)) == [value]


def test_our_bytes_are_go_s_where_the_order_is() -> None:
    assert encode(INT, -129) == bytes.fromhex("050400fe0101")
    assert encode(STRING, "ü") == bytes.fromhex("050c0002c3bc")


# ---------------------------------------------------------------- round trips

SCOPE, SENT = TypeScope(), SentTypes()


def as_read(kind: GobType, value: Any) -> Any:
    """What stands in a stream: without the zeros that this side leaves out."""
    if isinstance(kind, StructOf):
        out = {}
        for field in kind.fields:
            item = value.get(field.name)
            if item is not None and (item or field.always or field.type.sends_empty):
                out[field.name] = as_read(field.type, item)
        return out
    if isinstance(kind, SliceOf):
        return [as_read(kind.element, item) for item in value]
    if isinstance(kind, MapOf):
        return {key: as_read(kind.element, item) for key, item in value.items()}
    if kind is ANY and isinstance(value, Registered):
        return Registered(value.name, as_read(REGISTERED[value.name], value.value))
    if kind is ANY and isinstance(value, list | dict):
        return as_read(ANY_LIST if isinstance(value, list) else ANY_MAP, value)
    return value


@settings(CALM, max_examples=60)
@given(
    values=st.lists(VALUES, min_size=1, max_size=3),
    cuts=st.lists(st.integers(1, 200), max_size=4).map(tuple),
)
def test_every_kind_there_and_back(values: list[dict[str, Any]], cuts: tuple[int, ...]) -> None:
    writer = GobWriter(SENT, REGISTERED)
    stream = b"".join(writer.encode(ALL, value) for value in values)
    assert read(*cut(stream, cuts), scope=SCOPE) == [as_read(ALL, value) for value in values]


@settings(CALM, max_examples=150)
@given(value=anys())
def test_interfaces_there_and_back(value: Any) -> None:
    assert read(encode(ANY_LIST, [value])) == [[as_read(ANY, value)]]


@settings(CALM)
@given(time=TIMES)
def test_times_there_and_back(time: GoTime) -> None:
    assert read_time(write_time(time)) == time
    assert read(encode(TIME, write_time(time))) == [write_time(time)]


def test_go_s_zero_time() -> None:
    assert GoTime.zero().is_zero
    assert not GoTime(0).is_zero
    assert write_time(GoTime.zero()) == b"\x01" + bytes(12) + b"\xff\xff"


@pytest.mark.parametrize("raw", [b"", b"\x01", bytes(15), b"\x03" + bytes(14), b"\x02" + bytes(14)])
def test_bad_times(raw: bytes) -> None:
    with pytest.raises(HostProtocolError, match="gob: a time of"):
        read_time(raw)


@pytest.mark.parametrize(
    "time", [GoTime(0, 10**9), GoTime(0, -1), GoTime(2**63), GoTime(0, 0, -60), GoTime(0, 0, 10**8)]
)
def test_times_that_go_cannot_have(time: GoTime) -> None:
    with pytest.raises(ValueError, match="GoTime"):
        write_time(time)


@pytest.mark.parametrize("value", [True, False, 0, 1, -1, 1.0, 0.0, "", b"", 1j, [], {}])
def test_plain_values_keep_their_kind_in_an_interface(value: Any) -> None:
    ((again,),) = read(encode(ANY_LIST, [value]))
    assert (type(again), again) == (type(value), value)


def test_a_map_with_structs_as_keys_is_a_list_of_pairs() -> None:
    key = StructOf("Key", [("A", INT)])
    numbers = {key: 66, INT: 2, STRING: 6}
    kind = MapOf(key, STRING)
    stream = define(kind, 65, numbers) + define(key, 66, numbers)
    stream += message(write_int(65), b"\x00\x02", b"\x01\x02\x00\x01a", b"\x01\x04\x00\x01b")
    assert read(stream) == [[({"A": 1}, "a"), ({"A": 2}, "b")]]


# ---------------------------------------------------------------- writing


def test_types_are_defined_once_a_stream() -> None:
    writer = GobWriter(SentTypes())
    first, second = writer.encode(INNER, {"Name": "a"}), writer.encode(INNER, {"Name": "a"})
    assert first.endswith(second)
    assert len(second) == 7
    assert read(first, second) == [{"Name": "a"}] * 2


def test_streams_share_what_they_begin_with() -> None:
    sent = SentTypes()
    assert GobWriter(sent).encode(ALL, {}) == GobWriter(sent).encode(ALL, {})
    assert len(sent._next) == 1


def test_zeros_are_left_out_but_where_nil_differs() -> None:
    assert read(encode(ALL, {"Bool": False, "Int": 0, "Text": "", "Texts": []})) == [{}]
    kept = {"Maybe": False, "MaybeInt": 0, "Words": "", "Header": {}, "Any": 0, "Pointer": {}}
    assert read(encode(ALL, kept)) == [kept]
    assert read(encode(ALL, dict.fromkeys(kept))) == [{}]


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ({"Int": "1"}, TypeError, "All.Int: expected int, found str '1'"),
        ({"Int": True}, TypeError, "All.Int: expected int, found bool"),
        ({"Int8": 128}, ValueError, "All.Int8: 128 does not fit int8"),
        ({"Uint": -1}, ValueError, "All.Uint: -1 does not fit uint"),
        ({"Uint": 2**64}, ValueError, "All.Uint: 18446744073709551616 does not fit uint"),
        ({"Bool": 1}, TypeError, "All.Bool: expected bool"),
        ({"Float32": 1e39}, ValueError, "All.Float32: 1e.39 does not fit float32"),
        ({"Float64": "1"}, TypeError, "All.Float64: expected float"),
        ({"Complex": 1.0}, TypeError, "All.Complex: expected complex"),
        ({"Text": b"x"}, TypeError, "All.Text: expected str"),
        ({"Text": "\ud800"}, ValueError, "All.Text: 'utf-8' codec"),
        ({"Bytes": "x"}, TypeError, "All.Bytes: expected bytes"),
        ({"Texts": ["a", 2]}, TypeError, r"All.Texts: \[1\]: expected str, found int 2"),
        ({"Texts": "abc"}, TypeError, "All.Texts: expected list"),
        ({"Header": {"A": ["b", None]}}, TypeError, r"All.Header: \['A'\]: \[1\]: expected str"),
        ({"Header": [1]}, TypeError, "All.Header: expected dict"),
        ({"Array": [1]}, ValueError, "All.Array: 1 elements for an array of 3"),
        ({"Inner": {"Nmae": "x"}}, ValueError, "All.Inner: Inner has no field 'Nmae'"),
        ({"Inner": [1]}, TypeError, "All.Inner: expected dict"),
        ({"Any": object()}, TypeError, "All.Any: an interface cannot hold object"),
        ({"Any": Registered("other", 1)}, ValueError, "All.Any: no registered type 'other'"),
        ({"Any": Registered("int8", 300)}, ValueError, "All.Any: 300 does not fit int8"),
        ({"Any": 2**63}, ValueError, "All.Any: 9223372036854775808 does not fit int"),
        ({"When": "now"}, TypeError, "All.When: expected bytes"),
    ],
)  # fmt: skip
def test_a_wrong_value_never_leaves(
    value: dict[str, Any], error: type[Exception], text: str
) -> None:
    writer = GobWriter(SentTypes(), REGISTERED)
    with pytest.raises(error, match=text):
        writer.encode(ALL, value)
    # The stream goes on, with the definitions that did not leave then.
    assert read(writer.encode(ALL, {"Any": {"x": [1]}})) == [{"Any": {"x": [1]}}]


def test_a_value_in_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="more than 100 interfaces in each other"):
        encode(ANY_LIST, loop)
    ring: dict[str, Any] = {"Name": "x"}
    ring["Next"] = ring
    with pytest.raises(ValueError, match="Inner: a value nested too deep, or in itself"):
        encode(INNER, ring)


def test_a_float_takes_an_int_and_float32_an_infinity() -> None:
    assert read(encode(FLOAT64, 3)) == [3.0]
    assert read(encode(FLOAT32, float("inf"))) == [float("inf")]


def test_views_are_bytes() -> None:
    assert read(encode(BYTES, memoryview(b"abc")[1:], bytearray(b"d"))) == [b"bc", b"d"]


# ---------------------------------------------------------------- what a stream may not say


def wrong(stream: bytes, **limits: int) -> str:
    """The error of a stream."""
    with pytest.raises(HostProtocolError) as caught:
        read(stream, scope=None, **limits)
    return str(caught.value)


INNERS = SliceOf(INT)
STRUCT = StructOf("S", [("A", INT), ("B", STRING)])
KNOWN: dict[GobType, int] = {INT: 2, STRING: 6, ANY: 8, INNERS: 65, STRUCT: 66}


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"\x00", "a message of 0 bytes"),
        (b"\x80", "a message whose size has 128 bytes"),
        (message(write_int(65), b"\x00"), "type 65 is used and was not defined"),
        (message(write_int(0), b"\x00"), "type 0 is used and was not defined"),
        (message(write_int(16), b"\x00"), "type 16 is used and was not defined"),
        (message(write_int(2), b"\x01\x02"), "begin with a zero byte"),
        (message(write_int(2), b"\x00\x02\x02"), "1 bytes behind a value"),
        (message(write_int(2), b"\x00"), "ends in the middle of a value"),
        (message(write_int(6), b"\x00\x05abc"), "5 bytes announced at byte 3 of a message of 6"),
        (message(write_int(5), b"\x00\xf8" + b"\xff" * 8), "bytes announced"),
        (define(INNERS, 63, KNOWN), "type 63 was defined; expected a number from 64"),
        (define(INNERS, 65, KNOWN) * 2, "type 65 was defined"),
        (message(write_int(-65), b"\x00"), "the definition of type 65 has 0 kinds"),
        (message(define(INNERS, 65, KNOWN)[1:-1]), "ends in the middle"),
        (message(write_int(-65), INNERS.definition(65, KNOWN), b"!"), "1 bytes behind the definition"),
        (define(SliceOf(INNERS), 70, KNOWN) + message(write_int(70), b"\x00\x00"), "type 65 is used"),
        (define(STRUCT, 66, KNOWN) + message(write_int(66), b"\x03\x02\x00"), "field 2 of S, which has 2"),
        (define(STRUCT, 66, KNOWN) + message(write_int(66), b"\x01\x02"), "ends in the middle"),
        (define(ArrayOf(INT, 2), 67, KNOWN) + message(write_int(67), b"\x00\x01\x02"), "1 elements of an array of 2"),
        (define(ArrayOf(INT, -2), 67, KNOWN), "type 67 is an array of -2 elements"),
        (message(write_int(8), b"\x00\xfe\x04\x01", b"x" * 1025), "type's name has 1025 bytes"),
        (message(write_int(8), b"\x00\x03int"), "ends in the middle"),
    ],
)  # fmt: skip
def test_a_stream_that_no_go_sends(stream: bytes, text: str) -> None:
    assert text in wrong(stream)


def test_the_first_error_is_final() -> None:
    reader = GobReader(TypeScope())
    reader.feed(encode(INT, 5) + b"\x00" + encode(INT, 6))
    assert reader.take() == 5
    for _ in range(2):
        with pytest.raises(HostProtocolError, match="a message of 0 bytes"):
            reader.take()
    assert reader.fault is not None


def test_a_failed_stream_leaves_no_trace_in_another() -> None:
    scope = TypeScope()
    stream = define(SliceOf(INNERS), 70, KNOWN)
    with pytest.raises(HostProtocolError, match="type 65 is used and was not defined"):
        read(stream + message(write_int(70), b"\x00\x00"), scope=scope)
    stream += define(INNERS, 65, KNOWN) + message(write_int(70), b"\x00\x01\x01\x02")
    assert read(stream, scope=scope) == [[[1]]]


def test_streams_may_define_the_same_number_differently() -> None:
    scope = TypeScope()
    for kind, body, value in ((INNERS, b"\x01\x02", [1]), (SliceOf(STRING), b"\x01\x01a", ["a"])):
        stream = define(kind, 65, KNOWN) + message(write_int(65), b"\x00", body)
        assert read(stream, scope=scope) == [value]


def test_streams_that_begin_alike_share_their_types() -> None:
    scope = TypeScope()
    for _ in range(3):
        read(GO_NOTE, scope=scope)
    assert len(scope._next) == 1


# ---------------------------------------------------------------- limits


def test_a_message_over_the_limit_is_refused_before_it_has_come() -> None:
    assert "a message of 1001 bytes, expected 1 to 1000" in wrong(write_uint(1001), message=1000)


def test_elements_are_bounded() -> None:
    nothing = SliceOf(EMPTY)
    assert "too many elements" in wrong(encode(nothing, [{}] * 101), elements=100)
    assert read(encode(nothing, [{}] * 100), elements=100) == [[{}] * 100]
    counts = MapOf(INT64, BOOL)
    assert "too many elements" in wrong(
        encode(counts, dict.fromkeys(range(101), True)), elements=100
    )
    structs = SliceOf(STRUCT)
    values = [{"A": 1, "B": "x"}] * 34
    assert "too many elements" in wrong(encode(structs, values), elements=100)


def test_a_count_that_no_bytes_follow_costs_nothing() -> None:
    stream = define(INNERS, 65, KNOWN) + message(write_int(65), b"\x00", write_uint(2**64 - 1))
    assert "too many elements" in wrong(stream)
    stream = define(INNERS, 65, KNOWN) + message(write_int(65), b"\x00", write_uint(3_000_000))
    assert "ends in the middle" in wrong(stream)


def test_nesting_is_bounded() -> None:
    value: Any = 1
    for _ in range(100):
        value = [value]
    assert read(encode(ANY_LIST, value), depth=100) == [value]
    assert "nested too deep" in wrong(encode(ANY_LIST, value), depth=99)
    inner: dict[str, Any] = {}
    for _ in range(120):
        inner = {"Next": inner}
    assert "nested too deep" in wrong(encode(INNER, inner))


def test_values_beside_each_other_are_not_nested() -> None:
    values: list[Any] = [[1]] * 50
    assert read(encode(ANY_LIST, values), depth=2) == [values]


def test_a_string_longer_than_its_message_is_named() -> None:
    stream = encode(STRUCT, {"B": "hello"})
    assert "127 bytes announced" in wrong(stream.replace(b"\x05hello", b"\x7fhello"))


def test_types_in_each_other_are_bounded() -> None:
    kind: GobType = INT
    for _ in range(64):
        kind = SliceOf(kind)
    assert "more than 64 types in each other" in wrong(encode(kind, []))
    # Read one by one, so that each is compiled before the next one contains it.
    stream, numbers = b"", {INT: 2}
    below: GobType = INT
    for number in range(65, 165):
        above = SliceOf(below)
        stream += define(above, number, numbers) + message(write_int(number), b"\x00\x00")
        numbers[above], below = number, above
    assert "more than 64 types in each other" in wrong(stream)


@pytest.mark.skipif(
    not gob_decoders.__file__.endswith(".py"), reason="compiled code has no such limit"
)
def test_the_interpreters_own_limit_is_an_error_too() -> None:
    assert "deeper than the interpreter allows" in wrong(deep(5000), depth=9999)


def deep(levels: int) -> bytes:
    """An Inner in an Inner, so often."""
    stream = encode(INNER, {})
    return stream[: -len(message(write_int(65), b"\x00"))] + message(
        write_int(65), b"\x03" * levels, b"\x00" * (levels + 1)
    )


def test_definitions_are_bounded() -> None:
    stream = b"".join(define(SliceOf(INT, f"L{n}"), n, KNOWN) for n in range(70, 80))
    assert "10 types in" in wrong(stream, types=9)
    assert read(stream, types=10) == []
    assert "expected at most 4096 in 50" in wrong(stream, type_bytes=50)
    many = StructOf("Many", [(f"F{n}", INT) for n in range(40_000)])
    assert "too many elements" in wrong(define(many, 70, KNOWN))


def test_reading_again_is_bounded() -> None:
    assert read(GO_NOTE, reread=2000) == [NOTE_VALUE]
    assert "see GobLimits" in wrong(GO_NOTE, reread=150)
    assert "in 2 messages, see GobLimits" in wrong(GO_NOTE, message=190)


def test_shared_scopes_are_bounded() -> None:
    scope = TypeScope()
    scope._shares.entries = 30
    for number in range(70, 90):
        read(define(SliceOf(INT), number, KNOWN), scope=scope)
    assert len(scope._next) == 3
    assert read(GO_NOTE, scope=scope) == [NOTE_VALUE]


# ---------------------------------------------------------------- damage


def damaged(stream: bytes, chooser: random.Random) -> bytes:
    raw = bytearray(stream)
    for _ in range(chooser.randrange(1, 4)):
        at = chooser.randrange(len(raw))
        match chooser.randrange(4):
            case 0:
                raw[at] ^= 1 << chooser.randrange(8)
            case 1:
                raw[at] = chooser.randrange(256)
            case 2:
                del raw[at : at + chooser.randrange(1, 5)]
            case _:
                raw[at:at] = chooser.randbytes(chooser.randrange(1, 5))
    return bytes(raw)


def outcome(stream: bytes, cuts: tuple[int, ...] = ()) -> tuple[list[Any], str]:
    reader = GobReader(TypeScope(), GobLimits(message=100_000, elements=20_000))
    found: list[Any] = []
    try:
        for part in cut(stream, cuts):
            reader.feed(part)
            while (value := reader.take()) is not INCOMPLETE:
                found.append(value)
    except HostProtocolError as error:
        return found, str(error)
    return found, ""


@settings(CALM, max_examples=400)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(1, 30), max_size=3).map(tuple))
def test_damage_is_the_named_error_wherever_it_is_cut(seed: int, cuts: tuple[int, ...]) -> None:
    chooser = random.Random(seed)
    stream = damaged(chooser.choice([GO_NOTE, GO_INNERS, GO_NOTE + GO_INNERS[50:]]), chooser)
    assert repr(outcome(stream, cuts)) == repr(outcome(stream))  # of NaN too


@settings(CALM, max_examples=300)
@given(stream=st.binary(max_size=300))
def test_any_bytes_are_values_or_the_named_error(stream: bytes) -> None:
    outcome(stream)


@settings(CALM, max_examples=100)
@given(value=VALUES, seed=st.integers(0, 2**32))
def test_damage_of_every_kind(value: dict[str, Any], seed: int) -> None:
    outcome(damaged(GobWriter(SENT, REGISTERED).encode(ALL, value), random.Random(seed)))


def test_a_message_is_kept_no_longer_than_its_value() -> None:
    reader = GobReader(TypeScope())
    for part in cut(encode(BYTES, bytes(1_000_000)), (65536,)):
        reader.feed(part)
    assert len(reader.take()) == 1_000_000
    assert not reader._data
    assert not reader._chunks


def test_a_large_message_in_small_pieces_is_joined_once() -> None:
    """Not once a piece: that would be the square of its size."""
    stream = encode(BYTES, bytes(4_000_000))
    assert read(*cut(stream, (1000,))) == [bytes(4_000_000)]


def test_a_type_of_its_own_has_to_say_how_it_writes() -> None:
    sink: ValueSink = GobWriter(SentTypes())
    with pytest.raises(NotImplementedError):
        GobType("x").write(bytearray(), 1, sink)
    with pytest.raises(NotImplementedError):
        GobType("x").definition(65, {})
    with pytest.raises(KeyError):
        OpaqueOf("x", "json")
    assert repr(INT8) == "<gob type int8>"
    assert [list(kind.parts()) for kind in (UINT8, NOTE)] == [[], [STRING, INT, ANY_MAP]]
