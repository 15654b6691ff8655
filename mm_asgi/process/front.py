"""The front of a plugin's process: everything that the host sees of it beside the app.

Theory. The host starts a program and judges it before any app is there: it reads file descriptors 1
and 2, waits 3 to 10 s for one line that says where to dial, and later looks whether the process
lives. That is the front: environment, streams, log, certificate, listener, handshake, exit code. It
imports no app and runs no event loop; both are the worker's (worker.py). They meet in one call,
``Worker.run(listener, announce)``: the front has chosen the address, the worker serves it and calls
``announce`` when it does. So a supervisor, which keeps the front while workers come and go, is a
third file beside these two (decision 0007).

In order: environment, file descriptors, log, certificate, listener, then the worker until it ends.
"""

from __future__ import annotations

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
from mm_asgi.goplugin.standard_streams import StandardStreams
from mm_asgi.observe import hclog
from mm_asgi.observe.logs import configure_logging
from mm_asgi.process.worker import Worker
from mm_asgi.settings import load_settings

if TYPE_CHECKING:
    from mm_asgi.goplugin.auto_mtls import MutualTLS
    from mm_asgi.goplugin.environ import Environment
    from mm_asgi.goplugin.listener import TCPListener, UnixListener
    from mm_asgi.settings import Settings

__all__ = ["Front", "run", "run_plugin"]

logger = logging.getLogger("mm_asgi.process")

MANIFEST = "plugin.json"


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
        # Before the settings: a person who runs this by hand has to read that first (row L6).
        environment = read_environment(os.environ)
        if environment.api_target is None:
            _go_to_bundle()
        loaded = load_settings(keywords=keywords, environ=os.environ, directory=Path.cwd())
    except ConfigError as exc:
        sys.exit(_refuse(exc))
    sys.exit(_take_streams_and_run(loaded, environment))


def run_plugin(settings: Settings) -> int:
    """Run a plugin with settings that are loaded already; return the process's exit code."""
    try:
        environment = read_environment(os.environ)
    except ConfigError as exc:
        return _refuse(exc)
    return _take_streams_and_run(settings, environment)


def _go_to_bundle() -> None:
    """Make the bundle's folder the working directory, as a host with gRPC does.

    A released server starts the file in its own folder. The bundle's is the nearest above the start
    file with a manifest; where there is none, the start file's.
    """
    start_file = getattr(sys.modules["__main__"], "__file__", None)
    if start_file is None:
        return
    folder = Path(start_file).absolute().parent
    bundle = next((one for one in (folder, *folder.parents) if (one / MANIFEST).is_file()), folder)
    try:
        os.chdir(bundle)
    except OSError as exc:
        raise ConfigError(
            f"folder: {ascii(str(bundle))} cannot be entered: {exc.strerror}; let the user that "
            "runs the server read the plugin's files"
        ) from exc


def _refuse(exc: ConfigError) -> int:
    """Report an error from before the handshake; return the exit code.

    It goes to stderr, and to stdout, whose first line the host shows to the admin.
    """
    line = fault_line(str(exc))
    sys.stderr.write(f"{line}\n")
    if not isinstance(exc, StartedByHand):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 1


def _take_streams_and_run(settings: Settings, environment: Environment) -> int:
    parent = os.getppid()
    return Front(settings, environment, StandardStreams.take(hclog.relay), parent).run()


class Front:
    """The front of one plugin process.

    Args:
        settings: the plugin's.
        environment: what the host says to the process.
        streams: the process's file descriptors 1 and 2.
        parent: the process id of the host.
    """

    def __init__(
        self, settings: Settings, environment: Environment, streams: StandardStreams, parent: int
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._streams = streams
        self._parent = parent
        self._listener: UnixListener | TCPListener | None = None
        self._tls: MutualTLS | None = None

    def run(self) -> int:
        """Serve until the host, a signal or the host's death ends it; return the exit code.

        This takes what a process has but once: the root logger, and the signals SIGINT and SIGTERM.
        """
        # Ctrl-C in a terminal reaches host and plugin together, and the host then tells us. Not
        # SIG_IGN, which the app's children would inherit: ffmpeg is ended by SIGINT.
        signal.signal(signal.SIGINT, lambda number, frame: None)
        try:
            self._configure_logging()
            self._meet_demand_for_tls()
            self._listener = make_listener(self._settings.network, self._environment)
            worker = Worker(
                self._settings,
                self._environment,
                plugin_id=self._environment.plugin_id or id_in_manifest(Path(MANIFEST)),
                tls=None if self._tls is None else self._tls.context,
                parent=self._parent,
                write_log=self._streams.write,
                clean_up=self._clean_up,
            )
            worker.run(self._listener, self._announce)
        except ConfigError as exc:
            logger.error("%s", exc)
            if not self._streams.announced:
                self._streams.announce(fault_line(str(exc)))
            return 1
        finally:
            self._clean_up()
        return 0

    def _configure_logging(self) -> None:
        level = self._settings.log_level or self._environment.log_level or "info"
        configure_logging(level, self._streams.write, self._settings.log_config)

    def _meet_demand_for_tls(self) -> None:
        if self._environment.client_certificate is not None:
            self._tls = mutual_tls(self._environment.client_certificate)
            logger.debug("the host demands mutual TLS: nobody else will be served")

    def _announce(self, protocol: str) -> None:
        """Tell the host where to dial, and in which protocol."""
        assert self._listener is not None
        line = handshake_line(
            self._listener.network,
            self._listener.address,
            protocol=protocol,
            certificate=b"" if self._tls is None else self._tls.certificate,
            multiplex=self._environment.multiplex,
        )
        self._streams.announce(line)
        self._listener.tidy()  # now, that the host does not wait for it

    def _clean_up(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._streams.flush(0.5)


def id_in_manifest(manifest: Path) -> str:
    """Return the id in a plugin.json, or an empty text.

    No released server sets MATTERMOST_PLUGIN_ID.
    """
    try:
        return str(json.loads(manifest.read_text("utf-8"))["id"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
