"""Further cases of the app behind the contract tests: what rows D1 to D8 need beside apps.py's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from tests.contract.apps import DISCONNECT, Call, app, case

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["CANCELS", "app"]

CANCELS = 1000


async def cancelled(call: Call) -> bool:
    """Whether a receive() that was cancelled after one turn of the loop had nothing to give."""
    task = asyncio.create_task(call.receive())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled()


async def first_bytes(call: Call) -> bytes:
    """The first bytes of the body: the message before them may be empty."""
    while not (body := (await call.receive())["body"]):
        pass
    return bytes(body)


@case("cancels")
async def cancels(call: Call) -> None:
    """Many cancelled receives in the body and after it; the body comes whole all the same."""
    first = await first_bytes(call)
    call.note("in the body", sum([await cancelled(call) for _ in range(CANCELS)]))
    body = first + await call.whole_body()
    call.note("after the body", sum([await cancelled(call) for _ in range(CANCELS)]))
    call.note("left behind", len(asyncio.all_tasks()))
    await call.answer(body)


@case("crowd")
async def crowd(call: Call) -> None:
    """Many who wait after the body; each is told."""
    await call.whole_body()
    waiting = [asyncio.create_task(call.receive()) for _ in range(50)]
    await asyncio.sleep(0)
    call.note("waits", sum(not task.done() for task in waiting))
    events = await asyncio.gather(*waiting)
    call.note("told", [event["type"] for event in events])


@case("starlette asks in the body")
async def starlette_asks_in_the_body(call: Call) -> None:
    """is_disconnected() while the body stands still: it is False and takes nothing away."""
    first = await first_bytes(call)
    request = Request(call.scope, call.receive, call.send)
    call.note("gone", [await request.is_disconnected() for _ in range(100)])
    body = first + await call.whole_body()
    call.note("gone", [await request.is_disconnected() for _ in range(100)])
    await call.answer(body)


@case("starlette reads")
async def starlette_reads(call: Call) -> None:
    """Starlette's own exception for a body that was cut goes through."""
    call.note("waits")
    await Request(call.scope, call.receive, call.send).body()


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


@case("early stream")
async def early_stream(call: Call) -> None:
    """An answer in two pieces without a look at the body."""
    await call.start()
    await call.body(b"early", more=True)
    await call.gate("end")
    await call.body(b" end")
    call.note("later", (await call.receive())["type"])


@case("broken")
async def broken(call: Call) -> None:
    """Receives at each stage of its answer: ``begun`` says how far that is."""
    if call.query("begun"):
        await call.start()
        await call.body(b"some", more=True)
    while (event := await call.event())["type"] != DISCONNECT:
        call.note("more", event["more_body"])
    await call.answer()
