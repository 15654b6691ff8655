"""Ten faulty apps as authors write them, each with the one sentence that names its fault.

FAULTS is the table. The apps know nothing of mm_asgi.
"""
# ruff: noqa: T201 - one of the faults is printing

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]
    App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

__all__ = ["FAULTS", "LARGE", "Fault"]

LARGE = 300 * 1024
"""Bytes of a body, more than a server reads of one that was left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What has to be said of an app.

    Attributes:
        code: the finding's, of ``mm-asgi check``; empty: the sentence is the log's.
        says: the sentence, as a regular expression that it has to match whole.
        settings: what makes the fault show quickly.
        module: where the app is.
        post: it takes a POST with a large body, which check does not send.
    """

    code: str = ""
    says: str
    settings: Mapping[str, object] = field(default_factory=dict)
    module: str = "faulty_apps"
    post: bool = False


FAULTS: dict[str, Fault] = {}


def fault(**facts: Any) -> Callable[[App], App]:
    """Put an app into the table by its name."""

    def put(app: App) -> App:
        FAULTS[app.__name__] = Fault(**facts)
        return app

    return put


async def start(send: Send, *headers: tuple[bytes, bytes]) -> None:
    """Begin a 200."""
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})


async def body(send: Send, content: bytes = b"ok", *, more: bool = False) -> None:
    """Send a piece of the body."""
    await send({"type": "http.response.body", "body": content, "more_body": more})


def no_lifespan(scope: dict[str, Any]) -> None:
    """Refuse any scope but a request's."""
    assert scope["type"] == "http"


@fault(
    code="blocked-loop",
    says=r"the event loop has been blocked for \d\.\d s at .*faulty_apps.py:\d+.* while it served: "
    r"nothing else runs meanwhile, no request and no hook; await it, or use asyncio.to_thread",
    settings={"blocked_warn": 0.2},
)
async def blocking_call(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    no_lifespan(scope)
    threading.Event().wait(0.8)
    await start(send)
    await body(send)


@fault(
    code="print-flood",
    says=r"stdout: 5000 lines were printed, the first is 'row 0'; that fills a server's log: use "
    r"logging",
)
async def print_flood(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    no_lifespan(scope)
    for number in range(5000):
        print("row", number)
    await start(send)
    await body(send)


@fault(
    code="ignores-disconnect",
    says=r"GET /: the app went on until the plugin stopped after its client had left: stop at "
    r"http.disconnect, which receive\(\) returns",
    settings={"drain": 0.3},
)
async def endless_stream(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    no_lifespan(scope)
    await start(send)
    for number in itertools.count():
        await body(send, b"%d\n" % number, more=True)
        await asyncio.sleep(0.01)


@fault(
    code="app-fault",
    says=r"GET /: the app raised AppProtocolError while the response was 'start held, nothing "
    r"sent': AppProtocolError: http.response: the app sent 5 body bytes; expected the 4 that its "
    r"Content-Length declares",
)
async def wrong_content_length(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    no_lifespan(scope)
    await start(send, (b"content-length", b"4"))
    await body(send, b"hello")


@fault(
    code="app-fault",
    says=r"GET /: the app raised AppProtocolError while the response was 'start held, nothing "
    r"sent': AppProtocolError: http.response: the app sent http.response.start while the response "
    r"was 'start held, nothing sent'; expected http.response.body",
)
async def double_start(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    no_lifespan(scope)
    await start(send)
    await start(send)
    await body(send)


@fault(
    code="drain",
    says=r"drain: 1 tasks were cancelled and run on: GET /plugins/faulty/; the app catches "
    r"CancelledError, expected it to let that pass, or to raise it again after its cleanup",
    settings={"drain": 0.3},
)
async def swallowed_cancel(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    no_lifespan(scope)
    await start(send)
    await body(send, more=True)
    for _ in range(20):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass


@fault(
    code="start",
    says=r"the plugin does not start: lifespan: the app received lifespan.startup and sent neither "
    r"lifespan.startup.complete nor lifespan.startup.failed in 0.3 s \(setting hook-budget\)",
    settings={"hook_budget": 0.3},
)
async def missing_lifespan_complete(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            pass  # its start-up is done, and nobody is told
        return
    await start(send)
    await body(send)


@fault(
    code="app-fault",
    says=r"GET /: the app raised AppProtocolError while the response was 'waiting for "
    r"http.response.start': AppProtocolError: http.response: header value: the app sent "
    r"\(b'location', b'/found.+Set-Cookie: admin=1'\); expected no CR, LF or NUL in it",
)
async def header_injection(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    no_lifespan(scope)
    await start(send, (b"location", b"/found\r\nSet-Cookie: admin=1"))
    await body(send)


@fault(
    says=rf"the app answered POST /plugins/faulty/ and left {LARGE} of the body's {LARGE} bytes "
    r"unread: the server closes such a connection, and a browser that still sends may show an "
    r"error and not the answer; read the body to its end",
    post=True,
)
async def unread_body(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    no_lifespan(scope)
    await start(send)
    await body(send)


FAULTS["slow_import"] = Fault(
    code="start",
    says=r"the plugin does not start: import: the app was not imported in 0.3 s \(setting "
    r"import-budget\); the host waits 30 s; it was at tests/contract/faulty_slow_import.py:7",
    settings={"import_budget": 0.3},
    module="faulty_slow_import",
)
