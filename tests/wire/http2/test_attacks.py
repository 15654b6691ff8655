"""Attacks on a real server, in raw bytes: the code, the log line, the others served, nothing left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING

import pytest

from mm_asgi.wire.http2 import frames, hpack
from mm_asgi.wire.http2.frames import ErrorCode, FrameType, SettingID
from mm_asgi.wire.http2.limits import Limits
from mm_asgi.wire.http2.rpc import PREFIX

from .attacked import MEBIBYTE, RECEIVE_LIMIT, Attacked, Raw, call, message, until
from .bare import GREETING, HEADERS, WINDOW_UPDATE, data, request
from .test_connection import CONNECTION_FAULTS, STREAM_FAULTS
from .test_limits import NOTHING

if TYPE_CHECKING:
    from mm_asgi.wire.http2.server import ServerTransport

CALM = ErrorCode.ENHANCE_YOUR_CALM
HANG, POUR, EARLY = call("/hang"), call("/pour"), call("/early")
GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]


def warned(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    """Whether there is a warning that has ``text``."""
    return any(
        record.levelno == logging.WARNING and text in record.getMessage()
        for record in caplog.records
    )


def nothing_failed(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether nothing was logged as an error, by asyncio neither."""
    return not [record for record in caplog.records if record.levelno > logging.WARNING]


# ---------------------------------------------------------------- numbers


async def test_rapid_reset(caplog: pytest.LogCaptureFixture) -> None:
    async with Attacked.serving() as house:
        peer = await house.dial()
        pairs = [
            request(number, fields=HANG) + frames.reset(number, 8) for number in range(1, 6_001, 2)
        ]
        await peer.send(*pairs)
        assert await peer.goaway() is CALM
        assert warned(caplog, "ENHANCE_YOUR_CALM: over 1000 streams")
        assert len(house.begun) < 50  # whose two frames came with two reads


async def test_streams_that_the_server_has_to_reset() -> None:
    async with Attacked.serving() as house:
        peer = await house.dial()
        pairs = [
            request(number, fields=HANG) + frames.window_update(number, 0)
            for number in range(1, 6_001, 2)
        ]
        await peer.send(*pairs)
        assert await peer.goaway() is CALM


@pytest.mark.parametrize("when", ["answered", "begun"])
async def test_the_hosts_own_cancels_never_count(when: str) -> None:
    async with Attacked.serving(Limits(resets=20, resets_back=1)) as house:
        peer = await house.dial()
        for number in range(1, 601, 4):
            if when == "answered":
                await peer.send(
                    request(number, fields=call("/echo")), data(number, message(b"a"), end=True)
                )
                await peer.trailers(number)
            else:
                await peer.send(request(number, fields=HANG))
                await until(lambda: len(house.begun) == number // 4 + 1)  # noqa: B023
            peer._newest = number
            await peer.send(frames.reset(number, 8))
            assert (await peer.rpc(b"b"))[1] == b"0"


FLOODS = {**NOTHING, "GOAWAY": frames.go_away(0, 0)}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with Attacked.serving(Limits(idle_frames=500)) as house:
        peer = await house.dial(request(1, fields=HANG), request(3), frames.reset(3, 8))
        await peer.send(FLOODS[name] * 600)
        assert await peer.goaway() is CALM
        assert warned(caplog, "frames in a row that bring nothing")


async def test_a_flood_of_continuations(caplog: pytest.LogCaptureFixture) -> None:
    async with Attacked.serving() as house:
        peer = await house.dial(frames.frame(HEADERS, 0, 1, b"\x83"))
        await peer.send(frames.frame(FrameType.CONTINUATION, 0, 1, b"") * 40)
        assert await peer.goaway() is CALM
        assert warned(caplog, "a header block of 1 bytes in 34 frames")


async def test_header_lists(caplog: pytest.LogCaptureFixture) -> None:
    """An HPACK bomb, and a list that is simply too long: that RPC ends, no other one."""
    async with Attacked.serving() as house:
        entry = b"\x40\x01x\x7f\xe0\x1e" + b"y" * 4063
        block = hpack.encode(call("/echo"))
        peer = await house.dial(frames.headers(1, block + entry + b"\xbe" * 8000, end=False))
        assert await peer.refusal(1) is CALM
        assert warned(caplog, "stream 1 reset with ENHANCE_YOUR_CALM")
        await peer.send(frames.headers(3, block + b"\0\1x\0" * 2000, end=False))
        assert await peer.refusal(3) is CALM
        peer._newest = 3
        assert (await peer.rpc(b"x"))[1] == b"0"


async def test_settings_that_move_all_windows() -> None:
    async with Attacked.serving(Limits(window_changes=1000)) as house:
        peer = await house.dial(*[request(number, fields=HANG) for number in range(1, 41, 2)])
        for size in range(60):
            await peer.send(frames.settings({SettingID.INITIAL_WINDOW_SIZE: size}))
        assert await peer.goaway() is CALM


# ---------------------------------------------------------------- broken rules


@pytest.mark.parametrize("name", CONNECTION_FAULTS)
async def test_a_fault_of_the_connection(name: str, caplog: pytest.LogCaptureFixture) -> None:
    sent, code = CONNECTION_FAULTS[name]
    async with Attacked.serving() as house:
        peer = await house.dial(request(1, fields=HANG))
        await until(lambda: len(house.begun) == 1)
        await peer.send(sent, b"\xff" * 100_000)  # and garbage after it
        assert await peer.goaway() is code
        assert warned(caplog, f"connection closed with GOAWAY {code.name}: ")
        await until(lambda: house.left == len(house.begun))
        assert nothing_failed(caplog)


@pytest.mark.parametrize("name", [name for name in STREAM_FAULTS if "list over" not in name])
async def test_a_fault_of_a_stream(name: str, caplog: pytest.LogCaptureFixture) -> None:
    sent, code = STREAM_FAULTS[name]
    async with Attacked.serving() as house:
        peer = await house.dial(request(1, fields=HANG), sent)
        got = await peer.find(int(FrameType.RST_STREAM))
        while got.code is ErrorCode.NO_ERROR:  # of an answer that was early
            got = await peer.find(int(FrameType.RST_STREAM))
        assert (got.stream_id, got.code) == (3, code)
        assert warned(caplog, f"stream 3 reset with {code.name}")
        peer._newest = 3
        assert (await peer.rpc(b"x"))[1] == b"0"


@pytest.mark.parametrize(
    "first",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\n"],
)
async def test_a_wrong_preface(first: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with Attacked.serving() as house:
        peer = await house.dial(first, greet=False)
        assert await peer.goaway() is ErrorCode.PROTOCOL_ERROR
        assert warned(caplog, "the peer does not speak HTTP/2")


@pytest.mark.parametrize("first", [b"", GREETING[:10], frames.PREFACE, frames.PREFACE + b"\0\0"])
async def test_a_slow_preface(first: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with Attacked.serving(Limits(preface=0.05)) as house:
        peer = await house.dial(first, greet=False)
        assert await peer.goaway() is ErrorCode.SETTINGS_TIMEOUT
        assert warned(caplog, "no preface after 0.05 s")


async def test_a_message_over_the_limit_is_refused_at_its_prefix(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Attacked.serving() as house:
        peer = await house.dial(request(1, fields=call("/echo")))
        await peer.send(data(1, PREFIX.pack(0, RECEIVE_LIMIT + 1)))
        _, fields = await peer.trailers(1)
        assert fields[b"grpc-status"] == b"8"
        assert await peer.refusal(1) is ErrorCode.NO_ERROR
        assert warned(caplog, "message too large: /echo, 1048577 bytes")
        peer._newest = 1
        await peer.send(data(1, b"x" * 16_384) * 100)  # it had not heard yet
        assert (await peer.rpc(b"x"))[1] == b"0"


@pytest.mark.parametrize(
    ("encoding", "status"),
    [((), b"13"), (((b"grpc-encoding", b"gzip"),), b"13"), (((b"grpc-encoding", b"zip"),), b"12")],
)
async def test_a_compressed_message(encoding: tuple[hpack.Field, ...], status: bytes) -> None:
    async with Attacked.serving() as house:
        peer = await house.dial(request(1, *encoding, fields=call("/echo")))
        await peer.send(data(1, PREFIX.pack(1, 3) + b"abc"))
        _, fields = await peer.trailers(1)
        assert fields[b"grpc-status"] == status


# ---------------------------------------------------------------- peers that do not read


async def test_a_zero_window_stalls_one_stream_and_not_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Attacked.serving(Limits(stall=0.2)) as house:
        peer = await house.dial(frames.settings({SettingID.INITIAL_WINDOW_SIZE: 0}))
        await peer.send(request(1, fields=POUR, end=True))
        assert await peer.refusal(1) is CALM
        assert warned(caplog, "the peer has opened no window for 0.2 s")
        await until(lambda: house.left == 1)
        assert (await house.transport()).connection.fault is None


async def test_who_writes_before_it_reads_gets_to_its_status() -> None:
    async with Attacked.serving(Limits(stream_window=65_535)) as house:
        peer = await house.dial(frames.settings({SettingID.INITIAL_WINDOW_SIZE: 0}))
        await peer.send(request(1, fields=EARLY), data(1, message(b"first")))
        await peer.find(HEADERS, 1)  # it has answered; the message and the trailers wait
        room, sent = 60_000, 0
        while sent < MEBIBYTE:
            if room < 16_384:
                room += int.from_bytes((await peer.find(WINDOW_UPDATE, 1)).payload, "big")
            await peer.send(data(1, b"x" * 16_384))
            room -= 16_384
            sent += 16_384
        await peer.send(frames.window_update(1, MEBIBYTE))
        body, fields = await peer.trailers(1)
        assert body == message(b"early" * 1000)
        assert fields[b"grpc-status"] == b"0"


async def flood(peer: Raw, house: Attacked, part: bytes) -> ServerTransport:
    """Send ``part`` again and again, and read nothing, until the server reads no more."""
    transport = await house.transport()
    for _ in range(100_000):
        if not transport._reads:
            return transport
        with contextlib.suppress(BlockingIOError):
            peer.socket.send(part)
        await asyncio.sleep(0)
    raise AssertionError("the server reads on")


@pytest.mark.parametrize("pours", [False, True])
async def test_a_ping_flood_that_nobody_reads_fills_no_memory(pours: bool) -> None:
    """Also while a big answer waits: the bodies that wait hide nothing."""
    limits = Limits(replies=100_000, idle_frames=10**9)
    async with Attacked.serving(limits) as house:
        peer = await house.dial(
            frames.window_update(0, 2**30), frames.settings({SettingID.INITIAL_WINDOW_SIZE: 2**30})
        )
        if pours:
            await peer.send(request(1, fields=POUR, end=True), request(3, fields=POUR, end=True))
            await until(lambda: len(house.begun) == 2)
        transport = await flood(peer, house, frames.ping(b"12345678") * 1000)
        assert kept(transport) < limits.output * 2 + limits.replies + 2 * 262_144 + MEBIBYTE
        transport.connection.lose()
        await until(lambda: house.left == len(house.begun))


@pytest.mark.parametrize("block", ["415", "415 for ever", "no method", "no method, for long"])
async def test_small_requests_that_nobody_reads_the_answers_of_fill_no_memory(block: str) -> None:
    """A few bytes ask for a status, or for a text that waits for its window."""
    limits = Limits(replies=100_000)
    async with Attacked.serving(limits) as house:
        path = b"/" + b"\xff" * 4000
        entry = b"\x44\x7f" + hpack._number(len(path) - 127, 0, 0)[1:] + path  # into the table
        line = hpack.encode([*call("")[:2], *call("")[3:]])
        blocks = {
            "415": hpack.encode(GET),
            "415 for ever": hpack.encode(GET),
            "no method": hpack.encode(call("/none")),
            "no method, for long": line[:2] + b"\xbe" + line[2:],
        }
        peer = await house.dial(frames.headers(1, line[:2] + entry + line[2:], end=True))
        numbers = iter(range(3, 2**31, 2))
        transport = await house.transport()
        waiting = b""
        for _ in range(100_000):
            if not transport._reads:
                break
            waiting = waiting or b"".join(
                frames.headers(next(numbers), blocks[block], end=block != "415 for ever")
                for _ in range(1000)
            )
            with contextlib.suppress(BlockingIOError):
                waiting = waiting[peer.socket.send(waiting) :]
            await asyncio.sleep(0)
        assert not transport._reads
        # Each that waits for its window costs a kilobyte and a half; it is the head of its answer,
        # which the peer does not read either, that ends the reading.
        assert len(transport.connection.streams) < 25_000
        assert kept(transport) < limits.output + limits.replies + 5 * MEBIBYTE


async def test_big_answers_that_nobody_reads_cost_one_buffer() -> None:
    """64 streams with 1 MiB each: what has not left stays the handlers'."""
    async with Attacked.serving() as house:
        peer = await house.dial(
            frames.window_update(0, 2**30), frames.settings({SettingID.INITIAL_WINDOW_SIZE: 2**30})
        )
        await peer.send(*[request(number, fields=POUR, end=True) for number in range(1, 129, 2)])
        await until(lambda: len(house.begun) == 64)
        transport = await house.transport()
        await until(lambda: transport.connection.is_paused)
        limits = transport.connection.limits
        assert kept(transport) < 2 * limits.output + limits.frame_size + 100_000
        peer.close()
        await until(lambda: house.left == 64)


def kept(transport: ServerTransport) -> int:
    """Bytes that the server holds for a peer, the handlers' own apart."""
    connection = transport.connection
    return int(transport._transport.get_write_buffer_size()) + connection.output_size


async def test_a_peer_that_reads_nothing_at_all_is_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Attacked.serving(Limits(stall=0.2)) as house:
        peer = await house.dial(
            frames.window_update(0, 2**30), frames.settings({SettingID.INITIAL_WINDOW_SIZE: 2**30})
        )
        await peer.send(request(1, fields=POUR, end=True))
        transport = await house.transport()
        await transport.closed
        assert warned(caplog, "the peer has read nothing for 0.2 s")
        await until(lambda: house.left == 1)


async def test_a_goaway_that_nobody_reads_keeps_no_connection() -> None:
    async with Attacked.serving(Limits(preface=0.05)) as house:
        peer = await house.dial(
            frames.window_update(0, 2**30), frames.settings({SettingID.INITIAL_WINDOW_SIZE: 2**30})
        )
        await peer.send(request(1, fields=POUR, end=True))
        transport = await house.transport()
        await until(lambda: transport.connection.is_paused)
        await peer.send(frames.window_update(0, 0))
        await transport.closed
        await until(lambda: house.left == 1)


# ---------------------------------------------------------------- peers that leave


@pytest.mark.parametrize("path", [HANG, POUR])
async def test_a_peer_that_half_closes(path: list[hpack.Field]) -> None:
    """It reads nothing either, so that nothing of what was written can leave."""
    async with Attacked.serving() as house:
        peer = await house.dial(
            frames.window_update(0, 2**30), frames.settings({SettingID.INITIAL_WINDOW_SIZE: 2**30})
        )
        await peer.send(request(1, fields=path))
        await until(lambda: len(house.begun) == 1)
        if path is POUR:
            transport = await house.transport()
            await until(lambda: transport.connection.is_paused)
        peer.socket.shutdown(socket.SHUT_WR)
        await until(lambda: house.left == 1)


@pytest.mark.parametrize("size", [5, 30, 60, 75, 90, 100])
async def test_a_peer_that_leaves_in_the_middle_of_a_frame(size: int) -> None:
    async with Attacked.serving() as house:
        whole = GREETING + request(1, fields=call("/echo")) + data(1, message(b"x" * 100), end=True)
        peer = await house.dial(whole[:size], greet=False)
        await house.transport()
        peer.close()


async def test_garbage_after_a_goaway(caplog: pytest.LogCaptureFixture) -> None:
    async with Attacked.serving() as house:
        peer = await house.dial(frames.go_away(0, ErrorCode.INTERNAL_ERROR), data(0, b"x"))
        for _ in range(20):
            await peer.send(b"\xa5" * 100_000)
        assert await peer.goaway() is ErrorCode.PROTOCOL_ERROR
        assert nothing_failed(caplog)


async def test_frames_in_single_bytes() -> None:
    async with Attacked.serving() as house:
        peer = await house.dial(greet=False)
        whole = GREETING + request(1, fields=call("/echo")) + data(1, message(b"drip"), end=True)
        transport: ServerTransport | None = None
        for octet in whole:
            await peer.send(bytes((octet,)))
            transport = transport or await house.transport()
            await asyncio.sleep(0)
        body, fields = await peer.trailers(1)
        assert (body, fields[b"grpc-status"]) == (message(b"drip"), b"0")


async def test_a_peer_that_does_not_keep_its_own_deadline() -> None:
    """grpc's clients reset the stream too when the time is over: this one leaves it to the server."""
    async with Attacked.serving() as house:
        peer = await house.dial(request(1, (b"grpc-timeout", b"50m"), fields=HANG))
        body, fields = await peer.trailers(1)
        assert (body, fields[b"grpc-status"]) == (b"", b"4")
        assert fields[b"grpc-message"] == b"Deadline Exceeded"
        assert len(house.begun) == 1
        await until(lambda: house.left == 1)
