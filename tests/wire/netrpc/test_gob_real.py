"""gob against the plugin package's own types: every struct of the tables, there and back.

A value is written here by the tables' type, decoded by Go into the real one, shown, encoded again by
Go's encoder and read here. A wrong name, kind or order in the tables cannot pass.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.wire.netrpc.gob_reader import GobReader
from mm_asgi.wire.netrpc.gob_scope import TypeScope
from mm_asgi.wire.netrpc.gob_types import StructOf
from mm_asgi.wire.netrpc.gob_values import GoTime, Registered, write_time
from mm_asgi.wire.netrpc.gob_writer import GobWriter, SentTypes
from mm_asgi.wire.netrpc.shapes import fields_of, gob_type, registered_types
from mm_asgi.wire.netrpc.tables import STRUCTS
from tests.real_gob import RealGob, RealGobRefused
from tests.wire.tools import go_missing_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(180),  # the first test builds gobecho
    pytest.mark.skipif(go_missing_reason() is not None, reason=str(go_missing_reason())),
]
SAMPLES = 4
DEEPEST = 3


@pytest.fixture(scope="module")
def go() -> Iterator[RealGob]:
    with RealGob() as running:
        yield running


class Samples:
    """Values that are not zero, which gob would leave out, and that fit the smallest integer."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)

    def struct(self, name: str, depth: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in fields_of(name):
            if self.random.random() < 0.7:
                value = self.value(field.shape, depth + 1)
                if value not in ({}, [], None):
                    found[field.name] = value
        return found

    def value(self, shape: str, depth: int) -> Any:
        if shape in STRUCTS:
            return self.struct(shape, depth) if depth < DEEPEST else {}
        head, _, element = shape.partition("]")
        if shape.startswith("map["):
            key = self.random.randint(1, 9) if head == "map[int" else self.text()
            return {key: self.value(element, depth + 1)}
        if shape.startswith("[]"):
            items = [self.value(element, depth + 1) for _ in range(self.random.randint(1, 3))]
            return [item for item in items if item is not None]
        if shape.startswith("["):
            return [self.value(element, depth + 1) for _ in range(int(head[1:]))]
        return self.leaf(shape)

    def leaf(self, shape: str) -> Any:
        leaves = {
            "bool": True,
            "int": self.random.randint(-100, -1),
            "uint": self.random.randint(1, 127),
            "float": self.random.randint(1, 99) / 4,
            "string": self.text(),
            "bytes": self.random.randbytes(4),
            "interface": None,
            "GobEncoder(time.Time)": write_time(GoTime(self.random.randint(0, 2**31), 5_000_000)),
            "GobEncoder(big.Int)": b"\x02\x05",
            "BinaryMarshaler(x509.OID)": b"\x2a\x03",
            "BinaryMarshaler(url.URL)": f"https://a.example/{self.random.random()}".encode(),
        }
        return leaves[shape]

    def text(self) -> str:
        return "".join(self.random.choices("aZ0 é€\U0001f600", k=self.random.randint(1, 6)))


def shown(shape: str, value: Any) -> Any:
    """The value as tests/nethost/gobecho shows it."""
    if shape in STRUCTS:
        shapes = {field.name: field.shape for field in fields_of(shape)}
        return {name: shown(shapes[name], held) for name, held in value.items()}
    if shape == "bytes":
        return {"$hex": value.hex()}
    if shape.startswith(("GobEncoder(", "BinaryMarshaler(")):
        return {"$opaque": value.hex()}
    if shape.startswith("map["):
        element = shape.partition("]")[2]
        return [[key, shown(element, held)] for key, held in value.items()]
    if shape.startswith("[") and shape.endswith("]uint"):
        return {"$hex": bytes(value).hex()}
    if shape.startswith("["):
        element = shape.partition("]")[2]
        return [shown(element, held) for held in value]
    return value


def without_empty(value: Any) -> Any:
    """Leave out fields that say nothing: Go sends a struct that is no pointer even when it is zero."""
    if isinstance(value, dict):
        pruned = {key: without_empty(held) for key, held in value.items()}
        return {key: held for key, held in pruned.items() if held != {}}
    if isinstance(value, list):
        return [without_empty(held) for held in value]
    return value


def read(stream: bytes) -> Any:
    reader = GobReader(TypeScope())
    reader.feed(stream)
    return reader.take()


@pytest.mark.parametrize("name", STRUCTS)
def test_every_struct_is_gos_own(go: RealGob, name: str) -> None:
    for sample in range(SAMPLES):
        value = Samples(f"{name} {sample}").struct(name)
        stream = GobWriter(SentTypes(), registered_types()).encode(gob_type(name), value)
        [seen], again = go.decode(name, stream)
        assert without_empty(seen) == without_empty(shown(name, value))
        assert without_empty(read(again)) == without_empty(value)


@pytest.mark.parametrize(
    ("held", "kind", "seen"),
    [
        ("a", "string", "a"),
        (True, "bool", True),
        (1.5, "float64", 1.5),
        (
            ["a", None, [True]],
            "[]interface {}",
            [
                {"$type": "string", "value": "a"},
                None,
                {"$type": "[]interface {}", "value": [{"$type": "bool", "value": True}]},
            ],
        ),
        (
            {"k": "v"},
            "map[string]interface {}",
            [["k", {"$type": "string", "value": "v"}]],
        ),
        (
            Registered("*model.AppError", {"Id": "app.x", "StatusCode": 404}),
            "*model.AppError",
            {"Id": "app.x", "StatusCode": 404},
        ),
        (
            Registered("*plugin.ErrorString", {"Err": "no"}),
            "*plugin.ErrorString",
            {"Err": "no"},
        ),
        (
            Registered("*model.AutocompleteTextArg", {"Hint": "h", "Pattern": "p"}),
            "*model.AutocompleteTextArg",
            {"Hint": "h", "Pattern": "p"},
        ),
        (
            Registered("*model.AutocompleteStaticListArg", {"PossibleArguments": [{"Item": "i"}]}),
            "*model.AutocompleteStaticListArg",
            {"PossibleArguments": [{"Item": "i"}]},
        ),
        (
            Registered("*model.AutocompleteDynamicListArg", {"FetchURL": "u"}),
            "*model.AutocompleteDynamicListArg",
            {"FetchURL": "u"},
        ),
    ],
)
def test_what_an_interface_may_hold_has_gos_name(
    go: RealGob, held: Any, kind: str, seen: Any
) -> None:
    value = {"Props": {"x": held}}
    stream = GobWriter(SentTypes(), registered_types()).encode(gob_type("model.Post"), value)
    [found], again = go.decode("model.Post", stream)
    assert found == {"Props": [["x", {"$type": kind, "value": seen}]]}
    assert read(again)["Props"] == {"x": held}


def test_another_kind_is_refused_by_the_real_type(go: RealGob) -> None:
    wrong = StructOf("Z_MessageWillBePostedReturns", [("B", gob_type("int"))])
    stream = GobWriter(SentTypes()).encode(wrong, {"B": 1})
    with pytest.raises(RealGobRefused, match="wrong type"):
        go.decode("plugin.Z_MessageWillBePostedReturns", stream)
