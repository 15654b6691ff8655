"""ServeHTTPRequest, read by hand: protobuf's objects for headers cost more than all else of a scope.

Counted on a small request with callgrind: 12,000 instructions a header as protobuf objects, about
1,000 this way. Field numbers: proto/mm_asgi/protocol/hooks_http.proto and hooks_common.proto; a
test compares every message with protobuf's reading of it.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

__all__ = ["RequestInit", "RequestMessage", "header_fields"]

# Wire types (protobuf's encoding document); 3 and 4 are groups, which proto3 does not have.
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

_INIT, _BODY_CHUNK, _BODY_COMPLETE = 1, 2, 3
_CONTEXT, _HEADERS = 1, 7


class RequestMessage:
    """One ServeHTTPRequest; as much of protobuf's own interface as the bridge needs.

    Attributes:
        init: the request's head, in its first message; else None.
        body_chunk: body bytes.
        body_complete: whether they are the last.
    """

    __slots__ = ("body_chunk", "body_complete", "init")

    def __init__(self) -> None:
        self.init: RequestInit | None = None
        self.body_chunk = b""
        self.body_complete = False

    def HasField(self, name: str) -> bool:
        """Whether ``init`` is there."""
        return getattr(self, name) is not None

    @classmethod
    def FromString(cls, data: bytes | bytearray) -> RequestMessage:
        """Read a message.

        Raises:
            DecodeError: the bytes are no ServeHTTPRequest.
        """
        message = cls()
        fields, numbers, _ = _read(data if type(data) is bytes else memoryview(data))
        if _INIT in fields:
            message.init = RequestInit(bytes(fields[_INIT]))
        if _BODY_CHUNK in fields:
            message.body_chunk = bytes(fields[_BODY_CHUNK])
        message.body_complete = bool(numbers.get(_BODY_COMPLETE))
        return message


class RequestInit:
    """A ServeHTTPRequestInit, with what its plugin_context says.

    Attributes:
        headers: HTTPHeader messages in order, for ``header_fields()``.
        content_length: in bytes, or -1.
    """

    __slots__ = (
        "accept_language", "content_length", "headers", "host", "ip_address", "method", "proto",
        "proto_major", "proto_minor", "remote_addr", "request_id", "request_uri", "session_id",
        "url", "user_agent",
    )  # fmt: skip

    def __init__(self, data: bytes) -> None:
        fields, numbers, self.headers = _read(data)
        try:
            get = fields.get
            self.method = get(2, b"").decode()
            self.url = get(3, b"").decode()
            self.proto = get(4, b"").decode()
            self.host = get(8, b"").decode()
            self.remote_addr = get(9, b"").decode()
            self.request_uri = get(10, b"").decode()
            get = _read(get(_CONTEXT, b""))[0].get
            self.session_id = get(1, b"").decode()
            self.request_id = get(2, b"").decode()
            self.ip_address = get(3, b"").decode()
            self.accept_language = get(4, b"").decode()
            self.user_agent = get(5, b"").decode()
        except UnicodeDecodeError:
            raise DecodeError("a string of ServeHTTPRequestInit is not UTF-8") from None
        self.proto_major = numbers.get(5, 0)
        self.proto_minor = numbers.get(6, 0)
        length = numbers.get(11, 0)
        self.content_length = length - (1 << 64) if length >> 63 else length  # int64


def header_fields(data: bytes) -> tuple[str, list[bytes]]:
    """The key and the values of an HTTPHeader.

    Raises:
        DecodeError: the bytes are no HTTPHeader.
    """
    position, end = 0, len(data)
    key, values = b"", []
    try:
        while position < end:
            tag, start, position = _field(data, position, end)
            if tag == 1 << 3 | _LENGTH:
                key = data[start:position]
            elif tag == 2 << 3 | _LENGTH:
                value = data[start:position]
                if not value.isascii():
                    _check(value)
                values.append(value)
    except IndexError:
        raise DecodeError("a header ends in the middle of a field") from None
    return _check(key), values


def _check(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise DecodeError("a header is not UTF-8") from None


def _read(data: Any) -> tuple[dict[int, Any], dict[int, int], list[bytes]]:
    """A message's fields by number: of bytes, of numbers, and the elements of field 7.

    ``data`` is bytes, or a view of what was put together from several frames.
    """
    fields: dict[int, Any] = {}
    numbers: dict[int, int] = {}
    repeated: list[bytes] = []
    position, end = 0, len(data)
    try:
        while position < end:
            tag = data[position]
            size = data[position + 1]
            if (
                tag & 0x87 == _LENGTH and size < 0x80 and tag > 7
            ):  # a short field with a small number
                start = position + 2
                position = start + size
            else:
                tag, start, position = _field(data, position, end)
            if tag & 7 == _VARINT:
                numbers[tag >> 3] = start
            elif tag == _HEADERS << 3 | _LENGTH:
                repeated.append(data[start:position])
            else:
                fields[tag >> 3] = data[start:position]
    except IndexError:
        raise DecodeError("a message ends in the middle of a field") from None
    if position != end:
        raise DecodeError("a field is longer than its message")
    return fields, numbers, repeated


def _field(data: Any, position: int, end: int) -> tuple[int, int, int]:
    """A field's tag, its start (of a number: the number), and the position after it."""
    tag, position = _varint(data, position)
    kind = tag & 7
    if kind == _VARINT:
        value, position = _varint(data, position)
        return tag, value, position
    if kind == _LENGTH:
        size, position = _varint(data, position)
    elif kind in (_FIXED32, _FIXED64):
        size = 4 if kind == _FIXED32 else 8
    else:
        raise DecodeError(f"a field has the wire type {kind}")
    if not tag >> 3 or position + size > end:
        raise DecodeError("a field has the number 0 or is longer than its message")
    return tag, position, position + size


def _varint(data: Any, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        octet = data[position]
        position += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value & (1 << 64) - 1, position
    raise DecodeError("a number is longer than 10 bytes")
