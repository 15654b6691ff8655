"""gRPC as a plugin's process takes it: the hooks, and go-plugin's own services beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.goplugin.services import Services
from mm_asgi.grpc_hooks import methods

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from mm_asgi.api.api_connection import Source
    from mm_asgi.serving import Serving
    from mm_asgi.wire.port import Listener, Server

__all__ = ["GRPCWire"]


class GRPCWire:
    """gRPC, by a server of wire/ (a Wire of wires.py).

    Args:
        server: the server, not started yet.
        api: ``host:port`` of the host's API; None: the host did not say.
    """

    protocol = "grpc"
    patience = "the host waits 30 s"
    bounds_requests = True

    def __init__(self, server: Server, api: str | None) -> None:
        self.api: Source = api or ""
        self._server = server
        self._services: Services | None = None

    async def start(
        self,
        listener: Listener,
        serving: Callable[[], Serving],
        *,
        on_shutdown: Callable[[], None],
        tls: ssl.SSLContext | None,
    ) -> None:
        """Serve the hooks, and go-plugin's own services beside them."""
        self._services = Services(on_shutdown=on_shutdown)
        rpcs = {**self._services.methods(), **methods(serving())}
        await self._server.start(listener, rpcs, tls=tls)

    def load(self) -> None:
        """Do nothing: the server was given all."""

    def stand_in(self, *, needed: bool) -> None:
        """Do nothing: a host with gRPC waits as long as the loop stands still."""

    async def stop(self, grace: float) -> None:
        """End the streams that go-plugin holds open, then the server."""
        if self._services is not None:
            self._services.stop()
        await self._server.stop(grace)
