"""One HTTP request over one ServeHTTP stream, in the order of hooks_grpc_client.go.

Two tasks work on a stream, as two goroutines do in the host. The sender reads the client's body and
writes messages; the receiver reads messages and writes the client's answer. They meet in four places:

- The sender waits for the first bytes of the body before it sends ``init``, as the host does. Until then
  the plugin has got nothing, and the gate may lead to another plugin: the exchange has *moved*, and the
  caller starts it anew with the bytes that were read.
- Once ``init`` is sent the request belongs to its plugin. It counts as unanswered at the gate until the
  first message of the answer, and a restart waits for that.
- The receiver may be done before the sender. It waits for the sender before it cancels the RPC: the
  sender may wait for the client, or for flow control that only the end of the RPC releases.
- After the body's end the sender waits for the client to leave. A leave cancels the RPC, which ends the
  receiver with CANCELLED.

The answer's outcome follows from how the stream ended: body_complete finishes it; an end before the first
message is a 502; an end after it just ends the answer, which then looks broken (Content-Length) or whole
(chunked) to the client.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mm_asgi.host.http.answer import PLAIN
from mm_asgi.host.http.first_message import init_message
from mm_asgi.host.http.line import WriteLate
from mm_asgi.host.http.writer import WriteRefused
from mm_asgi.host.plugin.plugin_connection import RPCFailed
from mm_asgi.protocol.hooks_http_pb2 import (
    ServeHTTPRequest,
    ServeHTTPRequestInit,
    ServeHTTPResponse,
)

if TYPE_CHECKING:
    from mm_asgi.host.http.answer import Answer
    from mm_asgi.host.http.body import Body
    from mm_asgi.host.http.rules import Context, GoRequest
    from mm_asgi.host.plugin.gate import Gate, Unanswered
    from mm_asgi.host.plugin.host_connection import HTTPStream
    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.host.plugin.running_plugin import RunningPlugin

__all__ = ["HostExchange"]

CANCELLED = "rpc error: code = CANCELLED desc = cancelled by the host"

UNSENDABLE = range(600, 1000)
"""net/http sends these statuses, uvicorn's h11 side has no line for them."""


class HostExchange:
    """One request of one client.

    Attributes:
        moved: the plugin was replaced before it got any part of this request. The caller hands
            the request to the next plugin.
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
    ) -> None:
        self.moved = False
        self._request = request
        self._context = context
        self._body = body
        self._answer = answer
        self._gate = gate
        self._log = log
        # Kept from plugin to plugin while the exchange moves.
        self._first: tuple[bytes, bool] | None = None
        self._given_up = False  # the client left, or the server stops
        # One stream's.
        self._stream: HTTPStream | None = None
        self._sent = asyncio.Event()
        self._handed_over = False
        self._unanswered: Unanswered | None = None

    def cancel(self) -> None:
        """End the RPC, because the server stops."""
        self._given_up = True
        if self._stream is not None:
            self._stream.cancel()

    async def run(self, plugin: RunningPlugin) -> None:
        """Send the request to the plugin and pass its answer on.

        When `moved` is set afterwards, neither side has got anything.
        """
        try:
            init = init_message(self._request, self._context)
        except UnicodeDecodeError:
            # proto3 text must be UTF-8. The real host's Send fails, and the plugin sees a cancelled
            # RPC.
            self._log.host("error", "gRPC ServeHTTP send error", error="invalid UTF-8 in it")
            await self._answer.plain(502, "Bad Gateway")
            return
        if self._body.broken:  # while the CSRF check read it: the request's context has ended
            await self._unopened(CANCELLED)
            return
        self.moved = False
        self._sent.clear()
        self._handed_over = False
        stream = self._stream = plugin.connection.serve_http()
        try:
            await stream.opened()
        except RPCFailed as exc:
            self.moved = not self._gate.leads_to(plugin)
            if self.moved:
                return
            await self._unopened(str(exc))
            return
        sender = asyncio.create_task(self._send(stream, init, plugin), name="ServeHTTP sender")
        try:
            if await self._receive(stream, plugin):
                # As in the host the handler does not return before the sender: it may wait for
                # the client, or for flow control that only the end of the RPC releases.
                await self._sent.wait()
        finally:
            # The request's context ends with the handler, so a normal end is a cancel, too.
            stream.cancel()
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self._settle()
        if not self.moved:
            await self._answer.finish()

    async def _unopened(self, reason: str) -> None:
        self._log.host("error", "gRPC ServeHTTP stream failed to open", error=reason)
        await self._answer.plain(503, "Service Unavailable")

    def _settle(self) -> None:
        if self._unanswered is not None:
            self._unanswered.settle()
            self._unanswered = None

    # ---------------------------------------------------------------- to the plugin

    async def _send(
        self, stream: HTTPStream, init: ServeHTTPRequestInit, plugin: RunningPlugin
    ) -> None:
        """Send the request, then wait for the client to leave."""
        try:
            complete = await self._send_request(stream, init, plugin)
        except ConnectionError:
            complete = False
        if not self.moved:
            # A half-close without body_complete tells the plugin that the body is truncated.
            await stream.half_close()
        self._sent.set()
        if complete:
            await self._body.left()
        if complete or self._body.broken:
            self._given_up = not self._body.late
            stream.cancel()

    async def _send_request(
        self, stream: HTTPStream, init: ServeHTTPRequestInit, plugin: RunningPlugin
    ) -> bool:
        """Send ``init`` with the first part of the body, then the rest.

        Returns:
            bool: whether body_complete was sent.
        """
        if self._first is None:
            try:
                self._first = await self._body.read()
            except ConnectionError:
                self._first = (b"", False)  # the host sends init all the same
        if not self._gate.leads_to(plugin):
            self.moved = True
            stream.cancel()
            return False
        self._handed_over = True
        self._unanswered = self._gate.handed_over()
        chunk, complete = self._first
        message = ServeHTTPRequest(init=init, body_chunk=chunk, body_complete=complete)
        while await stream.write(message) and not complete and not stream.over:
            chunk, complete = await self._body.read()
            message = ServeHTTPRequest(body_chunk=chunk, body_complete=complete)
        return complete

    # ---------------------------------------------------------------- from the plugin

    async def _receive(self, stream: HTTPStream, plugin: RunningPlugin) -> bool:
        """Write the plugin's answer to the client.

        Returns:
            bool: whether the stream ended without an error.
        """
        writer = self._answer.writer
        try:
            async for message in stream.answers():
                self._settle()
                if not writer.started and not self._head(message):
                    return False
                writer.write(message.body_chunk)
                if message.flush:
                    writer.flush()
                await self._answer.pass_on()
                if message.body_complete:
                    return True
        except RPCFailed as exc:
            return self._ended(str(exc), plugin)
        except WriteRefused:
            return False
        except WriteLate:
            # The write's failure ends the request's context, and so the RPC.
            return self._ended(CANCELLED, plugin)
        return self._ended("EOF", plugin)

    def _ended(self, reason: str, plugin: RunningPlugin) -> bool:
        """Handle a stream that ended before body_complete.

        The client gets a 502, or, when its answer has begun, just the end of the answer.
        """
        if not (self._handed_over or self._gate.leads_to(plugin)):
            self.moved = True  # it went while the client's first bytes were awaited
        if self.moved:
            return False
        writer = self._answer.writer
        # The real host logs an error also when it was the client that left.
        level = "debug" if self._given_up else "error"
        if not writer.started:
            self._log.host(level, "gRPC ServeHTTP failed to receive response", error=reason)
            writer.write_header(502, PLAIN)
            writer.write(b"Bad Gateway\n")
            return False
        if reason != "EOF":
            self._log.host(level, "gRPC ServeHTTP failed to receive response chunk", error=reason)
        return reason == "EOF"

    def _head(self, message: ServeHTTPResponse) -> bool:
        status = message.init.status_code or 200
        writer = self._answer.writer
        if not 100 <= status <= 999:
            self._log.host("error", f"Plugin tried to write invalid HTTP status code: {status}")
            writer.write_header(500, PLAIN)
            writer.write(b"Internal Server Error\n")
            return False
        if status in UNSENDABLE:
            self._log.host(
                "error", f"the simulated host cannot send status {status}, Mattermost would"
            )
            writer.write_header(502, PLAIN)
            writer.write(f"the plugin answered {status}, which uvicorn cannot send\n".encode())
            return False
        if status < 200:
            # net/http sends an interim response and then a 200 with the same headers.
            status = 200
        pairs = ((h.key, value) for h in message.init.headers for value in h.values)
        writer.write_header(status, pairs)
        return True
