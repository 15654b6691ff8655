"""Which server a host plays: the unreleased branch over gRPC, or a released one over net/rpc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.errors import ConfigError
from mm_asgi.host.host_exchange import HostExchange
from mm_asgi.host.mattermost.service import APIServer
from mm_asgi.host.plugin.hook_answer import show_go_error
from mm_asgi.host.plugin.host_connection import GRPC_HOST
from mm_asgi.host.plugin.plugin_connection import HostWire
from mm_asgi.host.plugin.process import plugin_environment
from mm_asgi.host.plugin.start_command import StartCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from mm_asgi.host.mattermost.mattermost import Mattermost

__all__ = ["PlayedServer", "play"]

WIRES: Final = ("native", "netrpc")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedServer:
    """What differs between the two servers.

    Attributes:
        wire: how the plugin is met.
        exchange: makes what serves one HTTP request.
        start_timeout: seconds for the handshake.
    """

    wire: HostWire
    exchange: Callable[..., Any]
    start_timeout: float

    @property
    def is_released(self) -> bool:
        """Whether it is a released server."""
        return self.wire.protocol == "netrpc"

    def environ(self, plugin_id: str, **given: Any) -> dict[str, str]:
        """Return the plugin's variables; the arguments are those of ``plugin_environment``."""
        return plugin_environment(
            os.environ, plugin_id=plugin_id, released=self.is_released, **given
        )

    def command(
        self, target: str | None, argv: Sequence[str] | None, python: str, directory: Path
    ) -> StartCommand:
        """Return how the process is started."""
        return StartCommand(target, argv, python, directory, self.is_released)

    def api_server(self, mattermost: Mattermost | None) -> APIServer | None:
        """Return what serves the API at an address; None: nothing does, or it needs none."""
        return None if mattermost is None or self.is_released else APIServer(mattermost)


def play(
    wire: str,
    mattermost: Mattermost | None,
    *,
    flush: bool = True,
    lacks: Collection[str] = (),
    deadlines: bool = True,
) -> PlayedServer:
    """Return what the host plays.

    Args:
        wire: ``native``: the branch with gRPC; ``netrpc``: a released server.
        mattermost: the server behind the API over net/rpc; None: there is no API.
        flush: whether a released server has Flush, as since 11.3.
        lacks: the calls of the API that a released server does not have.
        deadlines: whether a released server gives up a plugin that does not answer in time.

    Raises:
        ConfigError: there is no such wire.
    """
    if wire not in WIRES:
        raise ConfigError(f"host: the wire is {wire!r}, expected one of {', '.join(WIRES)}")
    if wire == "native":
        return PlayedServer(wire=GRPC_HOST, exchange=HostExchange, start_timeout=10.0)
    from mm_asgi.host.released.api_service import APIService
    from mm_asgi.host.released.released_connection import ReleasedConnection
    from mm_asgi.host.released.released_exchange import ReleasedExchange

    api = APIService(mattermost, lacks)
    released = HostWire(
        protocol="netrpc",
        connect=lambda target, log: ReleasedConnection(target, log, api.serve, deadlines=deadlines),
        has_deadlines=False,
        forgives=True,
        lost_call="RPC call to {} plugin failed.",
        show_error=show_go_error,
        gone_status=500,
    )
    exchange = partial(ReleasedExchange, flush=flush)
    return PlayedServer(wire=released, exchange=exchange, start_timeout=3.0)
