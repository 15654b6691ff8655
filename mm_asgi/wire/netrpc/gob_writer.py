"""A gob stream, written: values of given types in, bytes out.

A fresh stream knows no type. Each value's bytes are preceded by the definitions that the stream
lacks, of the type itself, of its parts, and of what stands in its interfaces; all of them ahead of
the value, which Go's reader takes as well as the mixture that Go's writer sends. Which types a
stream has defined is a row that many streams share: net/rpc makes streams for each request, and
all of them begin with the same types. So the rows form a tree as the reader's scopes do, and a
step in it has its bytes ready.

An interface takes plain Python values by the names below, and everything else as a ``Registered``
of a name that the writer was given a type for. The host ends the connection over a name that it has
not registered, so that only names of the tables are ever sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.netrpc.gob_decoders import PLAIN
from mm_asgi.wire.netrpc.gob_numbers import write_int, write_uint
from mm_asgi.wire.netrpc.gob_scope import FIRST_USER_TYPE
from mm_asgi.wire.netrpc.gob_types import (
    ANY,
    BOOL,
    BYTES,
    COMPLEX,
    FLOAT32,
    FLOAT64,
    INT,
    INT8,
    INT16,
    INT32,
    INT64,
    STRING,
    UINT,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    GobType,
    MapOf,
    SliceOf,
    write_text,
)
from mm_asgi.wire.netrpc.gob_values import Registered

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANY_LIST", "ANY_MAP", "GobWriter", "SentTypes"]

ANY_LIST: Final = SliceOf(ANY, "[]interface {}")
ANY_MAP: Final = MapOf(STRING, ANY, "map[string]interface {}")

DEEPEST: Final = 100
"""Interfaces in each other, as for the reader."""

CACHED_ROW: Final = 128
"""Types of a stream up to which its row is shared. Streams of one request have a handful."""

_PLAIN_TYPES: Final[Mapping[str, GobType]] = {
    **{kind.name: kind for kind in (
        BOOL, INT, INT8, INT16, INT32, INT64, UINT, UINT8, UINT16, UINT32, UINT64,
        FLOAT32, FLOAT64, STRING, BYTES, COMPLEX,
    )},
    **{f"[]{kind.name}": SliceOf(kind) for kind in (BOOL, INT, INT32, INT64, FLOAT64, STRING)},
    ANY_LIST.name: ANY_LIST,
    ANY_MAP.name: ANY_MAP,
}  # fmt: skip
"""The plain names that may be asked for by a Registered too."""

assert PLAIN >= _PLAIN_TYPES.keys()


class SentTypes:
    """The types that a stream has defined, and the way to the next row. ``SentTypes()`` has none.

    Attributes:
        numbers: each type's number, of the built-in ones that were used too.
    """

    __slots__ = ("_next", "_next_number", "numbers")

    def __init__(self) -> None:
        self.numbers: dict[GobType, int] = {}
        self._next: dict[GobType, tuple[SentTypes, bytes]] = {}
        self._next_number = FIRST_USER_TYPE + 1

    def define(self, kind: GobType) -> tuple[SentTypes, bytes]:
        """Return the row that knows the type and its parts, and the messages that lead there."""
        step = self._next.get(kind)
        if step is None:
            step = self._step(kind)
            if len(step[0].numbers) <= CACHED_ROW:
                self._next[kind] = step
        return step

    def _step(self, kind: GobType) -> tuple[SentTypes, bytes]:
        after = SentTypes()
        after.numbers = dict(self.numbers)
        after._next_number = self._next_number
        fresh = after._add(kind)
        messages = bytearray()
        for part in fresh:
            number = after.numbers[part]
            body = write_int(-number) + part.definition(number, after.numbers)
            messages += write_uint(len(body)) + body
        return after, bytes(messages)

    def _add(self, kind: GobType) -> list[GobType]:
        """Give numbers to what has none; return what has to be defined, in order."""
        fresh: list[GobType] = []
        todo = [kind]
        while todo:
            part = todo.pop()
            if part in self.numbers:
                continue
            self.numbers[part] = part.number or self._next_number
            if not part.number:
                self._next_number += 1
                fresh.append(part)
                todo.extend(part.parts())
        return fresh


class GobWriter:
    """The values of one stream.

    Args:
        sent: the empty row that all streams of a session share.
        registered: the types that interfaces may hold, by the host's names for them.
    """

    __slots__ = ("_depth", "_registered", "_sent", "_waiting")

    def __init__(self, sent: SentTypes, registered: Mapping[str, GobType] = {}) -> None:
        self._sent = sent
        self._registered = registered
        self._waiting = b""
        self._depth = 0

    def encode(self, kind: GobType, value: Any) -> bytes:
        """Return the bytes of a value, with the definitions that the stream lacks before it.

        Raises:
            TypeError: the value, or a part of it, is of another type.
            ValueError: it does not fit, has a field that the type lacks, or an interface holds
                what no registered type is known for. The stream is as it was.
        """
        sent = self._sent
        self._waiting = b""
        self._depth = 0
        body = bytearray()
        try:
            self._define(kind)
            body += write_int(self._sent.numbers[kind])
            if not kind.is_struct:
                body.append(0)
            kind.write(body, value, self)
        except BaseException as error:
            self._sent = sent
            if isinstance(error, RecursionError):
                raise ValueError(f"{kind.name}: a value nested too deep, or in itself") from None
            raise
        return b"".join((self._waiting, write_uint(len(body)), body))

    def encode_before_bytes(self, size: int) -> bytes:
        """Return what comes before ``size`` bytes that are a value of ``[]byte``.

        The bytes themselves need no place here: a megabyte is sent from where it lies.
        """
        body = write_int(BYTES.number) + b"\0" + write_uint(size)
        return write_uint(len(body) + size) + body

    def mark(self) -> SentTypes:
        """Return what ``rewind()`` needs, for values that leave together or not at all."""
        return self._sent

    def rewind(self, mark: SentTypes) -> None:
        """Forget the values since a ``mark()``: their bytes were not sent."""
        self._sent = mark

    def _define(self, kind: GobType) -> None:
        if kind not in self._sent.numbers:
            self._sent, definitions = self._sent.define(kind)
            self._waiting += definitions

    def write_interface(self, out: bytearray, value: Any) -> None:
        """Append an interface's value: its registered name, type and value."""
        if value is None:
            out.append(0)
            return
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} interfaces in each other")
        name, kind, inner = self._concrete(value)
        self._define(kind)
        body = bytearray() if kind.is_struct else bytearray(1)
        kind.write(body, inner, self)
        out += write_text(name)
        out += write_int(self._sent.numbers[kind])
        out += write_uint(len(body))
        out += body
        self._depth -= 1

    def _concrete(self, value: Any) -> tuple[str, GobType, Any]:
        if isinstance(value, Registered):
            kind = self._registered.get(value.name) or _PLAIN_TYPES.get(value.name)
            if kind is None:
                raise ValueError(f"no registered type {value.name!r} for an interface")
            return value.name, kind, value.value
        for python, kind in _BY_PYTHON_TYPE:
            if isinstance(value, python):
                return kind.name, kind, value
        raise TypeError(f"an interface cannot hold {type(value).__name__} {value!r:.60}")


_BY_PYTHON_TYPE: Final[tuple[tuple[type | tuple[type, ...], GobType], ...]] = (
    (str, STRING),
    (bool, BOOL),  # before int, which it is one of
    (int, INT),
    (float, FLOAT64),
    (dict, ANY_MAP),
    ((bytes, bytearray, memoryview), BYTES),
    (complex, COMPLEX),
    ((list, tuple), ANY_LIST),
)
