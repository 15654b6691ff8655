"""The connection, frame by frame: windows, ends, faults (RFC 9113)."""

from __future__ import annotations

import logging
import struct

import pytest

from mm_asgi.wire.http2 import frames, hpack
from mm_asgi.wire.http2.frames import ErrorCode, FrameType, SettingID
from mm_asgi.wire.http2.limits import Limits
from mm_asgi.wire.http2.stream import StreamState

from .bare import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    GREETING,
    HEADERS,
    PADDED,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Bare,
    Recorder,
    data,
    parse,
    request,
)

WINDOW = 65_535
SMALL = Limits(stream_window=WINDOW, connection_window=WINDOW)


def setting(key: SettingID, value: int) -> bytes:
    return frames.settings({key: value})


def credited(bare: Bare, stream_id: int) -> int:
    """The WINDOW_UPDATEs of a stream, or of the connection (0), among what was sent."""
    return sum(
        int.from_bytes(frame.payload, "big")
        for frame in bare.taken()
        if (frame.kind, frame.stream_id) == (WINDOW_UPDATE, stream_id)
    )


# ---------------------------------------------------------------- the preface


def test_the_preface_says_the_limits() -> None:
    bare = Bare(Limits(frame_size=20_000))
    first, second = parse(bare.greeting)
    values = dict(struct.iter_unpack(">HL", first.payload))
    assert values == {3: 65_536, 4: 262_144, 5: 20_000, 6: 65_536}
    assert int.from_bytes(second.payload, "big") == 16_777_216 - WINDOW
    client = Bare(SMALL, client=True)
    assert client.greeting.startswith(frames.PREFACE)
    (only,) = parse(client.greeting[len(frames.PREFACE) :])
    assert dict(struct.iter_unpack(">HL", only.payload)) == {2: 0, 4: WINDOW, 6: 65_536}


@pytest.mark.parametrize(
    "wrong",
    [{"frame_size": 16_383}, {"stream_window": 65_534}, {"connection_window": 2**31}],
    ids=str,
)
def test_a_limit_that_a_fresh_peer_would_break_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Limits(**wrong)


@pytest.mark.parametrize("step", [1, 5, 23, 24, 33])
def test_a_preface_may_come_in_parts(step: int) -> None:
    bare = Bare(greet=False)
    bare.give(GREETING, request(1, end=True), step=step)
    assert bare.streams[1].ended == 1


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "does not speak HTTP/2"),
        (frames.PREFACE[:-1] + b"x", "does not speak HTTP/2"),
        (frames.PREFACE + frames.ping(b"12345678"), "before SETTINGS"),
        (frames.PREFACE + request(1), "before SETTINGS"),
    ],
)
def test_a_wrong_preface_ends_it(first: bytes, text: str) -> None:
    bare = Bare(greet=False)
    bare.give(first)
    assert text in str(bare.connection.fault)
    assert bare.fault is ErrorCode.PROTOCOL_ERROR


# ---------------------------------------------------------------- receive windows


def test_padding_is_credited_to_both_windows() -> None:
    bare = Bare(SMALL)
    bare.give(request(1))
    for _ in range(20):
        bare.give(data(1, b"x", padding=255), data(1, b"", padding=255), *[data(1, b"y" * 7000)])
        sent = bare.taken()
        assert not [frame for frame in sent if frame.kind == RST_STREAM]
    assert bare.fault is None
    assert bare.streams[1].body == (b"x" + b"y" * 7000) * 20


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05abcd", b"\xff" + b"x" * 254])
def test_padding_as_long_as_its_frame(payload: bytes) -> None:
    bare = Bare()
    bare.give(request(1), frames.frame(DATA, PADDED, 1, payload))
    assert bare.fault is ErrorCode.PROTOCOL_ERROR


def test_a_stream_window_is_credited_only_as_its_reader_reads() -> None:
    bare = Bare(SMALL, credits=False)
    bare.give(request(1))
    bare.give(*[data(1, b"x" * 16_384)] * 3, data(1, b"x" * (WINDOW - 3 * 16_384)))
    assert credited(bare, 1) == 0
    bare.streams[1].credit(40_000)
    assert credited(bare, 1) == 40_000
    bare.give(*[data(1, b"x" * 10_000)] * 4)
    assert not [frame for frame in bare.taken() if frame.kind == RST_STREAM]
    bare.give(data(1, b"x"))
    assert [(f.stream_id, f.code) for f in bare.taken() if f.kind == RST_STREAM] == [
        (1, ErrorCode.FLOW_CONTROL_ERROR)
    ]
    assert bare.streams[1].closed == [ErrorCode.FLOW_CONTROL_ERROR]
    assert bare.is_clean()


def test_data_over_the_connections_window_ends_it() -> None:
    """The window is opened with the read that uses it up, but a peer has to wait for that."""
    bare = Bare(SMALL, credits=False)
    bare.give(request(1))
    bare.connection._receive_window = 3  # as if nothing had been credited
    bare.give(data(1, b"1234"))
    assert bare.fault is ErrorCode.FLOW_CONTROL_ERROR
    assert bare.streams[1].closed == [None]


@pytest.mark.parametrize("end", ["reset by the peer", "reset here", "refused", "half-closed"])
def test_dropped_data_is_credited_to_the_connection(end: str) -> None:
    bare = Bare(Limits(stream_window=WINDOW, connection_window=WINDOW, streams=2), credits=False)
    bare.give(request(1), request(3, end=end == "half-closed"))
    if end == "reset by the peer":
        bare.give(frames.reset(3, 8))
    elif end == "reset here":
        bare.streams[3].reset(ErrorCode.NO_ERROR)
    target = 5 if end == "refused" else 3
    if end == "refused":
        bare.give(request(5))
        assert bare.taken()[-1].code is ErrorCode.REFUSED_STREAM
    total = 0
    for _ in range(20):
        bare.give(data(target, b"x" * 16_384))
        total += credited(bare, 0)
        assert bare.fault is None
    assert total > 20 * 16_384 - WINDOW
    bare.give(data(1, b"still here"))
    assert bare.streams[1].body == b"still here"


# ---------------------------------------------------------------- DATA in parts


@pytest.mark.parametrize("step", [1, 2, 8, 9, 10, 100])
def test_a_frame_in_parts_keeps_its_end(step: int) -> None:
    bare = Bare()
    bare.give(request(1), data(1, b"a" * 50), data(1, b"b" * 50, end=True), step=step)
    assert bare.streams[1].body == b"a" * 50 + b"b" * 50
    assert bare.streams[1].ended == 1
    assert bare.streams[1].state is StreamState.HALF_CLOSED_REMOTE


def test_a_stream_that_ends_between_two_parts() -> None:
    bare = Bare()
    frame = data(1, b"abcdef", end=True)
    bare.give(request(1), frame[:12])
    assert bare.streams[1].body == b"abc"
    bare.streams[1].reset(ErrorCode.CANCEL)
    bare.taken()
    bare.give(frame[12:], request(3, end=True))
    assert bare.streams[1].body == b"abc"
    assert bare.streams[1].ended == 0
    assert bare.streams[3].ended == 1
    assert bare.taken() == []


def test_a_part_of_a_frame_for_a_closed_stream_is_refused_once() -> None:
    bare = Bare()
    bare.give(request(1), frames.reset(1, 8))
    for octet in data(1, b"abcdef", end=True):
        bare.give(bytes((octet,)))
    assert [(f.kind, f.code) for f in bare.taken()] == [(RST_STREAM, ErrorCode.STREAM_CLOSED)]
    bare.give(request(3, end=True))
    assert bare.streams[3].ended == 1


# ---------------------------------------------------------------- Content-Length


@pytest.mark.parametrize(
    ("declared", "sent", "ok"), [(3, b"abc", True), (3, b"ab", False), (3, b"abcd", False)]
)
@pytest.mark.parametrize("step", [None, 1])
def test_a_requests_content_length(declared: int, sent: bytes, ok: bool, step: int | None) -> None:
    bare = Bare()
    head = request(1, (b"content-length", b"%d" % declared))
    bare.give(head, data(1, sent, end=True), step=step)
    assert bare.streams[1].ended == ok
    assert bare.streams[1].closed == ([] if ok else [ErrorCode.PROTOCOL_ERROR])


@pytest.mark.parametrize("trailers", [False, True])
def test_a_content_length_without_a_body(trailers: bool) -> None:
    bare = Bare()
    bare.give(request(1, (b"content-length", b"1"), end=not trailers))
    if trailers:
        bare.give(frames.headers(1, hpack.encode([(b"x", b"y")]), end=True))
    assert bare.streams[1].closed == [ErrorCode.PROTOCOL_ERROR]
    assert bare.streams[1].ended == 0


@pytest.mark.parametrize(("status", "ok"), [(b"200", False), (b"304", True)])
def test_a_responses_content_length(status: bytes, ok: bool) -> None:
    bare = Bare(client=True)
    stream = bare.open()
    head = hpack.encode([(b":status", status), (b"content-length", b"5")])
    bare.give(frames.headers(1, head, end=False), data(1, b"", end=True))
    assert stream.closed == ([] if ok else [ErrorCode.PROTOCOL_ERROR])


def test_a_stream_that_its_reader_ended_is_not_reset_twice() -> None:
    bare = Bare()

    class Ends(Recorder):
        def on_data(self, data: memoryview) -> None:
            self.reset(ErrorCode.CANCEL)

    bare.connection._accept = lambda stream_id, head: Ends(bare.connection, stream_id)
    bare.give(request(1, (b"content-length", b"9")), data(1, b"short", end=True))
    assert [(f.kind, f.code) for f in bare.taken()] == [(RST_STREAM, ErrorCode.CANCEL)]
    assert bare.is_clean()


# ---------------------------------------------------------------- send windows


def test_pending_bytes_leave_before_the_trailers() -> None:
    bare = Bare()
    bare.give(setting(SettingID.INITIAL_WINDOW_SIZE, 10), request(1, end=True))
    bare.taken()
    stream = bare.streams[1]
    stream.send_headers(hpack.encode(RESPONSE))
    token = stream.send_data((b"0123456789", b"abcde"), 15)
    stream.send_end(hpack.encode([(b"grpc-status", b"0")]))
    assert token is not None
    assert [(f.kind, f.flags) for f in bare.taken()] == [(HEADERS, END_HEADERS), (DATA, 0)]
    assert stream.sent == []
    bare.give(frames.window_update(1, 5))
    sent = bare.taken()
    assert [(f.kind, f.flags) for f in sent] == [(DATA, 0), (HEADERS, END_HEADERS | END_STREAM)]
    assert sent[0].payload == b"abcde"
    assert stream.sent == [token]
    assert bare.is_clean()


def test_a_window_that_settings_took_back_sends_nothing() -> None:
    bare = Bare()
    bare.give(request(1, end=True))
    stream = bare.streams[1]
    stream.send_headers(hpack.encode(RESPONSE))
    bare.connection.pause()
    token = stream.send_data((b"x" * 100,), 100)
    bare.give(setting(SettingID.INITIAL_WINDOW_SIZE, 0))
    bare.taken()
    bare.connection.resume()
    assert bare.taken() == []
    # Nothing of the message has left, so an end that drops what waits may drop all of it.
    stream.drop_pending(whole=False)
    assert stream.sent == [token]
    assert not stream.waits


def test_a_window_below_zero_grows_back() -> None:
    bare = Bare()
    bare.give(request(1, end=True))
    stream = bare.streams[1]
    stream.send_headers(hpack.encode(RESPONSE))
    assert stream.send_data((b"x" * 1000,), 1000) is None
    bare.give(setting(SettingID.INITIAL_WINDOW_SIZE, 400))
    assert stream.send_window == -600
    stream.send_data((b"y" * 10,), 10)
    bare.taken()
    bare.give(frames.window_update(1, 600))
    assert bare.taken() == []
    bare.give(frames.window_update(1, 4))
    assert [f.payload for f in bare.taken()] == [b"yyyy"]
    bare.give(setting(SettingID.INITIAL_WINDOW_SIZE, 1000))
    assert [f.payload for f in bare.taken() if f.kind == DATA] == [b"y" * 6]


@pytest.mark.parametrize("stream_id", [0, 1])
def test_a_window_over_its_maximum(stream_id: int) -> None:
    bare = Bare()
    bare.give(request(1), frames.window_update(stream_id, 2**31 - 1))
    if stream_id:
        assert bare.taken()[-1].code is ErrorCode.FLOW_CONTROL_ERROR
        assert bare.is_clean()
        assert bare.connection.fault is None
    else:
        assert bare.fault is ErrorCode.FLOW_CONTROL_ERROR


def test_settings_that_overflow_a_streams_window_end_the_connection() -> None:
    bare = Bare()
    bare.give(request(1), frames.window_update(1, 1000))
    bare.give(setting(SettingID.INITIAL_WINDOW_SIZE, 2**31 - 1))
    assert bare.fault is ErrorCode.FLOW_CONTROL_ERROR


def test_streams_that_wait_take_turns() -> None:
    bare = Bare()
    bare.give(setting(SettingID.INITIAL_WINDOW_SIZE, 1_000_000), request(1), request(3))
    bare.connection.pause()
    for number in (1, 3):
        bare.streams[number].send_headers(hpack.encode(RESPONSE))
        bare.streams[number].send_data((b"x" * 40_000,), 40_000)
    bare.taken()
    bare.connection.resume()
    assert [f.stream_id for f in bare.taken()] == [1, 3, 1, 3]
    assert bare.connection.send_window == 0
    bare.give(frames.window_update(0, 20_000))
    assert [(f.stream_id, len(f.payload)) for f in bare.taken()] == [(1, 7232), (3, 7233)]
    assert bare.connection.send_window == 20_000 - 7232 - 7233


# ---------------------------------------------------------------- the ends of streams


def reset_by_peer(bare: Bare) -> None:
    bare.give(frames.reset(1, 8))


def reset_here(bare: Bare) -> None:
    bare.streams[1].reset(ErrorCode.CANCEL)


def lost(bare: Bare) -> None:
    bare.connection.lose()


def broken(bare: Bare) -> None:
    bare.give(frames.window_update(1, 0))


def connection_broken(bare: Bare) -> None:
    bare.give(frames.window_update(0, 0))


@pytest.mark.parametrize("end", [reset_by_peer, reset_here, lost, broken, connection_broken])
def test_whoever_waits_is_told_of_the_end(end: object) -> None:
    bare = Bare()
    bare.give(setting(SettingID.INITIAL_WINDOW_SIZE, 0), request(1))
    stream = bare.streams[1]
    stream.begun = True
    stream.send_headers(hpack.encode(RESPONSE))
    tokens = [stream.send_data((b"prefix", b"x" * 10), 16) for _ in range(3)]
    stream.send_end(hpack.encode([(b"grpc-status", b"0")]))
    assert None not in tokens
    end(bare)  # type: ignore[operator]
    assert stream.sent == tokens
    assert stream.state is StreamState.CLOSED
    assert not stream.waits
    assert bare.is_clean()
    assert len(stream.closed) == (end is not reset_here)
    bare.connection.lose()
    assert len(stream.closed) == (end is not reset_here)


def test_what_a_lost_stream_is_told_may_end_another_one() -> None:
    bare = Bare()

    class Drags(Recorder):
        def on_closed(self, code: ErrorCode | None) -> None:
            super().on_closed(code)
            for other in bare.streams.values():
                other.reset(ErrorCode.CANCEL)

    def accept(stream_id: int, head: object) -> Recorder:
        bare.streams[stream_id] = Drags(bare.connection, stream_id)
        return bare.streams[stream_id]

    bare.connection._accept = accept
    bare.give(request(1), request(3), request(5))
    bare.connection.lose()
    assert [stream.closed for stream in bare.streams.values()] == [[None], [], []]
    assert bare.is_clean()


def test_a_goaway_from_the_server_ends_the_streams_above_it_once() -> None:
    bare = Bare(client=True)
    streams = [bare.open() for _ in range(3)]
    bare.give(frames.go_away(1, 0), frames.go_away(1, 0))
    assert [stream.closed for stream in streams] == [
        [],
        [ErrorCode.REFUSED_STREAM],
        [ErrorCode.REFUSED_STREAM],
    ]
    assert bare.connection.peer_last == 1
    head = hpack.encode(RESPONSE)
    bare.give(frames.headers(1, head, end=False), data(1, b"served", end=True))
    assert streams[0].body == b"served"


def test_a_goaway_from_the_client_stops_nothing() -> None:
    bare = Bare()
    bare.give(request(1), frames.go_away(0, 0), data(1, b"more", end=True), request(3))
    assert bare.streams[1].ended == 1
    assert 3 in bare.streams


def test_the_graceful_end_has_two_steps() -> None:
    bare = Bare()
    told: list[int] = []
    bare.connection.farewell = lambda: told.append(1)
    bare.give(request(1))
    bare.connection.leave()
    bare.connection.leave()
    first, ping = bare.taken()
    assert struct.unpack(">LL", first.payload) == (2**31 - 1, 0)
    bare.give(request(3))  # it had not heard yet
    assert [(f.stream_id, f.code) for f in bare.taken()] == [(3, ErrorCode.REFUSED_STREAM)]
    for payload in (b"other one", ping.payload, ping.payload):
        bare.give(frames.ping(payload[:8], ack=True))
    (second,) = bare.taken()
    assert struct.unpack(">LL", second.payload) == (3, 0)
    assert told == [1]
    bare.give(data(1, b"served", end=True))
    assert bare.streams[1].ended == 1


def test_nothing_is_read_after_a_fault() -> None:
    bare = Bare()
    bare.give(request(1), frames.window_update(0, 0), request(3), step=None)
    assert bare.fault is ErrorCode.PROTOCOL_ERROR
    bare.give(b"\xff" * 1000, request(5))
    bare.connection.lose()
    bare.connection.leave()
    assert set(bare.streams) == {1}
    assert bare.streams[1].closed == [None]
    assert bare.taken() == []


def test_stream_identifiers_end() -> None:
    bare = Bare(client=True)
    bare.connection.ids.opened = 2**31 - 3
    assert bare.open().id == 2**31 - 1
    with pytest.raises(OverflowError, match="open a new one"):
        bare.open()


# ---------------------------------------------------------------- header blocks


def test_a_header_table_that_shrinks_and_grows_is_told() -> None:
    """RFC 7541 section 4.2: the smallest of several changes."""
    bare = Bare()
    bare.give(setting(SettingID.HEADER_TABLE_SIZE, 0), setting(SettingID.HEADER_TABLE_SIZE, 4096))
    bare.give(request(1), request(3))
    bare.taken()
    for number in (1, 3):
        bare.streams[number].send_headers(hpack.encode(RESPONSE))
    first, second = bare.taken()
    assert first.payload == b"\x20" + second.payload


def test_a_head_is_forgotten_when_the_table_changes() -> None:
    bare = Bare()
    indexed = b"\x40\x01x\x01"
    bare.give(request(1, end=True))
    block = hpack.encode(REQUEST_LINE)
    first = frames.headers(3, block + indexed + b"a", end=True)  # adds x: a
    again = frames.headers(5, block + b"\xbe", end=True)  # the newest entry
    third = frames.headers(7, block + indexed + b"b", end=True)  # adds x: b
    last = frames.headers(9, block + b"\xbe", end=True)
    bare.give(first, again, third, last)
    got = [bare.streams[number].heads[0].fields for number in (3, 5, 7, 9)]
    assert got == [[(b"x", b"a")], [(b"x", b"a")], [(b"x", b"b")], [(b"x", b"b")]]


REQUEST_LINE = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/")]


def test_the_table_follows_blocks_that_nobody_wants() -> None:
    """Section 4.3: of a refused stream, of late trailers, of a malformed request."""
    bare = Bare(Limits(streams=1))
    block = hpack.encode(REQUEST_LINE)
    bare.give(request(1))
    bare.give(frames.headers(3, block + b"\x40\x01x\x01a", end=True))  # refused
    bare.streams[1].reset(ErrorCode.CANCEL)
    bare.give(frames.headers(1, b"\x40\x01x\x01b", end=True))  # late
    bare.give(frames.headers(5, b"\x40\x01x\x01c", end=True))  # malformed
    bare.give(frames.headers(7, block + b"\xbe\xbf\xc0", end=True))
    assert bare.streams[7].heads[0].fields == [(b"x", b"c"), (b"x", b"b"), (b"x", b"a")]


def test_many_different_heads_do_not_shut_the_cache_nor_fill_it() -> None:
    bare = Bare()
    heads = bare.connection._blocks._heads
    for number in range(1000):
        more = (b"x", b"%d" % number if number % 2 else b"%d" % number * 2000)
        bare.give(request(2 * number + 1, more, end=True), frames.reset(2 * number + 1, 8))
    assert sum(map(len, heads)) < 256 * 1024
    bare.give(request(2001, end=True), request(2003, end=True))
    assert bare.streams[2001].heads[0] is bare.streams[2003].heads[0]


# ---------------------------------------------------------------- faults and their log


def test_a_stream_that_is_idle_is_not_reset() -> None:
    """Section 5.1: no RST_STREAM for a stream that the peer has not opened."""
    bare = Bare()
    bare.give(frames.frame(FrameType.PRIORITY, 0, 5, b"1234"))
    assert bare.fault is ErrorCode.FRAME_SIZE_ERROR


def test_a_stream_is_reset_once() -> None:
    bare = Bare()
    wrong = frames.frame(FrameType.PRIORITY, 0, 1, b"1234")
    bare.give(request(1), frames.reset(1, 8), wrong, wrong, data(1, b"x"), request(3), wrong)
    assert [(f.stream_id, f.code) for f in bare.taken()] == [(1, ErrorCode.FRAME_SIZE_ERROR)]


def test_a_broken_stream_is_logged_once_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    bare = Bare()
    for number in (1, 3, 5):
        bare.give(request(number), frames.window_update(number, 0))
    lines = [(r.levelno, r.getMessage()) for r in caplog.records if r.levelno > logging.DEBUG]
    assert lines == [(logging.WARNING, "stream 1 reset with PROTOCOL_ERROR: WINDOW_UPDATE by 0")]


def test_a_client_survives_a_server_that_refuses_all() -> None:
    """Who resets what this side asked for attacks nobody."""
    bare = Bare(Limits(resets=10), client=True)
    streams = [bare.open() for _ in range(50)]
    for stream in streams:
        bare.give(frames.reset(stream.id, ErrorCode.REFUSED_STREAM))
    assert bare.fault is None
    assert all(stream.closed == [ErrorCode.REFUSED_STREAM] for stream in streams)


def test_an_unknown_reset_code_is_an_error() -> None:
    bare = Bare()
    bare.give(request(1), frames.reset(1, 4711))
    assert bare.streams[1].closed == [ErrorCode.INTERNAL_ERROR]


CONNECTION_FAULTS: dict[str, tuple[bytes, ErrorCode]] = {
    "DATA on stream 0": (data(0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "DATA on an idle stream": (data(9, b"x"), ErrorCode.PROTOCOL_ERROR),
    "DATA on a stream of this side's": (data(2, b"x"), ErrorCode.PROTOCOL_ERROR),
    "HEADERS on stream 0": (request(0), ErrorCode.PROTOCOL_ERROR),
    "HEADERS on an even stream": (request(2), ErrorCode.PROTOCOL_ERROR),
    "HEADERS on a skipped stream": (request(5) + request(3), ErrorCode.PROTOCOL_ERROR),
    "HEADERS on a closed stream": (
        request(3) + frames.reset(3, 8) + request(3), ErrorCode.STREAM_CLOSED),
    "HEADERS inside a block": (
        frames.frame(HEADERS, 0, 3, b"\x83") + request(5), ErrorCode.PROTOCOL_ERROR),
    "a late reset inside a block": (
        request(3) + frames.reset(3, 8) + frames.frame(HEADERS, 0, 5, b"\x83") +
        frames.reset(3, 8), ErrorCode.PROTOCOL_ERROR),
    "CONTINUATION alone": (
        frames.frame(FrameType.CONTINUATION, 4, 1, b""), ErrorCode.PROTOCOL_ERROR),
    "CONTINUATION of another stream": (
        frames.frame(HEADERS, 0, 3, b"") + frames.frame(FrameType.CONTINUATION, 4, 1, b""),
        ErrorCode.PROTOCOL_ERROR),
    "a priority field that is cut off": (
        frames.frame(HEADERS, 0x24, 3, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
    "a block that cannot be decoded": (
        frames.frame(HEADERS, 4, 3, b"\xff\xff\xff\xff\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
    "trailers that cannot be decoded": (
        frames.frame(HEADERS, 5, 1, b"\x80"), ErrorCode.COMPRESSION_ERROR),
    "late headers that cannot be decoded": (
        request(3) + frames.reset(3, 8) + frames.frame(HEADERS, 5, 3, b"\x80"),
        ErrorCode.COMPRESSION_ERROR),
    "RST_STREAM on stream 0": (frames.reset(0, 8), ErrorCode.PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (frames.reset(9, 8), ErrorCode.PROTOCOL_ERROR),
    "RST_STREAM of 3 bytes": (
        frames.frame(RST_STREAM, 0, 1, b"123"), ErrorCode.FRAME_SIZE_ERROR),
    "PRIORITY on stream 0": (
        frames.frame(FrameType.PRIORITY, 0, 0, b"12345"), ErrorCode.PROTOCOL_ERROR),
    "SETTINGS on a stream": (
        frames.frame(FrameType.SETTINGS, 0, 1, b""), ErrorCode.PROTOCOL_ERROR),
    "SETTINGS of 5 bytes": (
        frames.frame(FrameType.SETTINGS, 0, 0, b"12345"), ErrorCode.FRAME_SIZE_ERROR),
    "an acknowledgement with values": (
        frames.frame(FrameType.SETTINGS, 1, 0, b"123456"), ErrorCode.FRAME_SIZE_ERROR),
    "ENABLE_PUSH of 2": (setting(SettingID.ENABLE_PUSH, 2), ErrorCode.PROTOCOL_ERROR),
    "MAX_FRAME_SIZE too small": (
        setting(SettingID.MAX_FRAME_SIZE, 16_383), ErrorCode.PROTOCOL_ERROR),
    "MAX_FRAME_SIZE too large": (setting(SettingID.MAX_FRAME_SIZE, 2**24), ErrorCode.PROTOCOL_ERROR),
    "INITIAL_WINDOW_SIZE too large": (
        setting(SettingID.INITIAL_WINDOW_SIZE, 2**31), ErrorCode.FLOW_CONTROL_ERROR),
    "PUSH_PROMISE": (
        frames.frame(FrameType.PUSH_PROMISE, 4, 1, b"\0\0\0\2"), ErrorCode.PROTOCOL_ERROR),
    "PING on a stream": (
        frames.frame(FrameType.PING, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
    "PING of 7 bytes": (
        frames.frame(FrameType.PING, 0, 0, b"1234567"), ErrorCode.FRAME_SIZE_ERROR),
    "GOAWAY on a stream": (
        frames.frame(GOAWAY, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
    "GOAWAY of 7 bytes": (frames.frame(GOAWAY, 0, 0, b"1234567"), ErrorCode.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE by 0": (frames.window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
    "WINDOW_UPDATE on an idle stream": (frames.window_update(9, 1), ErrorCode.PROTOCOL_ERROR),
    "WINDOW_UPDATE of 5 bytes": (
        frames.frame(WINDOW_UPDATE, 0, 1, b"12345"), ErrorCode.FRAME_SIZE_ERROR),
    "a frame over the limit": (b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", ErrorCode.FRAME_SIZE_ERROR),
}  # fmt: skip


@pytest.mark.parametrize("name", CONNECTION_FAULTS)
@pytest.mark.parametrize("step", [None, 1])
def test_a_fault_of_the_connection(name: str, step: int | None) -> None:
    sent, code = CONNECTION_FAULTS[name]
    bare = Bare()
    bare.give(request(1), sent, frames.ping(b"too late"), step=step)
    assert bare.connection.fault is not None
    assert bare.connection.fault.text
    last = bare.connection.ids.accepted
    goaway = bare.taken()[-1]
    assert (goaway.kind, goaway.code) == (GOAWAY, code)
    assert goaway.payload[:4] == last.to_bytes(4, "big")
    assert bare.streams[1].closed == [None]
    assert bare.is_clean()


BODY = (b"content-type", b"application/grpc")
STREAM_FAULTS: dict[str, tuple[bytes, ErrorCode]] = {
    "no :path": (request(3, fields=[(b":method", b"POST"), (b":scheme", b"http")]),
                 ErrorCode.PROTOCOL_ERROR),
    "an upper-case name": (request(3, (b"X", b"y")), ErrorCode.PROTOCOL_ERROR),
    "a header of HTTP/1.1": (request(3, (b"connection", b"close")), ErrorCode.PROTOCOL_ERROR),
    "a NUL": (request(3, (b"x", b"a\0b")), ErrorCode.PROTOCOL_ERROR),
    "a pseudo-header twice": (request(3, (b":path", b"/")), ErrorCode.PROTOCOL_ERROR),
    "a list over the limit": (request(3, *[(b"x", b"y")] * 500),
                              ErrorCode.ENHANCE_YOUR_CALM),
    "a stream that depends on itself": (
        frames.frame(HEADERS, 0x24, 3, b"\0\0\0\3\0" + hpack.encode(REQUEST_LINE)),
        ErrorCode.PROTOCOL_ERROR),
    "PRIORITY of 4 bytes": (
        request(3) + frames.frame(FrameType.PRIORITY, 0, 3, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
    "a stream that will depend on itself": (
        request(3) + frames.frame(FrameType.PRIORITY, 0, 3, b"\0\0\0\3\0"),
        ErrorCode.PROTOCOL_ERROR),
    "WINDOW_UPDATE by 0": (
        request(3) + frames.window_update(3, 0), ErrorCode.PROTOCOL_ERROR),
    "DATA after the end": (
        request(3, end=True) + data(3, b"x"), ErrorCode.STREAM_CLOSED),
    "HEADERS after the end": (
        request(3, end=True) + request(3), ErrorCode.STREAM_CLOSED),
    "DATA after a reset": (
        request(3) + frames.reset(3, 8) + data(3, b"x"), ErrorCode.STREAM_CLOSED),
    "trailers that do not end": (
        request(3) + frames.headers(3, hpack.encode([(b"x", b"y")]), end=False),
        ErrorCode.PROTOCOL_ERROR),
    "a pseudo-header in trailers": (
        request(3) + frames.headers(3, hpack.encode([(b":path", b"/")]), end=True),
        ErrorCode.PROTOCOL_ERROR),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAM_FAULTS)
@pytest.mark.parametrize("step", [None, 1])
def test_a_fault_of_a_stream(name: str, step: int | None) -> None:
    sent, code = STREAM_FAULTS[name]
    bare = Bare(Limits(header_list=16_384))
    bare.give(request(1), sent, data(1, b"goes on", end=True), step=step)
    assert bare.connection.fault is None
    resets = [(f.stream_id, f.code) for f in bare.taken() if f.kind == RST_STREAM]
    assert resets == [(3, code)]
    assert set(bare.connection.streams) == {1}
    assert bare.streams[1].ended == 1


POLITE: dict[str, bytes] = {
    "an unknown frame type": frames.frame(0xBE, 0xFF, 1, b"whatever"),
    "an unknown setting": frames.settings({77: 1}),
    "undefined flags": frames.frame(FrameType.PING, 0xFE, 0, b"12345678"),
    "a priority field": frames.frame(HEADERS, 0x25, 3, b"\0\0\0\1\7" + hpack.encode(REQUEST_LINE)),
    "PRIORITY on an idle stream": frames.frame(FrameType.PRIORITY, 0, 99, b"\0\0\0\1\7"),
    "a reserved bit": b"\0\0\x08\x06\0\x80\0\0\0" + b"12345678",
    "RST_STREAM on a closed stream": request(3) + frames.reset(3, 8) * 2,
    "RST_STREAM on a skipped stream": request(5) + frames.reset(3, 8),
    "WINDOW_UPDATE on a closed stream": request(3)
    + frames.reset(3, 8)
    + frames.window_update(3, 1),
    "an acknowledgement of SETTINGS": frames.SETTINGS_ACK,
    "an acknowledgement of a PING": frames.ping(b"12345678", ack=True),
    "a skipped identifier": request(77),
    "an empty CONTINUATION": frames.frame(HEADERS, 0, 3, hpack.encode(REQUEST_LINE))
    + frames.frame(FrameType.CONTINUATION, END_HEADERS, 3, b""),
    "padded headers": frames.frame(
        HEADERS, END_HEADERS | PADDED, 3, b"\x07" + hpack.encode(REQUEST_LINE) + b"padding"
    ),
    "trailers": request(3) + frames.headers(3, hpack.encode([(b"x", b"y")]), end=True),
}


@pytest.mark.parametrize("name", POLITE)
@pytest.mark.parametrize("step", [None, 1])
def test_what_is_allowed(name: str, step: int | None) -> None:
    bare = Bare()
    bare.give(request(1), POLITE[name], SETTINGS, data(1, b"goes on", end=True), step=step)
    sent = bare.taken()
    assert [f for f in sent if f.kind in (RST_STREAM, GOAWAY)] == []
    assert bare.streams[1].ended == 1


def test_interim_responses_go_before() -> None:
    bare = Bare(client=True)
    stream = bare.open()
    for status in (b"100", b"103", b"200"):
        bare.give(frames.headers(1, hpack.encode([(b":status", status)]), end=False))
    bare.give(data(1, b"body"), frames.headers(1, hpack.encode([(b"x", b"y")]), end=True))
    assert [head.status for head in stream.heads] == [100, 103, 200]
    assert stream.trailers == [(b"x", b"y")]
    assert stream.ended == 1
    stream.send_end()
    assert bare.is_clean()
