"""go-plugin's own RPCs beside the hooks: health, controller, stdio and broker, over gRPC.

They answer from the handshake on, because they do not need the app.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from mm_asgi.protocol import empty_pb2, goplugin_pb2, health_pb2
from mm_asgi.wire.calls import unary
from mm_asgi.wire.port import Method, StatusCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from mm_asgi.wire.port import Stream

__all__ = ["Services"]

_HEALTHY = ("plugin", "")
"""The services that Check knows: the one that go-plugin's host asks for, and the whole server."""

_REQUEST_LIMIT = 4096
"""Bytes of a request at the most; the longest real one is a health check's service name."""

_ANSWER_WITHIN = 1.0
"""Seconds that Shutdown waits for a host to take its empty answer."""


class Services:
    """The four services of one plugin process."""

    def __init__(self, on_shutdown: Callable[[], None]) -> None:
        """Make the services.

        Args:
            on_shutdown: called once, on the loop, when the host asks the process to end. It must
                only start the end: the host's Kill waits for the RPC without a deadline.
        """
        self._on_shutdown: Callable[[], None] | None = on_shutdown
        self._held: set[Stream] = set()
        self._stopped = False

    def methods(self) -> dict[str, Method]:
        """Return the RPCs by their paths, for ``Server.start``."""
        handlers: dict[str, tuple[Callable[[Stream], Awaitable[None]], type[Message]]] = {
            "/grpc.health.v1.Health/Check": (unary(_check), health_pb2.HealthCheckRequest),
            "/grpc.health.v1.Health/Watch": (self._watch, health_pb2.HealthCheckRequest),
            "/plugin.GRPCController/Shutdown": (self._shutdown, goplugin_pb2.Empty),
            "/plugin.GRPCStdio/StreamStdio": (self._stdio, empty_pb2.Empty),
            "/plugin.GRPCBroker/StartStream": (self._broker, goplugin_pb2.ConnInfo),
        }
        return {
            path: Method(handler, request, _REQUEST_LIMIT)
            for path, (handler, request) in handlers.items()
        }

    def stop(self) -> None:
        """End the streams that are held open, so that a graceful stop does not wait for them."""
        self._stopped = True
        while self._held:
            self._held.pop().finish()

    async def _watch(self, stream: Stream) -> None:
        request = await stream.read()
        known = request is not None and request.service in _HEALTHY
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if known else statuses.SERVICE_UNKNOWN
        await stream.write(health_pb2.HealthCheckResponse(status=status))
        self._hold(stream)

    async def _shutdown(self, stream: Stream) -> None:
        try:
            await stream.read()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_WITHIN):
                    await stream.write(goplugin_pb2.Empty())
            stream.finish()
        finally:
            # Even if the RPC failed: its caller wants the process to end.
            on_shutdown, self._on_shutdown = self._on_shutdown, None
            if on_shutdown is not None:
                on_shutdown()

    async def _stdio(self, stream: Stream) -> None:
        # Nothing is sent: the plugin's output reaches the host as log lines on stderr. The stream
        # is held open, because grpc-go closes a connection that has had no RPC for 30 minutes.
        self._hold(stream)

    async def _broker(self, stream: Stream) -> None:
        self._hold(stream)
        while await stream.read() is not None:
            # The host offers further connections. Mattermost makes none.
            pass
        self._held.discard(stream)
        stream.finish()

    def _hold(self, stream: Stream) -> None:
        if self._stopped:
            stream.finish()
            return
        self._held.add(stream)
        stream.on_cancel(lambda: self._held.discard(stream))


async def _check(request: health_pb2.HealthCheckRequest, stream: Stream) -> Message | None:
    if request.service not in _HEALTHY:
        stream.abort(StatusCode.NOT_FOUND, "unknown service")
        return None
    return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
