"""The yamux core under any order of acts, any cut of the input, and any bytes at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_asgi.wire.netrpc.yamux_frames import HEADER, INITIAL_WINDOW
from mm_asgi.wire.netrpc.yamux_session import DataReceived, MuxSession, SessionFailed
from mm_asgi.wire.netrpc.yamux_stream import MuxState

from .mux_pair import Pair, Side, cut

# A machine that is busy is no failure of what is tested.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SIZES = st.sampled_from([0, 1, 11, 13, 4096, INITIAL_WINDOW - 1, INITIAL_WINDOW, 700_000])
CUTS = st.lists(st.sampled_from([1, 2, 11, 12, 13, 5000, 65536]), max_size=4).map(tuple)
ACT = st.one_of(
    st.tuples(st.just("open"), st.booleans(), SIZES, st.booleans()),
    st.tuples(st.just("write"), st.booleans(), st.integers(0, 9), SIZES),
    st.tuples(st.just("close"), st.booleans(), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("reset"), st.booleans(), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("consume"), st.booleans(), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("widen"), st.booleans(), st.integers(0, 9), SIZES),
    st.tuples(st.just("move"), st.booleans(), CUTS, st.just(0)),
)


class Ledger:
    """What each stream was sent by each side, beside the pair that carries it."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.pair.host.consumes = self.pair.plugin.consumes = False
        self.sent: dict[tuple[Side, int], bytearray] = {}
        self.closed: set[tuple[Side, int]] = set()
        self.reset: set[int] = set()

    def side(self, which: bool) -> Side:
        return self.pair.host if which else self.pair.plugin

    def act(self, name: str, which: bool, first: object, second: object) -> None:
        side = self.side(which)
        if name == "open" and isinstance(first, int):
            payload = random.Random(first).randbytes(min(first, INITIAL_WINDOW))
            stream = side.open(payload, fin=bool(second))
            self.sent[side, stream.id] = bytearray(payload)
            if second:
                self.closed.add((side, stream.id))
        elif name == "move" and isinstance(first, tuple):
            self.pair.move(first)
        elif side.streams and isinstance(first, int) and isinstance(second, int):
            stream = list(side.streams.values())[first % len(side.streams)]
            if name == "write" and (side, stream.id) not in self.closed:
                payload = random.Random(second).randbytes(second)
                stream.write(payload)
                self.sent.setdefault((side, stream.id), bytearray()).extend(payload)
            elif name == "close":
                stream.close()
                self.closed.add((side, stream.id))
            elif name == "reset":
                stream.reset()
                self.reset.add(stream.id)
            elif name == "consume":
                stream.consume(stream.unread)
            elif name == "widen":
                stream.widen(second)

    def finish(self) -> None:
        for side in (self.pair.host, self.pair.plugin):
            side.consumes = True
        moved = True
        while moved:
            for side in (self.pair.host, self.pair.plugin):
                for stream in side.streams.values():
                    stream.consume(stream.unread)
            moved = self.pair.move()

    def check(self) -> None:
        for sender, receiver in self.pair.sides():
            assert not receiver.failure
            for (side, stream_id), sent in self.sent.items():
                if side is not sender:
                    continue
                got = receiver.received.get(stream_id, bytearray())
                if stream_id in self.reset:
                    assert sent.startswith(got)
                    continue
                assert got == sent
                closed = (side, stream_id) in self.closed
                assert (receiver.ended.get(stream_id) == "finished") == closed
            for stream in receiver.session.streams.values():
                assert stream.state not in (MuxState.CLOSED, MuxState.RESET)
                assert stream.queued == 0


@settings(CALM, max_examples=150)
@given(st.lists(ACT, max_size=30))
def test_every_byte_arrives_in_order_and_no_order_of_acts_breaks_a_session(
    acts: list[tuple[str, bool, object, object]],
) -> None:
    ledger = Ledger()
    for act in acts:
        ledger.act(*act)
    ledger.finish()
    ledger.check()


def summary(side: Side) -> tuple[object, ...]:
    """What must not depend on the cuts: everything but how often DataReceived came."""
    kinds = [type(event).__name__ for event in side.events if type(event) is not DataReceived]
    return side.received, side.ended, side.failure, kinds, side.take()


def frames_at_random(chooser: random.Random) -> bytes:
    """Frames that are mostly sensible, with some that are not."""
    out = bytearray()
    for _ in range(chooser.randrange(1, 30)):
        kind = chooser.choice([0, 0, 0, 1, 1, 2, 3, chooser.randrange(256)])
        flags = chooser.choice([0, 0, 1, 1, 2, 4, 8, 5, chooser.randrange(65536)])
        stream_id = chooser.choice([0, 1, 1, 2, 3, 3, 5, 7, chooser.randrange(2**32)])
        length = chooser.choice([0, 1, 3, 100, 5000, 300_000, chooser.randrange(2**32)])
        if kind == 3 and chooser.random() < 0.8:
            length = 0
        out += HEADER.pack(int(chooser.random() < 0.01), kind, flags, stream_id, length)
        if kind == 0:
            out += chooser.randbytes(min(length, 6000))
    return bytes(out)


def run(data: bytes, cuts: tuple[int, ...], *, client: bool) -> Side:
    side = Side(client=client)
    for _ in range(3):
        side.open(b"first")
    for part in cut(data, cuts):
        side.receive(part)
    return side


@pytest.mark.parametrize("client", [False, True])
@settings(CALM, max_examples=200)
@given(seed=st.integers(0, 2**32), cuts=CUTS)
def test_the_cut_of_the_input_makes_no_difference(
    client: bool, seed: int, cuts: tuple[int, ...]
) -> None:
    data = frames_at_random(random.Random(seed))
    assert summary(run(data, cuts, client=client)) == summary(run(data, (), client=client))


@settings(CALM, max_examples=300)
@given(data=st.binary(max_size=400))
def test_any_bytes_end_in_events_alone(data: bytes) -> None:
    session = MuxSession(client=False)
    events = session.receive(data)
    assert (session.failure is not None) == any(type(e) is SessionFailed for e in events)


@settings(CALM, max_examples=200)
@given(seed=st.integers(0, 2**32))
def test_what_a_peer_makes_us_keep_is_bounded(seed: int) -> None:
    """Streams by their limit, unread bytes by the windows, no matter what comes."""
    session = MuxSession(client=False, max_streams=3)
    chooser = random.Random(seed)
    for _ in range(20):
        session.receive(frames_at_random(chooser))
        assert len(session.streams) <= 3
        assert all(stream.unread <= INITIAL_WINDOW for stream in session.streams.values())
        assert len(session._tail) < HEADER.size
        session.take()
