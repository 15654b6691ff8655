"""HTTP/2 frames: their numbers, and how they are built (RFC 9113 sections 4, 6 and 7).

connection.py reads them. Where each frame meets a number, it is a plain int.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "PREFACE",
    "SETTINGS_ACK",
    "ConnectionFault",
    "ErrorCode",
    "FrameType",
    "SettingID",
    "StreamFault",
    "frame",
    "go_away",
    "headers",
    "ping",
    "reset",
    "settings",
    "window_update",
]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # section 3.4

HEADER: Final = struct.Struct(">HBBBL")
"""Length (16 and 8 bits), type, flags, stream identifier (section 4.1)."""

HEADER_SIZE: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20

MAX_STREAM_ID: Final = 2**31 - 1
MAX_WINDOW: Final = 2**31 - 1  # section 6.9.1
DEFAULT_WINDOW: Final = 65_535  # section 6.9.2
DEFAULT_FRAME_SIZE: Final = 16_384  # section 6.5.2
LARGEST_FRAME_SIZE: Final = 2**24 - 1


class FrameType(enum.IntEnum):
    """The types of frames (section 6); all others are ignored (section 4.1)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class SettingID(enum.IntEnum):
    """The settings (section 6.5.2); all others are ignored."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(enum.IntEnum):
    """The codes of RST_STREAM and GOAWAY (section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ConnectionFault(Exception):
    """The peer broke the connection's rules, which ends it with GOAWAY (section 5.4.1)."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class StreamFault(Exception):
    """The peer broke the rules of a stream, which ends it with RST_STREAM (section 5.4.2)."""

    def __init__(self, stream_id: int, code: ErrorCode, text: str) -> None:
        super().__init__(stream_id, code.name, text)
        self.stream_id = stream_id
        self.code = code
        self.text = text


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return a whole frame."""
    size = len(payload)
    return HEADER.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def settings(values: Mapping[SettingID, int] | Mapping[int, int]) -> bytes:
    """Return a SETTINGS frame (section 6.5)."""
    payload = b"".join(struct.pack(">HL", key, value) for key, value in values.items())
    return frame(FrameType.SETTINGS, 0, 0, payload)


SETTINGS_ACK: Final = frame(FrameType.SETTINGS, ACK, 0)


def ping(payload: bytes, *, ack: bool = False) -> bytes:
    """Return a PING frame; ``payload`` has 8 bytes (section 6.7)."""
    return frame(FrameType.PING, ACK if ack else 0, 0, payload)


def go_away(last_stream_id: int, code: int, text: str = "") -> bytes:
    """Return a GOAWAY frame (section 6.8)."""
    debug = text.encode()[:256]
    return frame(FrameType.GOAWAY, 0, 0, struct.pack(">LL", last_stream_id, code) + debug)


def reset(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM frame (section 6.4)."""
    return frame(FrameType.RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame; stream 0 is the connection (section 6.9)."""
    return frame(FrameType.WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def headers(stream_id: int, block: bytes, *, end: bool, limit: int = DEFAULT_FRAME_SIZE) -> bytes:
    """Return a HEADERS frame, and CONTINUATION frames if ``block`` is larger than ``limit``."""
    flags = END_STREAM if end else 0
    if len(block) <= limit:
        return frame(FrameType.HEADERS, flags | END_HEADERS, stream_id, block)
    return b"".join(_split(stream_id, block, flags, limit))


def _split(stream_id: int, block: bytes, flags: int, limit: int) -> Iterable[bytes]:
    yield frame(FrameType.HEADERS, flags, stream_id, block[:limit])
    for start in range(limit, len(block), limit):
        last = END_HEADERS if start + limit >= len(block) else 0
        yield frame(FrameType.CONTINUATION, last, stream_id, block[start : start + limit])
