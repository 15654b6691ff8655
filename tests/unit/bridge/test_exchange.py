"""exchange.py: a wire without messages, statuses or protobuf can stand below the cycle too."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.bridge.exchange import CHUNK_SIZE, Abort
from mm_asgi.bridge.handler import HTTPHandler
from mm_asgi.bridge.request import HTTPRequest
from mm_asgi.bridge.scope import build_http
from mm_asgi.bridge.serve_http import GRPCExchange
from mm_asgi.errors import ClientDisconnected, HostProtocolError
from mm_asgi.protocol.hooks_http_read_pb2 import ServeHTTPRequest
from mm_asgi.settings import Settings
from mm_asgi.tasks import TaskSet
from tests.wire.memory import MemoryStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mm_asgi.bridge.exchange import Duplex, Exchange
    from mm_asgi.bridge.response import ResponseHead
    from mm_asgi.bridge.scope import HTTPScope, Mount

    Event = dict[str, Any]
    Step = tuple[str, Any]


class CallsExchange:
    """A wire whose answer is a row of calls, as net/rpc's is; ``calls`` has them.

    Args:
        body: the parts of the request's body.
        headers: the request's.
        breaks_at: the number of the write that finds the client gone.
    """

    def __init__(
        self,
        *body: bytes,
        headers: Iterable[tuple[bytes, bytes]] = (),
        breaks_at: int | None = None,
        method: str = "POST",
    ) -> None:
        self.calls: list[Step] = []
        self.request = HTTPRequest(
            method, "/plugins/demo/up?a=1", "/up?a=1", "chat.test", "192.0.2.1:5", "HTTP/1.1", 1,
            sum(map(len, body)), list(headers), "", "r1", "", "", "",
        )  # fmt: skip
        self._parts = list(body) or [b""]
        self._writes = 0
        self._breaks_at = breaks_at
        self._left: Callable[[], None] | None = None
        self._begun = False

    def scope(self, mount: Mount, state: Mapping[str, Any]) -> HTTPScope:
        return build_http(self.request, mount, state)

    async def read(self) -> tuple[bytes, bool] | None:
        if not self._parts:
            return None
        part = self._parts.pop(0)
        return part, bool(self._parts)

    async def write(
        self, head: ResponseHead | None, body: bytes | memoryview, *, more: bool, flush: bool
    ) -> None:
        self._writes += 1
        await asyncio.sleep(0)
        if self._writes == self._breaks_at and self._left is not None:
            self._left()
            return
        if head is not None:
            self._begun = True
            self.calls.append(("WriteHeader", (head.status, head.headers, head.length)))
        if body:
            self.calls.append(("Write", bytes(body)))
        if flush:
            self.calls.append(("Flush", None))
        if not more:
            self.calls.append(("end", None))

    def abort(self, why: Abort) -> None:
        self.calls.append(("cut" if self._begun else "500", why))

    def on_left(self, callback: Callable[[], None]) -> None:
        self._left = callback

    def upgrade(self) -> Duplex | None:
        return None


def test_both_are_exchanges() -> None:
    first = ServeHTTPRequest()
    first.init.method = "GET"
    wires: list[Exchange] = [CallsExchange(), GRPCExchange(MemoryStream(), first)]
    assert [wire.request.method for wire in wires] == ["POST", "GET"]


async def served(exchange: Exchange, app: Any, *, is_ready: bool = True, **settings: Any) -> None:
    tasks = TaskSet()

    async def ready() -> bool:
        return is_ready

    handler = HTTPHandler(Settings(**settings), "demo", spawn=tasks.start, ready=ready)
    handler.app = app
    await handler.serve(exchange)
    await tasks.drain(1.0)


async def echo(scope: Event, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        event = await receive()
        body += event["body"]
        more = event["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"X-A", b"\xff")]})
    await send({"type": "http.response.body", "body": scope["path"].encode() + body})


async def test_a_small_answer_is_one_write_with_headers_as_the_app_sent_them() -> None:
    exchange = CallsExchange(b"ab", b"c")
    await served(exchange, echo)
    assert exchange.calls == [
        ("WriteHeader", (200, [(b"x-a", b"\xff")], 19)),
        ("Write", b"/plugins/demo/upabc"),
        ("end", None),
    ]


async def test_a_large_event_is_several_writes_and_flushed_at_its_end() -> None:
    async def app(scope: Event, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": bytes(2 * CHUNK_SIZE), "more_body": True})
        await send({"type": "http.response.body"})

    exchange = CallsExchange()
    await served(exchange, app)
    assert exchange.calls == [
        ("WriteHeader", (200, [], None)),
        ("Write", bytes(CHUNK_SIZE)),
        ("Write", bytes(CHUNK_SIZE)),
        ("Flush", None),
        ("end", None),
    ]


async def test_a_cut_answer_is_aborted_and_never_ended() -> None:
    async def app(scope: Event, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise ValueError("app")

    exchange = CallsExchange()
    await served(exchange, app)
    assert exchange.calls[-1] == ("cut", Abort.FAILED_LATE)
    assert ("end", None) not in exchange.calls


async def test_an_app_that_fails_before_its_start_gets_a_500() -> None:
    async def app(scope: Event, receive: Any, send: Any) -> None:
        raise ValueError("app")

    exchange = CallsExchange()
    await served(exchange, app)
    assert [name for name, _ in exchange.calls] == ["WriteHeader", "Write", "end"]
    assert exchange.calls[0][1][0] == 500


async def test_a_request_that_is_not_admitted_gets_a_503_and_head_no_body() -> None:
    for method, names in (
        ("GET", ["WriteHeader", "Write", "end"]),
        ("HEAD", ["WriteHeader", "end"]),
    ):
        exchange = CallsExchange(method=method)
        await served(exchange, echo, is_ready=False)
        assert [name for name, _ in exchange.calls] == names
        status, headers, length = exchange.calls[0][1]
        assert (status, (b"retry-after", b"1") in headers, length) == (503, True, 19)


async def test_a_client_who_is_found_gone_by_a_write(caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []

    async def app(scope: Event, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b", "more_body": True})
        events.append(await receive())
        raise ClientDisconnected("gone")

    exchange = CallsExchange(breaks_at=2)
    await served(exchange, app)
    assert events == [{"type": "http.disconnect"}]
    assert [name for name, _ in exchange.calls] == ["WriteHeader", "Write", "Flush"]
    assert [one for one in caplog.records if one.levelno > logging.DEBUG] == []


async def test_a_host_that_breaks_the_body_is_answered_by_an_abort() -> None:
    class Breaking(CallsExchange):
        async def read(self) -> tuple[bytes, bool] | None:
            raise HostProtocolError("the grant was not honoured")

    events: list[Event] = []

    async def app(scope: Event, receive: Any, send: Any) -> None:
        events.append(await receive())

    exchange = Breaking()
    await served(exchange, app)
    assert events == [{"type": "http.disconnect"}]
    assert exchange.calls == [("500", Abort.BROKEN)]


async def test_a_head_that_cannot_be_read_is_its_callers_to_answer() -> None:
    class Unreadable(CallsExchange):
        def scope(self, mount: Mount, state: Mapping[str, Any]) -> HTTPScope:
            raise HostProtocolError("a header cannot be read")

    exchange = Unreadable()
    with pytest.raises(HostProtocolError):
        await served(exchange, echo)
    assert exchange.calls == []


async def test_what_an_upgrade_cannot_be_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    exchange = CallsExchange(b"x", headers=[(b"Upgrade", b"websocket")])
    await served(exchange, echo)
    assert [one.getMessage() for one in caplog.records if "upgrade" in one.getMessage()] == [
        "a client asked for an upgrade (WebSocket): the host's wire cannot hand over a connection,"
        " so the request is served as plain HTTP; said once"
    ]
