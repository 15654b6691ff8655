"""Bytes that are read by permission: how net/rpc plugins carry a body, either way.

Go hands an io.Reader over as a stream of the broker. Whoever reads writes a permission, a signed
varint of so many bytes, and then reads at most these; the side that has the bytes waits for it.
Closing is the end. A permission is a promise of nothing else, so one huge permission does for a
whole body, and the stream's window is the backpressure. With the permission for a large one the
window is widened: in 256 KiB the other side waits for an update longer than it sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.yamux_frames import INITIAL_WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_asgi.wire.netrpc.byte_pipe import BytePipe

__all__ = [
    "ALL", "WIDER", "Permits", "TooMuch", "permit_all", "read_all", "read_permitted", "send_permitted",
]  # fmt: skip

ALL: Final = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
"""The permission for 2**63 - 1 bytes."""

WIDER: Final = INITIAL_WINDOW
"""Bytes of a large body that may come beyond a stream's own window; more of it gained nothing."""

_PIECE: Final = 256 * 1024  # bytes that are written before the window is waited for


class TooMuch(Exception):
    """The other side sends more than this side takes."""


class Permits:
    """The permissions of one stream, cut anyhow."""

    __slots__ = ("_shift", "_value")

    def __init__(self) -> None:
        self._value = 0
        self._shift = 0

    def receive(self, data: bytes) -> Iterator[int]:
        """Take bytes of the stream; yield the permissions that are whole now, in bytes.

        Raises:
            HostProtocolError: a number of more than 64 bits, or below zero.
        """
        for octet in data:
            self._value |= (octet & 0x7F) << self._shift
            self._shift += 7
            if octet < 0x80:
                value, self._value, self._shift = self._value, 0, 0
                if value & 1 or value >= 2**64:
                    raise HostProtocolError(
                        f"net/rpc: a permission to send {_signed(value)} bytes, expected 0 or more"
                    )
                yield value >> 1
            elif self._shift > 63:
                raise HostProtocolError("net/rpc: a permission of more than ten bytes")


def _signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


async def send_permitted(pipe: BytePipe, data: bytes) -> None:
    """Send bytes as the host permits, then end the stream.

    Raises:
        ConnectionError: the host did not take the stream up, or reset it.
        HostProtocolError: what it sends is no permission.
    """
    await pipe.wait_taken()
    left = memoryview(data)
    permits = Permits()
    try:
        while left:
            received = await pipe.read()
            if not received:
                break  # the host has read enough
            for permitted in permits.receive(received):
                left = await _send(pipe, left, permitted)
    except BaseException:  # what is queued has no way out: whoever should read it has ended
        pipe.reset()
        raise
    pipe.discard()


async def _send(pipe: BytePipe, left: memoryview, permitted: int) -> memoryview:
    """Send at most ``permitted`` bytes; return what is left."""
    until = min(permitted, len(left))
    for start in range(0, until, _PIECE):
        pipe.write(left[start : min(start + _PIECE, until)])
        await pipe.drain()
    return left[until:]


def permit_all(pipe: BytePipe, length: int = -1) -> None:
    """Permit a whole body.

    Args:
        pipe: it has a stream.
        length: the body's bytes; negative when unknown.
    """
    pipe.write(ALL)
    if pipe.stream is not None and not 0 <= length <= INITIAL_WINDOW:
        pipe.stream.widen(WIDER)


async def read_permitted(pipe: BytePipe, limit: int) -> bytes:
    """Permit everything, and return all bytes up to the stream's end.

    Raises:
        TooMuch: more than ``limit`` bytes came; the stream is reset, so that no more are sent.
        ConnectionError: the stream was reset.
    """
    permit_all(pipe)
    return await read_all(pipe, limit)


async def read_all(pipe: BytePipe, limit: int) -> bytes:
    """Return all bytes up to the stream's end; the exceptions are those of ``read_permitted``."""
    parts: list[bytes] = []
    size = 0
    try:
        while part := await pipe.read():
            size += len(part)
            if size > limit:
                raise TooMuch(f"more than {limit} bytes")
            parts.append(part)
    except BaseException:  # a caller that is cancelled, too
        pipe.reset()
        raise
    pipe.discard()
    return b"".join(parts)
