"""Which streams there have been: RFC 9113 sections 5.1 (idle, closed) and 5.1.1.

A connection keeps objects for open streams only. Of the others it knows enough to tell a late frame,
which is allowed, from a frame that is a fault.
"""

from __future__ import annotations

from typing import Final

from mm_asgi.wire.http2.frames import MAX_STREAM_ID, ConnectionFault, ErrorCode, StreamFault

__all__ = ["Identifiers"]

_RESETS_KEPT: Final = 4096
"""Streams that this side has reset and whose late frames are ignored (section 5.1, closed)."""

_GAPS_KEPT: Final = 64
"""Ranges of identifiers that a peer has skipped, at the most; the oldest are forgotten."""


class Identifiers:
    """The identifiers of one connection's streams.

    Attributes:
        opened: the newest stream of this side, or 0.
        accepted: the newest stream of the peer, or 0.
    """

    __slots__ = ("_gaps", "_own", "_resets", "accepted", "opened")

    def __init__(self, *, client: bool) -> None:
        self.opened = 0
        self.accepted = 0
        self._own = int(client)  # a client's streams are odd
        self._gaps: list[range] = []
        self._resets: dict[int, None] = {}

    def open(self) -> int:
        """Return the identifier of this side's next stream.

        Raises:
            OverflowError: there is none left; only a new connection has more (section 5.1.1).
        """
        following = self.opened + 2 if self.opened else 2 - self._own
        if following > MAX_STREAM_ID:
            raise OverflowError("the connection has no stream identifiers left: open a new one")
        self.opened = following
        return following

    def accept(self, stream_id: int) -> None:
        """Note a new stream of the peer, newer than all before."""
        following = self.accepted + 2 if self.accepted else 1 + self._own
        if stream_id != following:
            self._gaps = [*self._gaps[1 - _GAPS_KEPT :], range(following, stream_id, 2)]
        self.accepted = stream_id

    def remember_reset(self, stream_id: int) -> None:
        """Note that this side has reset a stream: its frames that are under way are no fault."""
        self._resets[stream_id] = None
        if len(self._resets) > _RESETS_KEPT:
            del self._resets[next(iter(self._resets))]

    def was_reset(self, stream_id: int) -> bool:
        """Return whether this side has reset a stream lately."""
        return stream_id in self._resets

    def is_own(self, stream_id: int) -> bool:
        """Return whether streams of this number are opened by this side."""
        return stream_id % 2 == self._own

    def is_idle(self, stream_id: int) -> bool:
        """Return whether a stream was neither opened nor skipped."""
        return not stream_id or stream_id > (
            self.opened if self.is_own(stream_id) else self.accepted
        )

    def late_headers(self, stream_id: int) -> None:
        """Check HEADERS for a stream that is not open.

        Raises:
            ConnectionFault: this side has not reset the stream. A skipped identifier counts as
                closed, although it never was a stream.
        """
        if self.is_idle(stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS on idle stream {stream_id}")
        if any(stream_id in gap for gap in self._gaps):
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} is opened after {self.accepted}"
            )
        if stream_id not in self._resets:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"HEADERS on closed stream {stream_id}")

    def late_data(self, stream_id: int) -> None:
        """Check DATA for a stream that is not open.

        Raises:
            ConnectionFault: the stream never was open.
            StreamFault: it is closed, and this side has not reset it.
        """
        if self.is_idle(stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"DATA on idle stream {stream_id}")
        if stream_id not in self._resets:
            raise StreamFault(stream_id, ErrorCode.STREAM_CLOSED, "DATA on a closed stream")
