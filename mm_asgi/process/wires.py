"""What a wire is to a plugin's process, and the wires that there are.

Theory. To the worker a wire is one object: it serves a Serving on a listener, asks for the end of
the process when the host does, and knows where the host's API is. What else go-plugin wants of a
process differs from wire to wire and stays inside: on gRPC four services of its own (health,
controller, stdio, broker), on net/rpc the methods of Control and a dispenser. The API differs too:
gRPC's has an address in the environment, and on net/rpc it is a stream that comes with OnActivate.
So ``api`` may be a function that opens the channel at the plugin's first call.

The host waits for the address, 3 s on a released server, and loads other plugins meanwhile. So a
wire is given a function that makes the Serving, and net/rpc calls it when the address is announced:
until then nothing of protobuf, of the hooks and of the bridge is imported.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from mm_asgi.errors import ConfigError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from mm_asgi.api.api_connection import Source
    from mm_asgi.goplugin.environ import Environment
    from mm_asgi.serving import Serving
    from mm_asgi.wire.port import Listener

__all__ = ["Wire", "choose_wire", "new_wire"]

logger = logging.getLogger("mm_asgi.process")


class Wire(Protocol):
    """How a plugin's process speaks with its host."""

    @property
    def protocol(self) -> str:
        """The handshake's word for the protocol."""

    @property
    def patience(self) -> str:
        """What the host does with a plugin that imports for long: a part of a sentence."""

    @property
    def bounds_requests(self) -> bool:
        """Whether the host refuses a request to its API that is over gRPC's 4 MiB."""

    @property
    def api(self) -> Source:
        """Where the host's API is; used by the plugin's first call of it."""

    async def start(
        self,
        listener: Listener,
        serving: Callable[[], Serving],
        *,
        on_shutdown: Callable[[], None],
        tls: ssl.SSLContext | None,
    ) -> None:
        """Serve a plugin on the listener; return when the host may dial.

        Args:
            listener: the address.
            serving: returns the plugin, always the same; the first call may take a second.
            on_shutdown: called on the loop when the host asks for the end of the process. It only
                begins the end.
            tls: the context that the host's demand for TLS needs; None: plain text.

        Raises:
            ConfigError: the listener cannot be bound, or this wire cannot do TLS.
        """

    def load(self) -> None:
        """Import what serves the host's calls, as far as ``start`` has not; the host has dialled."""

    def stand_in(self, *, needed: bool) -> None:
        """Do in a thread what the host does not wait for while the loop stands still, or end that.

        Called in the watchdog's thread.
        """

    async def stop(self, grace: float) -> None:
        """Take no more calls, give the open ones ``grace`` seconds, and let go of the listener."""


def choose_wire(setting: str, environment: Environment) -> tuple[str, str]:
    """Return the wire's name for the setting ``wire``, and why it is that one."""
    if setting != "auto":
        return setting, "the setting wire says so"
    # Of the hosts that there are, those with gRPC set the variable, if only to nothing, and those
    # without have never heard of it. Nothing else in the environment tells them apart.
    if environment.api_target is None:
        return "netrpc", "MATTERMOST_PLUGIN_API_TARGET is absent, as on every released server"
    return "native", "MATTERMOST_PLUGIN_API_TARGET is there, so that the host speaks gRPC"


def _require_protobuf() -> None:
    # Not imported yet: a host that waits for the handshake would wait for that too. But what is
    # missing can be told to the admin only in the handshake's place.
    try:
        found = find_spec("google.protobuf")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ConfigError(
            "protobuf: it is not installed for this Python, and mm_asgi needs it; put it into the "
            "plugin's bundle: pip install --target FOLDER mm-asgi"
        )


def new_wire(setting: str, environment: Environment) -> Wire:
    """Return the wire for the setting ``wire``.

    Raises:
        ConfigError: what it needs is not installed.
    """
    _require_protobuf()
    name, reason = choose_wire(setting, environment)
    # In mm-asgi dev, where it is gRPC always, the line would only be in the way.
    level = logging.INFO if name == "netrpc" else logging.DEBUG
    logger.log(level, "the wire to the host is %s: %s", name, reason)
    # Only the wire in use is imported: grpcio alone takes 90 ms.
    if name == "netrpc":
        from mm_asgi.netrpc.plugin_wire import NetRPCWire

        return NetRPCWire()
    from mm_asgi.process.grpc_wire import GRPCWire

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
