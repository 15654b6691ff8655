"""The structs of tables.py, read when they are first met: fields, shapes, and their pairs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from mm_asgi.wire.netrpc.gob_decoders import PLAIN
from mm_asgi.wire.netrpc.gob_types import (
    ANY,
    BOOL,
    BYTES,
    FLOAT64,
    INT,
    STRING,
    UINT,
    ArrayOf,
    GobField,
    MapOf,
    OpaqueOf,
    SliceOf,
    StructOf,
)
from mm_asgi.wire.netrpc.tables import REGISTERED, STRUCTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mm_asgi.wire.netrpc.gob_types import GobType

__all__ = ["Field", "fields_of", "gob_type", "registered_types"]

_BASIC: Final[dict[str, GobType]] = {
    "bool": BOOL, "int": INT, "uint": UINT, "float": FLOAT64, "string": STRING, "bytes": BYTES,
    "interface": ANY,
}  # fmt: skip
_CODECS: Final = {"GobEncoder": "gob", "BinaryMarshaler": "binary", "TextMarshaler": "text"}
_CODEC = re.compile(r"(\w+)\((.+)\)")
_ARRAY = re.compile(r"\[(\d+)\](.+)")
_MAP = re.compile(r"map\[(\w+)\](.+)")


class Field(NamedTuple):
    """One field of a struct.

    Attributes:
        name: as Go and gob have it.
        shape: its type as gob sees it: ``bool``, ``int``, ``uint``, ``float``, ``string``,
            ``bytes``, ``interface``, ``[]T``, ``[N]T``, ``map[K]T``, ``GobEncoder(NAME)``,
            ``BinaryMarshaler(NAME)``, or the name of a struct.
        target: the message's field; ``.``: the struct's own fields are the message's; empty: none.
        rule: by which one becomes the other, a key of field_rules.RULES; empty: as it is.
        pointer: whether it points to a basic value, so that nil and zero differ.
    """

    name: str
    shape: str
    target: str = ""
    rule: str = ""
    pointer: bool = False


@cache
def fields_of(struct: str) -> tuple[Field, ...]:
    """Return a struct's fields in Go's order.

    Raises:
        KeyError: the tables have no such struct.
    """
    return tuple(_field(*one.split(" ")) for one in STRUCTS[struct].split(";") if one)


def _field(name: str, shape: str, target: str = "", rule: str = "") -> Field:
    return Field(name, shape.removeprefix("*"), target, rule, shape.startswith("*"))


@cache
def gob_type(shape: str) -> GobType:
    """Return what the gob writer needs to send values of a shape; the same object each time.

    Raises:
        KeyError: the tables have no such struct.
    """
    made = _type_of(shape)
    todo: list[GobType] = [made]
    seen: set[GobType] = set()
    while todo:
        part = todo.pop()
        if part not in seen:
            seen.add(part)
            todo.extend(part.parts())
    return made


@cache
def _type_of(shape: str) -> GobType:
    if shape in _BASIC:
        return _BASIC[shape]
    if shape.startswith("[]"):
        return SliceOf(_type_of(shape[2:]), shape)
    if match := _ARRAY.fullmatch(shape):
        return ArrayOf(_type_of(match[2]), int(match[1]))
    if match := _MAP.fullmatch(shape):
        return MapOf(_type_of(match[1]), _type_of(match[2]))
    if match := _CODEC.fullmatch(shape):
        return OpaqueOf(match[2].rpartition(".")[2], _CODECS[match[1]])
    return _TableStruct(shape)


class _TableStruct(StructOf):
    """A struct of the tables, which looks its fields up when they are first needed.

    So a struct may contain itself: it exists before its fields do.
    """

    __slots__ = ("_struct",)

    def __init__(self, struct: str) -> None:
        super().__init__(struct.rpartition(".")[2])
        self._struct = struct

    def parts(self) -> Iterable[GobType]:
        """Return the types that this one is made of."""
        if not self.fields:
            self.set_fields(
                GobField(field.name, _type_of(field.shape), always=field.pointer)
                for field in fields_of(self._struct)
            )
        return super().parts()


class _RegisteredTypes(Mapping[str, "GobType"]):
    """The types by their registered names, each made when it is first sent."""

    def __getitem__(self, name: str) -> GobType:
        return gob_type(_SENT[name])

    def __iter__(self) -> Iterator[str]:
        return iter(_SENT)

    def __len__(self) -> int:
        return len(_SENT)


def registered_types() -> Mapping[str, GobType]:
    """Return the types that an interface may hold, by the names that every host has registered.

    Most are never made here, but a post that goes back has in its props what the host put there.
    """
    return _REGISTERED_TYPES


_SENT: Final = {
    name: shape
    for name, shape in REGISTERED.items()
    if name not in PLAIN and not shape.endswith("complex")
}
"""The plain names of Go's own need no entry."""

_REGISTERED_TYPES: Final = _RegisteredTypes()
