"""ServeHTTP's messages in their wire form, written by hand where protobuf's own way costs most.

Of a small request's CPU, building a response with its headers as protobuf objects took a third, and
of a large body's nearly all was copies. Field numbers: proto/mm_asgi/protocol/hooks_http.proto; a
test compares each form with protobuf's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPResponse
from mm_asgi.wire.port import Encoded

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["encode_head", "encode_header", "encode_response"]

# A field's tag is its number * 8 + 2 for bytes, strings and messages, + 0 for numbers.
_INIT: Final = b"\x0a"  # ServeHTTPResponse.init = 1
_BODY_CHUNK: Final = b"\x12"  # .body_chunk = 2
_COMPLETE: Final = b"\x18\x01"  # .body_complete = 3: true
_FLUSH: Final = b"\x20\x01"  # .flush = 4: true
_STATUS: Final = b"\x08"  # ServeHTTPResponseInit.status_code = 1
_HEADER: Final = b"\x12"  # .headers = 2
_KEY: Final = b"\x0a"  # HTTPHeader.key = 1
_VALUE: Final = b"\x12"  # .values = 2

_JOIN: Final = 4096
"""Bytes of a body up to which a copy is cheaper than a piece of its own; a guess."""


def encode_head(status: int, headers: Iterable[bytes]) -> bytes:
    """A ServeHTTPResponse's ``init`` field; ``headers`` as ``encode_header`` made them."""
    init = b"".join((_STATUS, _varint(status), *headers))
    return b"".join((_INIT, _varint(len(init)), init))


def encode_header(name: str, value: str) -> bytes:
    """An HTTPHeader of one value, as an element of ``headers``."""
    key, text = name.encode(), value.encode()
    header = b"".join((_KEY, _varint(len(key)), key, _VALUE, _varint(len(text)), text))
    return b"".join((_HEADER, _varint(len(header)), header))


def encode_response(
    head: bytes, chunk: bytes | memoryview, *, complete: bool, flush: bool
) -> Encoded:
    """A ServeHTTPResponse.

    Args:
        head: what ``encode_head`` made, or nothing.
        chunk: the body bytes; a view of bytes that nobody changes.
        complete: this is the last message.
        flush: the host passes it on at once.
    """
    size = len(chunk)
    tail = (_COMPLETE if complete else b"") + (_FLUSH if flush else b"")
    if size <= _JOIN:
        tag = _BODY_CHUNK + _varint(size) if size else b""
        whole = b"".join((head, tag, chunk, tail))
        return Encoded(ServeHTTPResponse, (whole,), len(whole))
    head += _BODY_CHUNK + _varint(size)
    pieces = (head, chunk, tail) if tail else (head, chunk)
    return Encoded(ServeHTTPResponse, pieces, len(head) + size + len(tail))


def _varint(value: int) -> bytes:
    """A number of 0 or more in base 128, the lowest group first."""
    if value < 0x80:
        return _ONE_BYTE[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_ONE_BYTE: Final = tuple(bytes((value,)) for value in range(0x80))
