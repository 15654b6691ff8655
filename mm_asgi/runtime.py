"""The composition root: starts the parts in order, owns what lives long, stops them in order.

Start: environment, file descriptors, log, certificate, listener, server, handshake, watchdog. The
app comes later, with the host's first Implemented (row L1): the host waits 3 to 10 s for the
handshake and 30 s for Implemented, and what fails there can be told to the admin.
Stop: drain, lifespan.shutdown, server, socket, log. A guard ends the process when that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_asgi.errors import ConfigError
from mm_asgi.goplugin.auto_mtls import mutual_tls
from mm_asgi.goplugin.environ import StartedByHand, read_environment
from mm_asgi.goplugin.handshake import fault_line, handshake_line
from mm_asgi.goplugin.listener import make_listener
from mm_asgi.goplugin.services import Services
from mm_asgi.goplugin.standard_streams import StandardStreams
from mm_asgi.grpc_hooks import methods
from mm_asgi.loading import load_plugin
from mm_asgi.observe import hclog
from mm_asgi.observe.logs import adopt_stream_handlers, configure_logging
from mm_asgi.observe.watchdog import Watchdog
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from mm_asgi.goplugin.auto_mtls import MutualTLS
    from mm_asgi.goplugin.environ import Environment
    from mm_asgi.plugin import Loaded
    from mm_asgi.wire.port import Listener, Server

__all__ = ["run", "run_plugin"]

logger = logging.getLogger("mm_asgi.runtime")

SHUTDOWN_BUDGET = 1.5  # s for drain and lifespan after Shutdown: the host kills after 2 s (row L4)
SHUTDOWN_LIMIT = 1.8  # s after which the process ends whatever still runs; its last words take time


def run(app: str, **settings: Any) -> None:
    """Run an app as the plugin that the host has just started; never returns.

    A plugin's start file is two lines: ``import mm_asgi`` and ``mm_asgi.run("shop.main:app")``.

    Args:
        app: ``module:attribute`` of an ASGI app or a ``Plugin``.
        settings: by their names with ``_`` for ``-``; they win over environment and pyproject.

    Raises:
        SystemExit: always; the code is 0 after a stop that the host asked for.
    """
    keywords = {"app": app, **settings}
    try:
        # Before the settings: who runs this by hand is told that first (row L6).
        environment = read_environment(os.environ)
        loaded = load_settings(keywords=keywords, environ=os.environ, directory=Path.cwd())
    except ConfigError as exc:
        sys.exit(_refuse(exc))
    sys.exit(Runtime(loaded, environment).run())


def run_plugin(settings: Settings) -> int:
    """Run a plugin with settings that are loaded already; gives the process's exit code."""
    try:
        environment = read_environment(os.environ)
    except ConfigError as exc:
        return _refuse(exc)
    return Runtime(settings, environment).run()


def _refuse(exc: ConfigError) -> int:
    """Say a fault from before the handshake where somebody reads it."""
    line = fault_line(str(exc))
    sys.stderr.write(f"{line}\n")
    if not isinstance(exc, StartedByHand):
        # The host shows a first line that is no handshake in its activation error.
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 1


class Runtime:
    """One plugin process."""

    def __init__(self, settings: Settings, environment: Environment) -> None:
        self._settings = settings
        self._environment = environment
        self._parent = os.getppid()
        self._streams = StandardStreams.take(hclog.relay)
        self._stop = asyncio.Event()
        self._budget = settings.drain
        self._listener: Listener | None = None
        self._tls: MutualTLS | None = None
        self._watchdog: Watchdog | None = None
        plugin_id = environment.plugin_id or _id_in_manifest()
        self._serving = Serving(settings, plugin_id, load=self._load)

    def run(self) -> int:
        """Serve until the host, a signal or the host's death ends it; gives the exit code."""
        settings, environment = self._settings, self._environment
        # Ctrl-C in a terminal reaches host and plugin together, and the host then tells us. Not
        # SIG_IGN, which the app's children would inherit: ffmpeg is ended by SIGINT.
        signal.signal(signal.SIGINT, lambda number, frame: None)
        try:
            configure_logging(
                settings.log_level or environment.log_level or "info",
                self._streams.write,
                settings.log_config,
            )
            if environment.client_certificate is not None:
                self._tls = mutual_tls(environment.client_certificate)
                logger.debug("the host demands mutual TLS: nobody else will be served")
            self._listener = make_listener(settings.network, environment)
            self._loop_until_done()
        except ConfigError as exc:
            logger.error("%s", exc)
            if not self._streams.announced:
                self._streams.announce(fault_line(str(exc)))
            return 1
        finally:
            self._clean_up()
        return 0

    def _clean_up(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._streams.flush(0.5)

    def _loop_until_done(self) -> None:
        loop = _new_loop(self._settings.loop)
        asyncio.set_event_loop(loop)
        main = loop.create_task(self._main(), name="mm_asgi")
        try:
            while True:
                try:
                    loop.run_until_complete(main)
                    return
                except (SystemExit, KeyboardInterrupt) as exc:
                    # asyncio lets these out of any task and stops the loop: sys.exit() in a task
                    # of the app's own must not end the plugin (row R11).
                    if main.done():
                        raise
                    logger.error(
                        "a task of the app raised %s; the plugin goes on",
                        type(exc).__name__,
                        exc_info=exc,
                    )
        finally:
            _close(loop)

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        environment = self._environment
        assert self._listener is not None
        self._watchdog = Watchdog(
            loop,
            warn=self._settings.blocked_warn,
            kill=self._settings.blocked_kill,
            on_orphan=self._on_orphan,
            cleanup=self._clean_up,
            parent=self._parent,
        )
        self._watchdog.start()
        services = Services(on_shutdown=self._on_shutdown)
        server = _new_server(self._settings.wire)
        rpcs = {**services.methods(), **methods(self._serving)}
        tls = self._tls
        await server.start(self._listener, rpcs, tls=None if tls is None else tls.context)
        loop.add_signal_handler(signal.SIGTERM, self._on_sigterm)
        self._streams.announce(
            handshake_line(
                self._listener.network,
                self._listener.address,
                certificate=b"" if tls is None else tls.certificate,
                multiplex=environment.multiplex,
            )
        )
        await self._stop.wait()
        await self._serving.life.deactivate(self._budget)
        if self._serving.life.loaded is not None:
            await self._serving.life.loaded.connection.close()
        services.stop()
        await server.stop(0.1)

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
        self._serving.life.hurry(budget)
        self._budget = min(self._budget, budget)
        self._stop.set()

    # ---------------------------------------------------------------- the app

    def _load(self) -> Loaded:
        loaded = load_plugin(self._settings)
        loaded.connection.use(self._environment.api_target, self._settings.api_timeout)
        adopt_stream_handlers(self._streams.write)
        return loaded


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """End what the app left running, as asyncio.run does, but within a bound."""
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    if rest:
        _run_through(loop, asyncio.wait(rest, timeout=0.2))
    _run_through(loop, loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()


def _run_through(loop: asyncio.AbstractEventLoop, step: Coroutine[Any, Any, object]) -> None:
    """Run a step to its end, through what tasks that call sys.exit() do to the loop."""
    task = loop.create_task(step)
    while not task.done():
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            loop.run_until_complete(task)


def _id_in_manifest() -> str:
    """The id in plugin.json: not every server version sets MATTERMOST_PLUGIN_ID."""
    try:
        return str(json.loads(Path("plugin.json").read_text("utf-8"))["id"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _new_server(wire: str) -> Server:
    # Only the wire in use is imported: grpcio alone takes 90 ms.
    if wire == "native":
        from mm_asgi.wire.http2.server import NativeServer

        return NativeServer()
    try:
        from mm_asgi.wire.grpcio import GrpcioServer
    except ModuleNotFoundError as exc:
        if exc.name != "grpc":
            raise
        raise ConfigError(
            "wire: grpcio is not installed; pip install 'mm-asgi[grpcio]', or leave wire at native"
        ) from None
    return GrpcioServer()


def _new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind != "asyncio":
        try:
            import uvloop
        except ImportError:
            if kind == "uvloop":
                raise ConfigError(
                    "loop: uvloop is not installed; pip install 'mm-asgi[uvloop]'"
                ) from None
        else:
            return uvloop.new_event_loop()
    return asyncio.new_event_loop()
