"""What wire/port.py promises, on every wire: the conformance suite."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.wire.calls import TOO_LARGE, TOO_LARGE_SENT
from mm_asgi.wire.port import Encoded, Method, StatusCode
from tests.wire.memory import MemoryStream

from .roads import LIMIT, MEBIBYTE, PLENTY, RPC, collect, counted, drain, message, number, settled

if TYPE_CHECKING:
    import pytest

    from mm_asgi.wire.port import Stream

    from .roads import GrpcRoad, Road

MANY = 5000


async def echo(stream: Stream) -> None:
    """Send back what comes, until the peer half-closes."""
    while (received := await stream.read()) is not None:
        await stream.write(received)
    stream.finish()


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


async def test_a_written_message_over_the_limit_ends_the_rpc(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    await road.serve({RPC: Method(road.hand_over, BytesValue, LIMIT, send_limit=100)})
    peer, stream = await road.pair()
    left = asyncio.Event()
    stream.on_cancel(left.set)
    reading = asyncio.create_task(stream.read())
    largest = message(b"x" * 98)
    await stream.write(largest)
    assert await peer.receive() == largest
    await stream.write(message(b"x" * 99))
    await stream.write(largest)
    assert await peer.receive() is None
    assert await peer.ended() == (StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE_SENT)
    await left.wait()
    assert await reading is None
    assert f"message too large to send: {RPC}, 101 bytes" in caplog.text


async def test_a_message_over_the_limit_is_logged(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    await road.serve(
        {
            RPC: Method(road.hand_over, BytesValue, 100),
            "/test.Wire/Large": Method(road.hand_over, BytesValue, LIMIT),
        }
    )
    peer, stream = await road.pair()
    peer.send(message(b"x" * 99))
    assert await stream.read() is None
    assert await peer.ended() == (StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE)
    assert f"message too large: {RPC}, 101 bytes" in caplog.text


async def test_a_message_in_pieces(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    whole = message(b"x" * MEBIBYTE)
    data = whole.SerializeToString()
    pieces: list[bytes | memoryview] = [
        data[:7],
        memoryview(data)[7:70_000],
        b"",
        memoryview(data)[70_000:],
    ]
    async with asyncio.TaskGroup() as group:
        group.create_task(stream.write(Encoded(BytesValue, pieces, len(data))))
        received = group.create_task(peer.receive())
    assert received.result() == whole
    await stream.write(message(1))
    assert number(await peer.receive()) == 1
    stream.finish()
    assert await peer.ended() == (StatusCode.OK, "")


async def test_a_message_in_pieces_over_the_limit_ends_the_rpc(road: Road) -> None:
    await road.serve({RPC: Method(road.hand_over, BytesValue, LIMIT, send_limit=100)})
    peer, stream = await road.pair()
    data = message(b"x" * 99).SerializeToString()
    await stream.write(Encoded(BytesValue, [data[:50], data[50:]], len(data)))
    assert await peer.ended() == (StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE_SENT)


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
    parsed = await counted(grpc_road)
    peer = grpc_road.open()
    stream = await grpc_road.accept()
    for i in range(10):
        peer.send(message(i))
    for i in range(10):
        assert await settled(lambda: len(parsed), quiet=0.01) <= i + 1
        assert number(await stream.read()) == i


async def test_an_end_drops_what_was_fetched_and_not_read(grpc_road: GrpcRoad) -> None:
    parsed = await counted(grpc_road)
    peer = grpc_road.open()
    stream = await grpc_road.accept()
    peer.send(message(1))
    assert await settled(lambda: len(parsed), quiet=0.02) <= 1
    stream.finish()
    assert await stream.read() is None


async def test_the_memory_wire_fetches_one_message_ahead() -> None:
    stream = MemoryStream()
    for i in range(10):
        stream.peer.send(message(i))
    for i in range(10):
        assert (stream.peer.reads, stream.peer.fetched) == (i, i + 1)
        assert number(await stream.read()) == i


async def test_an_end_drops_what_the_memory_wire_fetched() -> None:
    stream = MemoryStream()
    stream.peer.send(message(1))
    stream.finish()
    assert await stream.read() is None


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


async def test_two_readers_that_wait_for_the_first_messages(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    readers = [asyncio.create_task(stream.read()) for _ in range(2)]
    await asyncio.sleep(0)
    peer.send(message(1))
    peer.send(message(2))
    assert [number(received) for received in await asyncio.gather(*readers)] == [1, 2]
