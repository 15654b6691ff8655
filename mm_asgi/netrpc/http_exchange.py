"""ServeHTTP over net/rpc as an HTTP exchange: arguments to facts, writes to the host's writer.

The call carries the request's head and two numbers: the host offers its ResponseWriter on one
stream of the broker and the body on another. Its answer says nothing of the response, and three
things depend on it. The host's handler returns with it, so that it leaves when the last Write was
answered, and not before. An error in it makes the host write "500 internal server error", behind
whatever has left already: so it is one only while nothing has. And an answer that is none, while
nobody was on the writer's stream, would be an empty 200: it is an error unless the host has
acknowledged that stream.

An answer that is given up after its head is cut: with Content-Length net/http sees that bytes are
missing and breaks the connection; without, the writer takes the connection over and closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from mm_asgi.bridge.exchange import Abort
from mm_asgi.bridge.request import HTTPRequest
from mm_asgi.bridge.scope import build_http
from mm_asgi.errors import HostProtocolError
from mm_asgi.netrpc.event_padding import can_pad
from mm_asgi.netrpc.request_body import RequestBody
from mm_asgi.netrpc.response_calls import HostHabits, ResponseCalls
from mm_asgi.wire.calls import PLUGIN_FAILED
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING
from mm_asgi.wire.netrpc.stream_owner import StreamOwner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.bridge.exchange import Duplex, Exchange
    from mm_asgi.bridge.request import Header
    from mm_asgi.bridge.response import ResponseHead
    from mm_asgi.bridge.scope import HTTPScope, Mount
    from mm_asgi.wire.netrpc.live_calls import RPCAnswerer
    from mm_asgi.wire.netrpc.plugin_session import PluginSession
    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall

__all__ = ["HTTPCalls", "NetRPCExchange"]

logger = logging.getLogger("mm_asgi.netrpc")

REMEMBERED: Final = 64
"""Bytes of a header's name up to which its spelling is kept: it comes again."""


class Served(Protocol):
    """Where the requests go: ``bridge.handler.HTTPHandler``."""

    spawn: Callable[..., object]

    async def serve(self, exchange: Exchange) -> None:
        """Serve one request, to the end of the app's call."""


class HTTPCalls:
    """Serves the ServeHTTP calls of one process.

    Args:
        handler: where the requests go.
        pads_events: push events by comments where the host has no Flush (setting event-padding).
    """

    def __init__(self, handler: Served, *, pads_events: bool = True) -> None:
        self._handler = handler
        self._pads_events = pads_events
        self._habits = HostHabits()

    def serve(self, call: IncomingCall, answerer: RPCAnswerer, session: PluginSession) -> None:
        """Serve one call in a task that the handler's owner holds."""
        try:
            exchange = NetRPCExchange(
                call, answerer, session, self._habits, pads_events=self._pads_events
            )
        except (TypeError, ValueError, AttributeError) as error:
            # Else the stream of all hooks would end for one request that cannot be read.
            logger.error("ServeHTTP: the request cannot be read (%s); it was refused", error)
            answerer.refuse(call, PLUGIN_FAILED)
            _take_up_in_vain(call, session)
            return
        self._handler.spawn(self._run(exchange), exchange.name)

    async def _run(self, exchange: NetRPCExchange) -> None:
        try:
            await self._handler.serve(exchange)
        except HostProtocolError as error:
            logger.error("%s", error)
            exchange.abort(Abort.BROKEN)
        except BaseException:
            exchange.abort(Abort.FAILED)
            raise
        exchange.see_it_end()
        # A stop drains this task: it ends when the last call was answered, not when it was made.
        await exchange.wait_ended()


class NetRPCExchange:
    """One ServeHTTP call (an Exchange of bridge/exchange.py).

    Args:
        call: the host's.
        answerer: sends its answer.
        session: the host's connection.
        habits: what is known of the host.
        pads_events: push events by comments where the host has no Flush.
    """

    def __init__(
        self,
        call: IncomingCall,
        answerer: RPCAnswerer,
        session: PluginSession,
        habits: HostHabits,
        *,
        pads_events: bool,
    ) -> None:
        arguments: dict[str, Any] = call.arguments if isinstance(call.arguments, dict) else {}
        self.request = _request(arguments.get("Request") or {}, arguments.get("Context") or {})
        self._has_origin = "Origin" in ((arguments.get("Request") or {}).get("Header") or ())
        self._call = call
        self._answerer = answerer
        self._writer = ResponseCalls(
            session.book,
            session.link,
            arguments.get("ResponseWriterStream", 0),
            habits,
            self._on_end,
        )
        self._body = RequestBody(
            session.link,
            arguments.get("RequestBodyStream", 0),
            self.request.length,
            self.request.method,
        )
        self._pads_events = pads_events
        self._scope: dict[str, Any] | None = None
        self._is_cut_by_length = False
        self._left: Callable[[], None] | None = None
        self._is_left = False
        self._is_over = False
        self._ended: asyncio.Future[None] | None = None

    def name(self) -> str:
        """Return what the log calls the request; the query is not part of it."""
        if self._scope is None:
            return "ServeHTTP"
        return f"{self._scope['method']} {self._scope['path']}"

    def scope(self, mount: Mount, state: Mapping[str, Any]) -> HTTPScope:
        """Build the request's ASGI scope."""
        built = build_http(self.request, mount, state)
        self._scope = built.scope
        return built

    async def read(self) -> tuple[bytes, bool] | None:
        """Return the next part of the body and whether more follows, or None at an end."""
        return await self._body.read()

    async def write(
        self, head: ResponseHead | None, body: bytes | memoryview, *, more: bool, flush: bool
    ) -> None:
        """Send a part of the response; return when little enough waits to take another one."""
        writer = self._writer
        if writer.is_over or writer.is_closing:
            return
        if head is not None:
            self._is_cut_by_length = head.length is not None or head.bodiless
            writer.begin(
                head.status,
                _headers(head),
                has_body=len(body) > 0 and not head.bodiless,
                has_origin=self._has_origin,
                pads=self._pads_events and can_pad(head),
            )
        writer.add(body)
        if not more:
            writer.close()
        elif flush:
            writer.flush()
        writer.run()
        if writer.is_full:
            await writer.wait_for_room()

    def abort(self, why: Abort) -> None:
        """End without a complete answer: a 500 while nothing has left, else a cut one."""
        logger.debug("a response was given up: %s", why.value)
        writer = self._writer
        if not writer.is_begun:
            writer.give_up()
        elif self._is_cut_by_length:
            writer.close()
            writer.run()
        else:
            writer.cut()

    def see_it_end(self) -> None:
        """End what the handler has left open: the client was gone before the app was called."""
        self._writer.end_unless_closing()

    def on_left(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when a failed write says that the client left."""
        if self._is_left:
            callback()
        elif not self._is_over:
            self._left = callback

    def upgrade(self) -> Duplex | None:
        """Return None: the connection is not handed over yet."""
        return None

    async def wait_ended(self) -> None:
        """Wait until the call was answered."""
        if not self._is_over:
            self._ended = asyncio.get_running_loop().create_future()
            await self._ended

    def _on_end(self, left: bool) -> None:
        self._is_over = True
        writer = self._writer
        if writer.is_begun and writer.is_taken:
            self._answerer.reply(self._call, NOTHING, {})
        else:
            self._answerer.refuse(self._call, PLUGIN_FAILED)
        with contextlib.suppress(ConnectionError):
            writer.dial_in_vain()
            self._body.close()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        if left and not writer.is_closing:
            self._is_left = True
            if self._left is not None:
                self._left()
        self._left = None


def _take_up_in_vain(call: IncomingCall, session: PluginSession) -> None:
    """Dial what the host offers and end it: it waits 5 s for each."""
    arguments: dict[str, Any] = call.arguments if isinstance(call.arguments, dict) else {}
    for name in ("ResponseWriterStream", "RequestBodyStream"):
        number = arguments.get(name)
        if isinstance(number, int) and number:
            with contextlib.suppress(ConnectionError):
                session.link.dial(number, StreamOwner(), fin=True)


# ---------------------------------------------------------------- the request


def _request(request: dict[str, Any], context: dict[str, Any]) -> HTTPRequest:
    headers: dict[str, list[str]] = request.get("Header") or {}
    url = request.get("URL") or b""
    return HTTPRequest(
        method=request.get("Method", ""),
        target=request.get("RequestURI", ""),
        url=url.decode("utf-8", "surrogateescape"),
        host=request.get("Host", ""),
        remote_addr=request.get("RemoteAddr", ""),
        proto=request.get("Proto", ""),
        proto_major=request.get("ProtoMajor", 0),
        length=_length(headers),
        headers=_pairs(headers),
        session_id=context.get("SessionId", ""),
        request_id=context.get("RequestId", ""),
        # Servers before 6.0 spell it the first way.
        ip_address=context.get("IPAddress") or context.get("IpAddress", ""),
        user_agent=context.get("UserAgent", ""),
        accept_language=context.get("AcceptLanguage", ""),
    )


def _length(headers: dict[str, list[str]]) -> int:
    values = headers.get("Content-Length")
    # net/http has refused what is no number. Transfer-Encoding is not passed on.
    return int(values[0]) if values and values[0].isdecimal() else -1


def _pairs(headers: dict[str, list[str]]) -> list[Header]:
    return [
        (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
        for name, values in headers.items()
        for value in values
    ]


# ---------------------------------------------------------------- the response


def _headers(head: ResponseHead) -> dict[str, list[str]]:
    """Return the head's fields as Go's http.Header."""
    made: dict[str, list[str]] = {}
    for name, value in head.headers:
        key = _canonical(name) if len(name) <= REMEMBERED else _spelled(name)
        made.setdefault(key, []).append(_text(value))
    if head.length is not None and head.status != 204:
        made["Content-Length"] = [str(head.length)]
    return made


def _text(value: bytes) -> str:
    """A header's value; what is no UTF-8 is taken for latin-1 (row R12)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _spelled(name: bytes) -> str:
    """A header's name as net/http spells it, and as the host's own code looks for it."""
    return "-".join(part.capitalize() for part in name.decode("latin-1").split("-"))


# Not state: the same answer each time, only sooner.
_canonical = lru_cache(maxsize=1024)(_spelled)
