"""The yamux core: its table, its frames, its windows, its backlog and what ends a session."""

from __future__ import annotations

import pytest

from mm_asgi.wire.netrpc.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER,
    INITIAL_WINDOW,
    PING,
    RST,
    SYN,
    WINDOW,
)
from mm_asgi.wire.netrpc.yamux_session import (
    DataReceived,
    PeerLeaving,
    PongReceived,
    SessionFailed,
    StreamAcknowledged,
    StreamDrained,
    StreamFinished,
    StreamOpened,
    StreamReset,
)
from mm_asgi.wire.netrpc.yamux_stream import MUX_TRANSITIONS, MuxState, MuxStep

from .mux_pair import Pair, Side


def frame(kind: int, flags: int, stream_id: int, length: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(0, kind, flags, stream_id, length) + payload


def data(stream_id: int, payload: bytes, flags: int = 0) -> bytes:
    return frame(DATA, flags, stream_id, len(payload), payload)


def frames(output: bytes) -> list[tuple[int, int, int, int]]:
    """Kind, flags, stream and length of each frame."""
    found, position = [], 0
    while position < len(output):
        version, kind, flags, stream_id, length = HEADER.unpack_from(output, position)
        assert version == 0
        found.append((kind, flags, stream_id, length))
        position += 12 + (length if kind == DATA else 0)
    assert position == len(output)
    return found


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.fixture
def plugin() -> Side:
    return Side(client=False)


# ---------------------------------------------------------------- the table


def test_what_is_over_stays_over() -> None:
    for state in (MuxState.CLOSED, MuxState.RESET):
        assert not [step for (before, step) in MUX_TRANSITIONS if before is state]


def test_a_fin_is_a_step_once_for_each_side() -> None:
    for (before, step), after in MUX_TRANSITIONS.items():
        if step in (MuxStep.SEND_FIN, MuxStep.RECEIVE_FIN):
            assert (after, step) not in MUX_TRANSITIONS, before


def test_every_state_but_the_first_two_can_be_reached() -> None:
    reached = {MuxState.WAITING, MuxState.OPEN}
    todo = list(reached)
    while todo:
        state = todo.pop()
        for (before, _), after in MUX_TRANSITIONS.items():
            if before is state and after not in reached:
                reached.add(after)
                todo.append(after)
    assert reached == set(MuxState)


# ---------------------------------------------------------------- opening


def test_a_syn_carries_the_first_bytes(plugin: Side) -> None:
    stream = plugin.open(b"\x07\x00\x00\x00")
    assert plugin.take() == bytes.fromhex("0000 0001 00000002 00000004 07000000")
    assert stream.state is MuxState.OPENING
    assert stream.send_window == INITIAL_WINDOW - 4


def test_a_syn_without_bytes_is_a_window_update(plugin: Side) -> None:
    plugin.open()
    assert frames(plugin.take()) == [(WINDOW, SYN, 2, 0)]


def test_a_fin_never_shares_the_frame_of_data(plugin: Side) -> None:
    """Go's reader sees the flags before the bytes, and may take the end for the first."""
    stream = plugin.open(b"abcd", fin=True)
    assert frames(plugin.take()) == [(DATA, SYN, 2, 4), (WINDOW, FIN, 2, 0)]
    assert stream.state is MuxState.LOCAL_CLOSED
    other = plugin.open()
    other.write(b"x")
    other.close()
    assert frames(plugin.take())[1:] == [(DATA, 0, 4, 1), (WINDOW, FIN, 4, 0)]


def test_a_host_opens_odd_streams_and_a_plugin_even_ones(pair: Pair) -> None:
    assert [pair.host.open().id for _ in range(3)] == [1, 3, 5]
    assert [pair.plugin.open().id for _ in range(3)] == [2, 4, 6]


def test_a_syn_is_acknowledged_at_once(plugin: Side) -> None:
    events = plugin.receive(frame(WINDOW, SYN, 1, 0))
    assert [type(event) for event in events] == [StreamOpened]
    assert frames(plugin.take()) == [(WINDOW, ACK, 1, 0)]


def test_an_acknowledgement_is_an_event_once(plugin: Side) -> None:
    stream = plugin.open()
    assert plugin.receive(frame(WINDOW, ACK, 2, 0)) == [StreamAcknowledged(stream)]
    assert stream.state is MuxState.OPEN
    assert stream.is_acknowledged
    assert plugin.receive(frame(WINDOW, ACK, 2, 0)) == []


def test_a_syn_may_carry_data_and_fin(plugin: Side) -> None:
    events = plugin.receive(data(1, b"abcd", SYN | FIN))
    assert [type(event) for event in events] == [StreamOpened, DataReceived, StreamFinished]
    assert plugin.received[1] == b"abcd"


def test_the_first_bytes_fit_the_window(plugin: Side) -> None:
    with pytest.raises(ValueError, match="262145 bytes in a SYN"):
        plugin.open(bytes(INITIAL_WINDOW + 1))
    plugin.open(bytes(INITIAL_WINDOW))


def test_numbers_begin_anew_past_those_in_use(plugin: Side) -> None:
    first = plugin.open()
    plugin.session._next_id = 2**32 - 2
    assert plugin.open().id == 2**32 - 2
    assert plugin.open().id == 4
    assert first.id == 2


# ---------------------------------------------------------------- backlog


def test_syns_over_the_backlog_wait_in_order() -> None:
    plugin = Side(client=False, backlog=2)
    streams = [plugin.open(b"%d" % i) for i in range(5)]
    assert [f[2] for f in frames(plugin.take())] == [2, 4]
    assert streams[2].state is MuxState.WAITING
    streams[2].write(b"more")
    streams[2].close()
    plugin.receive(frame(WINDOW, ACK, 2, 0))
    assert frames(plugin.take()) == [(DATA, SYN, 6, 1), (DATA, 0, 6, 4), (WINDOW, FIN, 6, 0)]
    assert StreamDrained(streams[2]) in plugin.events
    plugin.receive(frame(WINDOW, RST, 4, 0))
    assert [f[2] for f in frames(plugin.take())] == [8]
    assert streams[4].state is MuxState.WAITING


def test_a_stream_that_is_over_leaves_the_backlog() -> None:
    """Go never acknowledges a stream whose FIN came before it was accepted."""
    plugin = Side(client=False, backlog=1)
    first, second = plugin.open(b"a", fin=True), plugin.open(b"b")
    plugin.take()
    plugin.receive(frame(WINDOW, FIN, 2, 0))
    assert first.state is MuxState.CLOSED
    assert second.state is MuxState.OPENING
    second.reset()
    plugin.take()
    assert plugin.open().state is MuxState.OPENING


def test_a_waiting_stream_that_is_reset_sends_nothing() -> None:
    plugin = Side(client=False, backlog=1)
    plugin.open()
    waiting = plugin.open(b"x")
    plugin.take()
    waiting.reset()
    plugin.receive(frame(WINDOW, ACK, 2, 0))
    assert plugin.take() == b""
    assert plugin.open().state is MuxState.OPENING  # its place was never taken


def test_streams_over_the_limit_are_reset() -> None:
    plugin = Side(client=False, max_streams=2)
    for stream_id in (1, 3, 5):
        plugin.receive(data(stream_id, b"abc", SYN))
    assert frames(plugin.take())[-1] == (WINDOW, RST, 5, 0)
    assert sorted(plugin.session.streams) == [1, 3]
    assert plugin.session.failure is None
    plugin.streams[1].reset()
    plugin.receive(frame(WINDOW, SYN, 7, 0))
    assert sorted(plugin.session.streams) == [3, 7]


# ---------------------------------------------------------------- windows


def test_what_the_window_does_not_hold_waits(pair: Pair) -> None:
    stream = pair.plugin.open()
    pair.host.consumes = False
    stream.write(bytes(INITIAL_WINDOW + 10))
    assert stream.queued == 10
    pair.settle()
    assert len(pair.host.received[2]) == INITIAL_WINDOW
    pair.host.streams[2].consume(INITIAL_WINDOW // 2 - 1)
    assert pair.host.take() == b""  # less than half a window is not worth a frame
    pair.host.streams[2].consume(1)
    pair.settle()
    assert stream.queued == 0
    assert StreamDrained(stream) in pair.plugin.events
    assert len(pair.host.received[2]) == INITIAL_WINDOW + 10


def test_a_window_that_is_widened_stays_so(pair: Pair) -> None:
    stream = pair.plugin.open()
    pair.host.consumes = False
    stream.write(bytes(INITIAL_WINDOW * 5))
    pair.settle()
    host = pair.host.streams[2]
    host.widen(INITIAL_WINDOW)
    pair.settle()
    assert len(pair.host.received[2]) == INITIAL_WINDOW * 2
    host.consume(INITIAL_WINDOW - 1)
    assert pair.host.take() == b""  # half of the wider one is worth a frame
    host.consume(1)
    pair.settle()
    assert len(pair.host.received[2]) == INITIAL_WINDOW * 3
    assert host.receive_window == 0


def test_a_stream_whose_sender_has_ended_is_not_widened(pair: Pair) -> None:
    pair.plugin.open().close()
    pair.settle()
    pair.host.streams[2].widen(INITIAL_WINDOW)
    assert pair.host.take() == b""


def test_a_close_waits_for_what_was_written(pair: Pair) -> None:
    pair.host.consumes = False
    stream = pair.plugin.open()
    stream.write(bytes(INITIAL_WINDOW * 2))
    stream.close()
    stream.close()
    pair.settle()
    assert 2 not in pair.host.ended
    pair.host.streams[2].consume(INITIAL_WINDOW)
    pair.settle()
    assert pair.host.ended[2] == "finished"
    assert len(pair.host.received[2]) == INITIAL_WINDOW * 2


def test_the_last_bytes_of_a_stream_are_drained_though_it_is_over(plugin: Side) -> None:
    stream = plugin.open()
    stream.write(bytes(INITIAL_WINDOW + 1))
    stream.close()
    plugin.receive(frame(WINDOW, FIN, 2, 0))
    events = plugin.receive(frame(WINDOW, 0, 2, 1))
    assert events == [StreamDrained(stream)]
    assert stream.state is MuxState.CLOSED


def test_a_byte_over_the_window_ends_the_session(plugin: Side) -> None:
    plugin.consumes = False
    plugin.receive(frame(WINDOW, SYN, 1, 0))
    plugin.receive(data(1, bytes(INITIAL_WINDOW)))
    assert not plugin.failure
    plugin.take()
    events = plugin.receive(data(1, b"x"))
    assert [type(event) for event in events] == [StreamReset, SessionFailed]
    assert "1 bytes on stream 1, whose window is 0" in plugin.failure
    assert frames(plugin.take()) == [(GO_AWAY, 0, 0, 1)]


def test_a_window_cannot_grow_without_end(plugin: Side) -> None:
    plugin.receive(frame(WINDOW, SYN, 1, 2**32 - 1))
    assert "a window over 4294967295 bytes" in plugin.failure


def test_more_than_was_read_cannot_be_consumed(plugin: Side) -> None:
    plugin.consumes = False
    plugin.receive(data(1, b"abc", SYN))
    with pytest.raises(ValueError, match=r"consume\(4\), and 3 bytes are unread"):
        plugin.streams[1].consume(4)


def test_no_credit_after_the_other_sides_end(plugin: Side) -> None:
    plugin.consumes = False
    plugin.receive(data(1, bytes(INITIAL_WINDOW), SYN | FIN))
    plugin.take()
    plugin.streams[1].consume(INITIAL_WINDOW)
    assert plugin.take() == b""


def test_views_of_other_items_are_sent_as_bytes(plugin: Side) -> None:
    stream = plugin.open()
    stream.send_window = 3
    plugin.take()
    stream.write(memoryview(bytes(range(8))).cast("I"))
    assert (stream.queued, plugin.take()[-3:]) == (5, b"\x00\x01\x02")


# ---------------------------------------------------------------- ends


def test_each_side_ends_its_own_direction(pair: Pair) -> None:
    stream = pair.plugin.open(b"question", fin=True)
    pair.settle()
    assert pair.host.ended == {2: "finished"}
    pair.host.streams[2].write(b"answer")
    pair.host.streams[2].close()
    pair.settle()
    assert pair.plugin.received[2] == b"answer"
    assert stream.state is MuxState.CLOSED
    assert not pair.plugin.session.streams
    assert not pair.host.session.streams


def test_a_reset_ends_both(pair: Pair) -> None:
    stream = pair.plugin.open(b"x")
    pair.settle()
    stream.reset()
    stream.reset()
    assert frames(pair.plugin.take()) == [(WINDOW, RST, 2, 0)]
    pair.host.receive(frame(WINDOW, RST, 2, 0))
    assert pair.host.ended == {2: "reset"}
    pair.host.streams[2].write(b"late")
    pair.host.streams[2].close()
    assert pair.host.take() == b""


def test_a_write_after_close_is_the_callers_fault(plugin: Side) -> None:
    stream = plugin.open()
    stream.close()
    with pytest.raises(ValueError, match=r"write\(\) after close\(\)"):
        stream.write(b"x")


def test_data_after_a_fin_is_dropped(plugin: Side) -> None:
    """Go's Write and Close may run at once."""
    plugin.receive(frame(WINDOW, SYN | FIN, 1, 0) + data(1, b"late"))
    assert not plugin.failure
    assert plugin.received[1] == b""


@pytest.mark.parametrize("second", [frame(WINDOW, FIN, 1, 0), data(1, b"x", FIN)])
def test_a_second_fin_ends_the_session(plugin: Side, second: bytes) -> None:
    plugin.receive(frame(WINDOW, SYN | FIN, 1, 0) + second)
    assert "a second FIN on stream 1" in plugin.failure


def test_frames_for_streams_that_are_gone_are_no_error(plugin: Side) -> None:
    for flags in (0, ACK, FIN, RST):
        plugin.receive(data(9, b"abc", flags) + frame(WINDOW, flags, 9, 5))
    assert plugin.events == []
    plugin.receive(data(1, b"abc", SYN))
    assert plugin.received[1] == b"abc"


def test_a_reset_between_two_parts_of_a_frame_drops_the_rest(plugin: Side) -> None:
    whole = data(1, b"abcdef", SYN | FIN)
    plugin.receive(whole[:14])
    plugin.streams[1].reset()
    assert plugin.receive(whole[14:] + data(3, b"x", SYN))[-1] == DataReceived(
        plugin.streams[3], b"x"
    )
    assert plugin.received[1] == b"ab"
    assert 1 not in plugin.ended


# ---------------------------------------------------------------- the session


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (HEADER.pack(1, DATA, SYN, 1, 0), "a frame of version 1"),
        (frame(4, 0, 0, 0), "unknown type 4"),
        (frame(WINDOW, SYN, 0, 0), "a SYN for stream 0"),
        (frame(WINDOW, SYN, 2, 0), "a SYN for stream 2"),
        (frame(WINDOW, SYN, 1, 0) * 2, "a second SYN for stream 1"),
    ],
)
def test_what_breaks_the_protocol_ends_the_session(plugin: Side, bad: bytes, text: str) -> None:
    stream = plugin.open()
    plugin.take()
    plugin.receive(frame(WINDOW, SYN, 11, 0) + bad)
    assert text in plugin.failure
    assert plugin.ended[stream.id] == plugin.ended[11] == "reset"
    assert frames(plugin.take())[-1] == (GO_AWAY, 0, 0, 1)
    assert plugin.receive(frame(WINDOW, SYN, 13, 0)) == []
    with pytest.raises(ConnectionError, match=text):
        plugin.session.open()


def test_a_ping_is_answered_with_its_value(plugin: Side) -> None:
    plugin.receive(frame(PING, SYN, 0, 4711))
    assert plugin.take() == frame(PING, ACK, 0, 4711)


def test_a_pong_is_an_event_where_it_was_asked_for(pair: Pair) -> None:
    value = pair.plugin.session.ping()
    pair.settle()
    assert pair.plugin.events == [PongReceived(value)]
    assert pair.plugin.receive(frame(PING, ACK, 0, value)) == []
    assert pair.plugin.session.ping() != value


def test_leaving_takes_no_new_streams_and_keeps_the_old(pair: Pair) -> None:
    pair.host.open(b"old")
    pair.settle()
    pair.plugin.session.leave()
    pair.plugin.session.leave()
    late = pair.host.open(b"crossed")
    pair.settle()
    assert PeerLeaving() in pair.host.events
    assert pair.host.ended == {late.id: "reset"}
    with pytest.raises(ConnectionError, match="accepts no more streams"):
        pair.host.session.open()
    pair.host.streams[1].write(b" goes on")
    pair.settle()
    assert pair.plugin.received[1] == b"old goes on"


@pytest.mark.parametrize(
    ("code", "text"), [(1, "protocol error"), (2, "internal error"), (9, "code 9")]
)
def test_a_go_away_with_a_reason_ends_the_session(plugin: Side, code: int, text: str) -> None:
    plugin.receive(frame(GO_AWAY, 0, 0, code))
    assert text in plugin.failure
    assert plugin.take() == b""


def test_a_lost_connection_resets_every_stream() -> None:
    plugin = Side(client=False, backlog=1)
    plugin.open()
    plugin.open(b"waits")
    plugin.take()
    plugin.receive(frame(WINDOW, SYN, 1, 0))
    plugin.note(plugin.session.lose())
    assert plugin.ended == {2: "reset", 4: "reset", 1: "reset"}
    assert "the connection is gone" in plugin.failure
    assert plugin.session.lose() == []
    assert not plugin.session.streams


def test_the_output_is_counted(plugin: Side) -> None:
    plugin.open(b"abcd")
    assert plugin.session.output_size == 16
    plugin.take()
    assert plugin.session.output_size == 0


def test_both_sides_speak_to_each_other_in_single_bytes(pair: Pair) -> None:
    for index in range(20):
        pair.plugin.open(b"%d" % index, fin=True)
        pair.host.open(b"%d" % index)
    while pair.move(cuts=(1,)):
        pass
    assert not pair.host.failure
    assert not pair.plugin.failure
    numbers = [b"%d" % index for index in range(20)]
    assert [pair.host.received[2 * i + 2] for i in range(20)] == numbers
    assert [pair.plugin.received[2 * i + 1] for i in range(20)] == numbers
    assert [pair.host.ended.get(2 * i + 2) for i in range(20)] == ["finished"] * 20
