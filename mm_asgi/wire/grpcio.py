"""The port over grpc.aio: the reference to compare the native wire with, and a fall-back.

Every method is registered as stream-stream with raw bytes, so that parsing and its failures stay
here. One RPC is three tasks. grpcio's own task runs ``drive()``: it is the only writer, it ends the
RPC, and grpcio injects a CancelledError there when the peer leaves. A pump is the only reader. The
handler runs apart from both, so that neither its cancel nor its end touches an operation in flight.

tests/wire/test_grpcio_traps.py has a test for each of grpcio's surprises, and for our answer to it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import grpc
from google.protobuf.message import DecodeError

from mm_asgi.errors import ConfigError
from mm_asgi.wire.calls import TOO_LARGE, TOO_LARGE_SENT, UNPARSABLE, Calls, CancelSlot, wake
from mm_asgi.wire.port import Inbox, StatusCode

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from google.protobuf.message import Message

    from mm_asgi.wire.port import Encoded, Listener, Metadata, Method

__all__ = ["GrpcioServer", "add_methods"]

log = logging.getLogger("mm_asgi.wire")

_STATUS = {code.value[0]: code for code in grpc.StatusCode}


class GrpcioServer:
    """A ``port.Server`` over grpc.aio."""

    def __init__(self) -> None:
        self._server: grpc.aio.Server | None = None
        self._calls = Calls()

    async def start(
        self,
        listener: Listener,
        methods: Mapping[str, Method],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Bind the first address that can be bound and serve ``methods`` there.

        Raises:
            ConfigError: none of the listener's addresses can be bound, or ``tls`` is given.
        """
        if tls is not None:
            # Its BoringSSL does not offer ecdsa_secp521r1_sha512, without which go-plugin's client
            # shows no certificate. And it takes none of Python's contexts.
            raise ConfigError(
                "wire: it is grpcio, which cannot do the mutual TLS that the host demands; leave "
                "this setting at native"
            )
        if not (core := logging.getLogger("grpc")).level:
            # At debug it writes a line for nearly each RPC. And it logs a server that is being
            # freed: a log handler that keeps that record frees it twice (grpcio 1.85.1).
            core.setLevel(logging.INFO)
        limit = max((method.receive_limit for method in methods.values()), default=0)
        server = grpc.aio.server(options=_options(limit))
        server.add_generic_rpc_handlers((_Methods(methods, self._calls),))
        listener.bound(_bind(server, listener))
        await server.start()
        self._server = server

    async def stop(self, grace: float) -> None:
        """Refuse new RPCs, give the running ones ``grace`` seconds, then cancel them."""
        if self._server is None:
            return
        await self._server.stop(grace)
        # grpcio returns as soon as the core is done, before the RPCs' tasks have seen the cancel.
        await self._calls.idle()
        await self._calls.cancel_handlers()


def add_methods(server: grpc.aio.Server, methods: Mapping[str, Method]) -> Calls:
    """Serve ``methods`` on a grpc.aio server that the caller starts and stops.

    The server's own ``grpc.max_receive_message_length`` comes before a method's receive_limit.

    Returns:
        the open RPCs and their handlers, for the caller to drain.
    """
    calls = Calls()
    server.add_generic_rpc_handlers((_Methods(methods, calls),))
    return calls


def _options(receive_limit: int) -> list[tuple[str, int]]:
    return [
        # On by default for TCP: two processes would share a port without a word.
        ("grpc.so_reuseport", 0),
        # grpc-go pings every 10 s at the most often; the core's default (5 min) answers GOAWAY.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # The core has one limit for all methods; a method's own is checked in the pump.
        ("grpc.max_receive_message_length", receive_limit),
        ("grpc.max_send_message_length", -1),
    ]


def _bind(server: grpc.aio.Server, listener: Listener) -> str:
    tried = []
    for address in listener.candidates():
        tried.append(address)
        is_path = "/" in address
        try:
            # The core takes "unix:" for a URI and would decode a % in the path.
            target = f"unix:{quote(address)}" if is_path else address
            port = _add_port_with_strict_umask(server, target)
        except RuntimeError:
            log.debug("cannot bind %s", address)
            continue
        return address if is_path else f"{address.rpartition(':')[0]}:{port}"
    raise ConfigError(
        f"Listener: cannot bind any of {', '.join(tried) or 'no addresses'}, expected a socket path "
        "or a loopback address that is free and may be written; check the socket directory's "
        "owner, mode and length, or choose TCP."
    )


def _add_port_with_strict_umask(server: grpc.aio.Server, address: str) -> int:
    # The core listens at once, with the mode that the umask allows; the listener widens it after.
    before = os.umask(0o177)
    try:
        return server.add_insecure_port(address)
    finally:
        os.umask(before)


class _Methods(grpc.GenericRpcHandler):
    """The table in which grpcio looks up each new RPC; without an entry it is UNIMPLEMENTED."""

    def __init__(self, methods: Mapping[str, Method], calls: Calls) -> None:
        self._calls = calls
        self._handlers: dict[str, Any] = {
            path: grpc.stream_stream_rpc_method_handler(self._serve(path, method))
            for path, method in methods.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the method handler of an RPC's path, or None."""
        return self._handlers.get(handler_call_details.method)

    def _serve(self, path: str, method: Method) -> Callable[..., Any]:
        # A coroutine function and no generator: grpc/grpc#42295.
        async def serve(_requests: Iterator[bytes], context: Any) -> None:
            stream = _GrpcioStream(path, context, method.send_limit)
            calls = self._calls
            calls.opened(stream)
            calls.hold(asyncio.create_task(stream.pump(method)))
            calls.run(method.handler, stream)
            try:
                await stream.drive()
            finally:
                calls.closed(stream)

        return serve


class _GrpcioStream:
    __slots__ = (
        "__weakref__",
        "_cancel_slot",
        "_context",
        "_fetch",
        "_inbox",
        "_initial",
        "_metadata",
        "_opened",
        "_outbox",
        "_readers",
        "_send_limit",
        "_status",
        "_streaming",
        "_wake",
        "deadline",
        "method",
    )

    def __init__(self, method: str, context: Any, send_limit: int | None) -> None:
        self.method = method
        self._context = context
        remaining = context.time_remaining()
        loop = asyncio.get_running_loop()
        self.deadline = None if remaining is None else loop.time() + remaining
        self._metadata: dict[str, str | bytes] | None = None
        # Receiving: how many readers wait, and the future on which the pump waits until the next
        # message is wanted.
        self._inbox = Inbox()
        self._readers = 0
        self._streaming = False
        self._fetch: asyncio.Future[None] | None = None
        # Sending: the messages that drive() has not written yet, and the future on which it waits
        # for more.
        self._send_limit = send_limit
        self._initial: Metadata | None = None
        self._opened = False
        self._outbox: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._wake: asyncio.Future[None] | None = None
        # The end: set once, by whichever side is first.
        self._status: tuple[StatusCode, str, Metadata] | None = None
        self._cancel_slot = CancelSlot()

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        if self._metadata is None:
            self._metadata = dict(self._context.invocation_metadata())
        return self._metadata

    async def read(self) -> Any | None:
        self._readers += 1
        try:
            if self._inbox.wants:
                wake(self._fetch)
            message = await self._inbox.get()
        finally:
            self._readers -= 1
        # Most RPCs bring one message. So the second is fetched only when it is asked for, and all
        # others ahead: a read in vain costs as much as any other.
        if self._inbox.wants and (self._readers or self._streaming):
            wake(self._fetch)
        self._streaming = True
        return message

    def send_metadata(self, metadata: Metadata) -> None:
        if self._opened or self._status is not None:
            return
        self._opened = True
        self._initial = tuple(metadata)
        wake(self._wake)

    async def write(self, message: Message | Encoded, *, last: bool = False) -> None:
        if self._status is not None:
            return
        data = message.SerializeToString()
        if self._send_limit is not None and len(data) > self._send_limit:
            log.warning("message too large to send: %s, %d bytes", self.method, len(data))
            self._leave(StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE_SENT)
            return
        self._opened = True
        sent = asyncio.get_running_loop().create_future()
        self._outbox.append((data, sent))
        wake(self._wake)
        if last:
            self.finish()
        # A cancel ends only this wait: drive() has the message now and sends it in its turn.
        await sent

    def finish(self, metadata: Metadata = ()) -> None:
        if self._end(StatusCode.OK, "", metadata):
            self._cancel_slot.close()

    def abort(self, code: StatusCode, text: str, metadata: Metadata = ()) -> None:
        if self._end(code, text.encode("utf-8", "replace").decode(), metadata):
            self._cancel_slot.close()

    def on_cancel(self, callback: Callable[[], None]) -> None:
        self._cancel_slot.set(callback)

    def _end(self, code: StatusCode, text: str, metadata: Metadata = ()) -> bool:
        """End the RPC unless it is over; return whether it was not."""
        if self._status is not None:
            return False
        self._status = (code, text, tuple(metadata))
        self._inbox.end(drop=True)
        if code is not StatusCode.OK:
            self._drop_outbox()
        wake(self._fetch)
        wake(self._wake)
        return True

    def _leave(self, code: StatusCode, text: str) -> None:
        """End the RPC for the wire, and call the handler's ``on_cancel``.

        The peer is gone, or it sent a message that cannot be taken.
        """
        self._end(code, text)
        self._drop_outbox()
        self._cancel_slot.fire()

    def _drop_outbox(self) -> None:
        while self._outbox:
            wake(self._outbox.popleft()[1])

    async def drive(self) -> None:
        """Write the messages of the outbox in order, then end the RPC."""
        try:
            while self._outbox or self._status is None:
                if self._initial is not None:
                    await self._open()
                elif self._outbox:
                    data, sent = self._outbox.popleft()
                    try:
                        await self._context.write(data)
                    finally:
                        wake(sent)
                else:
                    self._wake = asyncio.get_running_loop().create_future()
                    await self._wake
            await self._close(*self._status)
        except asyncio.CancelledError:
            # The RPC would leak if this was swallowed: grpc/grpc#43360.
            self._leave(StatusCode.CANCELLED, "")
            raise
        except grpc.aio.AbortError:
            raise
        except grpc.aio.BaseError as error:
            # The core refuses an operation when the peer has left, often before the cancel is
            # injected. A CancelledError is the way out that grpcio does not log as an error.
            log.debug("the peer of %s left: %s", self.method, error)
            self._leave(StatusCode.CANCELLED, "")
            raise asyncio.CancelledError from None

    async def _open(self) -> None:
        initial, self._initial = self._initial, None
        await self._context.send_initial_metadata(initial)

    async def _close(self, code: StatusCode, text: str, metadata: Metadata) -> None:
        if self._initial is not None:
            await self._open()
        if code is not StatusCode.OK:
            await self._context.abort(_STATUS[code], text, metadata)
        self._context.set_trailing_metadata(metadata)

    async def pump(self, method: Method) -> None:
        """Read on demand, one message ahead, until the RPC ends.

        Nothing else may stop this task, and no other task may read: a cancelled read or a second
        one in flight would lose a message and show a false end.
        """
        inbox = self._inbox
        try:
            while self._status is None:
                data = await self._context.read()
                if data is grpc.aio.EOF:
                    break
                message = self._parse(method, data)
                if message is not None:
                    inbox.put(message)
                    self._fetch = asyncio.get_running_loop().create_future()
                    await self._fetch
        except grpc.aio.BaseError:
            # The RPC ended while the read was under way.
            pass
        finally:
            inbox.end()

    def _parse(self, method: Method, data: bytes) -> Any | None:
        if len(data) > method.receive_limit:
            log.warning("message too large: %s, %d bytes", self.method, len(data))
            self._leave(StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE)
            return None
        try:
            return method.request.FromString(data)
        except DecodeError:
            log.warning("message cannot be parsed: %s, %d bytes", self.method, len(data))
            self._leave(StatusCode.INTERNAL, UNPARSABLE)
            return None
