"""What a peer may cost: fixed bounds, and counters for what is harmful only in large numbers.

A limit must let the host's polite traffic pass, however busy it is (docs/decisions/0010). The host
cancels each answered RPC, and grpc-go sends a PING for each round trip while data flows. So a reset
counts only when it takes back a request whose handler was not called yet. A frame that brings
nothing counts only until a payload has gone through, in either direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm_asgi.wire.http2.frames import (
    DEFAULT_FRAME_SIZE,
    DEFAULT_WINDOW,
    LARGEST_FRAME_SIZE,
    MAX_WINDOW,
    ConnectionFault,
    ErrorCode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Guard", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one connection.

    Attributes:
        streams: streams open at once. grpc-go queues all others silently, health checks too.
        frame_size: bytes of a received frame's payload.
        header_list: bytes of a received header list, as RFC 9113 section 6.5.2 counts; also the
            bytes of its encoded form.
        continuations: frames of one header block (CVE-2024-27316).
        stream_window: bytes that a peer may send on a stream before they are read.
        connection_window: bytes under way on all streams. They are taken as they come, so that
            one slow reader does not stop the others.
        output: bytes that wait for the transport, from which on bodies are held back.
        replies: bytes of answers that no window holds back (acknowledgements, statuses) and that
            the peer does not read. Above it we read no more from that peer.
        resets: streams that the peer took back before their handler was called (CVE-2023-44487),
            or broke so that we had to reset them (CVE-2025-8671). Each answered stream and each
            ``1 / resets_back`` seconds forgive one.
        resets_back: forgiven resets per second.
        idle_frames: frames in a row that bring nothing: PING, SETTINGS, PRIORITY, unknown types,
            empty or tiny DATA, WINDOW_UPDATE. Fewer than ``idle_back`` a second are a quiet
            peer's PINGs.
        idle_back: see ``idle_frames``; per second.
        tiny: bytes from which on a DATA frame brings something; gRPC's smallest message has 5.
        window_changes: streams whose window the peer's SETTINGS changed. One frame of 15 bytes
            changes all of them. So many are 100 ms of work.
        window_changes_back: forgiven changes per second.
        preface: seconds until the peer's preface and SETTINGS have to be here.
        stall: seconds without progress while output waits for the peer. More than the 300 s that
            the host's net/http waits for a slow client.
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
    idle_back: int = 100
    tiny: int = 5
    window_changes: int = 1_000_000
    window_changes_back: int = 100_000
    preface: float = 10.0
    stall: float = 330.0

    def __post_init__(self) -> None:
        """Check the limits: a peer that has not read our SETTINGS yet must not break them.

        Raises:
            ValueError: one is out of its range.
        """
        if not DEFAULT_FRAME_SIZE <= self.frame_size <= LARGEST_FRAME_SIZE:
            raise ValueError(f"frame_size is {self.frame_size}, expected 16,384 to 16,777,215")
        for window in (self.stream_window, self.connection_window):
            if not DEFAULT_WINDOW <= window <= MAX_WINDOW:
                raise ValueError(f"a window is {window}, expected 65,535 to 2,147,483,647")


class _Bucket:
    """A count that sinks with time."""

    __slots__ = ("_back", "_since", "level")

    def __init__(self, back: int, now: float) -> None:
        self.level = 0.0
        self._back = back
        self._since = now

    def add(self, count: int, now: float) -> float:
        """Add to the count; return its level."""
        forgiven = (now - self._since) * self._back
        self.level = max(0.0, self.level - forgiven) + count
        self._since = now
        return self.level


class Guard:
    """Counts what is harmless once and an attack in large numbers.

    Args:
        limits: the bounds.
        clock: returns seconds, monotonic.

    Attributes:
        idle: how many frames in a row brought nothing. The connection sets it to 0 with each
            payload, in or out.
    """

    __slots__ = ("_changes", "_clock", "_idle_since", "_limits", "_resets", "idle")

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        now = clock()
        self._limits = limits
        self._clock = clock
        self._resets = _Bucket(limits.resets_back, now)
        self._changes = _Bucket(limits.window_changes_back, now)
        self._idle_since = now
        self.idle = 0

    def idle_frame(self) -> None:
        """Count a frame that brings nothing.

        Raises:
            ConnectionFault: it is one too many.
        """
        self.idle += 1
        if self.idle > self._limits.idle_frames:
            self._too_idle()

    def _too_idle(self) -> None:
        now = self._clock()
        seconds, self._idle_since = now - self._idle_since, now
        if seconds * self._limits.idle_back < self.idle:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM,
                f"{self.idle} frames in a row that bring nothing (PING, SETTINGS, empty DATA...)",
            )
        self.idle = 0

    def answered(self) -> None:
        """Count a request that was served to its end."""
        if self._resets.level > 0:
            self._resets.level -= 1

    def broken(self) -> None:
        """Count a stream that the peer broke, or took back before its handler was called.

        Raises:
            ConnectionFault: it is one too many.
        """
        if self._resets.add(1, self._clock()) > self._limits.resets:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM,
                f"over {self._limits.resets} streams that were broken, or reset before they could"
                " be served",
            )

    def window_changes(self, count: int) -> None:
        """Count ``count`` streams whose window the peer's SETTINGS change.

        Raises:
            ConnectionFault: there are too many.
        """
        if self._changes.add(count, self._clock()) > self._limits.window_changes:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM,
                f"SETTINGS changed over {self._limits.window_changes} streams' windows",
            )
