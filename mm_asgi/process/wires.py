"""What a wire is to a plugin's process, and the wires that there are.

Theory. To the worker a wire is one object: it serves a Serving on a listener, asks for the end of
the process when the host does, and knows where the host's API is. What else go-plugin wants of a
process differs from wire to wire and stays inside: on gRPC four services of its own (health,
controller, stdio, broker), on net/rpc the methods of Control and a dispenser. The API differs too:
gRPC's has an address in the environment, and on net/rpc it is a stream that comes with OnActivate.
So ``api`` may be a function that opens the channel at the plugin's first call.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from mm_asgi.errors import ConfigError
from mm_asgi.goplugin.services import Services
from mm_asgi.grpc_hooks import methods

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from mm_asgi.api.api_connection import Source
    from mm_asgi.goplugin.environ import Environment
    from mm_asgi.serving import Serving
    from mm_asgi.wire.port import Listener, Server

__all__ = ["GRPCWire", "Wire", "choose_wire", "new_wire"]

logger = logging.getLogger("mm_asgi.process")


class Wire(Protocol):
    """How a plugin's process speaks with its host."""

    @property
    def protocol(self) -> str:
        """The handshake's word for the protocol."""

    @property
    def api(self) -> Source:
        """Where the host's API is; used by the plugin's first call of it."""

    async def start(
        self,
        listener: Listener,
        serving: Serving,
        *,
        on_shutdown: Callable[[], None],
        tls: ssl.SSLContext | None,
    ) -> None:
        """Serve a plugin on the listener; return when the host may dial.

        Args:
            listener: the address.
            serving: the plugin.
            on_shutdown: called on the loop when the host asks for the end of the process. It only
                begins the end.
            tls: the context that the host's demand for TLS needs; None: plain text.

        Raises:
            ConfigError: the listener cannot be bound, or this wire cannot do TLS.
        """

    async def stop(self, grace: float) -> None:
        """Take no more calls, give the open ones ``grace`` seconds, and let go of the listener."""


class GRPCWire:
    """gRPC, by a server of wire/.

    Args:
        server: the server, not started yet.
        api: ``host:port`` of the host's API; None: the host did not say.
    """

    protocol = "grpc"

    def __init__(self, server: Server, api: str | None) -> None:
        self.api: Source = api or ""
        self._server = server
        self._services: Services | None = None

    async def start(
        self,
        listener: Listener,
        serving: Serving,
        *,
        on_shutdown: Callable[[], None],
        tls: ssl.SSLContext | None,
    ) -> None:
        """Serve the hooks, and go-plugin's own services beside them."""
        self._services = Services(on_shutdown=on_shutdown)
        rpcs = {**self._services.methods(), **methods(serving)}
        await self._server.start(listener, rpcs, tls=tls)

    async def stop(self, grace: float) -> None:
        """End the streams that go-plugin holds open, then the server."""
        if self._services is not None:
            self._services.stop()
        await self._server.stop(grace)


def choose_wire(setting: str, environment: Environment) -> tuple[str, str]:
    """Return the wire's name for the setting ``wire``, and why it is that one."""
    if setting != "auto":
        return setting, "the setting wire says so"
    # Of the hosts that there are, those with gRPC set the variable, if only to nothing, and those
    # without have never heard of it. Nothing else in the environment tells them apart.
    if environment.api_target is None:
        return "netrpc", "MATTERMOST_PLUGIN_API_TARGET is absent, as on every released server"
    return "native", "MATTERMOST_PLUGIN_API_TARGET is there, so that the host speaks gRPC"


def new_wire(setting: str, environment: Environment) -> Wire:
    """Return the wire for the setting ``wire``.

    Raises:
        ConfigError: what it needs is not installed.
    """
    name, reason = choose_wire(setting, environment)
    logger.info("the wire to the host is %s: %s", name, reason)
    # Only the wire in use is imported: grpcio alone takes 90 ms.
    if name == "netrpc":
        from mm_asgi.netrpc.plugin_wire import NetRPCWire

        return NetRPCWire()
    if name == "native":
        from mm_asgi.wire.http2.server import NativeServer

        return GRPCWire(NativeServer(), environment.api_target)
    try:
        from mm_asgi.wire.grpcio import GrpcioServer
    except ModuleNotFoundError as exc:
        if exc.name != "grpc":
            raise
        raise ConfigError(
            "wire: grpcio is not installed; pip install 'mm-asgi[grpcio]', or leave wire at auto"
        ) from None
    return GRPCWire(GrpcioServer(), environment.api_target)
