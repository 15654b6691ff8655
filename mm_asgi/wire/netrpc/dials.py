"""The broker's dials of one link: offers of the other side that are taken up, now or later.

Go gives an offer up after 5 s, while its owner may have nothing to write for longer: a response is
dialled by its first call, which may be minutes away. So whoever dials later says so by
``expect()``, and after a second without its dial the offer is dialled here and kept for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mm_asgi.wire.netrpc.broker import DIAL_TIMEOUT, NumberReader, write_number
from mm_asgi.wire.netrpc.stream_owner import StreamOwner
from mm_asgi.wire.netrpc.yamux_frames import INITIAL_WINDOW

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from mm_asgi.wire.netrpc.yamux_session import MuxSession
    from mm_asgi.wire.netrpc.yamux_stream import MuxStream

__all__ = ["Dials"]

log = logging.getLogger("mm_asgi.wire")

EXPECTED: Final = 1.0
"""Seconds that an offer waits for the first bytes of its owner, of the 5 that the host waits."""

_LATE: Final = 1.0
"""Seconds after which the loop stood still: what came meanwhile is read before a dial expires."""


class Dials:
    """What one link dials.

    Args:
        session: where the streams are opened.
        loop: the clock.
    """

    def __init__(self, session: MuxSession, loop: asyncio.AbstractEventLoop) -> None:
        self._session = session
        self._loop = loop
        self._open: dict[Dial, float] = {}  # without acknowledgement, by when it is due
        self._clock: asyncio.TimerHandle | None = None
        self._was_late = False
        self._expected: dict[int, float] = {}  # not dialled yet, by when it is
        self._expected_clock: asyncio.TimerHandle | None = None
        self._early: dict[int, Dial] = {}  # dialled here, and nobody's yet

    def __len__(self) -> int:
        return len(self._open) + len(self._expected) + len(self._early)

    def dial(self, number: int, owner: StreamOwner, *, fin: bool = False) -> MuxStream:
        """Take up an offer of the other side; see ``MuxLink.dial``."""
        self._expected.pop(number, None)
        early = self._early.pop(number, None)
        if early is not None:
            return early.adopt(owner, fin=fin)
        first = owner.first_bytes()
        dial = self._dial(number, first, fin=fin)
        dial.owner = owner
        assert dial.stream is not None
        owner.stream_opened(dial.stream)
        self.wind()
        return dial.stream

    def _dial(self, number: int, first: bytes, *, fin: bool) -> Dial:
        opening = write_number(number) + first
        if len(opening) > INITIAL_WINDOW:
            raise ValueError(f"{len(first)} bytes to begin a stream with, expected 200 KiB at most")
        dial = Dial(self, number)
        stream = self._session.open(opening, fin=fin)
        stream.owner = dial
        dial.stream_opened(stream)
        self._open[dial] = self._loop.time() + DIAL_TIMEOUT
        return dial

    def wind(self) -> None:
        """Set the clock by which the dials expire."""
        if self._open and self._clock is None:
            self._clock = self._loop.call_later(DIAL_TIMEOUT, self._look)

    def settled(self, dial: Dial) -> None:
        """A dial was acknowledged, or has failed."""
        self._open.pop(dial, None)

    def _look(self) -> None:
        with self._session.lock:
            self._clock = None
            self._expire()

    def _expire(self) -> None:
        now = self._loop.time()
        for dial, due in list(self._open.items()):
            if due > now:
                self._clock = self._loop.call_at(due, self._look)
                break
            if now > due + _LATE and not self._was_late:
                self._was_late = True
                self._clock = self._loop.call_later(_LATE, self._look)
                return
            dial.expire()
        self._was_late = False

    # ---------------------------------------------------------------- later

    def expect(self, number: int) -> None:
        """Keep an offer for a ``dial()`` that comes later, and that has to come."""
        if number in self._early:
            return
        self._expected[number] = self._loop.time() + EXPECTED
        if self._expected_clock is None:
            self._expected_clock = self._loop.call_later(EXPECTED, self._look_at_expected)

    def _look_at_expected(self) -> None:
        with self._session.lock:
            self._expected_clock = None
            self._dial_expected()

    def _dial_expected(self) -> None:
        now = self._loop.time()
        for number, due in list(self._expected.items()):
            if due > now:
                self._expected_clock = self._loop.call_at(due, self._look_at_expected)
                return
            self._dial_early(number)
        self.wind()

    def dial_meanwhile(self, offered: Iterable[int]) -> None:
        """Dial all that is expected and what is offered, in the thread, for owners to come."""
        for number in (*self._expected, *offered):
            if number not in self._early:
                self._dial_early(number)

    def _dial_early(self, number: int) -> None:
        self._expected.pop(number, None)
        try:
            self._early[number] = self._dial(number, b"", fin=False)
        except ConnectionError:
            log.debug("MuxBroker: %d was not dialled: the connection is gone", number)

    def stop(self) -> None:
        """Stop the clocks: the connection is gone."""
        for clock in (self._clock, self._expected_clock):
            if clock is not None:
                clock.cancel()
        self._clock = self._expected_clock = None


class Dial(StreamOwner):
    """One dial, until it is acknowledged and somebody's.

    Args:
        dials: all of them.
        number: what the other side offers.

    Attributes:
        owner: whose it is; None: nobody's yet.
    """

    def __init__(self, dials: Dials, number: int) -> None:
        self._dials = dials
        self._number = number
        self._reader = NumberReader(number)
        self._is_taken = False
        self._is_finished = False
        self._is_lost = False
        self._rest = b""
        self.owner: StreamOwner | None = None

    def adopt(self, owner: StreamOwner, *, fin: bool) -> MuxStream:
        """Give the stream to its owner, who comes later than the dial; return it."""
        stream = self.stream
        assert stream is not None
        self.owner = owner
        if first := owner.first_bytes():
            stream.write(first)
        owner.stream_opened(stream)
        if fin:
            stream.close()
        if self._is_lost:
            owner.stream_ended(whole=False)
        elif self._is_taken:
            self._give(owner)
        return stream

    def _give(self, owner: StreamOwner) -> None:
        stream, rest = self.stream, self._rest
        assert stream is not None
        stream.owner = owner
        owner.stream_taken()
        if rest:
            owner.data_received(rest)
        if self._is_finished:
            owner.stream_ended(whole=True)

    def data_received(self, data: bytes) -> None:
        """Take the acknowledgement, and give the stream on."""
        stream = self.stream
        assert stream is not None
        if self._is_taken:
            self._rest += data  # the window bounds it
            return
        found = self._reader.receive(data)
        if found is None:
            stream.consume(len(data))
            return
        self._rest = found[1]
        stream.consume(len(data) - len(self._rest))
        self._is_taken = True
        self._dials.settled(self)
        if self.owner is not None:
            self._give(self.owner)

    def stream_drained(self) -> None:
        """What the owner wrote has left."""
        if self.owner is not None:
            self.owner.stream_drained()

    def stream_ended(self, *, whole: bool) -> None:
        """The other side sends no more: no acknowledgement will come, or nobody reads."""
        if whole and self._is_taken:
            self._is_finished = True  # its owner has to read what came before
            return
        self._is_lost = True
        self._dials.settled(self)
        if self.stream is not None:
            self.stream.owner = None
            self.stream.reset()
        if self.owner is not None:
            self.owner.stream_ended(whole=False)

    def expire(self) -> None:
        """The other side had 5 s."""
        if self.stream is None or self.stream.owner is not self:
            self._dials.settled(self)  # whom it was for has given the stream up
            return
        log.warning(
            "MuxBroker: the dial of %d was not acknowledged in %g s", self._number, DIAL_TIMEOUT
        )
        self.stream_ended(whole=False)
