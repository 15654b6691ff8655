"""net/rpc as a plugin's process takes it: one host, which dials once, calls, and says Quit.

The handshake needs a socket that listens and no more. What serves calls is imported when the host
has the address: it takes longer than all before, and the host waits for it without a limit.

Here a lost connection is the host's death: on gRPC a host may dial again, and on net/rpc it never
does, so that a plugin without its connection would live on for nobody.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mm_asgi.errors import Unavailable
from mm_asgi.wire.netrpc.endpoint import NetRPCEndpoint
from mm_asgi.wire.netrpc.stand_in import StandIn

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from mm_asgi.serving import Serving
    from mm_asgi.wire.netrpc.api_channel import APIChannel
    from mm_asgi.wire.netrpc.plugin_session import PluginSession
    from mm_asgi.wire.port import Listener

__all__ = ["NetRPCWire"]

logger = logging.getLogger("mm_asgi.netrpc")


class NetRPCWire:
    """go-plugin's net/rpc (a Wire of process/wires.py)."""

    protocol = "netrpc"
    # The host itself waits for ever: a thread answers its pings (wire/netrpc/stand_in.py).
    patience = "the setting blocked-kill, too, ends a plugin that stands still for long"
    bounds_requests = False

    def __init__(self) -> None:
        self._endpoint: NetRPCEndpoint | None = None
        self._stand_in: StandIn | None = None
        self._api: APIChannel | None = None
        self._load_sessions: Callable[[], Callable[[], PluginSession]]
        self._make_session: Callable[[], PluginSession] | None = None

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
        serving: Callable[[], Serving],
        *,
        on_shutdown: Callable[[], None],
        tls: ssl.SSLContext | None,
    ) -> None:
        """Serve a plugin on the listener; return when the host may dial.

        Raises:
            ConfigError: the listener cannot be bound.
        """

        self._load_sessions = lambda: self._sessions_of(serving(), on_shutdown)
        self._endpoint = NetRPCEndpoint(lambda: self._session_maker()())
        await self._endpoint.start(listener, tls=tls)

    def load(self) -> None:
        """Import what serves the host's calls; until then the host waits in the socket's queue."""
        self._session_maker()

    def _session_maker(self) -> Callable[[], PluginSession]:
        if self._make_session is None:
            self._make_session = self._load_sessions()
        return self._make_session

    def _sessions_of(
        self, serving: Serving, on_shutdown: Callable[[], None]
    ) -> Callable[[], PluginSession]:
        from mm_asgi.netrpc.hook_server import HookServer, offered_by
        from mm_asgi.netrpc.http_exchange import HTTPCalls
        from mm_asgi.wire.netrpc.plugin_session import PluginSession
        from mm_asgi.wire.netrpc.rpc_conversation import GobBook
        from mm_asgi.wire.netrpc.shapes import registered_types

        book = GobBook(registered_types())
        pads_events = serving.settings.event_padding == "auto"
        http = HTTPCalls(serving.http, pads_events=pads_events)
        metrics = HTTPCalls(serving.metrics, pads_events=False)
        hooks = HookServer(
            serving,
            serve_http=http.serve,
            serve_metrics=metrics.serve,
            use_api=self._use_api,
        )

        def lost(why: str) -> None:
            logger.debug("the host's connection is over: %s", why)
            on_shutdown()

        return lambda: PluginSession(
            book, handle=hooks.handle, on_quit=on_shutdown, on_lost=lost, offers=offered_by
        )

    def _use_api(self, session: PluginSession, number: int) -> None:
        from mm_asgi.wire.netrpc.api_channel import APIChannel

        self._api = APIChannel(session, number)

    def stand_in(self, *, needed: bool) -> None:
        """Let a thread do what the host does not wait for, while the loop stands still."""
        if self._stand_in is None:
            self._stand_in = StandIn(lambda: self._endpoint.socket if self._endpoint else None)
        self._stand_in.switch(needed=needed)

    async def stop(self, grace: float) -> None:
        """Close the connection; what was written has ``grace`` seconds to leave."""
        if self._endpoint is not None:
            await self._endpoint.stop(grace)
