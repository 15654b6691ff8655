"""Cases that show the request: its scope, and what receive() gives of its body (rows S, D)."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import sys
from typing import Any

from starlette.requests import Request

from tests.contract.apps.registry import DISCONNECT, Call, case, mounted
from tests.contract.frameworks.fastapi.fastapi_app import app as fastapi_app
from tests.contract.frameworks.starlette.starlette_app import app as starlette_app

__all__ = ["CANCELS"]

CANCELS = 1000

mounted("starlette", starlette_app)
mounted("fastapi", fastapi_app)

# ---------------------------------------------------------------- scope


@case("scope")
async def show_scope(call: Call) -> None:
    """The scope as a Python literal: bytes stay bytes and tuples tuples."""
    await call.answer(ascii(call.scope).encode())


@case("request")
async def show_request(call: Call) -> None:
    """Scope and body, as Python literals."""
    body = await call.whole_body()
    await call.answer(ascii((call.scope, body)).encode(), 207)


@case("state")
async def state(call: Call) -> None:
    """The lifespan's state as this request finds it; then the request writes into its own."""
    found = call.scope["state"]
    await call.answer(ascii(found).encode())
    found["shared"].append(call.token)
    found[call.token] = "own"
    found["fixed"] = "changed"


# ---------------------------------------------------------------- the body


@case("echo")
async def echo(call: Call) -> None:
    """The body back, whole."""
    await call.answer(await call.whole_body())


@case("digest")
async def digest(call: Call) -> None:
    """Size and SHA-256 of the body, of which nothing is kept, and how the peak memory grew."""
    before = _peak_memory()
    size, sha = 0, hashlib.sha256()
    while True:
        event = await call.receive()
        size += len(event["body"])
        sha.update(event["body"])
        if not event["more_body"]:
            break
    call.note("grown", _peak_memory() - before)
    await call.answer(f"{size} {sha.hexdigest()}".encode())


def _peak_memory() -> int:
    """In KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


@case("slow")
async def slow(call: Call) -> None:
    """Receive nothing before a gate opens, then one event for each gate, the rest at ``all``."""
    call.note("waits")
    size = 0
    for number in range(int(call.query("gates"))):
        await call.gate(f"read {number}")
        size += len((await call.event())["body"])
    await call.gate("all")
    while True:
        event = await call.receive()
        size += len(event["body"])
        if not event["more_body"]:
            break
    await call.answer(str(size).encode())


@case("events")
async def events(call: Call) -> None:
    """Note every event up to the disconnect, or to the end of the body; then answer."""
    while True:
        event = await call.event()
        if event["type"] == DISCONNECT or (not event["more_body"] and not call.query("on")):
            break
    await call.answer(event["type"].encode())


@case("forever")
async def forever(call: Call) -> None:
    """After the answer http.disconnect comes for ever, and at once."""
    await call.whole_body()
    waiting = asyncio.create_task(call.event())
    await asyncio.sleep(0)
    call.note("waits", not waiting.done())
    await call.answer()
    await waiting
    for _ in range(3):
        call.note("ready", _now(call.receive()))


def _now(coroutine: Any) -> str:
    """The type of the event that receive() gives without a turn of the loop; else "waits"."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return str(done.value["type"])
    coroutine.close()
    return "waits"


@case("ready")
async def ready(call: Call) -> None:
    """An event that is here comes without a turn of the loop, as Starlette's poll needs it."""
    call.note("ready", _now(call.receive()))
    call.note("ready", _now(call.receive()))
    call.note("waits")
    await call.left()
    call.note("ready", _now(call.receive()))


@case("parallel")
async def parallel(call: Call) -> None:
    """Four receivers at once, each of which is cancelled now and then: all get all, in all."""
    got: list[bytes] = []
    done = asyncio.Event()

    async def receiver() -> None:
        while not done.is_set():
            lost = asyncio.create_task(call.receive())
            await asyncio.sleep(0)
            lost.cancel()
            await asyncio.wait([lost])
            if not lost.cancelled():
                take(lost.result())
            take(await call.receive())

    def take(event: dict[str, Any]) -> None:
        if event["type"] == DISCONNECT:
            return
        got.append(event["body"])
        if not event["more_body"]:
            done.set()

    tasks = [asyncio.create_task(receiver()) for _ in range(4)]
    await done.wait()
    await call.answer(b" ".join(sorted(chunk for chunk in got if chunk)))
    await asyncio.wait(tasks)


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


@case("cancels receives")
async def cancels_receives(call: Call) -> None:
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


@case("broken")
async def broken(call: Call) -> None:
    """Receives at each stage of its answer: ``begun`` says how far that is."""
    if call.query("begun"):
        await call.start()
        await call.body(b"some", more=True)
    while (event := await call.event())["type"] != DISCONNECT:
        call.note("more", event["more_body"])
    await call.answer()


@case("early")
async def early(call: Call) -> None:
    """A whole answer without a look at the body; then the app goes on."""
    call.note("waits")
    await call.gate("answer")
    await call.answer(b"too large", 413)
    call.note("later", (await call.receive())["type"])
    await call.gate("go on")
    call.note("went on")


@case("early stream")
async def early_stream(call: Call) -> None:
    """An answer in two pieces without a look at the body."""
    await call.start()
    await call.body(b"early", more=True)
    await call.gate("end")
    await call.body(b" end")
    call.note("later", (await call.receive())["type"])
