"""The numbers of encoding/gob, which everything else of it is made of.

An unsigned number below 128 is one byte. Any other is its big-endian bytes without leading zeros,
behind one byte that holds their count, negated: 0xFF for one byte, 0xF8 for eight. A signed number
is an unsigned one whose lowest bit says "all bits flipped". A float is the unsigned number of its
64 bits in reversed byte order, so that small whole numbers are short.

Reading past the end of the buffer is an IndexError or the error of this wire, never a number.
"""

from __future__ import annotations

import struct
from typing import Final

from mm_asgi.errors import HostProtocolError

__all__ = ["read_float", "read_int", "read_uint", "write_float", "write_int", "write_uint"]

_DOUBLE: Final = struct.Struct("<d")
_LONGEST: Final = 0xF8
"""The count byte of eight bytes, the longest number there is."""

_UINT64: Final = 2**64


def read_uint(buffer: bytes, position: int) -> tuple[int, int]:
    """Return an unsigned number and the position behind it."""
    first = buffer[position]
    if first < 0x80:
        return first, position + 1
    end = position + 257 - first
    if first < _LONGEST or end > len(buffer):
        raise HostProtocolError(
            f"gob: a number of {256 - first} bytes at byte {position} of {len(buffer)};"
            " at most 8 are allowed, and all have to be in the message"
        )
    return int.from_bytes(buffer[position + 1 : end], "big"), end


def read_int(buffer: bytes, position: int) -> tuple[int, int]:
    """Return a signed number and the position behind it."""
    first = buffer[position]
    if first < 0x80:
        position += 1
    else:
        first, position = read_uint(buffer, position)
    return (~(first >> 1) if first & 1 else first >> 1), position


def read_float(buffer: bytes, position: int) -> tuple[float, int]:
    """Return a float and the position behind it."""
    bits, position = read_uint(buffer, position)
    return _DOUBLE.unpack(bits.to_bytes(8, "big"))[0], position


def write_uint(number: int) -> bytes:
    """Return the bytes of an unsigned number below 2**64."""
    if number < 0x80:
        return _BYTES[number]
    if number >= _UINT64:
        raise ValueError(f"{number} does not fit 64 bits")
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return _BYTES[256 - len(raw)] + raw


def write_int(number: int) -> bytes:
    """Return the bytes of a signed number of 64 bits."""
    return write_uint((~number << 1) | 1 if number < 0 else number << 1)


def write_float(number: float) -> bytes:
    """Return the bytes of a float."""
    return write_uint(int.from_bytes(_DOUBLE.pack(number), "big"))


_BYTES: Final = tuple(bytes((value,)) for value in range(256))
