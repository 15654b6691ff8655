"""The worker of a plugin's process: the event loop, what serves the app in it, and its stop.

Theory. A worker is given an address that is chosen already and serves it until something ends it:
the host by its wire (Shutdown), a signal, or the host's death, which the watchdog sees. Each of
these only begins the stop: it shortens the time that the stop has, tells the watchdog by when the
process has to be gone, and wakes `_serve_until_stopped`, which alone takes things down, in the
order in which they were built. A stop that hangs, in the app's code or in ours, ends by the
watchdog, from its own thread.

The app is imported with the host's first Implemented and not here (row L1): the host waits 3 to
10 s for the handshake and 30 s for Implemented (a released server without a limit), and it shows its
admin what fails there.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

from mm_asgi.observe.logs import adopt_stream_handlers
from mm_asgi.observe.watchdog import Watchdog
from mm_asgi.process.event_loop import close_loop, new_loop, run_through_exits
from mm_asgi.process.wires import new_wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from mm_asgi.goplugin.environ import Environment
    from mm_asgi.plugin import Loaded
    from mm_asgi.process.wires import Wire
    from mm_asgi.serving import Serving
    from mm_asgi.settings import Settings
    from mm_asgi.wire.port import Listener

__all__ = ["Worker"]

logger = logging.getLogger("mm_asgi.process")

SHUTDOWN_BUDGET = 1.5  # s for drain and lifespan after Shutdown: the host kills after 2 s (row L4)
SHUTDOWN_LIMIT = 1.8  # s after which the process ends whatever still runs; its last words take time


class Worker:
    """Serves one plugin in this process.

    Args:
        settings: the plugin's.
        environment: what the host says to the process.
        plugin_id: the id that the host runs this plugin under.
        tls: the context that the host's demand for TLS needs; None: plain text.
        parent: the process id of the host, whose death ends the worker.
        write_log: writes a line to the host's log, for handlers that the app's import makes.
        clean_up: called from another thread before the process is ended by force.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Environment,
        *,
        plugin_id: str,
        tls: ssl.SSLContext | None,
        parent: int,
        write_log: Callable[[bytes], None],
        clean_up: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._parent = parent
        self._write_log = write_log
        self._clean_up = clean_up
        self._stop = asyncio.Event()
        self._budget = settings.drain
        self._watchdog: Watchdog | None = None
        self._wire: Wire = new_wire(settings.wire, environment)
        self._plugin_id = plugin_id
        self._serving: Serving | None = None

    def run(self, listener: Listener, announce: Callable[[str], None]) -> None:
        """Serve on the listener until something ends it.

        Args:
            listener: the address; it is bound here and closed by its owner.
            announce: called once, when the address is served, with the handshake's word for the
                wire's protocol.

        Raises:
            ConfigError: the address cannot be bound, or a setting needs what is not installed.
        """
        loop = new_loop(self._settings.loop)
        asyncio.set_event_loop(loop)
        try:
            run_through_exits(loop, self._serve_until_stopped(listener, announce))
        finally:
            close_loop(loop)

    async def _serve_until_stopped(
        self, listener: Listener, announce: Callable[[str], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        await self._wire.start(
            listener, self._make_serving, on_shutdown=self._on_shutdown, tls=self._tls
        )
        loop.add_signal_handler(signal.SIGTERM, self._on_sigterm)
        announce(self._wire.protocol)
        self._wire.load()
        # Not before: what is imported until here holds up the loop, and is not the app's fault.
        self._watchdog = Watchdog(
            loop,
            warn=self._settings.blocked_warn,
            kill=self._settings.blocked_kill,
            on_orphan=self._on_orphan,
            cleanup=self._clean_up,
            stand_in=self._wire.stand_in,
            parent=self._parent,
        )
        self._watchdog.start()
        await self._stop.wait()
        if self._serving is not None:
            await self._serving.stop(self._budget)
        await self._wire.stop(0.1)

    def _make_serving(self) -> Serving:
        if self._serving is None:
            # Here, when the wire asks for it: this imports protobuf, the hooks and the bridge.
            from mm_asgi.serving import Serving

            self._serving = Serving(
                self._settings,
                self._plugin_id,
                load=self._load,
                released=self._wire.protocol == "netrpc",
            )
        return self._serving

    def _load(self) -> Loaded:
        # Here, at the first Implemented: the handshake needs none of what this imports.
        from mm_asgi.loading import load_plugin

        loaded = load_plugin(self._settings, self._wire.patience)
        loaded.connection.use(
            self._wire.api,
            self._settings.api_timeout,
            bounded=self._wire.bounds_requests,
        )
        adopt_stream_handlers(self._write_log)
        return loaded

    # ---------------------------------------------------------------- why it stops

    def _on_shutdown(self) -> None:
        logger.debug("the host asked for the end (Shutdown)")
        self._end_within(SHUTDOWN_BUDGET, SHUTDOWN_LIMIT)

    def _on_sigterm(self) -> None:
        logger.info("SIGTERM: the plugin drains and ends")
        self._end_within(self._settings.drain, self._settings.drain + 2)

    def _on_orphan(self) -> None:
        logger.warning("the host is gone: the plugin ends")
        self._end_within(SHUTDOWN_BUDGET, SHUTDOWN_LIMIT)

    def _end_within(self, budget: float, limit: float) -> None:
        """Begin the stop, or shorten one that runs; the process is gone after ``limit`` seconds."""
        if self._watchdog is not None:
            self._watchdog.exit_after(limit, 0)
        if self._serving is not None:
            self._serving.life.hurry(budget)
        self._budget = min(self._budget, budget)
        self._stop.set()
