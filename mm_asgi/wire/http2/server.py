"""The native wire's server (a ``port.Server``): connections in, RPCs to their handlers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING

from mm_asgi.wire.calls import Calls
from mm_asgi.wire.http2.call import ServerCall
from mm_asgi.wire.http2.connection import Connection
from mm_asgi.wire.http2.encoding import check_name
from mm_asgi.wire.http2.limits import Limits
from mm_asgi.wire.http2.refused import NotGRPC, RefusedCall
from mm_asgi.wire.http2.rpc import RequestFacts, cut_for_status, is_grpc
from mm_asgi.wire.http2.tls import TLSAcceptor, demand_http2
from mm_asgi.wire.http2.transport import READ_SIZE, Transport
from mm_asgi.wire.port import StatusCode

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from mm_asgi.wire.http2.fields import HeaderSection
    from mm_asgi.wire.http2.stream import H2Stream
    from mm_asgi.wire.port import Listener, Method

__all__ = ["NativeServer", "ServerTransport"]

log = logging.getLogger("mm_asgi.wire")

_FAREWELL: float = 0.5
"""Seconds that a stop waits for what was written last to leave."""


class NativeServer:
    """A ``port.Server`` over asyncio.

    Args:
        limits: what one connection may cost.
        compression: ``gzip``, or None: how messages are sent to peers that take it. Received
            messages may be either.

    Raises:
        ValueError: the compression is neither.
    """

    def __init__(self, limits: Limits | None = None, *, compression: str | None = None) -> None:
        check_name(compression)
        self._compresses = compression is not None
        self._limits = limits or Limits()
        self._calls = Calls()
        self._methods: Mapping[str, Method] = {}
        self._server: asyncio.Server | TLSAcceptor | None = None
        self._connections: set[ServerTransport] = set()
        self._buffer = bytearray(READ_SIZE)

    async def start(
        self,
        listener: Listener,
        methods: Mapping[str, Method],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Serve ``methods`` on the listener's socket; ``tls`` is made fit for HTTP/2.

        Raises:
            ConfigError: the listener cannot be bound.
        """
        self._methods = methods
        loop = asyncio.get_running_loop()
        opened = listener.open()
        opened.setblocking(False)
        if tls is not None:
            demand_http2(tls)
            self._server = TLSAcceptor(opened, tls, self._connect, self._limits.preface)
        elif opened.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(self._connect, sock=opened)
        else:
            self._server = await loop.create_server(self._connect, sock=opened)

    async def stop(self, grace: float) -> None:
        """Refuse new RPCs, give the running ones ``grace`` seconds, then cancel them.

        First each peer is asked to open no more, and its answer awaited, so that no RPC that is
        under way is lost (RFC 9113 section 6.8).
        """
        if self._server is None:
            return
        self._server.close()
        connections = tuple(self._connections)
        for connection in connections:
            connection.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                for connection in connections:
                    await connection.left.wait()
                await self._calls.idle()
        for call in self._calls.streams:
            call.stop()
        for connection in connections:
            connection.flush()
            connection.close()
        for connection in connections:
            await connection.wait_closed(_FAREWELL)
        if isinstance(self._server, TLSAcceptor):
            await self._server.wait_closed()
        await self._calls.cancel_handlers()

    def _connect(self) -> ServerTransport:
        return ServerTransport(
            self._buffer,
            self._limits,
            self._methods,
            self._calls,
            self._connections,
            compresses=self._compresses,
        )


class ServerTransport(Transport):
    """One connection of a server: it makes the calls of its RPCs and runs their handlers.

    Attributes:
        left: set when the peer opens no more RPCs here, after ``leave()``, or is gone.
    """

    def __init__(
        self,
        buffer: bytearray,
        limits: Limits,
        methods: Mapping[str, Method],
        calls: Calls,
        connections: set[ServerTransport],
        *,
        compresses: bool = False,
    ) -> None:
        super().__init__(buffer)
        self.left = asyncio.Event()
        self._limits = limits
        self._methods = methods
        self._calls = calls
        self._connections = connections
        self._compresses = compresses
        # The calls of the read that is being taken. Their handlers run when all of it was taken, so
        # that a call which is reset in the same read costs none.
        self._fresh: list[ServerCall] = []

    def make_connection(self) -> Connection:
        """Return a server's connection, and add this one to the server's."""
        self._connections.add(self)
        connection = Connection(
            client=False,
            limits=self._limits,
            clock=self.loop.time,
            accept=self._accept,
            wake=self.wake,
        )
        connection.farewell = self.left.set
        return connection

    def leave(self) -> None:
        """Begin a graceful end; ``left`` is set when the peer opens no more RPCs."""
        if self._connection is None:
            self.left.set()
        else:
            self.connection.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """End its RPCs, and leave the server: the connection is gone."""
        super().connection_lost(exc)
        self.left.set()
        self._connections.discard(self)

    def _accept(self, stream_id: int, head: HeaderSection) -> H2Stream:
        facts: RequestFacts | None = head.call
        if facts is None:
            if not is_grpc(head):
                return NotGRPC(self.connection, stream_id)
            head.call = facts = RequestFacts(head)
        entry = self._methods.get(facts.path)
        if entry is None:
            text = f"no method {cut_for_status(facts.path)}"
            return RefusedCall(self.connection, stream_id, StatusCode.UNIMPLEMENTED, text)
        if facts.fault:
            return RefusedCall(self.connection, stream_id, StatusCode.INTERNAL, facts.fault)
        calls = self._calls
        call = ServerCall(
            self.connection, stream_id, entry, facts, calls, self.loop, self._compresses
        )
        calls.opened(call)
        self._fresh.append(call)
        return call

    def received(self) -> None:
        """Run the handlers of the calls that came with the read."""
        if self._fresh:
            fresh, self._fresh = self._fresh, []
            for call in fresh:
                if not call.is_over:
                    call.begun = True
                    self._calls.run(call.entry.handler, call)
