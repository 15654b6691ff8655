"""Cases of which the client leaves: what the app hears, and what its sends do then (rows D4, D5)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from tests.contract.apps.registry import Call, case, unlisted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@case("waits")
async def waits(call: Call) -> None:
    """Nothing is sent; the client leaves."""
    call.note("waits")
    await call.left()


@case("streams")
async def streams(call: Call) -> None:
    """Something is sent; the client leaves; what is sent to nobody takes its time."""
    await call.start()
    await call.body(b"some", more=True)
    call.note("waits")
    await call.left()
    began = time.monotonic()
    for _ in range(5):
        await call.body(b"for nobody", more=True)
    call.note("five sends", time.monotonic() - began)
    await call.body(b"")


@case("endless")
async def endless(call: Call) -> None:
    """Sends whatever the client does; how long that went on after it had left is noted."""
    await call.start()
    await call.body(b"some", more=True)
    call.note("waits")
    await call.left()
    began = time.monotonic()
    try:
        for _ in range(100_000):
            await call.body(b"for nobody", more=True)
    finally:
        call.note("went on", time.monotonic() - began)


@case("sends to nobody")
async def sends_to_nobody(call: Call) -> None:
    """After the client left, each kind of event, right and wrong, does nothing."""
    await call.start()
    await call.body(b"some", more=True)
    call.note("waits")
    await call.left()
    events: list[Any] = [
        {"type": "http.response.body", "body": b"for nobody", "more_body": True},
        {"type": "http.response.body", "body": b"for nobody"},
        {"type": "http.response.start", "status": 200},
        {"type": "no.such.event"},
    ]
    for event in events:
        await call.send(event)
    call.note("sent")


@case("works on")
async def works_on(call: Call) -> None:
    """A whole answer, and work after it."""
    await call.whole_body()
    await call.answer()
    call.note("answered")
    await call.gate("work")
    call.note("worked")


@case("late")
async def late(call: Call) -> None:
    """A whole answer, and a send after its end."""
    call.note("waits")
    await call.answer()
    await call.gate("work")
    await call.body(b"late")
    call.note("worked")


# ---------------------------------------------------------------- before, in and after the answer


@unlisted
async def left_waiting(call: Call) -> None:
    call.note("waits")
    await call.left()


@unlisted
async def left_held(call: Call) -> None:
    await call.start()
    call.note("waits")
    await call.left()


@unlisted
async def left_streaming(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    call.note("waits")
    await call.left()
    await call.body(b"for nobody", more=True)
    await call.body()


@unlisted
async def left_complete(call: Call) -> None:
    await call.start()
    await call.body()
    call.note("waits")
    await call.left()


# ---------------------------------------------------------------- told by send()


async def _sends_until_told(call: Call) -> Exception:
    """Send to nobody until send() raises, which it does once the grace is over."""
    await call.start()
    await call.body(b"some", more=True)
    call.note("waits")
    await call.left()
    for _ in range(10_000):
        try:
            await call.send({"type": "http.response.body", "body": b"x", "more_body": True})
        except OSError as exc:
            return exc
    raise AssertionError("send never raised")


@unlisted
async def told_plain(call: Call) -> None:
    raise await _sends_until_told(call)


@unlisted
async def told_in_group(call: Call) -> None:
    gone = await _sends_until_told(call)
    raise ExceptionGroup("tasks", [ExceptionGroup("inner", [gone]), gone])


@unlisted
async def told_as_cause(call: Call) -> None:
    raise RuntimeError(call.secret) from await _sends_until_told(call)


@unlisted
async def told_as_context(call: Call) -> None:
    try:
        raise await _sends_until_told(call)
    except OSError:
        raise RuntimeError(call.secret)  # noqa: B904 - the context is the point


@unlisted
async def told_and_broken(call: Call) -> None:
    """A fault of the app's own beside the disconnect: that one is logged."""
    gone = await _sends_until_told(call)
    raise ExceptionGroup("tasks", [gone, ValueError(call.secret)])


# ---------------------------------------------------------------- Starlette


async def idle_ticks() -> AsyncIterator[str]:
    """An idle event stream."""
    yield "data: 0\n\n"
    await asyncio.Event().wait()


@case("starlette events")
async def starlette_events(call: Call) -> None:
    """What sse-starlette and many a handler do: a generator that waits for something to tell."""
    call.note("waits")
    answer = StreamingResponse(idle_ticks(), media_type="text/event-stream")
    await answer(call.scope, call.receive, call.send)
    call.note("left")


@case("starlette polls")
async def starlette_polls(call: Call) -> None:
    """Request.is_disconnected(), which polls receive() and never waits."""
    request = Request(call.scope, call.receive, call.send)
    await request.body()
    call.note("gone", await request.is_disconnected())
    call.note("waits")
    await call.left()
    call.note("gone", await request.is_disconnected())


@case("starlette idle")
async def starlette_idle(call: Call) -> None:
    """An idle stream whose generator notes that it was closed."""

    async def ticks() -> AsyncIterator[str]:
        try:
            yield "data: 0\n\n"
            call.note("waits")
            await asyncio.Event().wait()
        finally:
            call.note("closed")

    answer = StreamingResponse(ticks(), media_type="text/event-stream")
    await answer(call.scope, call.receive, call.send)


# ---------------------------------------------------------------- noticed by a write


async def _hear(call: Call) -> asyncio.Task[None]:
    """Listen for the client's leaving beside what is sent."""
    task = asyncio.create_task(call.left())
    await asyncio.sleep(0)
    return task


@case("sends all the while")
async def sends_all_the_while(call: Call) -> None:
    """An event stream that sends, waits for its gate, and sends on until it hears a disconnect."""
    await call.start_events()
    await call.body(b"data: first\n\n", more=True)
    heard = await _hear(call)
    call.note("waits")
    await call.gate()
    call.note("heard before", heard.done())
    while not heard.done():
        await call.body(b"data: tick\n\n", more=True)
        await asyncio.sleep(0.01)
    call.note("heard")
    began = time.monotonic()
    try:
        for _ in range(100_000):
            await call.body(b"for nobody", more=True)
    finally:
        call.note("went on", time.monotonic() - began)


@case("starlette ticks")
async def starlette_ticks(call: Call) -> None:
    """A stream that sends by itself; its generator notes that it was closed."""

    async def ticks() -> AsyncIterator[str]:
        try:
            while True:
                yield "data: tick\n\n"
                await asyncio.sleep(0.01)
        finally:
            call.note("closed")

    answer = StreamingResponse(ticks(), media_type="text/event-stream")
    await answer(call.scope, call.receive, call.send)


@unlisted
async def thinks(call: Call) -> None:
    """Answers after six seconds, in which nothing is read or sent."""
    await asyncio.sleep(6)
    await call.answer(await call.whole_body())
