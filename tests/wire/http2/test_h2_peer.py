"""Whole connections against the ``h2`` library as the peer, in both roles.

A program is a list of random steps of both sides: requests, DATA, padding, windows, SETTINGS,
resets, PINGs, pauses, and deliveries that cut the bytes anywhere. h2 raises if this side overruns a
window or breaks a rule; this side faults if it believes that h2 did.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_asgi.wire.http2 import hpack
from mm_asgi.wire.http2.connection import Connection
from mm_asgi.wire.http2.frames import ErrorCode
from mm_asgi.wire.http2.limits import Limits
from mm_asgi.wire.http2.stream import StreamState

from .bare import REQUEST, RESPONSE, Clock, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.wire.http2.fields import HeaderSection

WINDOW = 65_535
LIMITS = Limits(stream_window=WINDOW, connection_window=WINDOW, idle_frames=10**9)
ASKED = [*REQUEST[:3], (b":authority", b"host"), *REQUEST[3:]]
TRAILERS = hpack.encode([(b"grpc-status", b"0"), (b"x", b"y" * 50)])
Codes = h2.settings.SettingCodes


class Both:
    """One stream as both sides see it: what each sent and got, who has said what."""

    def __init__(self, ours: Recorder) -> None:
        self.ours = ours
        self.sent = bytearray()
        self.their_sent = bytearray()
        self.their_got = bytearray()
        self.has_head = False
        self.has_ended = False
        self.they_have_head = False
        self.they_have_ended = False
        self.they_saw_the_end = False
        self.is_reset = False

    @property
    def may_send(self) -> bool:
        return (
            self.has_head
            and not self.has_ended
            and self.ours.state in (StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE)
        )

    @property
    def they_may_send(self) -> bool:
        return self.they_have_head and not self.they_have_ended and not self.is_reset


class Pair:
    """Our connection, h2's, and the bytes between."""

    def __init__(self, *, client: bool) -> None:
        self.client = client
        self.clock = Clock()
        self.streams: dict[int, Both] = {}
        self.to_us = bytearray()
        self.to_them = bytearray()
        self.ours = Connection(client=client, limits=LIMITS, clock=self.clock, accept=self._accept)
        self.theirs = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=not client, header_encoding=None)
        )
        self.theirs.initiate_connection()
        self.debt: dict[int, int] = {}  # bytes that they got and have not credited
        # h2 takes any acknowledgement for that of its newest SETTINGS: one at a time.
        self.unacknowledged = 1
        self.settle()

    def _accept(self, stream_id: int, head: HeaderSection) -> Recorder:
        made = Recorder(self.ours, stream_id)
        both = self.streams.setdefault(stream_id, Both(made))
        both.ours = made
        return made

    # ------------------------------------------------------------ bytes

    def pump(self) -> None:
        self.to_us += self.theirs.data_to_send()
        self.to_them += b"".join(self.ours.take())

    def deliver(self, size: int, *, to_us: bool) -> None:
        pipe = self.to_us if to_us else self.to_them
        part = bytearray(pipe[:size])
        del pipe[:size]
        if to_us:
            self.ours.receive(memoryview(part))
            part[:] = bytes(len(part))
            assert self.ours.fault is None, self.ours.fault
        else:
            # h2 uses a new MAX_FRAME_SIZE only with the read after the acknowledgement.
            step = 9 if self.unacknowledged else max(1, len(part))
            for start in range(0, len(part), step):
                for event in self.theirs.receive_data(bytes(part[start : start + step])):
                    self.told(event)
        self.pump()

    def told(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            assert event.stream_id is not None
            assert event.data is not None
            self.streams[event.stream_id].their_got += event.data
            for number in (0, event.stream_id):
                self.debt[number] = self.debt.get(number, 0) + event.flow_controlled_length
        elif isinstance(event, h2.events.StreamEnded):
            assert event.stream_id is not None
            self.streams[event.stream_id].they_saw_the_end = True
        elif isinstance(event, h2.events.StreamReset):
            assert event.stream_id is not None
            self.streams[event.stream_id].is_reset = True
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self.unacknowledged -= 1
        assert not isinstance(event, h2.events.ConnectionTerminated)

    # ------------------------------------------------------------ steps

    def pick(self, which: int) -> Both | None:
        return list(self.streams.values())[which % len(self.streams)] if self.streams else None

    def open(self, which: int, size: int) -> None:
        if len(self.ours.streams) > 20:
            return
        if self.client:
            made = Recorder(self.ours)
            self.ours.open_stream(made, hpack.encode(ASKED))
            self.streams[made.id] = both = Both(made)
            both.has_head = True
        else:
            number = self.theirs.get_next_available_stream_id()
            self.theirs.send_headers(number, ASKED)
            self.streams[number] = both = Both(Recorder(self.ours, number))
            both.they_have_head = True

    def head(self, which: int, size: int) -> None:
        """The server's response begins."""
        both = self.pick(which)
        if both is None:
            return
        if self.client:
            if not both.they_have_head and not both.is_reset and self.is_known(both):
                both.they_have_head = True
                self.theirs.send_headers(both.ours.id, RESPONSE)
        elif not both.has_head and both.ours.heads and both.ours.state is not StreamState.CLOSED:
            both.has_head = True
            both.ours.send_headers(hpack.encode(RESPONSE))

    def is_known(self, both: Both) -> bool:
        """Whether h2 has the request already."""
        return self.theirs.streams.get(both.ours.id) is not None

    def send(self, which: int, size: int) -> None:
        both = self.pick(which)
        if both is not None and both.may_send and len(both.sent) < 300_000:
            body = bytes((which % 256,)) * size
            both.sent += body
            both.ours.send_data((body[: size // 3], body[size // 3 :]), size)

    def their_send(self, which: int, size: int) -> None:
        both = self.pick(which)
        if both is None or not both.they_may_send:
            return
        padding = which % 256 if size % 2 else None
        extra = 0 if padding is None else padding + 1
        size = min(
            size,
            self.theirs.local_flow_control_window(both.ours.id) - extra,
            self.theirs.max_outbound_frame_size - extra,
        )
        if size >= 0:
            body = bytes((which % 256,)) * size
            both.their_sent += body
            self.theirs.send_data(both.ours.id, body, pad_length=padding)

    def end(self, which: int, size: int) -> None:
        both = self.pick(which)
        # h2 refuses an empty DATA frame while the window is below 0, which section 6.9 allows.
        if both is not None and both.may_send and both.ours.send_window >= 0:
            both.has_ended = True
            both.ours.send_end(TRAILERS if size % 2 and not self.client else None)

    def their_end(self, which: int, size: int) -> None:
        both = self.pick(which)
        if both is not None and both.they_may_send:
            both.they_have_ended = True
            if size % 2:
                self.theirs.send_headers(both.ours.id, [(b"x", b"y")], end_stream=True)
            else:
                self.theirs.end_stream(both.ours.id)

    def reset(self, which: int, size: int) -> None:
        both = self.pick(which)
        if both is not None and both.ours.state not in (StreamState.IDLE, StreamState.CLOSED):
            both.is_reset = True
            both.ours.reset(ErrorCode.CANCEL)

    def their_reset(self, which: int, size: int) -> None:
        both = self.pick(which)
        if both is None or both.is_reset or not self.is_known(both):
            return
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self.theirs.reset_stream(both.ours.id)
            both.is_reset = True

    def window(self, which: int, size: int) -> None:
        number = 0 if which % 2 else self.some_id(which)
        owed = min(size, self.debt.get(number, 0))
        if owed:
            if not number or number in self.theirs.streams:  # h2 forgets those that are closed
                with contextlib.suppress(h2.exceptions.StreamClosedError):
                    self.theirs.increment_flow_control_window(owed, number or None)
            self.debt[number] -= owed

    def some_id(self, which: int) -> int:
        both = self.pick(which // 2)
        return 0 if both is None else both.ours.id

    def their_settings(self, which: int, size: int) -> None:
        values: list[dict[Codes | int, int]] = [
            {Codes.INITIAL_WINDOW_SIZE: size},
            {Codes.MAX_FRAME_SIZE: 16_384 + size},
            {Codes.HEADER_TABLE_SIZE: size % 5000},
            {Codes.HEADER_TABLE_SIZE: 0, Codes.INITIAL_WINDOW_SIZE: 0},
        ]
        if not self.unacknowledged:
            self.unacknowledged += 1
            self.theirs.update_settings(values[which % 4])

    def ping(self, which: int, size: int) -> None:
        self.theirs.ping(b"12345678")

    def pause(self, which: int, size: int) -> None:
        self.ours.pause()

    def resume(self, which: int, size: int) -> None:
        self.ours.resume()

    def to_our_side(self, which: int, size: int) -> None:
        self.deliver(size, to_us=True)

    def to_their_side(self, which: int, size: int) -> None:
        self.deliver(size, to_us=False)

    # ------------------------------------------------------------ the end

    def settle(self) -> None:
        """Deliver, credit and end until nothing moves any more."""
        self.ours.resume()
        for _ in range(400):
            self.pump()
            if not self.to_us and not self.to_them and not any(self.debt.values()):
                return
            self.deliver(len(self.to_us), to_us=True)
            self.deliver(len(self.to_them), to_us=False)
            for number, owed in self.debt.items():
                if owed and number:
                    self.debt[number] += WINDOW  # a present, or a window of 1 would take for ever
                self.window(1 if number == 0 else 2 * self.index(number), 10**6)
        raise AssertionError("it does not settle")

    def index(self, number: int) -> int:
        return [both.ours.id for both in self.streams.values()].index(number)

    def check_windows(self) -> None:
        """Both sides count the same; what is not credited yet is all that is missing."""
        assert self.ours._receive_window == self.theirs.outbound_flow_control_window
        for number, stream in self.ours.streams.items():
            theirs = self.theirs.streams.get(number)
            if theirs is not None and not theirs.closed:
                assert stream.receive_window == theirs.outbound_flow_control_window
                assert stream.receive_window + stream._uncredited == WINDOW

    def finish(self) -> None:
        for which in range(len(self.streams)):
            self.head(which, 0)
            self.end(which, which)
            self.their_end(which, which + 1)


STEPS: list[Callable[[Pair, int, int], None]] = [
    Pair.open, Pair.head, Pair.send, Pair.their_send, Pair.end, Pair.their_end, Pair.reset,
    Pair.their_reset, Pair.window, Pair.their_settings, Pair.ping, Pair.pause, Pair.resume,
    Pair.to_our_side, Pair.to_their_side,
]  # fmt: skip
# The common ones more often.
WEIGHTED = [*STEPS, *[Pair.open, Pair.head, Pair.window] * 2,
            *[Pair.send, Pair.their_send, Pair.to_our_side, Pair.to_their_side] * 4]  # fmt: skip

steps = st.tuples(
    st.sampled_from(WEIGHTED),
    st.integers(0, 300),
    st.integers(1, 40) | st.integers(1, 3_000) | st.integers(1, 70_000),
)


def run(program: list[tuple[Callable[[Pair, int, int], None], int, int]], *, client: bool) -> None:
    pair = Pair(client=client)
    pair.open(0, 0)
    for step, which, size in program:
        step(pair, which, size)
        pair.pump()
    pair.settle()
    pair.check_windows()
    pair.their_settings(0, WINDOW)
    pair.settle()
    pair.finish()
    pair.settle()
    assert pair.ours.streams == {}
    assert pair.ours.waiting == {}
    assert pair.ours.fault is None
    for both in pair.streams.values():
        if both.is_reset:
            assert both.sent.startswith(both.their_got)
            assert both.their_sent.startswith(both.ours.body)
        else:
            assert both.their_got == both.sent
            assert both.ours.body == both.their_sent
            assert both.they_saw_the_end
            assert both.ours.ended == 1
            assert both.ours.closed == []
    assert pair.ours._receive_window == pair.theirs.outbound_flow_control_window
    assert (
        pair.ours.send_window
        == pair.theirs._inbound_flow_control_window_manager.current_window_size
    )


@pytest.mark.parametrize("client", [False, True], ids=["server", "client"])
@settings(deadline=None, max_examples=100)
@given(program=st.lists(steps, max_size=60))
def test_random_programs(
    program: list[tuple[Callable[[Pair, int, int], None], int, int]], client: bool
) -> None:
    run(program, client=client)


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("client", [False, True], ids=["server", "client"])
@settings(deadline=None, max_examples=300)
@given(program=st.lists(steps, min_size=20, max_size=300))
def test_long_random_programs(
    program: list[tuple[Callable[[Pair, int, int], None], int, int]], client: bool
) -> None:
    run(program, client=client)
