"""A channel's connections: made when needed, left, lost, refused, full, idle; and who waits."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.wire.http2 import frames
from mm_asgi.wire.http2.channel import NativeChannel
from mm_asgi.wire.http2.deadlines import Deadlines
from mm_asgi.wire.http2.frames import ErrorCode, SettingID
from mm_asgi.wire.http2.target import Backoff, Target
from mm_asgi.wire.port import RPCError, StatusCode

from .attacked import message, until
from .bare import DATA, GOAWAY, data
from .scripted import PATH, Peer, answer, head, scripted, trailers

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mm_asgi.wire.http2.client_transport import ClientTransport

AT_ONCE = Backoff(initial=0.01, maximum=0.01, jitter=0)
NEVER = Backoff(initial=1000, maximum=1000, jitter=0)


async def failure(answer: Awaitable[object]) -> RPCError:
    with pytest.raises(RPCError) as caught:
        await answer
    return caught.value


# -------------------------------------------------------------------- GOAWAY and REFUSED_STREAM


async def test_what_a_leaving_server_has_not_begun_goes_to_the_next() -> None:
    async with scripted() as server:
        first, second = server.start(b"1"), server.start(b"2")
        old = await server.accept()
        assert [(await old.request())[0], (await old.request())[0]] == [1, 3]
        await old.send(frames.go_away(1, ErrorCode.NO_ERROR))
        new = await server.accept()
        assert (await new.request())[0] == 1
        assert (await new.find(DATA)).payload == message(b"2")
        await new.send(answer(1, b"from the new"))
        assert (await second).value == b"from the new"
        # The old connection ends what it has, and is closed then.
        third = server.start(b"3")
        await new.serve(b"third")
        assert (await third).value == b"third"
        await old.send(answer(1, b"from the old"))
        assert (await first).value == b"from the old"
        assert await old.goaway() is ErrorCode.NO_ERROR


async def test_a_stream_is_sent_again_with_what_was_written() -> None:
    async with scripted() as server:
        call = server.channel.stream(PATH, BytesValue)
        await_first = asyncio.ensure_future(call.write(BytesValue(value=b"a")))
        old = await server.accept()
        await old.request()
        await await_first
        await call.write(BytesValue(value=b"b"))
        await old.find(DATA)
        await old.find(DATA)
        await old.send(frames.go_away(0, ErrorCode.NO_ERROR))
        new = await server.accept()
        await new.request()
        assert (await new.find(DATA)).payload == message(b"a")
        assert (await new.find(DATA)).payload == message(b"b")
        call.half_close()
        assert (await new.find(DATA)).flags == frames.END_STREAM
        await new.send(answer(1, b"c"))
        assert (await call.read()).value == b"c"  # type: ignore[union-attr]
        assert await call.read() is None


@pytest.mark.parametrize("written", [100, 100_000])
async def test_a_refused_rpc_is_sent_a_second_time_and_no_third(written: int) -> None:
    async with scripted() as server:
        call = server.channel.stream(PATH, BytesValue)
        writing = asyncio.ensure_future(call.write(BytesValue(value=bytes(written))))
        peer = await server.accept()
        for number in (1, 3):
            assert (await peer.request())[0] == number
            await writing if written < 1000 else await asyncio.sleep(0)
            await peer.send(frames.reset(number, ErrorCode.REFUSED_STREAM))
            if written > 1000:  # too much to be kept
                break
        error = await failure(call.read())
        assert error.code is StatusCode.UNAVAILABLE
        assert "REFUSED_STREAM" in error.text
        await writing


async def test_a_refused_unary_rpc_is_sent_a_second_time_and_no_third() -> None:
    async with scripted() as server:
        task = server.start()
        peer = await server.accept()
        for number in (1, 3):
            assert (await peer.request())[0] == number
            await peer.send(frames.reset(number, ErrorCode.REFUSED_STREAM))
        assert (await failure(task)).code is StatusCode.UNAVAILABLE


async def test_what_has_begun_is_not_sent_again() -> None:
    async with scripted() as server:
        task = server.start()
        peer = await server.accept()
        await peer.request()
        await peer.send(head(1), frames.reset(1, ErrorCode.REFUSED_STREAM))
        assert (await failure(task)).code is StatusCode.UNAVAILABLE
        again = server.start()
        assert (await peer.request())[0] == 3
        await peer.send(answer(3, b""))
        await again


async def test_a_server_that_sends_away_whoever_comes() -> None:
    async with scripted(backoff=NEVER) as server:
        task = server.start()
        await server.accept(settings=frames.settings({}) + frames.go_away(0, ErrorCode.NO_ERROR))
        error = await failure(task)
        assert error.code is StatusCode.UNAVAILABLE
        assert "takes no connections" in error.text


async def test_the_room_that_a_leaving_server_makes_is_not_used() -> None:
    one = frames.settings({SettingID.MAX_CONCURRENT_STREAMS: 1})
    async with scripted() as server:
        call = server.channel.stream(PATH, BytesValue)
        writing = asyncio.ensure_future(call.write(BytesValue(value=bytes(100_000))))
        task = server.start()
        old = await server.accept(settings=one)
        await old.find(DATA)
        await old.send(frames.go_away(0, ErrorCode.NO_ERROR))
        await (await server.accept()).serve(b"from the new")
        assert (await task).value == b"from the new"
        assert (await failure(call.read())).code is StatusCode.UNAVAILABLE
        await writing


# -------------------------------------------------------------------- lost, and made again


async def test_a_lost_connection_ends_its_rpcs_and_the_next_one_is_made() -> None:
    async with scripted() as server:
        task, call = server.start(), server.channel.stream(PATH, BytesValue)
        peer = await server.accept()
        await peer.request()
        peer.close()
        for ended in (task, call.read()):
            error = await failure(ended)
            assert error.code is StatusCode.UNAVAILABLE
            assert f"{server.path}: the connection was lost" in error.text
        again = server.start()
        await (await server.accept()).serve(b"back")
        assert (await again).value == b"back"


async def test_a_server_that_breaks_the_rules(caplog: pytest.LogCaptureFixture) -> None:
    async with scripted() as server:
        task = server.start()
        peer = await server.accept()
        await peer.request()
        await peer.send(data(9, b"of nobody"))
        error = await failure(task)
        assert error.code is StatusCode.UNAVAILABLE
        assert "broke HTTP/2's rules" in error.text
        assert await peer.goaway() is ErrorCode.PROTOCOL_ERROR
        again = server.start()
        await (await server.accept()).serve(b"back")
        assert (await again).value == b"back"
    assert "GOAWAY PROTOCOL_ERROR" in caplog.text


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (b"", "closed the connection before any HTTP/2"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak HTTP/2"),
        (
            b"\x15\x03\x01\0\x02\x02\x46",
            "closed the connection before any HTTP/2",
        ),  # TLS's alert, half a frame
    ],
)
async def test_what_is_no_server(first: bytes, text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    async with scripted(backoff=NEVER) as server:
        task = server.start()
        peer = await server.accept(greet=False)
        await peer.send(first)
        if first[:1] != b"H":
            peer.close()
        error = await failure(task)
        assert error.code is StatusCode.UNAVAILABLE
        assert text in error.text
        # Until it is time for the next attempt this is known.
        assert (await failure(server.start())).text == error.text


async def test_an_rpc_that_ends_as_the_server_greets_takes_no_connection_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scripted() as server:
        call, add = server.channel.stream(PATH, BytesValue), server.channel.add

        def at_the_greeting(transport: ClientTransport) -> None:
            # Before the dial goes on, which waits for the same.
            transport.greeted.add_done_callback(lambda _: call.cancel())
            add(transport)

        monkeypatch.setattr(server.channel, "add", at_the_greeting)
        task = server.start(b"1")
        await (await server.accept()).serve(b"answer")
        assert (await task).value == b"answer"
        assert (await failure(call.read())).code is StatusCode.CANCELLED


async def test_a_server_that_says_nothing() -> None:
    async with scripted(backoff=Backoff(initial=1000, connect=0.05)) as server:
        error = await failure(server.start())
        assert error.text.endswith("no connection: nobody answered in 0.05 s")


async def test_those_who_wait_for_a_server_get_the_one_that_comes() -> None:
    async with scripted(backoff=AT_ONCE) as server:
        server.listening.close()
        patient = [server.start(b"%d" % n, wait_for_ready=True) for n in range(3)]
        for _ in range(3):
            assert (await failure(server.start())).code is StatusCode.UNAVAILABLE
        patient.pop(1).cancel()
        server.listen()
        peer = await server.accept()
        for body in (b"0", b"2"):
            number, _ = await peer.request()
            assert (await peer.find(DATA)).payload == message(body)
            await peer.send(answer(number, body))
        assert [(await task).value for task in patient] == [b"0", b"2"]


async def test_the_next_attempt_comes_when_the_backoff_says() -> None:
    asked: list[int] = []

    class Counting(Backoff):
        def pause(self, failures: int) -> float:
            asked.append(failures)
            return 0.001

    async with scripted(backoff=Counting()) as server:
        server.listening.close()
        task = server.start(wait_for_ready=True)
        await until(lambda: len(asked) > 4)
        server.listen()
        peer = await server.accept()
        await peer.serve(b"")
        await task
        assert asked == list(range(1, len(asked) + 1))
        # A success forgets what was before.
        server.listening.close()
        peer.close()
        await until(lambda: not server.channel._transports)
        assert (await failure(server.start())).code is StatusCode.UNAVAILABLE
        assert asked[-1] == 1
        server.listen()


def test_the_numbers_of_the_backoff() -> None:
    middle = Backoff(random=lambda: 0.0)
    assert [round(middle.pause(n), 3) for n in range(1, 6)] == [1.0, 1.6, 2.56, 4.096, 6.554]
    assert middle.pause(1000) == 120
    assert round(Backoff(random=lambda: 1.0).pause(1), 3) == 1.2
    assert round(Backoff(random=lambda: -1.0).pause(1000), 3) == 96
    assert 0.8 <= Backoff().pause(1) <= 1.2


# -------------------------------------------------------------------- a full server, an idle one


async def test_a_full_server_is_asked_in_order() -> None:
    few = frames.settings({SettingID.MAX_CONCURRENT_STREAMS: 2})
    async with scripted() as server:
        tasks = [server.start(b"%d" % n) for n in range(6)]
        peer = await server.accept(settings=few)
        open_: list[int] = []
        for n in range(6):
            if len(open_) == 2 or n == 4:
                number = open_.pop(0)
                await peer.send(answer(number, b"%d" % number))
            if n == 4:  # who leaves the queue, or the server, makes room too
                tasks[4].cancel()
                continue
            open_.append((await peer.request())[0])
            assert (await peer.find(DATA)).payload == message(b"%d" % n)
        for number in open_:
            await peer.send(answer(number, b"%d" % number))
        del tasks[4]
        assert [int((await task).value) for task in tasks] == [1, 3, 5, 7, 9]


async def test_a_cancelled_rpc_makes_room() -> None:
    one = frames.settings({SettingID.MAX_CONCURRENT_STREAMS: 1})
    async with scripted() as server:
        first, second = server.start(), server.start()
        peer = await server.accept(settings=one)
        assert (await peer.request())[0] == 1
        first.cancel()
        assert (await peer.request())[0] == 3
        # More room by SETTINGS is used at once.
        third = server.start()
        await peer.send(frames.settings({SettingID.MAX_CONCURRENT_STREAMS: 2}))
        assert (await peer.request())[0] == 5
        await peer.send(answer(3, b"2"), answer(5, b"3"))
        assert [(await second).value, (await third).value] == [b"2", b"3"]
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_an_idle_connection_is_closed_and_made_again() -> None:
    async with scripted(idle=0.1) as server:
        task = server.start()
        peer = await server.accept()
        started = time.monotonic()
        await peer.serve(b"1")
        await task
        assert await peer.goaway() is ErrorCode.NO_ERROR
        assert 0.04 < time.monotonic() - started < 5
        again = server.start()
        await (await server.accept()).serve(b"2")
        assert (await again).value == b"2"


async def test_an_open_rpc_is_not_idle() -> None:
    async with scripted(idle=0.02) as server:
        call = server.channel.stream(PATH, BytesValue)
        peer = await server.accept()
        await peer.request()
        loop = asyncio.get_running_loop()
        for _ in range(4):  # longer than the time: by the loop's own timers, which come in order
            due = loop.create_future()
            loop.call_later(0.02, due.set_result, None)
            await due
        await peer.send(head(1), data(1, message(b"still")), trailers(1))
        assert (await call.read()).value == b"still"  # type: ignore[union-attr]
        await peer.find(GOAWAY)


# -------------------------------------------------------------------- limits, windows, the end


async def test_a_message_over_the_send_limit_is_not_sent() -> None:
    async with scripted(send_limit=10) as server:
        assert (await failure(server.start(b"x" * 11))).code is StatusCode.RESOURCE_EXHAUSTED
        call = server.channel.stream(PATH, BytesValue)
        await call.write(BytesValue(value=b"x" * 11))
        assert (await failure(call.read())).code is StatusCode.RESOURCE_EXHAUSTED


async def test_a_large_request_waits_for_the_window() -> None:
    async with scripted() as server:
        body = bytes(100_000)
        task = server.start(body)
        peer = await server.accept()
        await peer.request()
        got = b""
        while len(got) < 65_535:
            got += (await peer.find(DATA)).payload
        await peer.send(frames.window_update(0, 10**6), frames.window_update(1, 10**6))
        while True:
            part = await peer.find(DATA)
            got += part.payload
            if part.flags & frames.END_STREAM:
                break
        assert got == message(body)
        await peer.send(answer(1, b"ok"))
        assert (await task).value == b"ok"


async def test_a_small_table_is_told_before_the_first_block() -> None:
    async with scripted() as server:
        task = server.start()
        peer = await server.accept(settings=frames.settings({SettingID.HEADER_TABLE_SIZE: 0}))
        got = await peer.find(frames.FrameType.HEADERS)
        assert got.payload[0] == 0x20
        await peer.send(answer(1, b""))
        await task


async def test_metadata_larger_than_a_frame() -> None:
    async with scripted() as server:
        task = server.start(metadata=[("long", "x" * 20_000)])
        peer = await server.accept()
        await peer.find(frames.FrameType.HEADERS)
        await peer.find(frames.FrameType.CONTINUATION)
        await peer.send(answer(1, b""))
        await task


async def test_writing_after_the_half_close_is_a_mistake() -> None:
    async with scripted() as server:
        call = server.channel.stream(PATH, BytesValue)
        call.half_close()
        with pytest.raises(RuntimeError, match="write before it"):
            await call.write(BytesValue())
        call.half_close()
        call.cancel()


async def test_close_while_connecting_and_again() -> None:
    async with scripted() as server:
        task = server.start(wait_for_ready=True)
        await asyncio.sleep(0)
        await server.channel.close()
        assert (await failure(task)).code is StatusCode.CANCELLED
        await server.channel.close()
        with pytest.raises(RPCError, match="the channel is closed"):
            server.channel.stream(PATH, BytesValue)


def test_the_end_of_the_loop_closes_what_nobody_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)

        async def main() -> tuple[NativeChannel, Peer]:
            channel = NativeChannel("{}:{}".format(*listening.getsockname()))
            task = asyncio.ensure_future(channel.unary(PATH, BytesValue(), BytesValue))
            peer = Peer((await asyncio.get_running_loop().sock_accept(listening))[0])
            await peer.greet()
            await peer.serve(b"")
            await task
            return channel, peer

        channel, peer = asyncio.run(main())
        assert not channel._transports
        peer.close()
        asyncio.run(channel.close())


# -------------------------------------------------------------------- pure parts


@pytest.mark.parametrize(
    ("text", "target", "authority"),
    [
        ("127.0.0.1:80", Target("", host="127.0.0.1", port=80), "127.0.0.1:80"),
        ("dns:///a.b:80", Target("", host="a.b", port=80), "a.b:80"),
        ("passthrough:///a:1", Target("", host="a", port=1), "a:1"),
        ("passthrough:///unix:///a/b", Target("", path="/a/b"), "localhost"),
        ("[::1]:80", Target("", host="::1", port=80), "[::1]:80"),
        ("unix:/a%20b", Target("", path="/a b"), "localhost"),
        ("unix:///a", Target("", path="/a"), "localhost"),
        ("unix:a", Target("", path="a"), "localhost"),
    ],
)
def test_targets(text: str, target: Target, authority: str) -> None:
    found = Target.parse(text)
    assert (found.path, found.host, found.port) == (target.path, target.host, target.port)
    assert (found.text, found.authority) == (text, authority)


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":80", "host:0", "host:65536", "unix:", "h:x"]
)
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(ValueError, match="expected host:port or unix:/path"):
        Target.parse(text)


async def test_an_encoding_of_nobody() -> None:
    with pytest.raises(ValueError, match="expected None or 'gzip'"):
        NativeChannel("unix:/a", compression="br")


class _Due:
    def __init__(self, deadline: float, seen: list[_Due]) -> None:
        self.deadline: float | None = deadline
        self.seen = seen

    def expire(self) -> None:
        self.seen.append(self)


async def test_deadlines_come_in_order_and_not_before() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    seen: list[_Due] = []
    now = loop.time()
    late, soon, sooner, never = (_Due(now + s, seen) for s in (0.06, 0.03, 0.01, 0.02))
    for call in (late, soon, sooner, never):
        assert call.deadline is not None
        deadlines.add(call, call.deadline)
    deadlines.discard(never)
    await until(lambda: len(seen) == 3)
    assert seen == [sooner, soon, late]
    assert loop.time() - now >= 0.06
