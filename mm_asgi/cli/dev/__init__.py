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
"""The access log is off under a real host, whose own log has a line for each request. A person who saves
a file waits for the reload, and so for the drain."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, NAME)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C and return the exit code: 1 when the app does not start."""
    given = given_settings(arguments)
    settings = _load_settings(given)
    command, id = plugin_command(settings, given, NAME), plugin_id(settings)
    debugger = Debugger.find(settings) if settings.debug else None
    if debugger is not None:
        command = debugger.command(command)
    # Until there is a plugin to stop, Ctrl-C just ends this process, without Python's traceback.
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(0))
    # Imported here, so that a wrong call does not wait for asyncio and the wire.
    import asyncio

    try:
        # An extra: the gateway needs uvicorn, reload needs watchfiles.
        from mm_asgi.cli.dev.session import DevSession
    except ImportError as exc:
        raise ConfigError(
            f"dev: the package {exc.name} is missing; pip install 'mm-asgi[dev]'"
        ) from exc

    async def session() -> int:
        environ = _plugin_environment(settings, given, id)
        folders = _watched_folders(settings)
        return await DevSession(command, settings, id, folders, environ, debugger).run()

    try:
        return asyncio.run(session())
    finally:
        # Only interpreter shutdown is left: ignore further Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _load_settings(
    given: Mapping[str, object], defaults: Mapping[str, object] | None = None
) -> Settings:
    return load_settings(flags=given, environ=os.environ, directory=Path.cwd(), defaults=defaults)


def _plugin_environment(
    settings: Settings, given: Mapping[str, object], plugin_id: str
) -> dict[str, str]:
    """Return the plugin's variables: defaults for a person at a terminal, where no setting is given.

    A start file takes no flags, so it gets the given settings as variables, too. A plugin that has no
    plugin.json yet gets its id: on a released server it would find it there.
    """
    wanted = {"PYTHONUNBUFFERED": "1"}
    if not Path("plugin.json").exists():
        wanted["MATTERMOST_PLUGIN_ID"] = plugin_id
    defaults = dict(OUR_DEFAULTS)
    if not settings.reload:
        del defaults["drain"]
    if settings.debug:
        defaults |= STRETCHED
    # A setting that follows the defaults was given nowhere. Pass only these: the plugin reads the
    # others itself, again at each reload.
    ours = _load_settings(given, defaults)
    for row in TABLE:
        value = getattr(ours, row.name)
        if row.name in defaults and value != getattr(settings, row.name):
            wanted[row.env] = _variable_text(value)
    if not settings.app:
        wanted |= {
            row.env: str(given[row.name]) for row in TABLE if row.name in given and not row.commands
        }
    return wanted


def _variable_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _watched_folders(settings: Settings) -> list[Path]:
    """Return the folders to watch: the app's, and the working directory."""
    here, app = Path.cwd().resolve(), Path(settings.app_dir or ".").resolve()
    return [here] if app.is_relative_to(here) else [here, app]
