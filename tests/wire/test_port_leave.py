"""The conformance suite's third part: the peer leaves, or the server stops."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mm_asgi.wire.calls import UNPARSABLE
from mm_asgi.wire.port import StatusCode

from .roads import RPC, blocked_writers, drain, message, number

if TYPE_CHECKING:
    import pytest

    from mm_asgi.wire.port import Stream

    from .roads import GrpcRoad, Road

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
    writers = await blocked_writers(stream)
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
    # CANCELLED: grpcio drops a call that comes before the peer has seen the GOAWAY.
    assert code in {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}
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
