"""The PluginHooks service on your own grpc.aio server, without go-plugin.

It needs the extra ``grpcio``, which such a server needs anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.errors import StartupError
from mm_asgi.grpc_hooks import methods
from mm_asgi.plugin import as_plugin
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
from mm_asgi.wire.grpcio import add_methods

if TYPE_CHECKING:
    import grpc

__all__ = ["Servicer", "add_to_server"]


class Servicer:
    """A plugin on a server, returned by ``add_to_server``; keep it to start and stop the app."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def startup(self) -> None:
        """Start the app now (lifespan, on_activate) instead of at the first request.

        Raises:
            StartupError: the start-up failed; it has the text that OnActivate would answer.
        """
        fault = await self._serving.life.activate()
        if fault is not None:
            raise StartupError(f"the app did not start: {fault}")

    async def shutdown(self, seconds: float = 8.0) -> None:
        """Drain running requests and run lifespan.shutdown, within ``seconds``; close the API.

        Call it before ``server.stop()``: afterwards there is no stream left to drain.
        """
        await self._serving.stop(seconds)


def add_to_server(
    plugin_or_app: object,
    server: grpc.aio.Server,
    *,
    plugin_id: str = "",
    settings: Settings | None = None,
) -> Servicer:
    """Serve an app's, or a Plugin's, hooks on ``server``.

    The app starts at OnActivate, or at the first request if that comes earlier. The server, its
    event loop and its signals stay the caller's: a ``sys.exit()`` in a task of the app ends the
    caller's loop. ``mm_asgi.run`` prevents that; this cannot.

    Args:
        plugin_or_app: an ASGI app or an ``mm_asgi.Plugin``.
        server: a ``grpc.aio.server()`` that was not started yet.
        plugin_id: the id in the default root_path ``/plugins/{id}`` and in the identity.
        settings: defaults when None; those of the process (network, loop, logs) do not apply.

    Raises:
        ConfigError: ``plugin_or_app`` is neither.
    """
    plugin = as_plugin(plugin_or_app, "plugin_or_app")
    settings = settings if settings is not None else Settings()
    plugin.connection.timeout = settings.api_timeout
    serving = Serving(settings, plugin_id, load=plugin.freeze, self_starting=True)
    add_methods(server, methods(serving))
    return Servicer(serving)
