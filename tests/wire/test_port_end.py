"""The conformance suite's second part: how this side ends an RPC."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from mm_asgi.wire.calls import HANDLER_FAILED
from mm_asgi.wire.port import StatusCode

from .roads import PLENTY, blocked_writers, collect, drain, message, number, settled

if TYPE_CHECKING:
    from mm_asgi.wire.port import Stream

    from .roads import Road

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
    with pytest.raises(StopIteration) as at_once:
        stream.read().send(None)
    assert at_once.value.value is None
    assert await waiting is None
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


async def test_abort_drops_the_writes_that_still_wait(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    writers = await blocked_writers(stream)
    written = sum(writer.done() for writer in writers)
    stream.abort(StatusCode.ABORTED, "enough")
    received = 0
    while await peer.receive() is not None:
        received += 1
    assert written <= received < PLENTY
    assert await peer.ended() == (StatusCode.ABORTED, "enough")
    await asyncio.gather(*writers)


@pytest.mark.parametrize("code", [StatusCode.OK, StatusCode.ABORTED])
async def test_a_cancel_after_the_end_releases_the_writers_and_is_no_news(
    road: Road, code: StatusCode
) -> None:
    await road.start({})
    peer, stream = await road.pair()
    left: list[int] = []
    stream.on_cancel(lambda: left.append(1))
    writers = await blocked_writers(stream)
    end(stream, code)
    peer.cancel()
    await asyncio.gather(*writers)
    stream.on_cancel(lambda: left.append(2))
    assert left == []


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


async def test_a_plain_function_is_a_handler_and_gets_no_task(road: Road) -> None:
    streams: list[Stream] = []
    await road.start({"/test.Wire/Plain": streams.append})
    peer = road.open("/test.Wire/Plain")
    other, _ = await road.pair()
    await settled(lambda: len(streams), quiet=0.01)
    (stream,) = streams
    named = [task.get_name() for task in asyncio.all_tasks()]
    assert "mm_asgi /test.Wire/Plain" not in named
    peer.send(message(1))
    assert number(await stream.read()) == 1
    await stream.write(message(2))
    assert number(await peer.receive()) == 2
    stream.finish()
    assert await peer.ended() == (StatusCode.OK, "")
    other.cancel()


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_a_plain_function_that_raises_ends_the_rpc_and_nothing_else(
    road: Road, caplog: pytest.LogCaptureFixture, failure: BaseException
) -> None:
    def fail(stream: Stream) -> None:
        raise failure

    await road.start({"/test.Wire/Fail": fail})
    assert await road.open("/test.Wire/Fail").ended() == (StatusCode.INTERNAL, HANDLER_FAILED)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "handler failed: /test.Wire/Fail"
    ]
    peer, stream = await road.pair()
    stream.finish()
    assert await peer.ended() == (StatusCode.OK, "")


async def test_a_handler_that_raises_after_the_end_changes_nothing(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(stream: Stream) -> None:
        stream.finish()
        raise ValueError("late")

    await road.start({"/test.Wire/Fail": fail})
    assert await road.open("/test.Wire/Fail").ended() == (StatusCode.OK, "")
    assert "late" in caplog.text
