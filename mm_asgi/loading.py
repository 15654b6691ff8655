"""From settings to a plugin that can be served: variables, import, time limit, WSGI.

An app is imported in the main thread, where apps expect it, and within import-budget.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from typing import TYPE_CHECKING, Any

from mm_asgi.bridge.mounted import MountedApp
from mm_asgi.errors import StartupError
from mm_asgi.importer import import_target, interface_of
from mm_asgi.plugin import as_plugin
from mm_asgi.settings import read_env_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_asgi.plugin import Loaded
    from mm_asgi.settings import Settings

__all__ = ["as_asgi", "import_app", "load_plugin", "time_limit", "with_asgi_apps"]


def load_plugin(settings: Settings, patience: str) -> Loaded:
    """Import the plugin that the settings name; freeze it, with its app as an ASGI app.

    Args:
        settings: the plugin's.
        patience: what the host does with a plugin that imports for long, for the admin.

    Raises:
        StartupError: the app cannot be imported, not in import-budget, or speaks neither ASGI
            nor WSGI.
        ConfigError: the file of variables cannot be read, or the target is no app.
    """
    with time_limit(settings.import_budget, patience):
        loaded = as_plugin(import_app(settings), settings.app).freeze()
    return with_asgi_apps(loaded, settings)


def with_asgi_apps(loaded: Loaded, settings: Settings) -> Loaded:
    """Return a plugin with its apps as ASGI apps, as the settings interface and path say.

    Raises:
        StartupError: an app speaks neither ASGI nor WSGI.
    """
    app = as_asgi(loaded.app, settings.interface, settings.path)
    return dataclasses.replace(loaded, app=app, metrics=as_asgi(loaded.metrics, "auto"))


def import_app(settings: Settings) -> object:
    """Set the variables of env-file, then import what the settings name and return it.

    Raises:
        StartupError: the import failed; the app's own exception is the cause.
        ConfigError: the file of variables cannot be read.
    """
    if settings.env_file is not None:  # as under uvicorn: the app finds its own variables too
        for name, value in read_env_file(settings.env_file).items():
            os.environ.setdefault(name, value)
    return import_target(settings.app, factory=settings.factory, app_dir=settings.app_dir)


def as_asgi(app: Any, interface: str, path: str = "full") -> Any:
    """Return an app as an ASGI app: a WSGI app gets an adapter around it, None stays None.

    Args:
        app: the app.
        interface: what it speaks, ``asgi`` or ``wsgi``; ``auto``: look at its parameters.
        path: the setting; a WSGI app has its prefix apart in any case.

    Raises:
        StartupError: it speaks neither, or the extra ``wsgi`` is not installed.
    """
    if app is None or (interface_of(app) if interface == "auto" else interface) == "asgi":
        return MountedApp(app) if path == "mounted" and app is not None else app
    # Lazy: an extra, and few apps need it.
    from mm_asgi.contrib.wsgi import WSGIMiddleware

    return WSGIMiddleware(app)


@contextlib.contextmanager
def time_limit(seconds: float, patience: str) -> Iterator[None]:
    """Interrupt what runs in the main thread after ``seconds`` (0: never), where it stands.

    ``patience`` says what the host does after a longer time.

    A signal and not a thread that gives up waiting: the import stays in the main thread, where
    apps expect to be imported, and the traceback shows the line that took too long.

    Raises:
        StartupError: in the code that runs, again each second until it leaves the block.
    """

    def expired(signum: int, frame: object) -> None:
        raise StartupError(
            f"import: the app was not imported in {seconds:g} s (setting import-budget); {patience}"
        )

    previous = signal.signal(signal.SIGALRM, expired)
    # Again each second: a bare "except Exception" in the app may swallow the first one.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
