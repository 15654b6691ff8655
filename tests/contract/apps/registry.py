"""The registry of the contract's apps: what a case has in its hands, and the app made of all cases.

``@case("name")`` registers a function of a Call. ``@row(Outcome(...))`` registers one too, and puts
what has to come of it into OUTCOMES, the table of the response rows. A request names its case by
the header ``x-case``, the query's ``case=`` or the first part of the path below root_path. It names
by ``x-token`` or ``token=`` the token under which the journal keeps what the case notes.

Tests read the journal and open gates by requests. So they have barriers on every road: an event of
the test's own loop would not reach a plugin process. The apps know nothing of mm_asgi.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    Receive = Callable[[], Coroutine[Any, Any, dict[str, Any]]]
    Send = Callable[[Any], Awaitable[None]]
    ASGIApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
    Handler = Callable[["Call"], Awaitable[None]]

__all__ = [
    "CASES",
    "DISCONNECT",
    "EVENTS",
    "JOURNAL",
    "OUTCOMES",
    "PLAIN",
    "Call",
    "Note",
    "Outcome",
    "app",
    "case",
    "mounted",
    "row",
    "unlisted",
]

LOGGER = logging.getLogger("contract.app")
DISCONNECT = "http.disconnect"
PLAIN = (b"content-type", b"text/plain")
EVENTS = (b"content-type", b"text/event-stream")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What has to come of one request to an app.

    Attributes:
        method: the request's.
        headers: what the answer's headers must have; None: not there.
        end: the text of the RPC's INTERNAL status; None: OK.
        cut: a browser sees that the answer is broken, which takes a declared Content-Length.
        messages: how many the host gets; None: not said.
        saw: what the app's sends raised, by type.
        log: the one error line that is logged; None: there is none.
        secret: the log's traceback has the secret.
        but: letters of roads on which this cannot be seen.
    """

    method: str = "GET"
    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str | None] = field(default_factory=dict)
    end: str | None = None
    cut: bool = False
    messages: int | None = None
    saw: tuple[str, ...] = ()
    log: str | None = None
    secret: bool = False
    but: str = ""


JOURNAL = Journal()
CASES: dict[str, ASGIApp] = {}
OUTCOMES: dict[str, Outcome] = {}


class Call:
    """One request as a case has it in its hands."""

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.token = _wish(scope, "token")
        self._send = send

    @property
    def secret(self) -> str:
        """What must reach the log, and nobody else."""
        return f"secret-{self.token}"

    def query(self, name: str) -> str:
        """A value of the query, undecoded; empty when it is not there."""
        return _from_query(self.scope, name)

    def note(self, key: str, value: Any = None) -> None:
        """Tell the test."""
        JOURNAL.note(self.token, key, value)

    async def gate(self, name: str = "open") -> None:
        """Wait until the test opens this gate."""
        await JOURNAL.until(self.token, f"gate {name}")

    async def send(self, event: Any) -> None:
        """ASGI's send; what it raises is noted."""
        try:
            await self._send(event)
        except BaseException as exc:
            self.note("send raised", type(exc).__name__)
            raise

    async def start(self, status: Any = 200, *headers: tuple[Any, Any]) -> None:
        """Send a start."""
        pairs = [PLAIN, *headers]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})

    async def start_events(self) -> None:
        """Send the start of an event stream."""
        await self.send({"type": "http.response.start", "status": 200, "headers": [EVENTS]})

    async def body(self, body: Any = b"ok", *, more: bool = False) -> None:
        """Send a body event."""
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, body: bytes = b"ok", status: int = 200) -> None:
        """Send a whole answer."""
        await self.start(status)
        await self.body(body)

    async def event(self) -> dict[str, Any]:
        """Receive an event and note it as [type, bytes, more_body]."""
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


# ---------------------------------------------------------------- registering


_OWNERS: dict[str, object] = {}


def _own(name: str, owner: object) -> None:
    assert _OWNERS.setdefault(name, owner) is owner, f"two cases are called {name!r}"


def case(name: str) -> Callable[[Handler], Handler]:
    """Register a function of a Call as the case of that name."""

    def register(handler: Handler) -> Handler:
        async def asgi(scope: dict[str, Any], receive: Receive, send: Send) -> None:
            await handler(Call(scope, receive, send))

        _own(name, handler)
        CASES[name] = asgi
        return handler

    return register


def unlisted(handler: Handler) -> Handler:
    """Register a function as the case of its own name; its tests say what comes of it."""
    return case(handler.__name__)(handler)


def row(outcome: Outcome, name: str = "") -> Callable[[Handler], Handler]:
    """Register a function, by its own name if no other is given, with what has to come of it.

    A function may have a row for each method.
    """

    def register(handler: Handler) -> Handler:
        called = name or handler.__name__
        OUTCOMES[called if outcome.method == "GET" else f"{called} {outcome.method}"] = outcome
        return case(called)(handler)

    return register


def mounted(name: str, inner: Any) -> None:
    """Register an app of a framework as a case; its root_path ends in the case's name."""

    async def asgi(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await inner(dict(scope, root_path=f"{scope['root_path']}/{name}"), receive, send)

    _own(name, inner)
    CASES[name] = asgi


# ---------------------------------------------------------------- the app


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """All cases; what a case raises is noted and raised on."""
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
        return
    token = _wish(scope, "token")
    JOURNAL.note(token, "request", scope["extensions"]["mattermost"]["request_id"])
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
