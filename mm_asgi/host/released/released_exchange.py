"""One HTTP request by ServeHTTP over net/rpc, in the order of client_rpc.go.

The plugin gets the request's head and two numbers: the ResponseWriter that it calls, and the body
that it reads by permission. Its answer to the call ends the request; an error there is a 500, whose
text lands behind whatever was written before. Of a client that leaves the plugin is told nothing:
its next write fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from mm_asgi.host.http.answer import PLAIN
from mm_asgi.host.http.line import WriteLate
from mm_asgi.host.http.writer import WriteRefused
from mm_asgi.host.plugin.plugin_connection import RPCFailed
from mm_asgi.host.released.reader_service import serve_reader
from mm_asgi.host.released.writer_service import WriterService
from mm_asgi.wire.netrpc.byte_pipe import BytePipe

if TYPE_CHECKING:
    from mm_asgi.host.http.answer import Answer
    from mm_asgi.host.http.body import Body
    from mm_asgi.host.http.rules import Context, GoRequest
    from mm_asgi.host.plugin.gate import Gate, Unanswered
    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.host.plugin.running_plugin import RunningPlugin
    from mm_asgi.host.released.released_connection import ReleasedConnection

__all__ = ["ReleasedExchange"]

FAILED = "500 internal server error"


class ReleasedExchange:
    """One request of one client.

    Args:
        request: as the host has rewritten it.
        context: the facts for plugin.Context.
        body: the client's.
        answer: to the client.
        gate: counts the requests that have no answer yet.
        log: the host's.
        flush: whether the server has Flush, as since 11.3.

    Attributes:
        moved: never: the plugin gets the request at once.
    """

    def __init__(
        self,
        request: GoRequest,
        context: Context,
        body: Body,
        answer: Answer,
        *,
        gate: Gate,
        log: HostLog,
        flush: bool = True,
    ) -> None:
        self.moved = False
        self._request = request
        self._context = context
        self._body = body
        self._answer = answer
        self._gate = gate
        self._log = log
        self._flush = flush
        self._call: asyncio.Future[Any] | None = None
        self._unanswered: Unanswered | None = None

    def cancel(self) -> None:
        """Wait no longer for the plugin, because the server stops."""
        if self._call is not None:
            self._call.cancel()

    async def run(self, plugin: RunningPlugin) -> None:
        """Hand the request to the plugin, and return at the end of its answer."""
        connection: ReleasedConnection = plugin.connection
        self._unanswered = self._gate.handed_over()
        writer = WriterService(
            connection.book, self._answer, self._log, flush=self._flush, on_begin=self._settle
        )
        body = BytePipe()
        arguments = self._arguments(connection, writer, body)
        reader = connection.spawn(serve_reader(body, self._read), "ServeHTTP body")
        self._call = asyncio.ensure_future(connection.call_hook("ServeHTTP", arguments))
        try:
            await asyncio.wait((self._call,))
            await writer.end()
            if error := _error_of(self._call):
                self._log.host("error", "Plugin failed to ServeHTTP, RPC call failed", error=error)
                await self._fail(writer)
            elif not writer.is_hijacked:
                await self._answer.finish()
        finally:
            self._call.cancel()
            reader.cancel()
            await writer.end()
            self._settle()

    def _settle(self) -> None:
        if self._unanswered is not None:
            self._unanswered.settle()
            self._unanswered = None

    async def _read(self) -> bytes:
        while True:
            data, complete = await self._body.read()
            if data or complete:
                return data

    async def _fail(self, writer: WriterService) -> None:
        """Write the error as http.Error does: its text comes behind what was written."""
        if writer.is_hijacked:
            return
        if not self._answer.writer.started:
            self._answer.writer.write_header(500, PLAIN)
        with contextlib.suppress(WriteRefused, WriteLate):
            self._answer.writer.write(f"{FAILED}\n".encode())
        await self._answer.finish()

    def _arguments(
        self, connection: ReleasedConnection, writer: WriterService, body: BytePipe
    ) -> dict[str, Any]:
        request, context = self._request, self._context
        failed = "Plugin failed to ServeHTTP, muxBroker couldn't "
        head = {
            "Method": request.method,
            "URL": str(request.url).encode("latin-1"),
            "Proto": f"HTTP/{request.protocol[0]}.{request.protocol[1]}",
            "ProtoMajor": request.protocol[0],
            "ProtoMinor": request.protocol[1],
            "Header": {
                name: [_text(value) for value in values] for name, values in request.header.items()
            },
            "Host": _text(request.host),
            "RemoteAddr": request.remote_addr,
            "RequestURI": _text(request.request_uri),
        }
        about = {
            "SessionId": context.session_id,
            "RequestId": context.request_id,
            "IPAddress": _text(context.ip_address),
            "AcceptLanguage": _text(context.accept_language),
            "UserAgent": _text(context.user_agent),
        }
        return {
            "ResponseWriterStream": connection.offer(writer.owner, failed + "accept connection"),
            "Request": {name: value for name, value in head.items() if value},
            "Context": {name: value for name, value in about.items() if value},
            "RequestBodyStream": connection.offer(body, failed + "Accept request body connection"),
        }


def _error_of(call: asyncio.Future[Any]) -> str:
    """Return why a call that is done has failed; empty: it has not."""
    if call.cancelled():
        return "the server stops"
    error = call.exception()
    if error is None:
        return ""
    if isinstance(error, RPCFailed):
        return error.details
    raise error


def _text(text: str) -> str:
    """Return a text of one character a byte as gob's reader and writer have it."""
    return text.encode("latin-1").decode("utf-8", "surrogateescape")
