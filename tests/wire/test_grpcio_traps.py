"""What grpcio does of its own accord, and that wire/grpcio.py answers it: a test for each trap.

The conformance suite in test_port.py covers these as well where every wire can have the fault.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.wire.grpcio import GrpcioServer
from mm_asgi.wire.port import Method, StatusCode
from tests.wire.grpcio_channel import _rpc_error

from .roads import LIMIT, RPC, GrpcPeer, GrpcRoad, counted, message, number, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mm_asgi.wire.port import Stream

SLEEPER = """
import sys, time, grpc
channel = grpc.insecure_channel(sys.argv[1])
call = channel.stream_stream(sys.argv[2])(iter([b""] * 50))
next(call)
print("reading", flush=True)
time.sleep(60)
"""


@pytest.fixture
def server() -> GrpcioServer:
    """The one that ``road`` dials."""
    return GrpcioServer()


@pytest.fixture
async def road(server: GrpcioServer) -> AsyncIterator[GrpcRoad]:
    """The grpcio wire alone."""
    made = GrpcRoad("grpcio", server)
    yield made
    await made.close()


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What anybody, grpcio too, logged as a warning or worse."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def nothing_left(server: GrpcioServer) -> None:
    """Wait until no RPC is open and no task of one lives."""
    calls = server._calls
    for _ in range(1000):
        if not len(calls) and not calls._tasks:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"left: {calls.streams}, {calls._tasks}")


def told_when_left(stream: Stream) -> asyncio.Event:
    """An event for the stream's cancel."""
    left = asyncio.Event()
    stream.on_cancel(left.set)
    return left


# read() returns EOF for half-close and for cancel, reset, lost connection, oversize: the stream
# tells them apart by on_cancel.


@pytest.mark.parametrize("end", ["half-close", "cancel", "lost", "oversize"])
async def test_end_of_input_is_told_apart_by_on_cancel(road: GrpcRoad, end: str) -> None:
    await road.start({})
    channel = road.dial()
    peer = road.open(channel=channel)
    stream = await road.accept()
    left = told_when_left(stream)
    peer.send(message(1))
    assert number(await stream.read()) == 1
    if end == "half-close":
        peer.half_close()
    elif end == "cancel":
        peer.cancel()
    elif end == "lost":
        await asyncio.to_thread(channel.close)
    else:
        peer.send(b"x" * (LIMIT + 1))
    assert await stream.read() is None
    if end == "half-close":
        stream.finish()
        assert await peer.ended() == (StatusCode.OK, "")
        assert not left.is_set()
    else:
        await left.wait()
    channel.close()


# A read in flight must be neither doubled nor cancelled: one pump reads, and finish() leaves it.


async def test_finish_leaves_the_read_in_flight_alone(
    road: GrpcRoad, server: GrpcioServer, caplog: pytest.LogCaptureFixture
) -> None:
    await road.start({})
    peers = []
    for _ in range(20):
        peer, stream = await road.pair()
        readers = [asyncio.create_task(stream.read()) for _ in range(3)]
        await asyncio.sleep(0)
        stream.finish()
        assert await asyncio.gather(*readers) == [None] * 3
        peers.append(peer)
    for peer in peers:
        assert await peer.ended() == (StatusCode.OK, "")
    await nothing_left(server)
    assert complaints(caplog) == []


# Each read is an operation of the core: a second one for an RPC of one message is wasted.


async def test_a_second_message_is_read_when_somebody_asks(road: GrpcRoad) -> None:
    parsed = await counted(road)
    peer, stream = await road.pair()
    for i in range(5):
        peer.send(message(i))
    assert number(await stream.read()) == 0
    assert await settled(lambda: len(parsed), quiet=0.02) == 1
    assert number(await stream.read()) == 1
    assert await settled(lambda: len(parsed), quiet=0.02) == 3


# context.cancelled() stays False, a cancel while blocked in write is a private ExecuteBatchError,
# which grpcio logs as an ERROR.


@pytest.mark.parametrize("unread", [0, 5])
@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_a_peer_that_leaves_is_noticed_while_a_write_is_blocked(
    road: GrpcRoad, caplog: pytest.LogCaptureFixture, how: str, unread: int
) -> None:
    await road.start({})
    channel = road.dial()
    peer = road.open(channel=channel)
    stream = await road.accept()
    left = told_when_left(stream)
    for i in range(unread):
        peer.send(message(i))
    writers = [asyncio.create_task(stream.write(message(b"x" * 2**20))) for _ in range(32)]
    await settled(lambda: sum(writer.done() for writer in writers))
    if how == "cancel":
        peer.cancel()
    else:
        await asyncio.to_thread(channel.close)
    await left.wait()
    await asyncio.gather(*writers)
    assert complaints(caplog) == []
    channel.close()


async def test_a_killed_peer_is_noticed_while_a_write_is_blocked(road: GrpcRoad) -> None:
    await road.start({})
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLEEPER, f"unix:{road.listener.address}", RPC, stdout=-1
    )
    stream = await road.accept()
    left = told_when_left(stream)
    writers = [asyncio.create_task(stream.write(message(b"x" * 2**20))) for _ in range(32)]
    assert child.stdout is not None
    await child.stdout.readline()
    await settled(lambda: sum(writer.done() for writer in writers))
    child.send_signal(signal.SIGKILL)
    await left.wait()
    await asyncio.gather(*writers)
    await child.wait()


# A host cancels each RPC as soon as it has the whole answer: that races with the status.


async def test_the_cancel_that_follows_the_answer_is_silent(
    road: GrpcRoad, server: GrpcioServer, caplog: pytest.LogCaptureFixture
) -> None:
    left = 0

    async def answer(stream: Stream) -> None:
        def told() -> None:
            nonlocal left
            left += 1

        stream.on_cancel(told)
        received = message(number(await stream.read()))
        # As the bridge does: the last message and the end in one turn of the loop.
        writer = asyncio.ensure_future(stream.write(received))
        await asyncio.sleep(0)
        stream.finish()
        await writer

    await road.start({"/test.Wire/Answer": answer})

    def client() -> None:
        for i in range(200):
            peer = road.open("/test.Wire/Answer")
            peer.send(message(i))
            assert number(peer.receive_now()) == i
            peer.cancel()

    await asyncio.to_thread(client)
    await nothing_left(server)
    assert left == 0
    assert complaints(caplog) == []


# grpc/grpc#43360: 8,000 cancelled RPCs whose handler swallows the cancel take 1.6 MiB for good.


async def cancel_many(road: GrpcRoad, server: GrpcioServer, count: int) -> None:
    """Open and cancel ``count`` RPCs, in every state."""
    for i in range(count):
        peer, stream = await road.pair()
        assert isinstance(peer, GrpcPeer)
        left = told_when_left(stream)
        if i % 3 == 0:
            peer.send(message(i))
            await stream.read()
        if i % 3 == 1:
            await stream.write(message(i))
        peer.close()
        await left.wait()
    await nothing_left(server)


def streams() -> int:
    """Return how many streams of ours live; a test before this one may have left some."""
    gc.collect()
    return sum(type(each).__name__ == "_GrpcioStream" for each in gc.get_objects())


async def test_cancelled_rpcs_leave_nothing_behind(
    road: GrpcRoad, server: GrpcioServer, caplog: pytest.LogCaptureFixture
) -> None:
    others = streams()
    await road.start({})
    await cancel_many(road, server, 20)
    before = len(asyncio.all_tasks())
    await cancel_many(road, server, 200)
    assert len(asyncio.all_tasks()) <= before
    assert streams() <= others  # none of this test's is left
    assert complaints(caplog) == []


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.timeout(120)
async def test_8000_cancelled_rpcs_do_not_grow_the_process(
    road: GrpcRoad, server: GrpcioServer
) -> None:
    await road.start({})
    await cancel_many(road, server, 2000)
    before = resident()
    await cancel_many(road, server, 8000)
    # Server and client live in this process. 24,000 RPCs took nothing (grpcio 1.85.1).
    assert resident() - before < 2**20


def resident() -> int:
    """Bytes of memory in use."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


# Limits: the core has one for all methods, 4 MiB by default.


async def test_each_method_has_a_limit_of_its_own(road: GrpcRoad) -> None:
    async def count(stream: Stream) -> None:
        received = await stream.read()
        if received is not None:
            await stream.write(message(len(received.value)))
        stream.finish()

    await road.serve(
        {
            "/test.Wire/Small": Method(count, BytesValue, 100),
            "/test.Wire/Large": Method(count, BytesValue, 8 * 2**20),
        }
    )
    large = road.open("/test.Wire/Large")
    large.send(message(b"x" * 6 * 2**20))
    assert number(await large.receive()) == 6 * 2**20
    small = road.open("/test.Wire/Small")
    small.send(message(b"x" * 98))
    assert number(await small.receive()) == 98
    small = road.open("/test.Wire/Small")
    small.send(message(b"x" * 99))
    assert (await small.ended())[0] is StatusCode.RESOURCE_EXHAUSTED


# maximum_concurrent_rpcs would count health and stdio too, so it is not set.


async def test_no_limit_of_concurrent_rpcs(road: GrpcRoad) -> None:
    await road.start({})
    pairs = [await road.pair() for _ in range(300)]
    for _, stream in pairs:
        stream.finish()


# stop(grace) returns while handlers still run.


async def test_stop_leaves_no_task_behind() -> None:
    road = GrpcRoad("grpcio", GrpcioServer())
    await road.start({})
    before = asyncio.all_tasks()
    pairs = [await road.pair() for _ in range(20)]
    lefts = [told_when_left(stream) for _, stream in pairs]
    readers = [asyncio.create_task(stream.read()) for _, stream in pairs]
    await road.server.stop(0)
    assert all(left.is_set() for left in lefts)
    assert await asyncio.gather(*readers) == [None] * 20
    assert asyncio.all_tasks() <= before
    await road.close()


async def test_unusual_text_in_a_status(road: GrpcRoad) -> None:
    await road.start({})
    peer, stream = await road.pair()
    stream.abort(StatusCode.ABORTED, "a lone surrogate \ud800, 100 %\r\n")
    assert await peer.ended() == (StatusCode.ABORTED, "a lone surrogate ?, 100 %\r\n")


# grpc-go resets a stream at its deadline, and may be faster than grpcio's own clock.


def test_a_server_whose_clock_rang_first() -> None:
    nothing = grpc.aio.Metadata()
    reset = grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, nothing, nothing, details="RST_STREAM")
    now = time.monotonic()
    codes = [_rpc_error(RPC, reset, deadline).code for deadline in (None, now + 60, now)]
    assert codes == [StatusCode.CANCELLED, StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED]
