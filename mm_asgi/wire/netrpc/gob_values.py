"""Values of Go that Python has no type for, and the two codecs of Go's own that this wire meets.

A type of Go may marshal itself (GobEncoder, BinaryMarshaler, TextMarshaler); gob then carries plain
bytes, and only the field's name tells what they are. Of all types in Mattermost's plugin API these
are time.Time and url.URL, whose bytes are their text.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from mm_asgi.errors import HostProtocolError

__all__ = ["GoTime", "Registered", "read_time", "write_time"]

_YEAR_ONE: Final = -62_135_596_800
"""Seconds from 1970 to the year 1, where time.Time begins."""

_UTC: Final = -1


class Registered(NamedTuple):
    """What an interface holds where it is no plain value: a type by its registered name.

    Plain are the names in ``gob_decoders.PLAIN``; their values stand alone.
    """

    name: str
    value: Any


class GoTime(NamedTuple):
    """time.Time: the seconds since 1970, the nanoseconds in that second, the zone.

    Attributes:
        seconds: negative before 1970.
        nanoseconds: 0 to 999,999,999.
        offset: seconds east of UTC; None where the time is in UTC by name.
    """

    seconds: int
    nanoseconds: int = 0
    offset: int | None = None

    @property
    def is_zero(self) -> bool:
        """Whether Go's IsZero says so: the first instant of the year 1."""
        return self.seconds == _YEAR_ONE and self.nanoseconds == 0

    @classmethod
    def zero(cls) -> GoTime:
        """Return Go's zero time."""
        return cls(_YEAR_ONE)


def read_time(raw: bytes) -> GoTime:
    """Return the time that ``time.Time.GobEncode`` wrote.

    Raises:
        HostProtocolError: a version or a length that no Go has written.
    """
    if len(raw) != {1: 15, 2: 16}.get(raw[0] if raw else 0):
        raise HostProtocolError(
            f"gob: a time of {len(raw)} bytes that begin with {raw[:1].hex() or 'nothing'};"
            " expected 15 with version 1, or 16 with version 2"
        )
    minutes = int.from_bytes(raw[13:15], "big", signed=True)
    offset = None
    if minutes != _UTC:
        offset = minutes * 60 + (raw[15] if len(raw) > 15 else 0)  # Go takes the rest as unsigned
    return GoTime(
        int.from_bytes(raw[1:9], "big", signed=True) + _YEAR_ONE,
        int.from_bytes(raw[9:13], "big"),
        offset,
    )


def write_time(time: GoTime) -> bytes:
    """Return the bytes that ``time.Time.GobDecode`` reads.

    Raises:
        ValueError: the nanoseconds are not below a second, or the zone is not below 32,768 minutes.
    """
    if not 0 <= time.nanoseconds < 1_000_000_000:
        raise ValueError(f"GoTime.nanoseconds is {time.nanoseconds}, not 0 to 999999999")
    minutes, rest = _UTC, 0
    if time.offset is not None:
        # The rest is never negative, whatever Go's own encoder writes: its decoder adds a byte.
        minutes, rest = divmod(time.offset, 60)
        if minutes == _UTC:
            raise ValueError("GoTime.offset of minus one minute, which is Go's word for UTC")
    head = b"\x02" if rest else b"\x01"
    tail = rest.to_bytes(1, "big") if rest else b""
    try:
        return (
            head
            + (time.seconds - _YEAR_ONE).to_bytes(8, "big", signed=True)
            + time.nanoseconds.to_bytes(4, "big")
            + minutes.to_bytes(2, "big", signed=True)
            + tail
        )
    except OverflowError as error:
        raise ValueError(f"{time} does not fit time.Time: {error}") from None
