"""What wire/port.py promises, on every wire: the conformance suite."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.wire.calls import HANDLER_FAILED, UNPARSABLE
from mm_asgi.wire.memory import MemoryStream
from mm_asgi.wire.port import Method, StatusCode

from .roads import LIMIT, RPC, message, number, settled

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mm_asgi.wire.port import Stream

    from .roads import GrpcRoad, Peer, Road

MANY = 5000
MEBIBYTE = 2**20
# More than any wire buffers on both sides of a connection together.
PLENTY = 64


async def echo(stream: Stream) -> None:
    """Send back what comes, until the peer half-closes."""
    while (received := await stream.read()) is not None:
        await stream.write(received)
    stream.finish()


async def collect(peer: Peer) -> list[int]:
    """The numbers that the peer receives until the end."""
    got = []
    while (received := await peer.receive()) is not None:
        got.append(number(received))
    return got


async def drain(stream: Stream) -> list[int]:
    """The numbers that the handler's side reads until the end."""
    got = []
    while (received := await stream.read()) is not None:
        got.append(number(received))
    return got


# Messages


async def test_unary_shape(road: Road) -> None:
    await road.start({"/test.Wire/Echo": echo})
    peer = road.open("/test.Wire/Echo")
    peer.send(message(7))
    peer.half_close()
    assert await collect(peer) == [7]
    assert await peer.ended() == (StatusCode.OK, "")


async def test_many_messages_from_the_peer_keep_their_order(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    for i in range(MANY):
        peer.send(message(i))
    peer.half_close()
    assert await drain(stream) == list(range(MANY))


async def test_many_messages_to_the_peer_keep_their_order(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()

    async def write() -> None:
        for i in range(MANY):
            await stream.write(message(i))
        stream.finish()

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        received = group.create_task(collect(peer))
    assert received.result() == list(range(MANY))
    assert await peer.ended() == (StatusCode.OK, "")


async def test_parallel_writers_keep_the_order_of_their_calls(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    writers = [asyncio.create_task(stream.write(message(i))) for i in range(50)]
    received = asyncio.create_task(collect(peer))
    await asyncio.gather(*writers)
    stream.finish()
    assert await received == list(range(50))


async def test_messages_larger_than_the_default_limits(road: Road) -> None:
    await road.start({"/test.Wire/Echo": echo})
    peer = road.open("/test.Wire/Echo")
    big = message(b"x" * (12 * MEBIBYTE))
    peer.send(big)
    peer.half_close()
    assert await peer.receive() == big
    assert await peer.ended() == (StatusCode.OK, "")


async def test_a_message_over_the_limit_ends_the_rpc(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    left = asyncio.Event()
    stream.on_cancel(left.set)
    peer.send(message(b"x" * (LIMIT + 1)))
    assert await stream.read() is None
    code, _ = await peer.ended()
    assert code is StatusCode.RESOURCE_EXHAUSTED
    await left.wait()


async def test_an_empty_message_is_no_end(road: Road) -> None:
    await road.start({"/test.Wire/Echo": echo})
    peer = road.open("/test.Wire/Echo")
    peer.send(message(b""))
    peer.half_close()
    assert await peer.receive() == message(b"")
    assert await peer.receive() is None


# Backpressure


async def test_a_slow_reader_stops_the_peer(grpc_road: GrpcRoad) -> None:
    await grpc_road.start({})
    peer = grpc_road.open()
    stream = await grpc_road.accept()
    for i in range(PLENTY):
        peer.send(message(b"%d " % i + b"x" * MEBIBYTE))
    peer.half_close()
    # grpcio, seen: 8 (its window grows to 4 MiB, one is read ahead, the client holds the rest).
    assert await settled(lambda: peer.pushed) <= 16
    for i in range(PLENTY):
        received = await stream.read()
        assert received is not None
        assert received.value.startswith(b"%d " % i)
    assert await stream.read() is None


async def test_one_message_is_fetched_ahead_and_no_more(grpc_road: GrpcRoad) -> None:
    parsed = 0

    class Counted:
        @staticmethod
        def FromString(data: bytes) -> BytesValue:
            nonlocal parsed
            parsed += 1
            return BytesValue.FromString(data)

    await grpc_road.serve({RPC: Method(grpc_road.hand_over, cast("type[Message]", Counted), LIMIT)})
    peer = grpc_road.open()
    stream = await grpc_road.accept()
    for i in range(10):
        peer.send(message(i))
    for i in range(10):
        assert await settled(lambda: parsed, quiet=0.01) <= i + 1
        assert number(await stream.read()) == i


async def test_the_memory_wire_fetches_one_message_ahead() -> None:
    stream = MemoryStream()
    for i in range(10):
        stream.peer.send(message(i))
    for i in range(10):
        assert (stream.peer.reads, stream.peer.fetched) == (i, i + 1)
        assert number(await stream.read()) == i


async def test_the_memory_wires_window_is_exact() -> None:
    stream = MemoryStream(window=2)
    await stream.write(message(0))
    await stream.write(message(1))
    blocked = asyncio.create_task(stream.write(message(2)))
    await asyncio.sleep(0)
    assert [number(each) for each in stream.peer.messages] == [0, 1]
    assert number(await stream.peer.receive()) == 0
    await blocked
    assert [number(each) for each in stream.peer.messages] == [0, 1, 2]


async def test_a_slow_peer_stops_the_writer(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    written = 0

    async def write() -> None:
        nonlocal written
        for i in range(PLENTY):
            await stream.write(message(b"%d " % i + b"x" * MEBIBYTE))
            written += 1
        stream.finish()

    writer = asyncio.create_task(write())
    assert await settled(lambda: written) <= 16
    for i in range(PLENTY):
        received = await peer.receive()
        assert received is not None
        assert received.value.startswith(b"%d " % i)
    await writer
    assert await peer.ended() == (StatusCode.OK, "")


async def test_a_cancelled_writer_loses_and_reorders_nothing(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    writers = [
        asyncio.create_task(stream.write(message(b"%d " % i + b"x" * MEBIBYTE)))
        for i in range(PLENTY)
    ]
    await settled(lambda: sum(writer.done() for writer in writers))
    blocked = [writer for writer in writers if not writer.done()]
    for writer in blocked[::2]:
        writer.cancel()
    for i in range(PLENTY):
        received = await peer.receive()
        assert received is not None
        assert received.value.startswith(b"%d " % i)
    await asyncio.wait(writers)
    assert {writer for writer in writers if writer.cancelled()} == set(blocked[::2])
    stream.finish()
    assert await peer.ended() == (StatusCode.OK, "")


async def test_a_written_message_is_not_changed_afterwards(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    reused = message(1)
    first = asyncio.create_task(stream.write(reused))
    await asyncio.sleep(0)
    reused.value = b"2"
    second = asyncio.create_task(stream.write(reused))
    assert [number(await peer.receive()) for _ in range(2)] == [1, 2]
    await asyncio.gather(first, second)


# Reads


async def test_a_cancelled_read_loses_nothing(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    got = []
    for i in range(200):
        if i % 3 == 0:
            reader = asyncio.create_task(stream.read())
            await asyncio.sleep(0)
            peer.send(message(i))
            for _ in range(i % 7):
                await asyncio.sleep(0)
            if not reader.done():
                reader.cancel()
            else:
                got.append(number(reader.result()))
        else:
            peer.send(message(i))
    peer.half_close()
    got += await drain(stream)
    assert got == list(range(200))


async def test_a_message_that_is_here_needs_no_turn_of_the_loop(road: Road) -> None:
    """Starlette asks is_disconnected() by a read that it cancels at its first wait."""
    await road.start({})
    peer, stream = await road.pair()
    for i in range(20):
        peer.send(message(i))
    peer.half_close()
    got: list[int] = []
    for _ in range(10_000):
        poll = stream.read()
        try:
            poll.send(None)
        except StopIteration as ready:
            if ready.value is None:
                break
            got.append(number(ready.value))
        else:
            poll.close()
            await asyncio.sleep(0.001)
    assert got == list(range(20))


async def test_parallel_readers_each_get_messages_of_their_own(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    readers = [asyncio.create_task(drain(stream)) for _ in range(5)]
    await asyncio.sleep(0)
    for i in range(500):
        peer.send(message(i))
    peer.half_close()
    parts = await asyncio.gather(*readers)
    assert sorted(i for part in parts for i in part) == list(range(500))
    assert all(part == sorted(part) for part in parts)


# The end


async def test_half_close_reads_none_for_ever_and_is_no_cancel(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    cancels: list[int] = []
    stream.on_cancel(lambda: cancels.append(1))
    peer.send(message(1))
    peer.half_close()
    assert await drain(stream) == [1]
    assert await stream.read() is None
    assert await stream.read() is None
    await stream.write(message(2))
    stream.finish()
    assert await collect(peer) == [2]
    assert await peer.ended() == (StatusCode.OK, "")
    assert cancels == []


@pytest.mark.parametrize("code", [StatusCode.OK, StatusCode.ABORTED])
async def test_after_the_end_reads_are_none_and_writes_nothing(
    road: Road, code: StatusCode
) -> None:
    await road.start({})
    peer, stream = await road.pair()
    waiting = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    end(stream, code)
    assert await waiting is None
    assert await stream.read() is None
    await stream.write(message(1))
    peer.send(message(2))
    assert await stream.read() is None
    assert await collect(peer) == []
    assert (await peer.ended())[0] is code


def end(stream: Stream, code: StatusCode, text: str = "for the peer") -> None:
    """finish() or abort()."""
    if code is StatusCode.OK:
        stream.finish()
    else:
        stream.abort(code, text)


@pytest.mark.parametrize("first", [StatusCode.OK, StatusCode.ABORTED])
async def test_the_first_end_counts(road: Road, first: StatusCode) -> None:
    await road.start({})
    peer, stream = await road.pair()
    await stream.write(message(1))
    end(stream, first, "grüße \u2713")
    stream.finish()
    stream.abort(StatusCode.DATA_LOSS, "too late")
    assert await collect(peer) == [1]
    assert await peer.ended() == (first, "grüße \u2713" if first else "")
    stream.abort(StatusCode.DATA_LOSS, "much too late")


@pytest.mark.parametrize("code", [code for code in StatusCode if code])
async def test_every_status_reaches_the_peer(road: Road, code: StatusCode) -> None:
    await road.start({})
    peer, stream = await road.pair()
    stream.abort(code, "text")
    assert await peer.ended() == (code, "text")


async def test_finish_waits_for_the_writes_before_it(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    writers = [asyncio.create_task(stream.write(message(i))) for i in range(20)]
    await asyncio.sleep(0)
    stream.finish()
    assert await collect(peer) == list(range(20))
    assert await peer.ended() == (StatusCode.OK, "")
    await asyncio.gather(*writers)


async def test_the_end_may_come_from_a_plain_callback(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    asyncio.get_running_loop().call_soon(stream.abort, StatusCode.NOT_FOUND, "nothing here")
    assert await peer.ended() == (StatusCode.NOT_FOUND, "nothing here")


async def test_a_handler_that_returns_leaves_the_rpc_open(road: Road) -> None:
    # accept() itself is such a handler: it puts the stream into a queue and returns.
    await road.start({})
    peer, stream = await road.pair()
    peer.send(message(1))
    assert number(await stream.read()) == 1
    await stream.write(message(2))
    assert number(await peer.receive()) == 2
    stream.finish()
    assert await peer.ended() == (StatusCode.OK, "")


async def test_an_unknown_path_is_unimplemented(road: Road) -> None:
    await road.start({})
    code, _ = await road.open("/test.Wire/Nobody").ended()
    assert code is StatusCode.UNIMPLEMENTED


# Handlers that fail


class BrokenText(Exception):
    """An exception that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


FAILURES = [
    ValueError("secret"),
    asyncio.CancelledError("secret"),
    SystemExit("secret"),
    KeyboardInterrupt("secret"),
    BrokenText(),
    BaseExceptionGroup("secret", [SystemExit("secret")]),
    GeneratorExit("secret"),
    StopAsyncIteration("secret"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("writes", [0, 1])
async def test_a_handler_that_raises_ends_the_rpc_with_a_fixed_text(
    road: Road, caplog: pytest.LogCaptureFixture, failure: BaseException, writes: int
) -> None:
    async def fail(stream: Stream) -> None:
        for i in range(writes):
            await stream.write(message(i))
        raise failure

    await road.start({"/test.Wire/Fail": fail})
    peer = road.open("/test.Wire/Fail")
    assert await collect(peer) == list(range(writes))
    assert await peer.ended() == (StatusCode.INTERNAL, HANDLER_FAILED)
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [(record.name, record.levelname) for record in logged] == [("mm_asgi.wire", "ERROR")]
    assert logged[0].exc_info is not None


async def test_a_handler_that_raises_after_the_end_changes_nothing(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(stream: Stream) -> None:
        stream.finish()
        raise ValueError("late")

    await road.start({"/test.Wire/Fail": fail})
    assert await road.open("/test.Wire/Fail").ended() == (StatusCode.OK, "")
    assert "late" in caplog.text


# The peer leaves


async def test_a_cancel_is_told_once_and_reads_end(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    left = asyncio.Event()
    calls: list[str] = []

    def told() -> None:
        calls.append("told")
        left.set()

    stream.on_cancel(lambda: calls.append("replaced"))
    stream.on_cancel(told)
    waiting = asyncio.create_task(stream.read())
    peer.cancel()
    await left.wait()
    assert await waiting is None
    assert await stream.read() is None
    await stream.write(message(1))
    stream.finish()
    stream.abort(StatusCode.ABORTED, "too late")
    peer.cancel()
    assert calls == ["told"]
    stream.on_cancel(lambda: calls.append("at once"))
    assert calls == ["told", "at once"]
    assert (await peer.ended())[0] is StatusCode.CANCELLED


async def test_a_cancel_releases_blocked_writers(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    left = asyncio.Event()
    stream.on_cancel(left.set)
    writers = [asyncio.create_task(stream.write(message(b"x" * MEBIBYTE))) for _ in range(PLENTY)]
    done = await settled(lambda: sum(writer.done() for writer in writers))
    assert done < PLENTY
    peer.cancel()
    await left.wait()
    await asyncio.gather(*writers)


async def test_a_cancel_after_the_end_is_no_news(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    calls: list[int] = []
    stream.on_cancel(lambda: calls.append(1))
    await stream.write(message(1))
    assert number(await peer.receive()) == 1
    stream.finish()
    peer.cancel()
    await peer.ended()
    stream.on_cancel(lambda: calls.append(2))
    await (await road.pair())[1].write(message(1))
    assert calls == []


async def test_a_callback_that_raises_is_logged(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    await road.start({})
    peer, stream = await road.pair()
    left = asyncio.Event()

    def fail() -> None:
        left.set()
        raise ValueError("in the callback")

    stream.on_cancel(fail)
    peer.cancel()
    await left.wait()
    assert await stream.read() is None
    assert "in the callback" in caplog.text


async def test_a_cancel_does_not_touch_the_handler(road: Road) -> None:
    started, gone, released = asyncio.Event(), asyncio.Event(), asyncio.Event()
    outcome = asyncio.Queue[str]()

    async def handler(stream: Stream) -> None:
        stream.on_cancel(gone.set)
        started.set()
        try:
            await released.wait()
        except BaseException:
            outcome.put_nowait("cancelled")
            raise
        outcome.put_nowait("went on")

    await road.start({"/test.Wire/Slow": handler})
    peer = road.open("/test.Wire/Slow")
    await started.wait()
    peer.cancel()
    await gone.wait()
    released.set()
    assert await outcome.get() == "went on"


async def test_no_deadline_is_none(road: Road) -> None:
    await road.start({})
    _, stream = await road.pair()
    assert stream.deadline is None


async def test_a_deadline_is_on_the_loops_clock_and_cancels(road: Road) -> None:
    await road.start({})
    peer = road.open(timeout=0.3)
    stream = await road.accept()
    left = asyncio.Event()
    stream.on_cancel(left.set)
    assert stream.deadline is not None
    assert 0 < stream.deadline - asyncio.get_running_loop().time() <= 0.4
    await left.wait()
    assert await stream.read() is None
    assert abs(stream.deadline - asyncio.get_running_loop().time()) < 0.3
    assert (await peer.ended())[0] is StatusCode.DEADLINE_EXCEEDED


async def test_method_and_metadata(road: Road) -> None:
    await road.start({})
    road.open(metadata=(("x-request-id", "abc"), ("x-raw-bin", b"\0\xff")))
    stream = await road.accept()
    assert stream.method == RPC
    assert stream.metadata["x-request-id"] == "abc"
    assert stream.metadata["x-raw-bin"] == b"\0\xff"
    assert "x-other" not in stream.metadata


# Bytes that no memory wire has


async def test_a_message_that_cannot_be_parsed_ends_the_rpc(
    grpc_road: GrpcRoad, caplog: pytest.LogCaptureFixture
) -> None:
    await grpc_road.start({})
    peer = grpc_road.open()
    stream = await grpc_road.accept()
    left = asyncio.Event()
    stream.on_cancel(left.set)
    peer.send(message(1))
    peer.send(b"\xff secret")
    peer.send(message(2))
    assert await drain(stream) == [1]
    await left.wait()
    await stream.write(message(3))
    assert await peer.ended() == (StatusCode.INTERNAL, UNPARSABLE)
    assert "cannot be parsed: /test.Wire/Call" in caplog.text
    assert "secret" not in caplog.text


async def test_a_lost_connection_is_a_cancel(grpc_road: GrpcRoad) -> None:
    await grpc_road.start({})
    channel = grpc_road.dial()
    peer = grpc_road.open(channel=channel)
    stream = await grpc_road.accept()
    left = asyncio.Event()
    stream.on_cancel(left.set)
    peer.send(message(1))
    assert number(await stream.read()) == 1
    await asyncio.to_thread(channel.close)
    await left.wait()
    assert await stream.read() is None


# Stop


async def test_stop_refuses_waits_and_cancels(road: Road) -> None:
    await road.start({})
    quick_peer, quick = await road.pair()
    _, slow = await road.pair()
    left = asyncio.Event()
    slow.on_cancel(left.set)
    stopping = asyncio.create_task(road.server.stop(0.5))
    code, _ = await refused(road)
    assert code is StatusCode.UNAVAILABLE
    assert not left.is_set()
    quick_peer.send(message(1))
    assert number(await quick.read()) == 1
    await quick.write(message(2))
    quick.finish()
    assert number(await quick_peer.receive()) == 2
    assert await quick_peer.ended() == (StatusCode.OK, "")
    assert not left.is_set()
    await stopping
    assert left.is_set()
    assert await slow.read() is None
    await slow.write(message(1))


async def refused(road: Road) -> tuple[StatusCode, str]:
    """The end of an RPC that is opened once the stop has begun."""
    await asyncio.sleep(0)
    return await road.open().ended()


async def test_stop_does_not_wait_when_nothing_runs(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    stream.finish()
    await peer.ended()
    async with asyncio.timeout(5):
        await road.server.stop(60)
        await road.server.stop(60)


async def test_stop_cancels_what_handlers_still_do(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    started, ended = asyncio.Event(), asyncio.Queue[str]()

    async def endless(stream: Stream) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.put_nowait("cancelled")
            raise

    await road.start({"/test.Wire/Endless": endless})
    road.open("/test.Wire/Endless")
    await started.wait()
    await road.server.stop(0)
    assert ended.get_nowait() == "cancelled"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_stop_names_a_handler_that_swallows_its_cancel(
    road: Road, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mm_asgi.wire.calls.CANCEL_WAIT", 0.05)
    started, released = asyncio.Event(), asyncio.Event()

    async def stubborn(stream: Stream) -> None:
        started.set()
        for _ in range(2):
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    await road.start({"/test.Wire/Stubborn": stubborn})
    road.open("/test.Wire/Stubborn")
    await started.wait()
    await road.server.stop(0)
    assert "/test.Wire/Stubborn" in caplog.text
    released.set()


async def test_stop_before_start_is_harmless(road: Road) -> None:
    await road.server.stop(0)
    await road.start({})
