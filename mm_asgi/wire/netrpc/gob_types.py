"""The types that this side sends: each knows how its values are written and how it is defined.

The tables of Mattermost's API are made of these. A value is checked while it is written, field by
field and number by number, because the host forgives nothing: a body that it cannot decode ends its
net/rpc connection, and with it every hook of the plugin, while the health checks go on to pass. So
a wrong value is a TypeError or ValueError here, with the path to it, before a byte has left.

What is zero is left out of a struct, as Go does, and absent means zero for the reader. That makes
one thing impossible for Go and possible here: a pointer to a zero. Go's encoder leaves that out
too, so that ``*bool`` false arrives as nil; its decoder takes it when it is sent. A field of a
pointer's type is therefore marked ``always``, and then only None and absent are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from mm_asgi.wire.netrpc.gob_numbers import write_float, write_int, write_uint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "ANY",
    "BOOL",
    "BYTES",
    "COMPLEX",
    "FLOAT32",
    "FLOAT64",
    "INT",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "STRING",
    "UINT",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "ArrayOf",
    "GobField",
    "GobType",
    "MapOf",
    "OpaqueOf",
    "SliceOf",
    "StructOf",
    "ValueSink",
    "write_text",
]

_LARGEST_FLOAT32: Final = 3.4028234663852886e38


class ValueSink(Protocol):
    """What a type needs of the stream that its values are written to."""

    def write_interface(self, out: bytearray, value: Any) -> None:
        """Append an interface's value: its registered name, type and value."""


class GobType:
    """A type. Types are compared by identity, and one object may be part of many others.

    Attributes:
        name: as the definition says it; Go reads it for its error messages alone.
        number: of a type that both sides know; 0 where it has to be defined.
        is_struct: whether its values stand in a message as they are.
        sends_empty: whether a struct's field of this type is sent when it is empty.
    """

    __slots__ = ("is_struct", "name", "number", "sends_empty")

    def __init__(self, name: str, number: int = 0, *, sends_empty: bool = False) -> None:
        self.name = name
        self.number = number
        self.is_struct = False
        self.sends_empty = sends_empty

    def __repr__(self) -> str:
        return f"<gob type {self.name}>"

    def parts(self) -> Iterable[GobType]:
        """Return the types that this one is made of."""
        return ()

    def definition(self, number: int, numbers: Mapping[GobType, int]) -> bytes:
        """Return the bytes that define this type by ``number``, its parts by theirs."""
        raise NotImplementedError

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        """Append a value.

        Raises:
            TypeError: the value is of another type.
            ValueError: the value does not fit.
        """
        raise NotImplementedError


def _wrong(expected: str, value: Any) -> TypeError:
    return TypeError(f"expected {expected}, found {type(value).__name__} {value!r:.60}")


def write_text(text: str) -> bytes:
    """Return a string as it stands in a value."""
    raw = text.encode("utf-8", "surrogateescape")
    return write_uint(len(raw)) + raw


# ---------------------------------------------------------------- built-in types


class _Bool(GobType):
    __slots__ = ()

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        if value is not True and value is not False:
            raise _wrong("bool", value)
        out.append(value)


class _Integer(GobType):
    __slots__ = ("_high", "_low", "_has_sign")

    def __init__(self, name: str, number: int, bits: int) -> None:
        super().__init__(name, number)
        self._has_sign = number == _INT
        self._low = -(1 << bits - 1) if self._has_sign else 0
        self._high = (1 << (bits - 1 if self._has_sign else bits)) - 1

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong("int", value)
        if not self._low <= value <= self._high:
            raise ValueError(f"{value} does not fit {self.name}")
        out += write_int(value) if self._has_sign else write_uint(value)


class _Float(GobType):
    __slots__ = ()

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        if not isinstance(value, float | int) or isinstance(value, bool):
            raise _wrong("float", value)
        number = float(value)
        # Go refuses what overflows a float32, and takes infinities and NaN.
        if self.name == "float32" and _LARGEST_FLOAT32 < abs(number) < float("inf"):
            raise ValueError(f"{value} does not fit float32")
        out += write_float(number)


class _Complex(GobType):
    __slots__ = ()

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        if not isinstance(value, complex):
            raise _wrong("complex", value)
        out += write_float(value.real)
        out += write_float(value.imag)


class _Bytes(GobType):
    __slots__ = ()

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise _wrong("bytes", value)
        out += write_uint(memoryview(value).nbytes)
        out += value


class _String(GobType):
    __slots__ = ()

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        if not isinstance(value, str):
            raise _wrong("str", value)
        raw = value.encode("utf-8", "surrogateescape")
        out += write_uint(len(raw))
        out += raw


class _Any(GobType):
    """An interface. Structs leave out None; elsewhere None is an interface without a value."""

    __slots__ = ()

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        sink.write_interface(out, value)


_INT: Final = 2
_UINT: Final = 3

BOOL: Final[GobType] = _Bool("bool", 1)
INT: Final[GobType] = _Integer("int", _INT, 64)
INT8: Final[GobType] = _Integer("int8", _INT, 8)
INT16: Final[GobType] = _Integer("int16", _INT, 16)
INT32: Final[GobType] = _Integer("int32", _INT, 32)
INT64: Final[GobType] = _Integer("int64", _INT, 64)
UINT: Final[GobType] = _Integer("uint", _UINT, 64)
UINT8: Final[GobType] = _Integer("uint8", _UINT, 8)
UINT16: Final[GobType] = _Integer("uint16", _UINT, 16)
UINT32: Final[GobType] = _Integer("uint32", _UINT, 32)
UINT64: Final[GobType] = _Integer("uint64", _UINT, 64)
FLOAT32: Final[GobType] = _Float("float32", 4)
FLOAT64: Final[GobType] = _Float("float64", 4)
BYTES: Final[GobType] = _Bytes("[]uint8", 5)
STRING: Final[GobType] = _String("string", 6)
COMPLEX: Final[GobType] = _Complex("complex128", 7)
ANY: Final[GobType] = _Any("interface", 8, sends_empty=True)


# ---------------------------------------------------------------- types to be defined


def _common(name: str, number: int) -> bytes:
    """CommonType: the name, then the number; a name that is empty is left out."""
    named = b"\x01" + write_text(name) + b"\x01" if name else b"\x02"
    return b"\x01" + named + write_int(number) + b"\x00"


class OpaqueOf(GobType):
    """A type that marshals itself. Its values are the bytes that it makes.

    Args:
        name: the type's, such as ``Time``.
        codec: ``gob``, ``binary`` or ``text``: which of Go's interfaces the type has.
    """

    __slots__ = ("_kind",)

    def __init__(self, name: str, codec: str) -> None:
        super().__init__(name)
        self._kind = {"gob": b"\x05", "binary": b"\x06", "text": b"\x07"}[codec]

    def definition(self, number: int, numbers: Mapping[GobType, int]) -> bytes:
        """Return the bytes that define this type by ``number``, its parts by theirs."""
        return self._kind + _common(self.name, number) + b"\x00\x00"

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        """Append a value."""
        BYTES.write(out, value, sink)


class SliceOf(GobType):
    """A slice: its values are lists or tuples."""

    __slots__ = ("element",)

    def __init__(self, element: GobType, name: str = "") -> None:
        super().__init__(name or f"[]{element.name}")
        self.element = element

    def parts(self) -> Iterable[GobType]:
        """Return the types that this one is made of."""
        return (self.element,)

    def definition(self, number: int, numbers: Mapping[GobType, int]) -> bytes:
        """Return the bytes that define this type by ``number``, its parts by theirs."""
        element = write_int(numbers[self.element])
        return b"\x02" + _common(self.name, number) + b"\x01" + element + b"\x00\x00"

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        """Append a value."""
        if not isinstance(value, list | tuple):
            raise _wrong("list", value)
        out += write_uint(len(value))
        write = self.element.write
        index = 0
        try:
            for index, item in enumerate(value):  # noqa: B007
                write(out, item, sink)
        except (TypeError, ValueError) as error:
            raise _at(error, f"[{index}]") from error


class ArrayOf(SliceOf):
    """An array: a list of a length that belongs to the type."""

    __slots__ = ("length",)

    def __init__(self, element: GobType, length: int, name: str = "") -> None:
        super().__init__(element, name or f"[{length}]{element.name}")
        self.length = length
        self.sends_empty = True

    def definition(self, number: int, numbers: Mapping[GobType, int]) -> bytes:
        """Return the bytes that define this type by ``number``, its parts by theirs."""
        body = b"\x01" + write_int(numbers[self.element])
        if self.length:
            body += b"\x01" + write_int(self.length)
        return b"\x01" + _common(self.name, number) + body + b"\x00\x00"

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        """Append a value."""
        if isinstance(value, list | tuple) and len(value) != self.length:
            raise ValueError(f"{len(value)} elements for an array of {self.length}")
        super().write(out, value, sink)


class MapOf(GobType):
    """A map: its values are dicts. An empty one is sent, and is not nil for the reader."""

    __slots__ = ("element", "key")

    def __init__(self, key: GobType, element: GobType, name: str = "") -> None:
        super().__init__(name or f"map[{key.name}]{element.name}", sends_empty=True)
        self.key = key
        self.element = element

    def parts(self) -> Iterable[GobType]:
        """Return the types that this one is made of."""
        return (self.key, self.element)

    def definition(self, number: int, numbers: Mapping[GobType, int]) -> bytes:
        """Return the bytes that define this type by ``number``, its parts by theirs."""
        key, element = write_int(numbers[self.key]), write_int(numbers[self.element])
        return (
            b"\x04" + _common(self.name, number) + b"\x01" + key + b"\x01" + element + b"\x00\x00"
        )

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        """Append a value."""
        if not isinstance(value, dict):
            raise _wrong("dict", value)
        out += write_uint(len(value))
        write_key, write_element = self.key.write, self.element.write
        name = None
        try:
            for name, item in value.items():
                write_key(out, name, sink)
                write_element(out, item, sink)
        except (TypeError, ValueError) as error:
            raise _at(error, f"[{name!r}]") from error


class GobField(NamedTuple):
    """One field of a struct.

    Attributes:
        name: Go's, which the reader looks for.
        type: the type of its values, of a pointer the type that it points to.
        always: whether a zero is sent too: for pointers, where nil and a zero differ.
    """

    name: str
    type: GobType
    always: bool = False


class StructOf(GobType):
    """A struct: its values are dicts by field name.

    Args:
        name: the type's.
        fields: in the order of Go's; for a struct that contains itself none, and then
            ``set_fields()``.
    """

    __slots__ = ("_names", "_rows", "fields")

    def __init__(self, name: str, fields: Iterable[GobField | tuple[str, GobType]] = ()) -> None:
        super().__init__(name, sends_empty=True)
        self.is_struct = True
        self.set_fields(fields)

    def set_fields(self, fields: Iterable[GobField | tuple[str, GobType]]) -> None:
        """Say what the struct is made of."""
        self.fields = tuple(GobField(*field) for field in fields)
        self._names = frozenset(field.name for field in self.fields)
        self._rows = tuple(
            (index, name, kind.write, always or kind.sends_empty)
            for index, (name, kind, always) in enumerate(self.fields)
        )

    def parts(self) -> Iterable[GobType]:
        """Return the types that this one is made of."""
        return (field.type for field in self.fields)

    def definition(self, number: int, numbers: Mapping[GobType, int]) -> bytes:
        """Return the bytes that define this type by ``number``, its parts by theirs."""
        body = _common(self.name, number)
        if self.fields:
            body += b"\x01" + write_uint(len(self.fields))
            for field in self.fields:
                body += b"\x01" + write_text(field.name)
                body += b"\x01" + write_int(numbers[field.type]) + b"\x00"
        return b"\x03" + body + b"\x00\x00"

    def write(self, out: bytearray, value: Any, sink: ValueSink) -> None:
        """Append a value."""
        if not isinstance(value, dict):
            raise _wrong("dict", value)
        if not value.keys() <= self._names:
            raise ValueError(f"{self.name} has no field {sorted(value.keys() - self._names)[0]!r}")
        last = -1
        name = ""
        get = value.get
        try:
            for index, name, write, always in self._rows:
                item = get(name)
                if item is None or (not always and not item):
                    continue
                out += write_uint(index - last)
                last = index
                write(out, item, sink)
        except (TypeError, ValueError) as error:
            raise _at(error, f"{self.name}.{name}") from error
        out.append(0)


def _at(error: Exception, place: str) -> TypeError | ValueError:
    """The same error with the place before it: ``Post.Props: ['n']: expected ...``."""
    made = TypeError if isinstance(error, TypeError) else ValueError
    return made(f"{place}: {error}")
