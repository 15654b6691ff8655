"""From a type's definition to the function that reads its values.

A gob stream explains itself: each type is defined before its first value, by a number, from other
types and seven built-in ones. The definitions are few and the values many, so a type is compiled
once into a closure ``decode(buffer, position, context) -> (value, position)``, which knows its
fields and calls its elements' closures; gob_scope.py keeps them for all streams.

A value never says where it ends, so a bad one must be stopped while it is read. The buffer holds
nothing but the value's messages: reading past it is an IndexError, which gob_reader.py turns into
the wire's error, and each count of bytes is compared with the buffer. What a value may cost beyond
its bytes is bounded too: every element of a slice or map and every field that was set is paid for
from ``context.elements`` (an empty struct is one byte on the wire and a dict here), and nesting is
counted where it is not bounded by the types themselves: at interfaces, and where a type contains
itself.

An interface is where the stream may grow while a value is being read: the name of a registered
type, definitions that the stream lacks, then the value. Go's encoder sends what it has so far as
soon as it meets a new type, so that one value is cut into several messages; the buffer has their
bodies joined, and ``context.seams`` says where they join. Behind a definition that does not end
a message stands a count of bytes, which Go itself skips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeAlias

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.gob_numbers import read_float, read_int, read_uint
from mm_asgi.wire.netrpc.gob_values import Registered

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BASIC_DECODERS",
    "INTERFACE",
    "Compiled",
    "DecodeContext",
    "Decoder",
    "MoreNeeded",
    "WireArray",
    "WireMap",
    "WireOpaque",
    "WireSlice",
    "WireStruct",
    "WireType",
    "compile_type",
    "too_many",
]

DEEPEST_TYPE: Final = 64
"""Types that may stand in each other; Mattermost's configuration has five."""

LONGEST_NAME: Final = 1024
"""Bytes of a registered name, as in Go."""

PLAIN: Final = frozenset(
    {
        "bool", "string", "[]uint8",
        "int", "int8", "int16", "int32", "int64",
        "uint", "uint8", "uint16", "uint32", "uint64", "uintptr",
        "float32", "float64", "complex64", "complex128",
        "[]bool", "[]string", "[]int", "[]int32", "[]int64", "[]float64", "[]interface {}",
        "map[string]interface {}",
    }
)  # fmt: skip
"""Registered names whose values stand alone, without a Registered around them."""


class MoreNeeded(Exception):
    """The value goes on in a message that has not come yet; never leaves the gob modules."""


class DecodeContext(Protocol):
    """What decoders share while one value is read.

    Attributes:
        elements: how many more elements and fields the value may have.
        depth: how many more interfaces and repeated types may stand in each other.
        seams: where the messages of a value that spans several end.
    """

    elements: int
    depth: int
    seams: set[int]

    def define(self, type_id: int, buffer: bytes, position: int) -> int:
        """Take the definition at ``position``; return the position behind it."""

    def top_decoder(self, type_id: int) -> Decoder:
        """Return what reads a value of the type as it stands in a message."""


Decoder: TypeAlias = Callable[[bytes, int, DecodeContext], tuple[Any, int]]


@dataclass(frozen=True, slots=True)
class WireStruct:
    """A struct's fields, by name and type, in the order of their numbers."""

    name: str
    fields: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class WireSlice:
    """A slice of one type."""

    name: str
    element: int


@dataclass(frozen=True, slots=True)
class WireArray:
    """An array, whose length belongs to the type."""

    name: str
    element: int
    length: int


@dataclass(frozen=True, slots=True)
class WireMap:
    """A map."""

    name: str
    key: int
    element: int


@dataclass(frozen=True, slots=True)
class WireOpaque:
    """A type that marshals itself to bytes."""

    name: str


WireType: TypeAlias = WireStruct | WireSlice | WireArray | WireMap | WireOpaque


@dataclass(frozen=True, slots=True)
class Compiled:
    """What reads a type's values.

    Attributes:
        decode: reads the value where it stands in another one.
        top: reads it as a message's own, or an interface's: what is no struct has a zero before it.
        height: types that stand in each other in it.
        is_hashable: whether its values may be keys of a dict.
    """

    decode: Decoder
    top: Decoder
    height: int
    is_hashable: bool


# ---------------------------------------------------------------- built-in types

BOOL: Final = 1
INT: Final = 2
UINT: Final = 3
FLOAT: Final = 4
BYTES: Final = 5
STRING: Final = 6
COMPLEX: Final = 7
INTERFACE: Final = 8


def too_many() -> NoReturn:
    """A value has more elements than memory is meant for."""
    raise HostProtocolError("gob: a value with too many elements, see GobLimits.elements")


def _decode_bool(buffer: bytes, position: int, context: DecodeContext) -> tuple[bool, int]:
    number, position = read_uint(buffer, position)
    return number != 0, position


def _decode_int(buffer: bytes, position: int, context: DecodeContext) -> tuple[int, int]:
    return read_int(buffer, position)


def _decode_uint(buffer: bytes, position: int, context: DecodeContext) -> tuple[int, int]:
    return read_uint(buffer, position)


def _decode_float(buffer: bytes, position: int, context: DecodeContext) -> tuple[float, int]:
    return read_float(buffer, position)


def _decode_complex(buffer: bytes, position: int, context: DecodeContext) -> tuple[complex, int]:
    real, position = read_float(buffer, position)
    imaginary, position = read_float(buffer, position)
    return complex(real, imaginary), position


def _decode_bytes(buffer: bytes, position: int, context: DecodeContext) -> tuple[bytes, int]:
    size, position = read_uint(buffer, position)
    end = position + size
    if end > len(buffer):
        _too_short(size, position, buffer)
    return buffer[position:end], end


def _decode_string(buffer: bytes, position: int, context: DecodeContext) -> tuple[str, int]:
    """Go's strings are bytes: what is no UTF-8 becomes surrogates, and bytes again when sent."""
    size = buffer[position]
    if size < 0x80:
        position += 1
    else:
        size, position = read_uint(buffer, position)
    end = position + size
    if end > len(buffer):
        _too_short(size, position, buffer)
    return buffer[position:end].decode("utf-8", "surrogateescape"), end


def _too_short(size: int, position: int, buffer: bytes) -> NoReturn:
    raise HostProtocolError(
        f"gob: {size} bytes announced at byte {position} of a message of {len(buffer)}"
    )


def _decode_interface(buffer: bytes, position: int, context: DecodeContext) -> tuple[Any, int]:
    size, position = read_uint(buffer, position)
    if not size:
        return None, position
    if size > LONGEST_NAME:
        raise HostProtocolError(f"gob: an interface whose type's name has {size} bytes")
    end = position + size
    if end > len(buffer):
        _too_short(size, position, buffer)
    name = buffer[position:end].decode("utf-8", "surrogateescape")
    position = end
    _go_deeper(context)
    while True:
        type_id, position = read_int(buffer, position)
        if type_id >= 0:
            break
        position = context.define(-type_id, buffer, position)
        if position == len(buffer):
            raise MoreNeeded
        if position not in context.seams:
            _, position = read_uint(buffer, position)
    # The count of the value's bytes, which is the first piece's only where the value was cut.
    _, position = read_uint(buffer, position)
    value, position = context.top_decoder(type_id)(buffer, position, context)
    context.depth += 1
    return (value if name in PLAIN else Registered(name, value)), position


def _go_deeper(context: DecodeContext) -> None:
    context.depth -= 1
    if context.depth < 0:
        raise HostProtocolError("gob: a value nested too deep, see GobLimits.depth")


# ---------------------------------------------------------------- composite types


def _struct_decoder(name: str, fields: tuple[tuple[str, int, Decoder], ...]) -> Decoder:
    """A dict of the fields that were sent. Go leaves out what is zero, so absent means zero."""
    count = len(fields)

    def decode(buffer: bytes, position: int, context: DecodeContext) -> tuple[Any, int]:
        found: dict[Any, Any] = {}
        index = -1
        delta = buffer[position]
        position += 1
        while delta:
            if delta >= 0x80:
                delta, position = read_uint(buffer, position - 1)
            index += delta
            if index >= count:
                raise HostProtocolError(
                    f"gob: field {index} of {name or 'a struct'}, which has {count}"
                )
            field, kind, decoder = fields[index]
            if kind == STRING and (size := buffer[position]) < 0x80:
                end = position + 1 + size
                if end > len(buffer):
                    _too_short(size, position, buffer)
                found[field] = buffer[position + 1 : end].decode("utf-8", "surrogateescape")
                position = end
            elif kind == INT and (size := buffer[position]) < 0x80:
                found[field] = ~(size >> 1) if size & 1 else size >> 1
                position += 1
            else:
                found[field], position = decoder(buffer, position, context)
            delta = buffer[position]
            position += 1
        context.elements -= len(found)
        if context.elements < 0:
            too_many()
        return found, position

    return decode


def _count(buffer: bytes, position: int, context: DecodeContext) -> tuple[int, int]:
    count = buffer[position]
    if count < 0x80:
        position += 1
    else:
        count, position = read_uint(buffer, position)
    context.elements -= count
    if context.elements < 0:
        too_many()
    return count, position


def _slice_decoder(element: Decoder, length: int = -1) -> Decoder:
    def decode(buffer: bytes, position: int, context: DecodeContext) -> tuple[Any, int]:
        count, position = _count(buffer, position, context)
        if length >= 0 and count != length:
            raise HostProtocolError(f"gob: {count} elements of an array of {length}")
        found: list[Any] = []
        for _ in range(count):
            value, position = element(buffer, position, context)
            found.append(value)
        return found, position

    return decode


def _decode_strings(buffer: bytes, position: int, context: DecodeContext) -> tuple[Any, int]:
    """A slice of strings, without a call for each: what most headers are made of."""
    count, position = _count(buffer, position, context)
    found: list[Any] = []
    for _ in range(count):
        size = buffer[position]
        if size < 0x80:
            position += 1
        else:
            size, position = read_uint(buffer, position)
        end = position + size
        if end > len(buffer):
            _too_short(size, position, buffer)
        found.append(buffer[position:end].decode("utf-8", "surrogateescape"))
        position = end
    return found, position


def _map_decoder(key: Decoder, element: Decoder) -> Decoder:
    def decode(buffer: bytes, position: int, context: DecodeContext) -> tuple[Any, int]:
        count, position = _count(buffer, position, context)
        found: dict[Any, Any] = {}
        for _ in range(count):
            name, position = key(buffer, position, context)
            found[name], position = element(buffer, position, context)
        return found, position

    return decode


def _pairs_decoder(key: Decoder, element: Decoder) -> Decoder:
    """A map whose keys Python cannot hash: a list of its pairs."""

    def decode(buffer: bytes, position: int, context: DecodeContext) -> tuple[Any, int]:
        count, position = _count(buffer, position, context)
        found: list[Any] = []
        for _ in range(count):
            name, position = key(buffer, position, context)
            value, position = element(buffer, position, context)
            found.append((name, value))
        return found, position

    return decode


def _after_zero(decoder: Decoder) -> Decoder:
    """A value that is no struct has a zero before it, where a struct has its first field."""

    def decode(buffer: bytes, position: int, context: DecodeContext) -> tuple[Any, int]:
        if buffer[position]:
            raise HostProtocolError("gob: a value that is no struct has to begin with a zero byte")
        return decoder(buffer, position + 1, context)

    return decode


# ---------------------------------------------------------------- compiling

_BASIC: Final[tuple[tuple[int, Decoder], ...]] = (
    (BOOL, _decode_bool),
    (INT, _decode_int),
    (UINT, _decode_uint),
    (FLOAT, _decode_float),
    (BYTES, _decode_bytes),
    (STRING, _decode_string),
    (COMPLEX, _decode_complex),
    (INTERFACE, _decode_interface),
)

BASIC_DECODERS: Final = {
    type_id: Compiled(decoder, _after_zero(decoder), 1, type_id != INTERFACE)
    for type_id, decoder in _BASIC
}


def compile_type(
    type_id: int, types: Mapping[int, WireType], known: Mapping[int, Compiled]
) -> dict[int, Compiled]:
    """Compile a type and what it is made of.

    Args:
        type_id: the type's number.
        types: every definition of the stream.
        known: what was compiled before, the built-in types among it.

    Returns:
        What was compiled now; ``known`` stays as it is.

    Raises:
        HostProtocolError: a type that is not defined, or too many in each other.
    """
    return _Compilation(types, known).run(type_id)


class _Compilation:
    def __init__(self, types: Mapping[int, WireType], known: Mapping[int, Compiled]) -> None:
        self._types = types
        self._known = known
        self._made: dict[int, Compiled] = {}
        self._under_way: set[int] = set()

    def run(self, type_id: int) -> dict[int, Compiled]:
        self._compiled(type_id)
        return self._made

    def _compiled(self, type_id: int) -> Compiled:
        found = self._known.get(type_id) or self._made.get(type_id)
        if found is not None:
            return found
        if type_id in self._under_way:
            return Compiled(self._later(type_id), self._later(type_id), 0, is_hashable=False)
        if type_id not in self._types:
            raise HostProtocolError(f"gob: type {type_id} is used and was not defined")
        if len(self._under_way) >= DEEPEST_TYPE:
            self._too_deep()
        self._under_way.add(type_id)
        made = self._made[type_id] = self._make(self._types[type_id])
        self._under_way.discard(type_id)
        if made.height > DEEPEST_TYPE:
            self._too_deep()
        return made

    def _too_deep(self) -> NoReturn:
        raise HostProtocolError(f"gob: more than {DEEPEST_TYPE} types in each other")

    def _later(self, type_id: int) -> Decoder:
        """A type inside of itself: looked up when it is read, and counted."""
        made = self._made

        def decode(buffer: bytes, position: int, context: DecodeContext) -> tuple[Any, int]:
            _go_deeper(context)
            value, position = made[type_id].decode(buffer, position, context)
            context.depth += 1
            return value, position

        return decode

    def _make(self, wire: WireType) -> Compiled:
        match wire:
            case WireStruct(name, fields):
                parts = [self._compiled(field_type) for _, field_type in fields]
                decoder = _struct_decoder(
                    name,
                    tuple(
                        (field, field_type, part.decode)
                        for (field, field_type), part in zip(fields, parts, strict=True)
                    ),
                )
                height = 1 + max((part.height for part in parts), default=0)
                return Compiled(decoder, decoder, height, is_hashable=False)
            case WireSlice(_, element):
                part = self._compiled(element)
                if element == STRING:
                    return self._of_one(lambda decoder: _decode_strings, part)
                return self._of_one(_slice_decoder, part)
            case WireArray(_, element, length):
                part = self._compiled(element)
                return self._of_one(lambda decoder: _slice_decoder(decoder, length), part)
            case WireMap(_, key, element):
                name_part, part = self._compiled(key), self._compiled(element)
                make = _map_decoder if name_part.is_hashable else _pairs_decoder
                decoder = make(name_part.decode, part.decode)
                height = 1 + max(name_part.height, part.height)
                return Compiled(decoder, _after_zero(decoder), height, is_hashable=False)
            case WireOpaque():
                return BASIC_DECODERS[BYTES]

    def _of_one(self, make: Callable[[Decoder], Decoder], part: Compiled) -> Compiled:
        decoder = make(part.decode)
        return Compiled(decoder, _after_zero(decoder), 1 + part.height, is_hashable=False)
