"""gRPC over HTTP/2: messages, metadata, status and time-outs. No I/O.

Source: the gRPC project's PROTOCOL-HTTP2.md, whose words (Length-Prefixed-Message, Trailers-Only,
Custom-Metadata ...) are used here.
"""

from __future__ import annotations

import binascii
import re
import struct
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from mm_asgi.wire.http2 import hpack
from mm_asgi.wire.port import StatusCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mm_asgi.wire.http2.fields import HeaderSection
    from mm_asgi.wire.http2.hpack import Field
    from mm_asgi.wire.port import Metadata

__all__ = [
    "ACCEPTED",
    "GZIP",
    "IDENTITY",
    "MESSAGE_HEAD",
    "PREFIX",
    "RESPONSE_HEADERS",
    "RESPONSE_HEADERS_ACCEPT",
    "RESPONSE_HEADERS_GZIP",
    "SMALL",
    "TRAILERS_OK",
    "MessageReader",
    "MessageTooLarge",
    "RequestFacts",
    "decode_metadata",
    "encode_metadata",
    "encode_timeout",
    "encode_trailers",
]

PREFIX: Final = struct.Struct(">BL")
"""Compressed-Flag and Message-Length."""

MESSAGE_HEAD: Final = struct.Struct(">HBBBLBL")
"""The head of a DATA frame and the prefix of the message that it carries."""

SMALL: Final = 4096
"""Bytes up to which an RPC's whole request or answer is joined to one piece: a guess, up to which a
copy costs little."""

IDENTITY: Final = b"identity"
GZIP: Final = b"gzip"
ACCEPTED: Final = b"identity,gzip"
"""The value of grpc-accept-encoding."""

CONTENT_TYPE: Final = b"application/grpc"

_RESPONSE: Final[list[Field]] = [(b":status", b"200"), (b"content-type", CONTENT_TYPE)]
RESPONSE_HEADERS: Final = hpack.encode(_RESPONSE)
RESPONSE_HEADERS_ACCEPT: Final = hpack.encode([*_RESPONSE, (b"grpc-accept-encoding", ACCEPTED)])
RESPONSE_HEADERS_GZIP: Final = hpack.encode([*_RESPONSE, (b"grpc-encoding", GZIP)])

TRAILERS_OK: Final = hpack.encode([(b"grpc-status", b"0")])

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

_UNSAFE: Final = re.compile(rb"[^\x20-\x24\x26-\x7e]")
"""Percent-Byte-Unencoded is printable ASCII without the percent sign."""

_ECHOED: Final = 100

_METADATA_NAME: Final = re.compile(rb"[0-9a-z_.-]+")
_ASCII_VALUE: Final = re.compile(r"[\x20-\x7e]*")

_STATUSES: Final = {b"%d" % code: code for code in StatusCode}

# The fields of Call-Definition, and those that HTTP needs itself: they are not the application's.
_RESERVED: Final = frozenset(
    {
        b"content-length",
        b"content-type",
        b"grpc-accept-encoding",
        b"grpc-encoding",
        b"grpc-message",
        b"grpc-status",
        b"grpc-timeout",
        b"te",
    }
)


class MessageTooLarge(Exception):
    """A Length-Prefixed-Message is longer than the limit; ``size`` is in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class MessageReader:
    """Cuts a stream of DATA into messages, each at most ``limit`` bytes.

    Attributes:
        need: bytes of the incomplete message, prefix included; 0 between two messages.
        have: how many of them are here, once the prefix is whole.
    """

    __slots__ = ("_buffer", "_flag", "_limit", "_prefix", "have", "need")

    def __init__(self, limit: int) -> None:
        self.need = 0
        self.have = 0
        self._limit = limit
        self._prefix = b""
        self._flag = 0
        # Grows as bytes come, never by the length that the prefix promises. One buffer, since a
        # list of a thousand slices of a byte each would take forty thousand bytes.
        self._buffer = bytearray()

    def feed(self, data: memoryview) -> list[tuple[int, bytes | bytearray]]:
        """Return the messages that ``data`` completes, each with its Compressed-Flag.

        Raises:
            MessageTooLarge: a message is over the limit. Its prefix says so, before any byte of it
                is kept.
        """
        messages: list[tuple[int, bytes | bytearray]] = []
        while data or (self.need and self.have == self.need):
            if not self.need:
                missing = PREFIX.size - len(self._prefix)
                self._prefix += bytes(data[:missing])
                data = data[missing:]
                if len(self._prefix) < PREFIX.size:
                    break
                self._flag, size = PREFIX.unpack(self._prefix)
                self._prefix = b""
                if size > self._limit:
                    raise MessageTooLarge(size)
                self.need, self.have = size + PREFIX.size, PREFIX.size
            part = data[: self.need - self.have]
            self._buffer += part
            self.have += len(part)
            data = data[len(part) :]
            if self.have == self.need:
                messages.append((self._flag, self._buffer))
                self._buffer = bytearray()
                self.need = self.have = 0
        return messages

    @property
    def under_way(self) -> int:
        """How many bytes of an incomplete message are here; 0 between two messages."""
        return self.have or len(self._prefix)


class RequestFacts:
    """What a server reads from a gRPC request's head.

    Attributes:
        path: the RPC's path.
        timeout: seconds that the caller waits, or None.
        encoding: the name of the request's Message-Encoding.
        accepts: the encodings that the caller takes.
        fault: what is wrong with the head, as the text of a status INTERNAL; empty: nothing.
    """

    __slots__ = ("_fields", "_metadata", "accepts", "encoding", "fault", "path", "timeout")

    def __init__(self, head: HeaderSection) -> None:
        self.path = head.path.decode("utf-8", "replace")
        self.timeout: float | None = None
        self.encoding = IDENTITY
        self.accepts: frozenset[bytes] = frozenset()
        self.fault = ""
        self._fields = head.fields
        self._metadata: dict[str, str | bytes] | None = None
        for name, value in head.fields:
            if name == b"grpc-timeout":
                self._read_timeout(value)
            elif name == b"grpc-encoding":
                self.encoding = value
            elif name == b"grpc-accept-encoding":
                self.accepts = frozenset(value.replace(b" ", b"").split(b","))

    def _read_timeout(self, value: bytes) -> None:
        match = _TIMEOUT.fullmatch(value)
        if match is None:
            self.fault = "malformed grpc-timeout"
        else:
            self.timeout = int(match[1]) * _UNITS[match[2]]

    @property
    def metadata(self) -> dict[str, str | bytes]:
        """The Custom-Metadata; if a name was sent twice, its last value."""
        if self._metadata is None:
            self._metadata = dict(decode_metadata(self._fields))
        return self._metadata


def is_grpc(head: HeaderSection) -> bool:
    """Return whether a request is an RPC: POST, with a Content-Type of gRPC."""
    if head.method != b"POST":
        return False
    for name, value in head.fields:
        if name == b"content-type":
            kind = value.partition(b";")[0].rstrip()
            return kind == CONTENT_TYPE or kind.startswith(CONTENT_TYPE + b"+")
    return False


def cut_for_status(text: str) -> str:
    """Return the part of a peer's text that a status may repeat, in ASCII.

    It is short, because one octet of HPACK may stand for 4 KB of text.
    """
    return text[:_ECHOED].encode("ascii", "replace").decode("ascii")


def decode_metadata(fields: Iterable[Field]) -> list[tuple[str, str | bytes]]:
    """Return the Custom-Metadata of a field list, without ``-bin`` values that are not base64."""
    pairs: list[tuple[str, str | bytes]] = []
    for name, value in fields:
        if name in _RESERVED:
            continue
        key = name.decode("ascii")
        if not name.endswith(b"-bin"):
            pairs.append((key, value.decode("latin-1")))
            continue
        for part in value.split(b","):  # several values may have been joined
            try:
                pairs.append((key, binascii.a2b_base64(part + b"=" * (-len(part) % 4))))
            except binascii.Error:
                continue
    return pairs


def encode_metadata(metadata: Metadata) -> list[Field]:
    """Return the fields of Custom-Metadata.

    Raises:
        ValueError: a name or value cannot be sent: a reserved name, a value that is not ASCII.
    """
    fields: list[Field] = []
    for name, value in metadata:
        key = name.lower().encode("ascii")
        if key in _RESERVED:
            raise ValueError(f"metadata: {name!r} is reserved, expected a name of your own")
        if not _METADATA_NAME.fullmatch(key):
            raise ValueError(f"metadata: {name!r} is not a name, expected 0-9 a-z _ - . only")
        if key.endswith(b"-bin"):
            if not isinstance(value, bytes):
                raise ValueError(f"metadata: {name!r} has {type(value).__name__}, expected bytes")
            fields.append((key, binascii.b2a_base64(value, newline=False).rstrip(b"=")))
        elif isinstance(value, str) and _ASCII_VALUE.fullmatch(value):
            fields.append((key, value.strip(" ").encode("ascii")))
        else:
            raise ValueError(
                f"metadata: the value of {name!r} is not printable ASCII; expected that, or a"
                " name that ends in -bin and bytes"
            )
    return fields


def encode_metadata_block(metadata: Metadata) -> bytes:
    """Return Custom-Metadata encoded, to be added to a header block."""
    return hpack.encode(encode_metadata(metadata))


def encode_trailers(code: StatusCode, text: str, metadata: Metadata, *, only: bool) -> bytes:
    """Return the block of Trailers, or of Trailers-Only with ``only``: no head was sent before."""
    if not only and code is StatusCode.OK and not metadata:
        return TRAILERS_OK
    fields = list(_RESPONSE) if only else []
    fields.append((b"grpc-status", b"%d" % code))
    if text:
        fields.append((b"grpc-message", _percent_encoded(text)))
    return hpack.encode([*fields, *encode_metadata(metadata)])


def read_status(fields: Sequence[Field]) -> tuple[StatusCode, str] | None:
    """Return status and text of Trailers, or None without a grpc-status.

    A code that gRPC does not have is UNKNOWN.
    """
    code: StatusCode | None = None
    text = ""
    for name, value in fields:
        if name == b"grpc-status":
            code = _STATUSES.get(value, StatusCode.UNKNOWN)
        elif name == b"grpc-message":
            text = unquote_to_bytes(value).decode("utf-8", "replace") if value else ""
    return None if code is None else (code, text)


def _percent_encoded(text: str) -> bytes:
    """Return a text as a Status-Message."""
    data = text.encode("utf-8", "replace")
    # HTTP/2 takes no space at the ends of a value (RFC 9113 section 8.2.1).
    inner = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], data.strip(b" "))
    before = len(data) - len(data.lstrip(b" "))
    after = len(data) - len(data.rstrip(b" ")) if inner else 0
    return b"%20" * before + inner + b"%20" * after


def encode_timeout(seconds: float) -> bytes:
    """Return a Timeout: at most eight digits, in the finest unit that has room, and never 0."""
    for unit, size in ((b"n", 1e-9), (b"u", 1e-6), (b"m", 1e-3), (b"S", 1.0), (b"M", 60.0)):
        count = max(1, int(seconds / size))
        if count < 10**8:
            return b"%d" % count + unit
    return b"%dH" % min(int(seconds / 3600), 10**8 - 1)
