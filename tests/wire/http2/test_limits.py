"""What a peer may cost: each counter with its attack, and with the polite traffic beside it."""

from __future__ import annotations

import pytest

from mm_asgi.wire.http2 import frames, hpack
from mm_asgi.wire.http2.frames import ErrorCode, FrameType, SettingID
from mm_asgi.wire.http2.limits import Limits

from .bare import DATA, END_STREAM, HEADERS, RESPONSE, Bare, data, request

CALM = ErrorCode.ENHANCE_YOUR_CALM
FEW = Limits(resets=20, resets_back=10, idle_frames=50, idle_back=10)


def begin(bare: Bare, number: int) -> None:
    """As a server does with what it has read."""
    bare.streams[number].begun = True


# ---------------------------------------------------------------- resets


def test_rapid_reset() -> None:
    bare = Bare()
    for number in range(1, 2_001, 2):
        bare.give(request(number), frames.reset(number, 8))
    assert bare.connection.fault is None
    bare.give(request(2_001), frames.reset(2_001, 8))
    assert "1000 streams" in str(bare.connection.fault)
    assert bare.fault is CALM
    assert all(stream.closed == [ErrorCode.CANCEL] for stream in bare.streams.values())


def test_resets_are_forgiven_with_time() -> None:
    bare = Bare(FEW)
    for number in range(1, 1_001, 2):
        bare.give(request(number), frames.reset(number, 8))
        bare.clock.now += 0.1
    assert bare.fault is None


def test_who_is_quiet_saves_nothing_up() -> None:
    bare = Bare(FEW)
    bare.clock.now += 3600
    for number in range(1, 43, 2):
        bare.give(request(number), frames.reset(number, 8))
    assert bare.fault is CALM


@pytest.mark.parametrize("answered", [False, True])
def test_polite_cancels_never_count(answered: bool) -> None:
    bare = Bare(FEW)
    for number in range(1, 40_001, 2):
        bare.give(request(number))
        begin(bare, number)
        if answered:
            stream = bare.streams[number]
            stream.send_headers(hpack.encode(RESPONSE), end=True)
        bare.give(frames.reset(number, 8))
        del bare.streams[number]
    assert bare.fault is None
    assert bare.is_clean()


@pytest.mark.parametrize(
    "breaks",
    [
        lambda number: frames.window_update(number, 0),
        lambda number: frames.window_update(number, 2**31 - 1),
        lambda number: frames.frame(FrameType.PRIORITY, 0, number, b"1234"),
        lambda number: frames.frame(
            FrameType.PRIORITY, 0, number, number.to_bytes(4, "big") + b"0"
        ),
        lambda number: frames.headers(number, hpack.encode([(b"x", b"y")]), end=False),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_a_peer_that_makes_us_reset(breaks: object, begun: bool) -> None:
    """CVE-2025-8671: streams that this side has to reset for the peer's faults."""
    bare = Bare(FEW)
    for number in range(1, 43, 2):
        assert bare.connection.fault is None
        bare.give(request(number))
        if begun:
            begin(bare, number)
        bare.give(breaks(number))  # type: ignore[operator]
    assert bare.fault is CALM


def test_malformed_requests_count() -> None:
    bare = Bare(FEW)
    for number in range(1, 43, 2):
        bare.give(frames.frame(HEADERS, 5, number, b"\x82"))
    assert bare.fault is CALM


def test_refused_streams_do_not_count() -> None:
    bare = Bare(Limits(resets=20, streams=1))
    for number in range(1, 201, 2):
        bare.give(request(number))
    assert bare.fault is None


# ---------------------------------------------------------------- frames that bring nothing

NOTHING: dict[str, bytes] = {
    "PING": frames.ping(b"12345678"),
    "acknowledged PING": frames.ping(b"12345678", ack=True),
    "SETTINGS": frames.settings({SettingID.ENABLE_PUSH: 0}),
    "acknowledged SETTINGS": frames.SETTINGS_ACK,
    "PRIORITY": frames.frame(FrameType.PRIORITY, 0, 1, b"\0\0\0\0\0"),
    "PRIORITY of idle streams": frames.frame(FrameType.PRIORITY, 0, 999, b"\0\0\0\0\0"),
    "RST_STREAM of a closed stream": frames.reset(3, 8),
    "GOAWAY": frames.go_away(0, 0),
    "WINDOW_UPDATE": frames.window_update(0, 1),
    "WINDOW_UPDATE of a stream": frames.window_update(1, 1),
    "WINDOW_UPDATE of a closed stream": frames.window_update(3, 1),
    "unknown": frames.frame(0xBE, 0, 0, b""),
    "empty DATA": data(1, b""),
    "padded empty DATA": data(1, b"", padding=200),
    "1-byte DATA": data(1, b"x"),
    "1-byte padded DATA": data(1, b"x", padding=200),
}


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("way", ["whole", "cut"])
def test_a_flood_of_what_brings_nothing(name: str, way: str) -> None:
    """Also with each read ending between a frame's header and its payload."""
    bare = Bare(FEW)
    bare.give(request(1), request(3), frames.reset(3, 8))
    flood = NOTHING[name]
    sent = 0
    while bare.connection.fault is None and sent < 60:
        sent += 1
        if way == "cut":
            bare.give(flood[:9])
            bare.give(flood[9:])
        else:
            bare.give(flood)
    assert 45 <= sent <= 51
    assert "bring nothing" in str(bare.connection.fault)
    assert bare.fault is CALM


@pytest.mark.parametrize("name", NOTHING)
def test_a_quiet_peer_may_send_it_for_ever(name: str) -> None:
    """An idle channel's keep-alive: a PING each ten seconds, for days."""
    bare = Bare(FEW)
    bare.give(request(1), request(3), frames.reset(3, 8))
    for _ in range(500):
        bare.give(NOTHING[name])
        bare.clock.now += 0.2
    assert bare.fault is None


def test_a_flood_after_a_quiet_time_is_seen() -> None:
    bare = Bare(FEW)
    bare.clock.now += 3600
    sent = 0
    while bare.connection.fault is None and sent < 200:
        sent += 1
        bare.give(frames.ping(b"12345678"))
    assert sent == 101  # twice the limit: what came before is not known
    assert bare.fault is CALM


def test_small_messages_are_no_flood() -> None:
    """A gRPC message has five bytes at least: a stream of empty ones is the app's business."""
    bare = Bare(FEW)
    bare.give(request(1))
    for _ in range(1000):
        bare.give(data(1, b"\0\0\0\0\0"))
    bare.give(data(1, b"", end=True))
    assert bare.fault is None
    assert bare.streams[1].ended == 1


def test_pings_between_data_never_count() -> None:
    """grpc-go's bandwidth estimation: one for each round trip while data flows, either way."""
    bare = Bare(FEW)
    bare.give(frames.window_update(0, 10**8), frames.window_update(0, 10**8), request(1))
    bare.give(frames.settings({SettingID.INITIAL_WINDOW_SIZE: 2**30}))
    stream = bare.streams[1]
    stream.send_headers(hpack.encode(RESPONSE))
    for _ in range(500):
        bare.give(frames.ping(b"12345678"), frames.window_update(1, 5))
        stream.send_data((b"x" * 10,), 10)
    for _ in range(500):
        bare.give(frames.ping(b"12345678"), data(1, b"x" * 10))
    assert bare.fault is None


def test_an_end_is_something() -> None:
    bare = Bare(FEW)
    for number in range(1, 401, 2):
        bare.give(request(number), frames.frame(DATA, END_STREAM, number))
    assert bare.fault is None


# ---------------------------------------------------------------- SETTINGS that move all windows


def alternating(count: int) -> bytes:
    """Settings, six bytes each."""
    payload = b"".join(b"\0\4" + (1000 + n % 2).to_bytes(4, "big") for n in range(count))
    return frames.frame(FrameType.SETTINGS, 0, 0, payload)


def test_settings_may_not_move_windows_without_end() -> None:
    bare = Bare(Limits(window_changes=10_000))
    bare.give(*[request(number) for number in range(1, 201, 2)])
    bare.give(alternating(101))
    assert bare.fault is CALM


def test_polite_settings_may() -> None:
    bare = Bare(Limits(window_changes=1_000, window_changes_back=100))
    bare.give(*[request(number) for number in range(1, 201, 2)])
    same = frames.settings({SettingID.INITIAL_WINDOW_SIZE: 65_535})
    bare.give(*[same] * 100)  # changes nothing
    for _ in range(100):
        bare.give(alternating(2))
        bare.clock.now += 2
    assert bare.fault is None


# ---------------------------------------------------------------- header blocks


@pytest.mark.parametrize("size", [0, 2000])
def test_a_flood_of_continuations(size: int) -> None:
    """CVE-2024-27316."""
    bare = Bare()
    bare.give(frames.frame(HEADERS, 0, 1, b"\x83"))
    more = frames.frame(FrameType.CONTINUATION, 0, 1, b"\0\1x" + b"\x7f" + b"y" * size)
    sent = 0
    while bare.connection.fault is None and sent < 40:
        sent += 1
        bare.give(more)
    assert sent == 33
    assert bare.fault is CALM


def test_an_hpack_bomb() -> None:
    """4 KB in the table, named again by a byte each."""
    bare = Bare()
    line = hpack.encode([(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/")])
    entry = b"\x40\x01x" + b"\x7f\xe0\x1e" + b"y" * 4063
    bare.give(frames.headers(1, line + entry + b"\xbe" * 10, end=True))
    assert len(bare.streams[1].heads[0].fields) == 11
    bare.give(frames.headers(3, line + b"\xbe" * 12_000, end=True))
    assert 3 not in bare.streams
    assert bare.taken()[-1].code is CALM
    bare.give(frames.headers(5, line + b"\xbe", end=True))
    assert len(bare.streams[5].heads[0].fields) == 1
    assert bare.fault is None


def test_many_streams_at_once() -> None:
    bare = Bare(Limits(streams=10))
    bare.give(*[request(number) for number in range(1, 31, 2)])
    assert len(bare.connection.streams) == 10
    assert [f.code for f in bare.taken()] == [ErrorCode.REFUSED_STREAM] * 5
    bare.give(frames.reset(1, 8), request(31))
    assert 31 in bare.streams
