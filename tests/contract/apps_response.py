"""Polite and hostile apps for the response rows (R1 to R17), each with what has to come of it.

OUTCOMES is the one table: app -> Outcome. The apps know nothing of mm_asgi. An app's exceptions
carry a secret with the request's own mark, so that a test can look for it everywhere.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Handler = Callable[["Call"], Awaitable[None]]

__all__ = ["APPS", "BAD_EVENTS", "BAD_STARTS", "BLOCK", "OUTCOMES", "Call", "Outcome", "app"]

SERVER_ERROR = b"Internal Server Error"
FAILED_LATE = "the app failed after its response had begun"
TOO_SHORT = "the app's response is shorter than its Content-Length"

WAITING = "waiting for http.response.start"
HELD = "start held, nothing sent"
STREAMING = "start sent"

BLOCK = bytes(range(256)) * 256  # 64 KiB
PLAIN = (b"content-type", b"text/plain")
EVENTS = (b"content-type", b"text/event-stream")


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
        roads: m: memory, w: raw messages through the Go host, g: HTTP through it, s: HTTP through the
            simulated host.
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
    roads: str = "mwgs"


def raised(what: str, state: str) -> str:
    """The log line for an app that raised."""
    return f"the app raised {what} while the response was {state!r}"


def returned(state: str) -> str:
    """The log line for an app that returned too early."""
    return f"the app returned while the response was {state!r}; expected a complete response"


def failed(log: str, **more: Any) -> Outcome:
    """An app that failed before anything left."""
    return Outcome(status=500, body=SERVER_ERROR, messages=1, log=log, **more)


def broke(log: str, body: bytes, **more: Any) -> Outcome:
    """An app that failed after something had left."""
    return Outcome(body=body, end=FAILED_LATE, log=log, **more)


APPS: dict[str, Handler] = {}
OUTCOMES: dict[str, Outcome] = {}


def row(outcome: Outcome) -> Callable[[Handler], Handler]:
    """Put an app into the tables, by its name and, when it is not GET, the method."""

    def put(handler: Handler) -> Handler:
        name = handler.__name__
        APPS[name] = handler
        OUTCOMES[name if outcome.method == "GET" else f"{name} {outcome.method}"] = outcome
        return handler

    return put


def unlisted(handler: Handler) -> Handler:
    """An app without a row: its tests say what comes of it."""
    APPS[handler.__name__] = handler
    return handler


# ---------------------------------------------------------------- what an app has in its hands


class Journal:
    """What the apps of one process did, by the mark of the request."""

    def __init__(self) -> None:
        self._notes: dict[str, list[str]] = {}
        self._waiters: list[asyncio.Future[None]] = []

    def note(self, mark: str, text: str) -> None:
        """Write a line down."""
        self._notes.setdefault(mark, []).append(text)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, mark: str, text: str) -> list[str]:
        """The lines of a mark, once this line is among them; an empty one is always."""
        while text and text not in self._notes.get(mark, []):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        return list(self._notes.get(mark, []))


JOURNAL = Journal()
HELD_TASKS: set[asyncio.Task[None]] = set()


class Call:
    """One request as an app has it; ``mark`` is the request's own, from its query."""

    def __init__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scope = scope
        self.receive = receive
        self.query = {
            key: value[0] for key, value in parse_qs(scope["query_string"].decode()).items()
        }
        self.mark = self.query.get("mark", "")
        self._send = send

    @property
    def secret(self) -> str:
        """What must reach the log, and nobody else."""
        return f"secret-{self.mark}"

    def note(self, text: str) -> None:
        """Tell the test."""
        JOURNAL.note(self.mark, text)

    async def gate(self) -> None:
        """Wait until the test opens this request's gate."""
        await JOURNAL.until(self.mark, "open")

    async def send(self, event: Any) -> None:
        """ASGI's send; what it raises is noted."""
        try:
            await self._send(event)
        except BaseException as exc:
            self.note(f"send raised {type(exc).__name__}")
            raise

    async def start(self, status: Any = 200, *headers: tuple[Any, Any]) -> None:
        """Send a start."""
        await self.send(
            {"type": "http.response.start", "status": status, "headers": [PLAIN, *headers]}
        )

    async def body(self, body: Any = b"ok", *, more: bool = False) -> None:
        """Send a body event."""
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def left(self) -> None:
        """Wait for http.disconnect."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.note("left")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Every app above: the last part of the path is its name."""
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan")
    call = Call(scope, receive, send)
    call.note(f"request {scope['extensions']['mattermost']['request_id']}")
    try:
        await APPS[scope["path"].rpartition("/")[2]](call)
    finally:
        call.note("over")


@unlisted
async def journal(call: Call) -> None:
    """The notes of a mark as JSON, once ``until`` is among them."""
    notes = await JOURNAL.until(call.query["of"], call.query.get("until", ""))
    await call.start()
    await call.body(json.dumps(notes).encode())


@unlisted
async def open_gate(call: Call) -> None:
    JOURNAL.note(call.query["of"], "open")
    await call.start()
    await call.body()


# ---------------------------------------------------------------- polite: shapes of an answer


@row(Outcome(body=b"hello", headers={"content-length": "5", "x-a": "1"}, messages=1))
@row(Outcome(method="HEAD", body=b"", headers={"content-length": "5"}, messages=1))
async def hello(call: Call) -> None:
    await call.start(200, (b"X-A", b"1"))
    await call.body(b"hello")


@row(Outcome(body=b"", headers={"content-length": "0"}, messages=1))
@row(Outcome(method="HEAD", body=b"", headers={"content-length": None}, messages=1))
async def empty(call: Call) -> None:
    await call.start()
    await call.body(b"")


@row(Outcome(body=b"", headers={"content-length": "0"}, messages=1))
async def no_keys(call: Call) -> None:
    await call.send({"type": "http.response.start", "status": 200})
    await call.send({"type": "http.response.body"})


@row(Outcome(body=b"hello", headers={"content-length": "5"}, messages=1))
@row(Outcome(method="HEAD", body=b"", headers={"content-length": "5"}, messages=1))
async def declared(call: Call) -> None:
    await call.start(200, (b"Content-Length", b"5"))
    await call.body(b"hello")


@row(Outcome(method="HEAD", body=b"", headers={"content-length": "12345"}, messages=1))
async def declared_head(call: Call) -> None:
    await call.start(200, (b"content-length", b"12345"))
    await call.body(b"")


@row(Outcome(status=204, body=b"", headers={"content-length": None}, messages=1))
async def no_content(call: Call) -> None:
    await call.start(204, (b"content-length", b"5"))
    await call.body(b"hello")


@row(Outcome(status=304, body=b"", headers={"etag": '"a"'}, messages=2))
async def not_modified(call: Call) -> None:
    await call.start(304, (b"content-length", b"5"), (b"etag", b'"a"'))
    await call.body(b"hello", more=True)
    await call.body(b"and more")


@row(Outcome(status=999, messages=1, roads="mwg"))  # uvicorn has no line for it
async def status_999(call: Call) -> None:
    await call.start(999)
    await call.body()


@row(Outcome(status=201, messages=1))
async def status_enum(call: Call) -> None:
    await call.start(http.HTTPStatus.CREATED)
    await call.body()


@row(Outcome(body=BLOCK * 16, headers={"content-length": str(len(BLOCK) * 16)}, messages=16))
async def megabyte(call: Call) -> None:
    await call.start()
    await call.body(BLOCK * 16)


@row(Outcome(body=BLOCK * 16 + b"!", headers={"content-length": None}, messages=17))
async def megabyte_streamed(call: Call) -> None:
    await call.start()
    await call.body(BLOCK * 16, more=True)
    await call.body(b"!")


@row(Outcome(body=b"0123456789" * 100, headers={"content-length": None}, messages=101))
async def many_chunks(call: Call) -> None:
    await call.start()
    for _ in range(100):
        await call.body(b"0123456789", more=True)
    await call.body(b"")


@row(Outcome(body=b"ab", headers={"content-length": None}, messages=4))
async def empty_chunks(call: Call) -> None:
    await call.start()
    for chunk in (b"", b"a", b"", b"", b"b", b""):
        await call.body(chunk, more=True)
    await call.body(b"")


@row(Outcome(body=b"abcd", headers={"content-length": "4"}, messages=3))
async def declared_chunks(call: Call) -> None:
    await call.start(200, (b"content-length", b"4"))
    await call.body(b"ab", more=True)
    await call.body(b"cd", more=True)
    await call.body(b"")


@row(Outcome(body=b"bytes, view, last", messages=3))
async def buffers(call: Call) -> None:
    await call.start()
    await call.body(bytearray(b"bytes, "), more=True)
    await call.body(memoryview(b"v-i-e-w-,- -")[::2], more=True)
    await call.body(memoryview(b"last").cast("B", (2, 2)))


@row(Outcome(body=b"a" * 200_000 + b"b" * 200_000 + b"c", headers={"content-length": None}))
async def concurrent_sends(call: Call) -> None:
    await call.start()
    async with asyncio.TaskGroup() as group:
        for chunk in (b"a" * 200_000, b"b" * 200_000):
            group.create_task(call.body(chunk, more=True))
        group.create_task(call.body(b"c"))


# ---------------------------------------------------------------- polite: headers


@row(Outcome(headers={"x-one": "1", "x-two": "2"}))
async def headers_generator(call: Call) -> None:
    pairs = [(b"X-One", b"1"), (b"x-TWO", b"2")]
    headers = (pair for pair in pairs)
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    await call.body()


@row(Outcome(headers={"x-one": "1", "x-two": "2"}))
async def headers_tuple(call: Call) -> None:
    headers = ((b"X-ONE", bytearray(b"1")), (memoryview(b"x-two"), b"2"))
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    await call.body()


@row(Outcome(headers={"x-one": "1", "x-two": "2"}))
async def headers_lists(call: Call) -> None:
    headers = [[b"x-one", b"1"], [b"x-two", b"2"]]
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    await call.body()


@row(Outcome(headers={"x-one": "1", "x-two": "2"}))
async def headers_items(call: Call) -> None:
    headers = {b"x-one": b"1", b"x-two": b"2"}.items()
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    await call.body()


@row(Outcome(headers={"x-latin": "gr\u00fcn", "x-utf": "gr\u00fcn \u20ac"}))
async def headers_not_ascii(call: Call) -> None:
    await call.start(200, (b"x-latin", b"gr\xfcn"), (b"x-utf", "gr\u00fcn \u20ac".encode()))
    await call.body()


HOP_BY_HOP = ("transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer")


@row(Outcome(headers={**dict.fromkeys(HOP_BY_HOP), "content-length": "2", "x-a": "1"}))
async def headers_hop_by_hop(call: Call) -> None:
    names = [(name.title().encode(), b"chunked") for name in HOP_BY_HOP]
    await call.start(200, *names, (b"x-a", b"1"))
    await call.body()


@row(Outcome(headers={"content-length": "2"}))
async def length_with_spaces(call: Call) -> None:
    await call.start(200, (b"content-length", b" 2 "))
    await call.body()


@unlisted
async def cookies(call: Call) -> None:
    await call.start(
        200,
        (b"set-cookie", b"wide=1; Path=/; HttpOnly"),
        (b"set-cookie", b"bare=2"),
        (b"set-cookie", b"narrow=3; Path=/elsewhere"),
        (b"Set-Cookie", b"odd=4;path = / ;Path=/"),
    )
    await call.body()


# ---------------------------------------------------------------- hostile: wrong events (R7)


class Unprintable(Exception):
    """Neither str() nor repr() gives anything."""

    def __str__(self) -> str:
        raise RuntimeError("no str")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def with_header(name: Any, value: Any) -> dict[str, Any]:
    """A start with one more header."""
    return {"type": "http.response.start", "status": 200, "headers": [PLAIN, (name, value)]}


def with_length(*values: bytes) -> dict[str, Any]:
    """A start with these Content-Lengths."""
    headers = [(b"content-length", value) for value in values]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def with_status(status: Any) -> dict[str, Any]:
    """A start with this status."""
    return {"type": "http.response.start", "status": status, "headers": []}


BAD_STARTS: dict[str, Any] = {
    "status_1000": with_status(1000),
    "status_199": with_status(199),
    "status_100": with_status(100),
    "status_99": with_status(99),
    "status_text": with_status("200"),
    "status_bool": with_status(True),
    "status_none": with_status(None),
    "status_unprintable": with_status(Unprintable()),
    "status_missing": {"type": "http.response.start"},
    "value_with_crlf": with_header(b"x-a", b"1\r\nset-cookie: a=b"),
    "value_with_nul": with_header(b"x-a", b"1\0"),
    "name_with_crlf": with_header(b"x-a\r\nx-b", b"1"),
    "name_with_nul": with_header(b"x\0a", b"1"),
    "name_with_space": with_header(b"x a", b"1"),
    "name_empty": with_header(b"", b"1"),
    "name_text": with_header("x-a", b"1"),
    "value_text": with_header(b"x-a", "1"),
    "headers_dict": {"type": "http.response.start", "status": 200, "headers": {b"x-a": b"1"}},
    "headers_none": {"type": "http.response.start", "status": 200, "headers": None},
    "length_twice": with_length(b"2", b"2"),
    "length_two": with_length(b"2", b"3"),
    "length_plus": with_length(b"+3"),
    "length_minus": with_length(b"-1"),
    "length_empty": with_length(b""),
    "length_of_spaces": with_length(b"  "),
    "length_list": with_length(b"2, 2"),
    "trailers": {"type": "http.response.start", "status": 200, "trailers": True},
}
"""Starts that break ASGI; what makes each wrong is in its name."""

BAD_EVENTS: dict[str, Any] = {
    "body_text": {"type": "http.response.body", "body": "text"},
    "body_none": {"type": "http.response.body", "body": None},
    "body_list": {"type": "http.response.body", "body": [b"a"]},
    "unknown_type": {"type": "http.response.trailers", "headers": []},
    "websocket_type": {"type": "websocket.accept"},
    "mistyped": {"type": "http.response.boddy", "body": b"ok"},
    "type_none": {"type": None},
    "no_type": {"body": b"ok"},
    "no_dict": ["http.response.body"],
    "nothing": None,
}
"""Events that break ASGI whenever they come."""


def _sends(event: Any, *, started: bool) -> Handler:
    async def handler(call: Call) -> None:
        if started:
            await call.start()
        await call.send(event)

    return handler


def _list_bad_events() -> None:
    saw = ("AppProtocolError",)
    for name, event in {**BAD_STARTS, **BAD_EVENTS}.items():
        APPS[f"bad_{name}"] = _sends(event, started=False)
        OUTCOMES[f"bad_{name}"] = failed(raised("AppProtocolError", WAITING), saw=saw)
    second = {"second_start": {"type": "http.response.start", "status": 200}}
    for name, event in {**BAD_EVENTS, **second}.items():
        APPS[f"held_{name}"] = _sends(event, started=True)
        OUTCOMES[f"held_{name}"] = failed(raised("AppProtocolError", HELD), saw=saw)


_list_bad_events()


@row(failed(raised("AppProtocolError", WAITING), saw=("AppProtocolError",)))
async def body_before_start(call: Call) -> None:
    await call.body()


@row(
    broke(
        raised("AppProtocolError", STREAMING),
        b"some",
        saw=("AppProtocolError",),
        headers={"content-length": None},
    )
)
async def second_start_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    await call.start(500)


async def _refused(call: Call, event: Any) -> None:
    try:
        await call.send(event)
    except Exception as exc:
        if type(exc).__name__ != "AppProtocolError":
            raise
    else:
        raise AssertionError(f"{event!r} was taken")


MANY_FAULTS = 1 + len(BAD_STARTS) + 3 * (len(BAD_EVENTS) + 1)


@row(Outcome(body=b"right", saw=("AppProtocolError",) * MANY_FAULTS))
async def recovers(call: Call) -> None:
    """Each wrong event in each state, caught; the right ones still do."""
    again = {"type": "http.response.start", "status": 200}
    await _refused(call, {"type": "http.response.body", "body": b"early"})
    for event in [*BAD_STARTS.values(), *BAD_EVENTS.values()]:
        await _refused(call, event)
    await call.start(200, (b"content-length", b"5"))
    for event in [*BAD_EVENTS.values(), again, {"type": "http.response.body", "body": b"six..."}]:
        await _refused(call, event)
    await call.body(b"ri", more=True)
    for event in [*BAD_EVENTS.values(), again]:
        await _refused(call, event)
    await call.body(b"ght")


@row(Outcome(messages=1))
async def sends_after_the_end(call: Call) -> None:
    await call.start()
    await call.body()
    await call.start(500)
    await call.body(b"late", more=True)
    await call.body(b"later")
    for event in [*BAD_STARTS.values(), *BAD_EVENTS.values()]:
        await call.send(event)


# ---------------------------------------------------------------- hostile: lengths (R5)


@row(failed(raised("AppProtocolError", HELD), saw=("AppProtocolError",)))
async def short(call: Call) -> None:
    await call.start(200, (b"content-length", b"5"))
    await call.body(b"hell")


@row(failed(raised("AppProtocolError", HELD), saw=("AppProtocolError",)))
async def long(call: Call) -> None:
    await call.start(200, (b"content-length", b"4"))
    await call.body(b"hello")


@row(failed(raised("AppProtocolError", HELD), saw=("AppProtocolError",)))
async def long_first_chunk(call: Call) -> None:
    await call.start(200, (b"content-length", b"4"))
    await call.body(b"hello", more=True)


@row(
    Outcome(
        body=b"he",
        end=TOO_SHORT,
        cut=True,
        headers={"content-length": "5"},
        saw=("AppProtocolError",),
        log=raised("AppProtocolError", "aborted"),
    )
)
async def short_late(call: Call) -> None:
    await call.start(200, (b"content-length", b"5"))
    await call.body(b"he", more=True)
    await call.body(b"")


@row(
    Outcome(
        body=b"hello",
        headers={"content-length": "5"},
        messages=2,
        saw=("AppProtocolError",),
        log=raised("AppProtocolError", "complete"),
    )
)
async def long_late(call: Call) -> None:
    await call.start(200, (b"content-length", b"5"))
    await call.body(b"hel", more=True)
    await call.body(b"lo, world", more=True)


@row(Outcome(body=b"hello", headers={"content-length": "5"}, saw=("AppProtocolError",)))
async def long_late_caught(call: Call) -> None:
    await call.start(200, (b"content-length", b"5"))
    await call.body(b"hello", more=True)
    await _refused(call, {"type": "http.response.body", "body": b"!", "more_body": True})
    await call.body(b"goes nowhere")


# ---------------------------------------------------------------- hostile: ends (R8 to R11)


@row(failed(raised("RuntimeError", WAITING), secret=True))
@row(
    Outcome(
        method="HEAD",
        status=500,
        body=b"",
        headers={"content-length": "21"},
        messages=1,
        log=raised("RuntimeError", WAITING),
        secret=True,
    )
)
async def raises(call: Call) -> None:
    raise RuntimeError(call.secret)


@row(failed(raised("RuntimeError", HELD), secret=True))
async def raises_held(call: Call) -> None:
    await call.start(200, (b"x-a", b"1"))
    raise RuntimeError(call.secret)


@row(
    broke(
        raised("RuntimeError", STREAMING),
        b"some",
        headers={"content-length": None},
        secret=True,
    )
)
async def raises_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    raise RuntimeError(call.secret)


@row(
    broke(
        raised("RuntimeError", STREAMING),
        b"some",
        cut=True,
        headers={"content-length": "10"},
        secret=True,
    )
)
async def raises_late_declared(call: Call) -> None:
    await call.start(200, (b"content-length", b"10"))
    await call.body(b"some", more=True)
    raise RuntimeError(call.secret)


@row(Outcome(messages=1, log=raised("RuntimeError", "complete"), secret=True))
async def raises_after_the_end(call: Call) -> None:
    await call.start()
    await call.body()
    raise RuntimeError(call.secret)


@row(broke(returned(STREAMING), b"some", headers={"content-length": None}))
async def returns_unfinished(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)


@row(broke(returned(STREAMING), b"some", cut=True, headers={"content-length": "10"}))
async def returns_unfinished_declared(call: Call) -> None:
    await call.start(200, (b"content-length", b"10"))
    await call.body(b"some", more=True)


@row(failed(returned(WAITING)))
async def returns_nothing(call: Call) -> None:
    pass


@row(failed(returned(HELD)))
async def returns_held(call: Call) -> None:
    await call.start()


@row(failed(raised("SystemExit", WAITING), secret=True))
async def exits(call: Call) -> None:
    sys.exit(call.secret)


@row(broke(raised("SystemExit", STREAMING), b"some", secret=True))
async def exits_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    sys.exit(call.secret)


@row(failed(raised("KeyboardInterrupt", WAITING), secret=True))
async def interrupts(call: Call) -> None:
    raise KeyboardInterrupt(call.secret)


@row(broke(raised("KeyboardInterrupt", STREAMING), b"some", secret=True))
async def interrupts_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    raise KeyboardInterrupt(call.secret)


@row(failed(raised("CancelledError", WAITING), secret=True))
async def cancels(call: Call) -> None:
    raise asyncio.CancelledError(call.secret)


@row(broke(raised("CancelledError", STREAMING), b"some", secret=True))
async def cancels_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    raise asyncio.CancelledError(call.secret)


@row(failed(raised("CancelledError", WAITING)))
async def cancels_itself(call: Call) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@row(failed(raised("GeneratorExit", WAITING), secret=True))
async def raises_generator_exit(call: Call) -> None:
    raise GeneratorExit(call.secret)


@row(failed(raised("Unprintable", WAITING)))
async def raises_unprintable(call: Call) -> None:
    raise Unprintable


@row(broke(raised("Unprintable", STREAMING), b"some"))
async def raises_unprintable_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    raise Unprintable


@row(failed(raised("BaseExceptionGroup", WAITING), secret=True))
async def raises_group(call: Call) -> None:
    raise BaseExceptionGroup("two", [SystemExit(call.secret), ValueError("two")])


# asyncio lets SystemExit out of any task and stops the loop: on road m that is the test's own.
@row(
    Outcome(roads="wgs", log="a task of the app raised SystemExit; the plugin goes on", secret=True)
)
async def exits_in_a_task(call: Call) -> None:
    async def leave() -> None:
        sys.exit(call.secret)

    task = asyncio.create_task(leave())
    HELD_TASKS.add(task)
    await asyncio.wait([task])
    await call.start()
    await call.body()


# ---------------------------------------------------------------- streams and what outlives them


@unlisted
async def idle(call: Call) -> None:
    """An event stream on which nothing happens."""
    await call.send({"type": "http.response.start", "status": 200, "headers": [EVENTS]})
    await call.left()


@unlisted
async def idle_told(call: Call) -> None:
    """The same, but it says that the head should go."""
    await call.send({"type": "http.response.start", "status": 200, "headers": [EVENTS]})
    await call.body(b"", more=True)
    await call.left()


@unlisted
async def idle_plain(call: Call) -> None:
    """The same, and no event stream: a drain does not tell it to end."""
    await call.start()
    await call.body(b"", more=True)
    await call.left()


@unlisted
async def waits_held(call: Call) -> None:
    """A start, and the body when its gate opens."""
    await call.start()
    call.note("waits")
    await call.gate()
    await call.body()


@unlisted
async def ticks(call: Call) -> None:
    """An event stream that sends when its gate opens."""
    await call.send({"type": "http.response.start", "status": 200, "headers": [EVENTS]})
    for number in range(3):
        await call.body(b"data: %d\n\n" % number, more=True)
        await JOURNAL.until(call.mark, f"tick {number}")
    await call.body(b"")


@unlisted
async def tick(call: Call) -> None:
    JOURNAL.note(call.query["of"], f"tick {call.query['number']}")
    await call.start()
    await call.body()


@unlisted
async def background(call: Call) -> None:
    """A whole answer, and work after it."""
    await call.start()
    await call.body()
    call.note("works")
    try:
        await call.gate()
    except asyncio.CancelledError:
        call.note("cancelled")
        raise
    call.note("done")


@unlisted
async def background_works(call: Call) -> None:
    """Work of a known length, which says in the log that it was done."""
    await call.start()
    await call.body()
    await asyncio.sleep(0.1)
    logging.getLogger("app").info("the work was done")


@unlisted
async def background_raises(call: Call) -> None:
    await call.start()
    await call.body()
    await call.gate()
    raise RuntimeError(call.secret)


@unlisted
async def swallows_cancel(call: Call) -> None:
    call.note("waits")
    try:
        await call.gate()
    except asyncio.CancelledError:
        call.note("swallowed")


@unlisted
async def cut_in_the_middle(call: Call) -> None:
    """A large event whose send is cancelled before all of it has left."""
    await call.start()
    task = asyncio.create_task(call.body(BLOCK * 5, more=True))
    await call.gate()
    task.cancel()
    await asyncio.wait([task])


@unlisted
async def cut_in_the_queue(call: Call) -> None:
    """A send that is cancelled while another one's large event leaves."""
    await call.start()
    large = asyncio.create_task(call.body(BLOCK * 5, more=True))
    await asyncio.sleep(0)
    small = asyncio.create_task(call.body(b"small"))
    await call.gate()
    small.cancel()
    await asyncio.wait([large, small])


@unlisted
async def upgrade(call: Call) -> None:
    names = [name.decode() for name, _ in call.scope["headers"]]
    await call.start(426)
    await call.body(" ".join(name for name in names if name in HOP_BY_HOP).encode())


# ---------------------------------------------------------------- the client leaves


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
