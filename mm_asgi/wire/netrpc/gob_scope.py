"""The types that one gob stream has defined so far, shared by streams that define the same.

The host defines the same types anew on every stream, and net/rpc makes a stream for each request.
Parsing and compiling them again costs more than reading the values. So a scope is immutable, and
defining a type leads to the next scope: from the empty one on, streams that define the same types
in the same order walk the same scopes, where everything is compiled already. The step is one look
into a dict, by the bytes of the definition.

What a host could fill is bounded: a stream's definitions by ``GobLimits``, and the shared scopes by
``CACHED_TYPES``. Past that a stream's scopes are its own, and go with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.gob_decoders import (
    BASIC_DECODERS,
    Compiled,
    WireArray,
    WireMap,
    WireOpaque,
    WireSlice,
    WireStruct,
    compile_type,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.wire.netrpc.gob_decoders import DecodeContext, WireType

__all__ = ["FIRST_USER_TYPE", "GobLimits", "TypeScope", "definition_decoder"]

FIRST_USER_TYPE: Final = 64
"""Numbers below are Go's own."""

CACHED_TYPES: Final = 200_000
"""Entries of all shared scopes together: about 20 MB at the most."""

DEFINITION_ELEMENTS: Final = 65_536
"""What one definition may have of elements, as ``GobLimits.elements``: 20,000 fields."""

WIRE_TYPE: Final = 16


@dataclass(frozen=True, slots=True)
class GobLimits:
    """What a stream may cost.

    Attributes:
        message: bytes of one message, and of one value's messages together.
        elements: elements of slices and maps, and fields that are set, in one value.
        depth: interfaces, and types that contain themselves, in each other.
        types: definitions in one stream.
        type_bytes: bytes of all definitions in one stream.
        reread: bytes that may be read again because a value came in several messages.
    """

    message: int = 256 * 1024 * 1024
    elements: int = 4_000_000
    depth: int = 100
    types: int = 4096
    type_bytes: int = 8 * 1024 * 1024
    reread: int = 128 * 1024 * 1024


class _Shares:
    """How many more entries may be kept in shared scopes."""

    def __init__(self, entries: int) -> None:
        self.entries = entries


class TypeScope:
    """The types of a stream after some definitions. ``TypeScope()`` has none.

    Attributes:
        types: every definition by its number.
        type_bytes: the bytes of all definitions.
    """

    __slots__ = ("_compiled", "_next", "_shares", "type_bytes", "types")

    def __init__(self) -> None:
        self.types: dict[int, WireType] = {}
        self.type_bytes = 0
        self._compiled: dict[int, Compiled] = dict(BASIC_DECODERS)
        self._next: dict[tuple[int, bytes], TypeScope] = {}
        self._shares = _Shares(CACHED_TYPES)

    def known(self, type_id: int, definition: bytes) -> TypeScope | None:
        """Return the scope after a definition that a stream made here before, else None."""
        return self._next.get((type_id, definition))

    def define(self, type_id: int, definition: bytes, parsed: dict[str, Any]) -> TypeScope:
        """Return the scope after a definition.

        Raises:
            HostProtocolError: a number twice or of Go's own, or no type at all.
        """
        if type_id < FIRST_USER_TYPE or type_id in self.types:
            raise HostProtocolError(
                f"gob: type {type_id} was defined; expected a number from {FIRST_USER_TYPE} on,"
                " and each once"
            )
        after = TypeScope.__new__(TypeScope)
        after.types = {**self.types, type_id: _wire_type(type_id, parsed)}
        after.type_bytes = self.type_bytes + len(definition)
        after._compiled = dict(self._compiled)
        after._next = {}
        after._shares = self._shares
        cost = len(after.types) + len(after._compiled)
        if self._shares.entries >= cost:
            self._shares.entries -= cost
            self._next[type_id, definition] = after
        return after

    def compiled(self, type_id: int) -> Compiled:
        """Return what reads the values of a type, compiled at the first call.

        Raises:
            HostProtocolError: the type, or one that it is made of, is not defined.
        """
        found = self._compiled.get(type_id)
        if found is None:
            self._compiled.update(compile_type(type_id, self.types, self._compiled))
            found = self._compiled[type_id]
        return found


# ---------------------------------------------------------------- how definitions are written

# Go describes the types of definitions with the same means, by numbers that both sides know.
_DEFINITION_TYPES: Final[dict[int, WireType]] = {
    16: WireStruct(
        "wireType",
        (
            ("ArrayT", 17),
            ("SliceT", 19),
            ("StructT", 20),
            ("MapT", 23),
            ("GobEncoderT", 24),
            ("BinaryMarshalerT", 24),
            ("TextMarshalerT", 24),
        ),
    ),
    17: WireStruct("arrayType", (("CommonType", 18), ("Elem", 2), ("Len", 2))),
    18: WireStruct("CommonType", (("Name", 6), ("Id", 2))),
    19: WireStruct("sliceType", (("CommonType", 18), ("Elem", 2))),
    20: WireStruct("structType", (("CommonType", 18), ("Field", 22))),
    21: WireStruct("fieldType", (("Name", 6), ("Id", 2))),
    22: WireSlice("[]fieldType", 21),
    23: WireStruct("mapType", (("CommonType", 18), ("Key", 2), ("Elem", 2))),
    24: WireStruct("gobEncoderType", (("CommonType", 18),)),
}

definition_decoder: Final[Callable[[bytes, int, DecodeContext], tuple[dict[str, Any], int]]] = (
    compile_type(WIRE_TYPE, _DEFINITION_TYPES, BASIC_DECODERS)[WIRE_TYPE].decode
)
"""Reads a definition as a dict, such as ``{"SliceT": {"CommonType": {...}, "Elem": 6}}``."""


def _wire_type(type_id: int, parsed: dict[str, Any]) -> WireType:
    if len(parsed) != 1:
        raise HostProtocolError(
            f"gob: the definition of type {type_id} has {len(parsed)} kinds, expected one"
        )
    ((kind, body),) = parsed.items()
    name = body.get("CommonType", {}).get("Name", "")
    if kind == "StructT":
        fields = ((f.get("Name", ""), f.get("Id", 0)) for f in body.get("Field", ()))
        return WireStruct(name, tuple(fields))
    if kind == "SliceT":
        return WireSlice(name, body.get("Elem", 0))
    if kind == "ArrayT":
        length = body.get("Len", 0)
        if length < 0:
            raise HostProtocolError(f"gob: type {type_id} is an array of {length} elements")
        return WireArray(name, body.get("Elem", 0), length)
    if kind == "MapT":
        return WireMap(name, body.get("Key", 0), body.get("Elem", 0))
    return WireOpaque(name)
