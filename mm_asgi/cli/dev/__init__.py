"""``mm-asgi dev``: the app in a browser through a real plugin process, without a Mattermost."""

import argparse
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from mm_asgi.cli.dev.debug import STRETCHED, Debugger
from mm_asgi.cli.options import add_settings, given_settings
from mm_asgi.cli.plugin_command import plugin_command, plugin_id
from mm_asgi.errors import ConfigError
from mm_asgi.settings import TABLE, Settings, load_settings

__all__ = ["HELP", "NAME", "add_arguments", "run"]

NAME = "dev"
HELP = "serve an app to a browser, behind a simulated Mattermost"

OUR_DEFAULTS: dict[str, object] = {"access_log": True, "drain": 2.0}
"""The access log is off under a real host, whose own log has a line for each request. The seconds
for running answers are those before a reload: whoever saved waits."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, NAME)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C; the exit code: 1 when the app does not start."""
    given = given_settings(arguments)
    settings = _load(given)
    command, id = plugin_command(settings, given, NAME), plugin_id(settings)
    debugger = Debugger.find(settings) if settings.debug else None
    if debugger is not None:
        command = debugger.command(command)
    # Until there is something to stop: Ctrl-C just ends it, without Python's traceback.
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(0))
    # Imported here: no wrong call should wait for asyncio and the wire.
    import asyncio

    try:
        # An extra: uvicorn is the gateway's HTTP server, watchfiles sees what was saved.
        from mm_asgi.cli.dev.session import DevSession
    except ImportError as exc:
        raise ConfigError(
            f"dev: the package {exc.name} is missing; pip install 'mm-asgi[dev]'"
        ) from exc

    async def session() -> int:
        environ = _environment(settings, given)
        folders = _folders(settings)
        return await DevSession(command, settings, id, folders, environ, debugger).run()

    try:
        return asyncio.run(session())
    finally:
        # What is left is Python's own end, and it is quick.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _load(given: Mapping[str, object], defaults: Mapping[str, object] | None = None) -> Settings:
    return load_settings(flags=given, environ=os.environ, directory=Path.cwd(), defaults=defaults)


def _environment(settings: Settings, given: Mapping[str, object]) -> dict[str, str]:
    """Variables for the plugin: what suits a person at a terminal, unless it was given.

    A start file takes no flags: there what was given goes this way, too.
    """
    wanted = {"PYTHONUNBUFFERED": "1"}
    defaults = dict(OUR_DEFAULTS)
    if not settings.reload:
        del defaults["drain"]
    if settings.debug:
        defaults |= STRETCHED
    # What differs with other defaults was given nowhere. Only that: the plugin finds the rest
    # itself, anew at each reload.
    ours = _load(given, defaults)
    for row in TABLE:
        value = getattr(ours, row.name)
        if row.name in defaults and value != getattr(settings, row.name):
            wanted[row.env] = _written(value)
    if not settings.app:
        wanted |= {
            row.env: str(given[row.name]) for row in TABLE if row.name in given and not row.commands
        }
    return wanted


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _folders(settings: Settings) -> list[Path]:
    """What is watched under reload: where the app is, and where it runs."""
    here, app = Path.cwd().resolve(), Path(settings.app_dir or ".").resolve()
    return [here] if app.is_relative_to(here) else [here, app]
