"""net/rpc as a plugin's process takes it: one host, which dials once, calls, and says Quit.

Here a lost connection is the host's death: on gRPC a host may dial again, and on net/rpc it never
does, so that a plugin without its connection would live on for nobody.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mm_asgi.errors import Unavailable
from mm_asgi.netrpc.hook_server import HookServer
from mm_asgi.netrpc.http_exchange import HTTPCalls
from mm_asgi.wire.netrpc.api_channel import APIChannel
from mm_asgi.wire.netrpc.plugin_session import NetRPCEndpoint, PluginSession
from mm_asgi.wire.netrpc.rpc_conversation import GobBook
from mm_asgi.wire.netrpc.shapes import registered_types

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from mm_asgi.serving import Serving
    from mm_asgi.wire.port import Listener

__all__ = ["NetRPCWire"]

logger = logging.getLogger("mm_asgi.netrpc")


class NetRPCWire:
    """go-plugin's net/rpc (a Wire of process/wires.py)."""

    protocol = "netrpc"

    def __init__(self) -> None:
        self._endpoint: NetRPCEndpoint | None = None
        self._api: APIChannel | None = None

    def api(self) -> APIChannel:
        """Return the channel to the host's API.

        Raises:
            Unavailable: the host has not called OnActivate, which is where the API comes from.
        """
        if self._api is None:
            raise Unavailable(
                "the host's API: Mattermost opens it with OnActivate; make calls from the app's"
                " lifespan on, not while it is imported"
            )
        return self._api

    async def start(
        self,
        listener: Listener,
        serving: Serving,
        *,
        on_shutdown: Callable[[], None],
        tls: ssl.SSLContext | None,
    ) -> None:
        """Serve a plugin on the listener; return when the host may dial.

        Raises:
            ConfigError: the listener cannot be bound.
        """
        book = GobBook(registered_types())
        hooks = HookServer(serving, serve_http=HTTPCalls(serving.http).serve, use_api=self._use_api)

        def lost(why: str) -> None:
            logger.debug("the host's connection is over: %s", why)
            on_shutdown()

        self._endpoint = NetRPCEndpoint(
            lambda: PluginSession(book, handle=hooks.handle, on_quit=on_shutdown, on_lost=lost)
        )
        await self._endpoint.start(listener, tls=tls)

    def _use_api(self, session: PluginSession, number: int) -> None:
        self._api = APIChannel(session, number)

    async def stop(self, grace: float) -> None:
        """Close the connection; what was written has ``grace`` seconds to leave."""
        if self._endpoint is not None:
            await self._endpoint.stop(grace)
