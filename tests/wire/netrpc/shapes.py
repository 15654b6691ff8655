"""The types of gopeer/gob.go as this side sends them, values of them, and what Go makes of these."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from mm_asgi.wire.netrpc.gob_types import (
    ANY,
    BOOL,
    BYTES,
    COMPLEX,
    FLOAT32,
    FLOAT64,
    INT,
    INT8,
    INT32,
    INT64,
    STRING,
    UINT,
    UINT8,
    UINT16,
    ArrayOf,
    GobField,
    GobType,
    MapOf,
    OpaqueOf,
    SliceOf,
    StructOf,
)
from mm_asgi.wire.netrpc.gob_values import GoTime, Registered, write_time
from mm_asgi.wire.netrpc.gob_writer import ANY_LIST, ANY_MAP

INNER: Final = StructOf("Inner")
INNER.set_fields([("Name", STRING), ("Count", INT32), ("Next", INNER)])
NOTE: Final = StructOf("Note", [("Id", STRING), ("Status", INT), ("Props", ANY_MAP)])
EMPTY: Final = StructOf("Empty")
KEY: Final = StructOf("Key", [("A", INT), ("B", INT)])
HEADER: Final = MapOf(STRING, SliceOf(STRING), "Header")
TIME: Final = OpaqueOf("Time", "gob")
URL: Final = OpaqueOf("URL", "binary")
INNERS: Final = SliceOf(INNER)

REGISTERED: Final[dict[str, GobType]] = {
    "*main.Note": NOTE,
    "[]*main.Inner": INNERS,
    "main.Inner": INNER,
}

ALL: Final = StructOf(
    "All",
    [
        ("Bool", BOOL),
        ("Int", INT),
        ("Int8", INT8),
        ("Int64", INT64),
        ("Uint", UINT),
        ("Uint16", UINT16),
        ("Float32", FLOAT32),
        ("Float64", FLOAT64),
        ("Complex", COMPLEX),
        ("Text", STRING),
        ("Bytes", BYTES),
        ("Texts", SliceOf(STRING)),
        ("Numbers", SliceOf(INT64)),
        ("Flags", SliceOf(BOOL)),
        ("Array", ArrayOf(UINT8, 3)),
        ("Pairs", ArrayOf(STRING, 2)),
        ("Header", HEADER),
        ("Counts", MapOf(INT32, BOOL)),
        ("Nested", SliceOf(SliceOf(FLOAT64))),
        ("Inner", INNER),
        GobField("Pointer", INNER, always=True),
        ("Inners", INNERS),
        ("ByName", MapOf(STRING, INNER)),
        GobField("Maybe", BOOL, always=True),
        GobField("MaybeInt", INT64, always=True),
        GobField("Words", STRING, always=True),
        ("When", TIME),
        ("Where", URL),
        ("Any", ANY),
        ("Anys", ANY_LIST),
        ("Props", ANY_MAP),
        ("Empty", EMPTY),
        GobField("NoEmpty", EMPTY, always=True),
    ],
)

SHAPES: Final[dict[str, GobType]] = {
    "All": ALL,
    "Inner": INNER,
    "Note": NOTE,
    "Empty": EMPTY,
    "int": INT,
    "string": STRING,
    "bytes": BYTES,
    "strings": SliceOf(STRING),
    "header": HEADER,
    "time": TIME,
}

# ---------------------------------------------------------------- values

WORDS: Final = st.one_of(
    st.sampled_from(["", "a", "Überraschung", "x" * 200, "\udcff\udc80"]), st.text(max_size=20)
)
INTS: Final = st.one_of(st.integers(-3, 200), st.integers(-(2**63), 2**63 - 1))
UINTS: Final = st.one_of(st.integers(0, 200), st.integers(0, 2**64 - 1))
FLOATS: Final = st.floats(allow_nan=False)
TIMES: Final = st.builds(
    GoTime,
    st.integers(-62_135_596_800, 2**40),
    st.integers(0, 999_999_999),
    # Go's decoder reads what its encoder writes for a negative zone with seconds as another zone.
    st.one_of(st.none(), st.integers(0, 50_000), st.integers(-800, -2).map(lambda m: m * 60)),
)


def inners(depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    fields: dict[str, Any] = {"Name": WORDS, "Count": st.integers(-(2**31), 2**31 - 1)}
    if depth:
        fields["Next"] = inners(depth - 1)
    return st.fixed_dictionaries({}, optional=fields)


PLAIN: Final = st.one_of(st.none(), WORDS, st.booleans(), INTS, FLOATS, st.binary(max_size=20))


def anys() -> st.SearchStrategy[Any]:
    def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        maps = st.dictionaries(WORDS, inner, max_size=3)
        notes = st.fixed_dictionaries({}, optional={"Id": WORDS, "Status": INTS, "Props": maps})
        return st.one_of(
            st.lists(inner, max_size=3),
            maps,
            st.builds(Registered, st.just("*main.Note"), notes),
            st.builds(Registered, st.just("[]*main.Inner"), st.lists(inners(1), max_size=2)),
            st.builds(Registered, st.just("main.Inner"), inners(1)),
        )

    return st.recursive(PLAIN, deeper, max_leaves=8)


VALUES: Final = st.fixed_dictionaries(
    {},
    optional={
        "Bool": st.booleans(),
        "Int": INTS,
        "Int8": st.integers(-128, 127),
        "Int64": INTS,
        "Uint": UINTS,
        "Uint16": st.integers(0, 65535),
        "Float32": st.floats(width=32, allow_nan=False),
        "Float64": FLOATS,
        "Complex": st.complex_numbers(allow_nan=False),
        "Text": WORDS,
        "Bytes": st.binary(max_size=300),
        "Texts": st.lists(WORDS, max_size=4),
        "Numbers": st.lists(INTS, max_size=4),
        "Flags": st.lists(st.booleans(), max_size=4),
        "Array": st.lists(st.integers(0, 255), min_size=3, max_size=3),
        "Pairs": st.lists(WORDS, min_size=2, max_size=2),
        "Header": st.dictionaries(WORDS, st.lists(WORDS, max_size=2), max_size=3),
        "Counts": st.dictionaries(st.integers(-(2**31), 2**31 - 1), st.booleans(), max_size=3),
        "Nested": st.lists(st.lists(FLOATS, max_size=2), max_size=2),
        "Inner": inners(),
        "Pointer": inners(),
        "Inners": st.lists(inners(), max_size=2),
        "ByName": st.dictionaries(WORDS, inners(1), max_size=2),
        "Maybe": st.booleans(),
        "MaybeInt": INTS,
        "Words": WORDS,
        "When": TIMES.map(write_time),
        "Where": st.sampled_from([b"https://a.example/b?c=d", b"/plugins/x"]),
        "Any": anys(),
        "Anys": st.lists(anys(), max_size=3),
        "Props": st.dictionaries(WORDS, anys(), max_size=3),
        "Empty": st.just({}),
        "NoEmpty": st.just({}),
    },
)

# ---------------------------------------------------------------- what Go makes of them

# Of Go's own encoder: structs and arrays that are no pointers are always sent.
_ALWAYS: Final[dict[str, dict[str, Any]]] = {
    "All": {"Array": [0, 0, 0], "Pairs": ["", ""], "Inner": {}, "Empty": {}}
}


def as_go_sends(kind: GobType, value: Any) -> Any:
    """The value as it reads after Go has decoded and encoded it."""
    if isinstance(kind, StructOf):
        return _struct_as_go_sends(kind, value)
    if isinstance(kind, SliceOf):
        return [as_go_sends(kind.element, item) for item in value]
    if isinstance(kind, MapOf):
        return {key: as_go_sends(kind.element, item) for key, item in value.items()}
    if kind is ANY:
        return any_as_go_sends(value)
    return value


def _struct_as_go_sends(kind: StructOf, value: dict[str, Any]) -> dict[str, Any]:
    out = dict(_ALWAYS.get(kind.name, {}))
    for field in kind.fields:
        item = value.get(field.name)
        if item is None:
            continue
        # Only here an empty map, a struct and an interface are something to Go.
        keeps = isinstance(field.type, StructOf | MapOf | ArrayOf) or field.type is ANY
        if item or keeps:
            out[field.name] = as_go_sends(field.type, item)
    return out


def any_as_go_sends(value: Any) -> Any:
    if isinstance(value, Registered):
        return Registered(value.name, as_go_sends(REGISTERED[value.name], value.value))
    if isinstance(value, dict):
        return {key: any_as_go_sends(item) for key, item in value.items()}
    if isinstance(value, list):
        return [any_as_go_sends(item) for item in value]
    return value
