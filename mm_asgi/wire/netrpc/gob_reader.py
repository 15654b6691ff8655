"""A gob stream, read: bytes in by ``feed()``, values out by ``take()``.

A stream is a row of messages, each behind the count of its bytes. A message is a definition (a
negative number, then the type) or a value (the type's number, then the value). How the bytes were
cut into reads makes no difference.

One value may span several messages: Go's encoder sends what it has when an interface needs a type
that the stream does not know (gob_decoders.py). That is seen only while the value is read, and
what was read so far is lost then: the bodies are kept, and with the next message the value is read
again from its beginning, with the types as they were there. ``GobLimits.reread`` bounds what that
costs. A value has at most as many messages as it brings new types, so that a stream's own limits
do the rest.

The first error is final: a stream whose types or counts are wrong has no next value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.gob_decoders import MoreNeeded
from mm_asgi.wire.netrpc.gob_numbers import read_int, read_uint
from mm_asgi.wire.netrpc.gob_scope import (
    DEFINITION_ELEMENTS,
    GobLimits,
    TypeScope,
    definition_decoder,
)

if TYPE_CHECKING:
    from mm_asgi.wire.netrpc.gob_decoders import Decoder

__all__ = ["INCOMPLETE", "GobReader"]

INCOMPLETE: Final = object()
"""What ``take()`` returns until a value's last byte has come."""

_DEFAULT_LIMITS: Final = GobLimits()


class GobReader:
    """The values of one stream.

    Structs are dicts by field name, without the fields that are zero; maps are dicts; slices and
    arrays are lists. Strings are str, with surrogates for what is no UTF-8. Types that marshal
    themselves are bytes (gob_values.py reads times). An interface is the value itself where its
    registered name is plain, else a ``Registered``, or None.

    Args:
        scope: the empty scope that all streams of a session share.
        limits: what the stream may cost.

    Attributes:
        fault: the error that ended the stream, once one has.
        scope: the types that the stream has defined. Bytes that another stream has read in the same
            scope may be left out by setting what it was behind them.
    """

    __slots__ = (
        "_chunks",
        "_data",
        "_have",
        "_limits",
        "_need",
        "_parts",
        "_position",
        "_reread",
        "depth",
        "elements",
        "fault",
        "scope",
        "seams",
    )

    def __init__(self, scope: TypeScope, limits: GobLimits = _DEFAULT_LIMITS) -> None:
        self.scope = scope
        self.fault: HostProtocolError | None = None
        self.elements = 0
        self.depth = 0
        self._limits = limits
        self._data = b""
        self._position = 0
        self._chunks: list[bytes] = []  # bytes of a message that is not whole
        self._have = 0
        self._need = 0
        self._parts: list[bytes] = []  # whole messages of a value that is not
        self.seams: set[int] = set()
        self._reread = limits.reread

    def feed(self, data: bytes) -> None:
        """Take bytes of the stream."""
        if self._chunks:
            self._chunks.append(data)
            self._have += len(data)
        elif self._position < len(self._data):
            self._data = self._data[self._position :] + data
            self._position = 0
        else:
            self._data = data
            self._position = 0

    @property
    def is_between(self) -> bool:
        """Whether no byte waits: the next one begins a message, and no value is in parts."""
        return not (self._chunks or self._parts or self._position < len(self._data) or self.fault)

    def take(self) -> Any:
        """Return the next value, or INCOMPLETE.

        Raises:
            HostProtocolError: the stream is wrong; each further call raises the same.
        """
        if self.fault is not None:
            raise self.fault
        try:
            return self._take()
        except HostProtocolError as error:
            self.fault = error
        except IndexError:
            self.fault = HostProtocolError("gob: a message ends in the middle of a value")
        except RecursionError:
            self.fault = HostProtocolError("gob: a value nested deeper than the interpreter allows")
        self._data, self._chunks, self._parts = b"", [], []
        raise self.fault from None

    # ---------------------------------------------------------------- messages

    def _message(self) -> bytes | None:
        """The next message's body, or None until it is whole."""
        if self._chunks:
            if self._have < self._need:
                return None
            self._data, self._position = b"".join(self._chunks), 0
            self._chunks = []
        data, position = self._data, self._position
        left = len(data) - position
        if not left:
            return None
        size, start = data[position], position + 1
        if size >= 0x80:
            if size < 0xF8:
                raise HostProtocolError(
                    f"gob: a message whose size has {256 - size} bytes, expected at most 8"
                )
            if left < 257 - size:
                self._wait(257 - size)
                return None
            size, start = read_uint(data, position)
        if not size or size > self._limits.message:
            raise HostProtocolError(
                f"gob: a message of {size} bytes, expected 1 to {self._limits.message}"
            )
        end = start + size
        if end > len(data):
            self._wait(end - position)
            return None
        if end == len(data):  # or a large message would stay here until the next one comes
            self._data, self._position = b"", 0
        else:
            self._position = end
        return data[start:end]

    def _wait(self, need: int) -> None:
        rest = self._data[self._position :]
        self._chunks, self._have, self._need = [rest], len(rest), need
        self._data, self._position = b"", 0

    def _take(self) -> Any:
        while (message := self._message()) is not None:
            if self._parts:
                self._join(message)
                message = b"".join(self._parts)
            type_id, position = read_int(message, 0)
            if type_id < 0:
                self._define_alone(-type_id, message, position)
                continue
            scope = self.scope
            self.elements, self.depth = self._limits.elements, self._limits.depth
            try:
                value, end = scope.compiled(type_id).top(message, position, self)
            except MoreNeeded:
                self.scope = scope
                if not self._parts:
                    self._join(message)
                continue
            if end != len(message):
                raise HostProtocolError(f"gob: {len(message) - end} bytes behind a value")
            if self._parts:
                self._parts, self.seams = [], set()
            return value
        return INCOMPLETE

    def _join(self, message: bytes) -> None:
        """Add a message to a value that spans several."""
        self._parts.append(message)
        size = max(self.seams, default=0) + len(message)
        self.seams.add(size)
        self._reread -= size
        if size > self._limits.message or self._reread < 0:
            raise HostProtocolError(
                f"gob: a value of {size} bytes in {len(self._parts)} messages, see GobLimits"
            )

    # ---------------------------------------------------------------- definitions

    def _define_alone(self, type_id: int, message: bytes, position: int) -> None:
        """A definition in a message of its own: mostly one that another stream has sent before."""
        known = self.scope.known(type_id, message[position:])
        if known is None:
            end = self.define(type_id, message, position)
            if end != len(message):
                raise HostProtocolError(
                    f"gob: {len(message) - end} bytes behind the definition of type {type_id}"
                )
        else:
            self._enter(known)

    def define(self, type_id: int, buffer: bytes, position: int) -> int:
        """Take the definition at ``position``; return the position behind it."""
        elements, self.elements = self.elements, DEFINITION_ELEMENTS
        parsed, end = definition_decoder(buffer, position, self)
        self.elements = elements
        definition = buffer[position:end]
        scope = self.scope
        self._enter(scope.known(type_id, definition) or scope.define(type_id, definition, parsed))
        return end

    def _enter(self, scope: TypeScope) -> None:
        limits = self._limits
        if len(scope.types) > limits.types or scope.type_bytes > limits.type_bytes:
            raise HostProtocolError(
                f"gob: {len(scope.types)} types in {scope.type_bytes} bytes of definitions,"
                f" expected at most {limits.types} in {limits.type_bytes}"
            )
        self.scope = scope

    def top_decoder(self, type_id: int) -> Decoder:
        """Return what reads a value of the type as it stands in a message."""
        return self.scope.compiled(type_id).top
