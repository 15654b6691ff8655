"""What a peer may cost: fixed bounds, and counters for what is only wrong in numbers.

A limit must let the host's polite traffic pass, however busy (docs/decisions/0010). It cancels
each answered RPC, and grpc-go sends a PING for each round trip while data flows: so a reset counts
only when it takes back a request that nobody has begun to serve, and a frame that brings nothing
counts only until something has gone through, in either direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm_asgi.wire.http2.frames import ConnectionFault, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Guard", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one connection.

    Attributes:
        streams: open at once; grpc-go queues silently what is above it, health checks too.
        frame_size: bytes of a received frame's payload.
        header_list: bytes of a received header list, as RFC 9113 section 6.5.2 counts; also of
            its encoded form.
        continuations: frames of one header block (CVE-2024-27316).
        stream_window: bytes that a peer may send on a stream before somebody has read them.
        connection_window: bytes under way on all streams, which are taken as they come, so that
            one slow reader does not stop the others.
        output: bytes that wait for the transport before bodies wait too.
        replies: bytes of answers that no window holds back (acknowledgements, statuses) for a
            peer that does not read; above it nothing more is read of that peer.
        resets: requests that the peer took back before they were begun (CVE-2023-44487); each
            answered one and each ``1 / resets_back`` seconds forgive one.
        resets_back: forgiven resets per second.
        idle_frames: frames in a row that brought nothing: PING, SETTINGS, PRIORITY, unknown
            types, empty or tiny DATA, WINDOW_UPDATE.
        tiny: bytes of payload under which a DATA frame brings nothing.
        preface: seconds until the peer's preface and SETTINGS are there.
        stall: seconds without a step while output waits for the peer's window or reading; more
            than the 300 s that the host's net/http waits for a slow client.
    """

    streams: int = 65_536
    frame_size: int = 16_384
    header_list: int = 65_536
    continuations: int = 32
    stream_window: int = 262_144
    connection_window: int = 16_777_216
    output: int = 262_144
    replies: int = 1_048_576
    resets: int = 1_000
    resets_back: int = 200
    idle_frames: int = 10_000
    tiny: int = 32
    preface: float = 10.0
    stall: float = 330.0


class Guard:
    """Counts what is harmless once and an attack in numbers.

    Args:
        limits: the bounds.
        clock: seconds, monotonic.
    """

    __slots__ = ("_clock", "_limits", "_resets", "_since", "idle")

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._resets = 0.0
        self._since = clock()
        self.idle = 0  # whoever moves a payload, in or out, sets it to 0

    def idle_frame(self) -> None:
        """A frame came that brought nothing.

        Raises:
            ConnectionFault: one too many.
        """
        self.idle += 1
        if self.idle > self._limits.idle_frames:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM,
                f"{self.idle} frames in a row that bring nothing (PING, SETTINGS, empty DATA...)",
            )

    def answered(self) -> None:
        """A request was served to its end."""
        if self._resets > 0:
            self._resets -= 1

    def early_reset(self) -> None:
        """The peer took back a request that nobody has begun to serve.

        Raises:
            ConnectionFault: one too many.
        """
        now = self._clock()
        forgiven = (now - self._since) * self._limits.resets_back
        self._resets = max(0.0, self._resets - forgiven) + 1
        self._since = now
        if self._resets > self._limits.resets:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM,
                f"over {self._limits.resets} requests reset before they could be served",
            )
