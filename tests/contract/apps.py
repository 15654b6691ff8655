"""The ASGI app behind the rows S and D: one app, the same on every road, made of named cases.

A request names its case by the header ``x-case``, the query's ``case=`` or the first part of the
path below root_path, and its token, under which the journal keeps what the case notes, by
``x-token`` or ``token=``. The apps know nothing of mm_asgi.

Tests read the journal and open gates by requests, so that they have barriers on every road: an
event on the same loop would not reach a plugin process.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from tests.contract.frameworks.fastapi.fastapi_app import app as fastapi_app
from tests.contract.frameworks.starlette.starlette_app import app as starlette_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    Receive = Callable[[], Coroutine[Any, Any, dict[str, Any]]]
    Send = Callable[[Any], Awaitable[None]]
    ASGIApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

__all__ = ["CASES", "JOURNAL", "Call", "Note", "app", "case", "mounted"]

LOGGER = logging.getLogger("contract.app")
DISCONNECT = "http.disconnect"


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the journal; ``at`` is the monotonic clock, the same in all processes."""

    key: str
    value: Any
    at: float


class Journal:
    """What the cases of one process noted, by token."""

    def __init__(self) -> None:
        self._notes: dict[str, list[Note]] = {}
        self._waiters: list[asyncio.Future[None]] = []

    def note(self, token: str, key: str, value: Any = None) -> None:
        """Write a line; the value has to survive JSON."""
        self._notes.setdefault(token, []).append(Note(key, value, time.monotonic()))
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, token: str, key: str = "", count: int = 1) -> list[Note]:
        """The lines of a token once ``count`` of them have this key; without a key at once."""
        while key and sum(note.key == key for note in self._notes.get(token, ())) < count:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        return list(self._notes.get(token, ()))


JOURNAL = Journal()
CASES: dict[str, ASGIApp] = {}


class Call:
    """One request as a case has it in its hands."""

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.token = _wish(scope, "token")

    def query(self, name: str) -> str:
        """A value of the query, undecoded; empty when it is not there."""
        return _from_query(self.scope, name)

    def note(self, key: str, value: Any = None) -> None:
        """Tell the test."""
        JOURNAL.note(self.token, key, value)

    async def gate(self, name: str) -> None:
        """Wait until the test opens this gate."""
        await JOURNAL.until(self.token, f"gate {name}")

    async def start(self, status: int = 200, kind: bytes = b"text/plain", *more: Any) -> None:
        """Send a start."""
        headers = [(b"content-type", kind), *more]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, body: bytes = b"", *, more: bool = False) -> None:
        """Send a body event."""
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, body: bytes = b"ok", status: int = 200) -> None:
        """The whole answer."""
        await self.start(status)
        await self.body(body)

    async def event(self) -> dict[str, Any]:
        """ASGI's receive; what it gave is noted as [type, bytes, more_body]."""
        event = await self.receive()
        facts = [event["type"], len(event.get("body", b"")), event.get("more_body")]
        self.note("event", facts)
        return event

    async def left(self) -> None:
        """Receive up to http.disconnect."""
        while (await self.receive())["type"] != DISCONNECT:
            pass
        self.note("left")

    async def whole_body(self) -> bytes:
        """The request's body."""
        chunks = []
        while True:
            event = await self.receive()
            if event["type"] == DISCONNECT:
                raise EOFError("the body was cut")
            chunks.append(event["body"])
            if not event["more_body"]:
                return b"".join(chunks)


def _from_query(scope: dict[str, Any], name: str) -> str:
    found = re.search(rf"(?:^|&){name}=([^&]*)", scope["query_string"].decode("latin-1"))
    return found[1] if found else ""


def _wish(scope: dict[str, Any], name: str) -> str:
    header = f"x-{name}".encode()
    for key, value in scope["headers"]:
        if key == header:
            return str(value.decode("latin-1"))
    return _from_query(scope, name)


def _case_name(scope: dict[str, Any]) -> str:
    if name := _wish(scope, "case"):
        return name
    below = scope["path"].removeprefix(scope["root_path"])
    return str(below.lstrip("/").partition("/")[0])


def case(name: str) -> Callable[[Callable[[Call], Awaitable[None]]], ASGIApp]:
    """Register a function of a Call as the case of that name."""

    def register(function: Callable[[Call], Awaitable[None]]) -> ASGIApp:
        async def asgi(scope: dict[str, Any], receive: Receive, send: Send) -> None:
            await function(Call(scope, receive, send))

        CASES[name] = asgi
        return asgi

    return register


def mounted(name: str, inner: Any) -> None:
    """Register an app of a framework as a case; its root_path ends in the case's name."""

    async def asgi(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await inner(dict(scope, root_path=f"{scope['root_path']}/{name}"), receive, send)

    CASES[name] = asgi


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """All cases; what a case raises is noted and raised on."""
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
        return
    token = _wish(scope, "token")
    try:
        await CASES[_case_name(scope)](scope, receive, send)
    except BaseException as exc:
        JOURNAL.note(token, "raised", type(exc).__name__)
        raise
    finally:
        JOURNAL.note(token, "over")


async def _lifespan(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    scope["state"].update(fixed="from lifespan", shared=[])
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


# ---------------------------------------------------------------- the test's side door


@case("journal")
async def journal(call: Call) -> None:
    """The notes of ``of`` as JSON, once ``count`` of them have the key ``until``."""
    until = call.query("until").replace("+", " ")
    notes = await JOURNAL.until(call.query("of"), until, int(call.query("count")))
    await call.answer(json.dumps([asdict(note) for note in notes]).encode())


@case("gate")
async def gate(call: Call) -> None:
    """Open the gate ``name`` of ``of``."""
    JOURNAL.note(call.query("of"), f"gate {call.query('name').replace('+', ' ')}")
    await call.answer()


@case("log")
async def log(call: Call) -> None:
    """Log a line, which comes after all that were logged before."""
    LOGGER.info("%s", call.token)
    await call.answer()


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


# ---------------------------------------------------------------- request body


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


# ---------------------------------------------------------------- the client leaves


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
    await call.body()


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


@case("background")
async def background(call: Call) -> None:
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


@case("early")
async def early(call: Call) -> None:
    """A whole answer without a look at the body; then the app goes on."""
    call.note("waits")
    await call.gate("answer")
    await call.answer(b"too large", 413)
    call.note("later", (await call.receive())["type"])
    await call.gate("go on")
    call.note("went on")


# ---------------------------------------------------------------- frameworks

mounted("starlette", starlette_app)
mounted("fastapi", fastapi_app)


async def ticks() -> AsyncIterator[str]:
    """An idle event stream."""
    yield "data: 0\n\n"
    await asyncio.Event().wait()


@case("starlette events")
async def starlette_events(call: Call) -> None:
    """What sse-starlette and many a handler do: a generator that waits for something to tell."""
    call.note("waits")
    answer = StreamingResponse(ticks(), media_type="text/event-stream")
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
