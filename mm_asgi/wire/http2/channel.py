"""The native wire's client (a ``port.Channel``): RPCs to one server, over a connection that is made
when it is needed, and made again.

Theory of operation

A call is in one of three places: in ``_queue``, where it waits for a connection or for the server to
take one more; on a connection, as a stream; or over. ``_submit()`` puts it in the first or second,
``pump()`` moves the queue's first to the connection, ``again()`` puts a call that the server refused
back at the queue's front, once. ``ended()`` is called for each call that is over, wherever it was.

At most one connection is ``_ready``, the one that new calls begin on. ``_transports`` has all that
are not gone: a connection that the server leaves (GOAWAY), or that was idle too long, is retired. It
serves the calls that it has, and is closed after the last of them. At most one is being made, by the
task ``_connecting``: a server has to greet before a connection counts as made, and until then it
belongs to ``_dial()`` alone (``is_taken``).

The task tries as long as a call waits, with the pauses of the gRPC project's connection-backoff.md.
After a failed attempt the calls that do not ``wait_for_ready`` end as UNAVAILABLE, with the reason;
during the pause new ones do so at once (wait-for-ready.md). The others stay in the queue.

A connection ends with ``close()``, or with the loop. The second is what ``_lease`` is for: asyncio's
runners close each async generator that was begun on their loop, so a generator that waits for its
end closes the connections of a channel that was not closed (tested in test_channel_connection.py).

Everything happens on one loop, and nothing is awaited between a look at ``_ready`` and the beginning
of a call on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.message import Message

from mm_asgi.wire.calls import ANSWER_LIMIT, CLOSED, TOO_LARGE_SENT
from mm_asgi.wire.http2.client_call import UnaryCall
from mm_asgi.wire.http2.client_rpc import RequestBlocks
from mm_asgi.wire.http2.client_transport import ClientTransport
from mm_asgi.wire.http2.connection import Connection
from mm_asgi.wire.http2.deadlines import Deadlines
from mm_asgi.wire.http2.encoding import check_name, deflate
from mm_asgi.wire.http2.limits import Limits
from mm_asgi.wire.http2.stream_call import StreamCall
from mm_asgi.wire.http2.target import Backoff, Target
from mm_asgi.wire.http2.tls import demand_http2
from mm_asgi.wire.http2.transport import READ_SIZE
from mm_asgi.wire.port import RPCError, StatusCode

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from mm_asgi.wire.http2.client_call import ClientCall
    from mm_asgi.wire.port import Metadata

__all__ = ["NEARBY", "NativeChannel"]

M = TypeVar("M", bound=Message)

log = logging.getLogger("mm_asgi.wire")

IDLE: Final = 1800.0  # s, as grpc-go and grpcio have it

NEARBY: Final = Backoff(initial=0.1, maximum=5.0)
"""The document's numbers, 1 s to 120 s, are for strangers: a host that restarts is back at once."""

_FAREWELL: Final = 0.5
"""Seconds that a close waits for what was written last to leave."""


class NativeChannel:
    """A ``port.Channel`` over asyncio, for the loop that it is made on.

    Args:
        target: as Go writes it: ``host:port``, ``dns:///host:port``, ``unix:/path``,
            ``unix:///path``, ``passthrough:///host:port``.
        receive_limit: bytes of one received message; a larger one ends the RPC with
            RESOURCE_EXHAUSTED.
        send_limit: the same of one sent; None: any.
        compression: ``gzip``, or None: how messages are sent. Either is taken.
        tls: a client's context, which is made fit for HTTP/2; None: plain text.
        server_name: that the server's certificate has to have; None: the target's host.
        idle: seconds without an RPC after which the connection is closed (it takes up to half as
            many more); None: never.
        backoff: how long to pause after a connection that could not be made.
        limits: what one connection may cost.

    Attributes:
        nowhere: stands for the connection of calls that have none yet.

    Raises:
        ValueError: the target or the compression is none of these.
    """

    def __init__(
        self,
        target: str,
        *,
        receive_limit: int = ANSWER_LIMIT,
        send_limit: int | None = None,
        compression: str | None = None,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        idle: float | None = IDLE,
        backoff: Backoff = NEARBY,
        limits: Limits | None = None,
    ) -> None:
        check_name(compression)
        if tls is not None:
            demand_http2(tls)
        self.loop = asyncio.get_running_loop()
        self.target = target
        self.receive_limit = receive_limit
        self.send_limit = send_limit
        self.compresses = compression is not None
        self.idle = idle
        self.limits = limits or Limits()
        self.nowhere = Connection(client=True, limits=self.limits, clock=self.loop.time)
        self._address = Target.parse(target)
        self._tls = tls
        self._server_name = server_name
        self._blocks = RequestBlocks(
            "http" if tls is None else "https", server_name or self._address.authority, compression
        )
        # The calls that wait for a connection, or for the server to take one more.
        self._queue: OrderedDict[ClientCall, None] = OrderedDict()
        self._deadlines = Deadlines(self.loop)
        # The connection for new calls, and all that are not gone.
        self._ready: ClientTransport | None = None
        self._transports: set[ClientTransport] = set()
        self._buffer = bytearray(READ_SIZE)
        # The next connection, and why the last attempt failed.
        self._backoff = backoff
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0
        self._failure = ""
        self._retry_at = 0.0
        # The end.
        self._closed = False
        self._lease: AsyncGenerator[None, None] | None = None
        self._quiet: asyncio.Event | None = None

    # ---------------------------------------------------------------- port.Channel

    async def unary(
        self,
        path: str,
        request: Message,
        response: type[M],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> M:
        """Make a unary RPC; ``port.Channel`` documents the arguments."""
        self._refuse_when_closed(path)
        data = request.SerializeToString()
        if self.send_limit is not None and len(data) > self.send_limit:
            raise RPCError(StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE_SENT, path=path)
        call = UnaryCall(
            self,
            path,
            response,
            self._blocks.block(path, metadata),
            None if timeout is None else self.loop.time() + timeout,
            wait_for_ready,
            request=deflate(data) if self.compresses else data,
            flag=int(self.compresses),
        )
        self._submit(call)
        try:
            answer: M = await call.future
        except asyncio.CancelledError:
            call.cancel()
            raise
        finally:
            del call  # an error's traceback holds this frame, which would hold the error
        return answer

    def stream(
        self,
        path: str,
        response: type[Message],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> StreamCall:
        """Make an RPC of any kind; the arguments are ``unary()``'s."""
        self._refuse_when_closed(path)
        call = StreamCall(
            self,
            path,
            response,
            self._blocks.block(path, metadata),
            None if timeout is None else self.loop.time() + timeout,
            wait_for_ready,
        )
        self._submit(call)
        return call

    async def close(self, grace: float = 0.0) -> None:
        """Refuse new RPCs, give the open ones ``grace`` seconds, then end them as CANCELLED."""
        self._closed = True
        if grace > 0 and self._calls():
            self._quiet = self._quiet or asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._quiet.wait()
        for call in self._calls():
            call.close(CLOSED)
        self._deadlines.close()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        if self._lease is not None:
            await self._lease.aclose()

    async def _lease_of_loop(self) -> AsyncGenerator[None, None]:
        """Close the connections when the generator is closed: by ``close()``, or with the loop.

        asyncio.run() closes each generator that was begun on its loop. A channel that was not closed
        learns of the loop's end in no other way, and its sockets cannot be closed afterwards.
        """
        try:
            yield
        finally:
            transports = tuple(self._transports)
            for transport in transports:
                transport.goodbye()
            for transport in transports:
                await transport.wait_closed(_FAREWELL)

    def _calls(self) -> list[ClientCall]:
        """Return the open RPCs."""
        return [*self._queue, *(call for each in self._transports for call in each.calls)]

    def _refuse_when_closed(self, path: str) -> None:
        if self._closed:
            raise RPCError(StatusCode.CANCELLED, CLOSED, path=path)

    # ---------------------------------------------------------------- from the queue to a connection

    def _submit(self, call: ClientCall) -> None:
        if call.deadline is not None:
            self._deadlines.add(call, call.deadline)
        ready = self._ready
        if ready is not None and not self._queue and ready.is_usable and ready.has_room:
            ready.begin(call)
        elif self._failures and not call.wait_for_ready and self._retry_at > self.loop.time():
            call.end(StatusCode.UNAVAILABLE, self._failure)
        else:
            self._queue[call] = None
            self.pump()

    def again(self, call: ClientCall) -> None:
        """Queue a call that the server has refused once more, ahead of those that only wait."""
        self._queue[call] = None
        self._queue.move_to_end(call, last=False)

    def pump(self) -> None:
        """Begin the calls that wait, in order, as many as the server takes."""
        queue = self._queue
        while queue:
            ready = self._ready
            if ready is None or not ready.is_usable:
                self._connect_soon()
                return
            if not ready.has_room:
                return
            call, _ = queue.popitem(last=False)
            ready.begin(call)

    def ended(self, call: ClientCall) -> None:
        """Drop a call that is over and no longer on its connection."""
        if call.deadline is not None:
            self._deadlines.discard(call)
        if self._queue or self._closed or len(self._transports) != 1:
            self._queue.pop(call, None)
            self._tidy()

    def _tidy(self) -> None:
        self.pump()
        for transport in tuple(self._transports):
            if transport is not self._ready and transport.is_taken:
                self.retire(transport)
        if self._quiet is not None and not self._calls():
            self._quiet.set()

    # ---------------------------------------------------------------- connections

    def add(self, transport: ClientTransport) -> None:
        """Add a connection that has just been opened."""
        self._transports.add(transport)

    def retire(self, transport: ClientTransport) -> None:
        """Begin no more calls on a connection, and close it once it has none."""
        if self._ready is transport:
            self._ready = None
        if not transport.calls:
            transport.goodbye()

    def lost(self, transport: ClientTransport) -> None:
        """Drop a connection that is gone."""
        self._transports.discard(transport)
        self._tidy()

    def lost_text(self, connection: Connection) -> str:
        """Return why the calls of a connection ended with it."""
        if connection.fault is not None:
            return f"{self.target}: the server broke HTTP/2's rules: {connection.fault.text}"
        return f"{self.target}: the connection was lost before the answer"

    def _connect_soon(self) -> None:
        if self._connecting is None:
            self._connecting = self.loop.create_task(self._connect(), name="mm_asgi connect")

    async def _connect(self) -> None:
        """Make a connection, and try again as long as a call waits for one."""
        try:
            if self._lease is None:
                self._lease = self._lease_of_loop()
                await anext(self._lease)
            while self._queue:
                await asyncio.sleep(max(0.0, self._retry_at - self.loop.time()))
                started = self.loop.time()
                try:
                    self._ready = await self._dial()
                    self._ready.is_taken = True
                except (OSError, ValueError) as error:  # ssl's, and a name that no DNS takes
                    self._failures += 1
                    self._retry_at = started + self._backoff.pause(self._failures)
                    words = str(error) or f"nobody answered in {self._backoff.connect:g} s"
                    self._failure = f"{self.target}: no connection: {words}"
                    self._refuse_waiting()
                else:
                    self._failures = 0
                    break
        finally:
            self._connecting = None
        self.pump()

    async def _dial(self) -> ClientTransport:
        """Return a new connection whose server has greeted.

        Raises:
            OSError, ValueError: none could be made.
        """
        made: Any = None
        connect = partial(self._connector(), ssl=self._tls, server_hostname=self._name_to_check())
        try:
            async with asyncio.timeout(self._backoff.connect):
                _, made = await connect(lambda: ClientTransport(self, self._buffer))
                if not await made.greeted or not made.is_usable:
                    raise ConnectionError(_refusal(made))
        except BaseException:
            if made is not None:
                made.goodbye()
            raise
        assert isinstance(made, ClientTransport)
        return made

    def _connector(self) -> Any:
        address = self._address
        if address.path:
            return partial(self.loop.create_unix_connection, path=address.path)
        return partial(self.loop.create_connection, host=address.host, port=address.port)

    def _name_to_check(self) -> str | None:
        if self._tls is None:
            return None
        return self._server_name or self._address.host or self._address.authority

    def _refuse_waiting(self) -> None:
        """End the calls that do not wait for a server, with the reason of the failed attempt."""
        for call in tuple(self._queue):
            if not call.wait_for_ready:
                call.end(StatusCode.UNAVAILABLE, self._failure)


def _refusal(transport: ClientTransport) -> str:
    if transport.connection.fault is not None:
        return f"the server does not speak HTTP/2: {transport.connection.fault.text}"
    if transport.connection.peer_last is not None:
        return "the server takes no connections: it sent GOAWAY at once"
    return (
        f"the server closed the connection before any HTTP/2 ({transport.reason or 'end of file'})"
    )
