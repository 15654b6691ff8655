"""The frames of hashicorp/yamux, version 0: twelve bytes of header, and a payload after DATA alone.

    version u8 | kind u8 | flags u16 | stream u32 | length u32        (big-endian)

``length`` counts the payload of DATA, the credit of WINDOW, and is the value of PING and GO_AWAY.
"""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

__all__ = [
    "ACK",
    "Buffer",
    "DATA",
    "FIN",
    "GO_AWAY",
    "HEADER",
    "HEADER_SIZE",
    "INITIAL_WINDOW",
    "INTERNAL_ERROR",
    "MAX_ID",
    "NORMAL",
    "PING",
    "PROTOCOL_ERROR",
    "RST",
    "SYN",
    "VERSION",
    "WINDOW",
]

Buffer: TypeAlias = bytes | bytearray | memoryview

HEADER: Final = struct.Struct(">BBHII")
HEADER_SIZE: Final = 12
VERSION: Final = 0

# Kinds of frames.
DATA: Final = 0
WINDOW: Final = 1
PING: Final = 2
GO_AWAY: Final = 3

# Flags.
SYN: Final = 1
ACK: Final = 2
FIN: Final = 4
RST: Final = 8

# What a GO_AWAY says.
NORMAL: Final = 0
PROTOCOL_ERROR: Final = 1
INTERNAL_ERROR: Final = 2

INITIAL_WINDOW: Final = 256 * 1024
"""Bytes that either side of a new stream may send before the other one grants more."""

MAX_ID: Final = 2**32 - 1
