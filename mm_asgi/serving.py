"""What serves one plugin, put together: its tasks, its life, its HTTP side and its RPCs.

A wire takes a Serving and needs nothing else of a plugin; whoever runs a plugin makes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.bridge.handler import HTTPHandler
from mm_asgi.dispatch import Dispatch
from mm_asgi.life import Life
from mm_asgi.tasks import TaskSet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.plugin import Loaded
    from mm_asgi.settings import Settings

__all__ = ["Serving"]


class Serving:
    """One plugin, ready for a wire.

    Args:
        settings: the plugin's.
        plugin_id: the id that the host runs this plugin under.
        load: imports the plugin and returns what it has; called at most once, at the first
            Implemented or the start.
        self_starting: start the plugin at its first request or hook, for servers that never call
            OnActivate.
        released: the wire is that of released servers, with the hooks that gRPC lacks.

    Attributes:
        settings: the same.
        tasks: the tasks that a stop drains.
        life: the plugin's phases; here it is started and stopped.
        http: serves requests.
        metrics: serves the requests of the server's metrics listener.
        dispatch: serves the RPCs with one message each way.
    """

    http: HTTPHandler
    metrics: HTTPHandler

    def __init__(
        self,
        settings: Settings,
        plugin_id: str,
        *,
        load: Callable[[], Loaded],
        self_starting: bool = False,
        released: bool = False,
    ) -> None:
        self.settings = settings
        self.tasks = TaskSet()

        def doors(ready: Callable[[], Awaitable[bool]]) -> HTTPHandler:
            self.http = HTTPHandler(settings, plugin_id, spawn=self.tasks.start, ready=ready)
            self.metrics = HTTPHandler(
                settings, plugin_id, spawn=self.tasks.start, ready=self._ready_for_metrics
            )
            self._ready = ready
            return self.http

        self.life = Life(
            settings,
            plugin_id,
            load=load,
            tasks=self.tasks,
            doors=doors,
            self_starting=self_starting,
        )
        self.dispatch = Dispatch(settings, self.life, released=released)

    @property
    def has_metrics(self) -> bool:
        """Whether the plugin is imported and has an app for the metrics listener."""
        return self.life.loaded is not None and self.life.loaded.metrics is not None

    async def _ready_for_metrics(self) -> bool:
        """Wait as a request does; then the second app is there, with the first one's state."""
        if not (await self._ready() and self.has_metrics):
            return False
        assert self.life.loaded is not None  # has_metrics said so
        self.metrics.app, self.metrics.state = self.life.loaded.metrics, self.http.state
        return True

    async def stop(self, seconds: float) -> None:
        """Stop the plugin within ``seconds``, then close its way to the host's API."""
        await self.life.deactivate(seconds)
        if self.life.loaded is not None:
            await self.life.loaded.connection.close()
