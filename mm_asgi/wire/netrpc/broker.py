"""go-plugin's MuxBroker: how two sides agree which stream is for what.

Either side may offer: it thinks of a number, tells it in some call ("the response is written to
4711"), and waits. The other side dials: it opens a stream and sends the number as its first four
bytes, little-endian. The side that offered sends the same four bytes back as its acknowledgement,
and from then on the stream is theirs. Both sides count for themselves, so that the same number may
be offered from both at once and mean two things.

Go waits 5 s on both sides. A dial that comes later is accepted by yamux, is never acknowledged and
is closed after another 5 s, so that only the acknowledgement says that somebody is there. What
the dialling side sends before it waits for that already: the number and the first call leave in
the frame that opens the stream, which saves a round trip for each request.

Offers here are made before their number is told. A dial whose number is not on offer, or not any
more, is therefore refused at once, not kept for 5 s as in Go.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from mm_asgi.errors import HostProtocolError

__all__ = ["DIAL_TIMEOUT", "MuxBroker", "NumberReader", "write_number"]

DIAL_TIMEOUT: Final = 5.0
"""Seconds that go-plugin waits for a dial, and for its acknowledgement."""

_SIZE: Final = 4
_LAST: Final = 2**32 - 1

OfferT = TypeVar("OfferT")


def write_number(number: int) -> bytes:
    """Return the bytes that a dial begins with, and its acknowledgement consists of."""
    return number.to_bytes(_SIZE, "little")


class NumberReader:
    """The first four bytes of a stream.

    Args:
        expected: the number that an acknowledgement has to be; None for a dial's.
    """

    __slots__ = ("_expected", "_held")

    def __init__(self, expected: int | None = None) -> None:
        self._expected = expected
        self._held = b""

    def receive(self, data: bytes) -> tuple[int, bytes] | None:
        """Return the number and the bytes behind it, or None until it is whole.

        Raises:
            HostProtocolError: the acknowledgement is of another number.
        """
        held = self._held + data
        if len(held) < _SIZE:
            self._held = held
            return None
        number = int.from_bytes(held[:_SIZE], "little")
        if self._expected is not None and number != self._expected:
            raise HostProtocolError(
                f"MuxBroker: the dial of {self._expected} was acknowledged as {number}"
            )
        return number, held[_SIZE:]


class MuxBroker(Generic[OfferT]):
    """The offers of one side."""

    def __init__(self) -> None:
        self._offers: dict[int, OfferT] = {}
        self._last = 0

    def offer(self, offered: OfferT) -> int:
        """Return a number that the other side may dial, once.

        Args:
            offered: whose stream it is then.
        """
        self._last = self._last + 1 if self._last < _LAST else 1  # 0 means "none" in calls
        while self._last in self._offers:
            self._last += 1
        self._offers[self._last] = offered
        return self._last

    def withdraw(self, number: int) -> bool:
        """Take an offer back; return whether it was still open."""
        return self._offers.pop(number, None) is not None

    def claim(self, number: int) -> OfferT | None:
        """Return whose a dial is, once; None where the number is not on offer."""
        return self._offers.pop(number, None)
