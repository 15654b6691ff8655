"""HPACK (RFC 7541): a decoder with its dynamic table, and an encoder that needs none.

This side sends a few constant blocks and some metadata. They are literals, which cost some bytes on a
local socket and no state. It receives mostly one block again and again, all of it indexed.
``Decoder.changes`` shows a cache that the table under such a block has changed.
"""

from __future__ import annotations

from typing import Final

from mm_asgi.wire.http2 import huffman

__all__ = ["Decoder", "Field", "HPACKError", "HeaderListTooLarge", "encode", "table_size_update"]

Field = tuple[bytes, bytes]

ENTRY_OVERHEAD: Final = 32
"""Bytes that an entry counts beside its name and value (section 4.1)."""

DEFAULT_TABLE_SIZE: Final = 4096
"""Bytes of a table that SETTINGS have not changed (RFC 9113 section 6.5.2)."""

_LONGEST_INTEGER: Final = 5
"""Octets after the prefix: 35 bits. Section 5.1 asks for a limit."""

# Appendix A.
STATIC_TABLE: Final[tuple[Field, ...]] = tuple(
    (name.encode(), value.encode())
    for line in """
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
""".strip().splitlines()
    for name, _, value in [line.partition(" ")]
)

_STATIC_SIZE: Final = len(STATIC_TABLE)
_STATIC_FIELD: Final = {field: index for index, field in enumerate(STATIC_TABLE, 1)}
_STATIC_NAME: Final = {name: index for index, (name, _) in reversed([*enumerate(STATIC_TABLE, 1)])}


class HPACKError(ValueError):
    """A header block that cannot be decoded: COMPRESSION_ERROR (RFC 9113 section 4.3)."""


class HeaderListTooLarge(Exception):
    """A header list is over the limit. Its block was decoded whole, so the table is still right."""


class Decoder:
    """The receiving half of one connection's compression context.

    Args:
        list_limit: bytes of a decoded list at the most, as RFC 9113 section 6.5.2 counts them.
        table_limit: the value of this side's SETTINGS_HEADER_TABLE_SIZE.

    Attributes:
        changes: grows whenever the dynamic table changes.
    """

    __slots__ = ("_capacity", "_list_limit", "_size", "_table", "_table_limit", "changes")

    def __init__(self, list_limit: int, table_limit: int = DEFAULT_TABLE_SIZE) -> None:
        self.changes = 0
        self._list_limit = list_limit
        self._table_limit = table_limit
        self._capacity = table_limit
        self._table: list[Field] = []  # the newest first, as section 2.3.3 counts
        self._size = 0

    def decode(self, block: bytes) -> list[Field]:
        """Return the fields of one whole header block, in order.

        Raises:
            HPACKError: the block breaks RFC 7541; the connection cannot go on.
            HeaderListTooLarge: the list is over the limit; the connection can go on.
        """
        fields: list[Field] = []
        size, position, end = 0, 0, len(block)
        try:
            while position < end:
                octet = block[position]
                if octet & 0x80:  # section 6.1
                    index, position = _integer(block, position, 0x7F)
                    field = self._entry(index)
                elif octet & 0x40:  # section 6.2.1
                    field, position = self._literal(block, position, 0x3F)
                    self._add(field)
                elif octet & 0x20:  # section 6.3
                    capacity, position = _integer(block, position, 0x1F)
                    self._resize(capacity, at_start=not size)
                    continue
                else:  # sections 6.2.2, 6.2.3
                    field, position = self._literal(block, position, 0x0F)
                size += len(field[0]) + len(field[1]) + ENTRY_OVERHEAD
                if size <= self._list_limit:
                    fields.append(field)
        except IndexError:
            raise HPACKError("the header block ends in the middle of a field") from None
        if size > self._list_limit:
            raise HeaderListTooLarge(f"{size} bytes of header fields, {self._list_limit} are taken")
        return fields

    def _entry(self, index: int) -> Field:
        """Return an entry of the two tables (section 2.3.3)."""
        if 0 < index <= _STATIC_SIZE:
            return STATIC_TABLE[index - 1]
        if index and index - _STATIC_SIZE <= len(self._table):
            return self._table[index - _STATIC_SIZE - 1]
        raise HPACKError(f"no entry {index} in the header tables")

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[Field, int]:
        index, position = _integer(block, position, mask)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position

    def _add(self, field: Field) -> None:
        """Add an entry; one that is larger than the table empties it (section 4.4)."""
        self.changes += 1
        size = len(field[0]) + len(field[1]) + ENTRY_OVERHEAD
        self._evict(self._capacity - size)
        if size <= self._capacity:
            self._table.insert(0, field)
            self._size += size

    def _resize(self, capacity: int, *, at_start: bool) -> None:
        """Change the table's size (sections 4.2, 4.3)."""
        if not at_start:
            raise HPACKError("a table size update after the first field of a header block")
        if capacity > self._table_limit:
            raise HPACKError(f"table size {capacity} is over the limit of {self._table_limit}")
        self.changes += 1
        self._capacity = capacity
        self._evict(capacity)

    def _evict(self, limit: int) -> None:
        while self._table and self._size > limit:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + ENTRY_OVERHEAD


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """Return an integer (section 5.1), whose prefix is ``mask``'s bits, and the position after it."""
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    for shift in range(0, 7 * _LONGEST_INTEGER, 7):
        octet = block[position]
        position += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position
    raise HPACKError("an integer is longer than 35 bits")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    """Return a string (section 5.2) and the position after it."""
    coded = block[position] & 0x80
    length, position = _integer(block, position, 0x7F)
    end = position + length
    if end > len(block):
        raise HPACKError("a string is longer than its header block")
    data = block[position:end]
    if not coded:
        return data, end
    try:
        return huffman.decode(data), end
    except huffman.HuffmanError as error:
        raise HPACKError(str(error)) from None


def encode(fields: list[Field]) -> bytes:
    """Return a header block: fields of the static table by index, all others as literals."""
    out = bytearray()
    for name, value in fields:
        if index := _STATIC_FIELD.get((name, value)):
            out += _number(index, 0x80, 0x7F)
            continue
        index = _STATIC_NAME.get(name, 0)
        out += _number(index, 0, 0x0F)
        if not index:
            out += _number(len(name), 0, 0x7F) + name
        out += _number(len(value), 0, 0x7F) + value
    return bytes(out)


def table_size_update(capacity: int) -> bytes:
    """Return a table size update (section 6.3).

    An encoder has to send one when the peer lowers its limit, even if it fills no table.
    """
    return _number(capacity, 0x20, 0x1F)


def _number(value: int, pattern: int, mask: int) -> bytes:
    if value < mask:
        return bytes((pattern | value,))
    out = bytearray((pattern | mask,))
    value -= mask
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
