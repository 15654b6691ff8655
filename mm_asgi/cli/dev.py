"""``mm-asgi dev``: the app in a browser through a real plugin process, without a Mattermost."""

import argparse
import contextlib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from mm_asgi.cli.options import add_settings, given_settings
from mm_asgi.errors import ConfigError
from mm_asgi.settings import TABLE, Settings, load_settings

__all__ = ["HELP", "NAME", "add_arguments", "run"]

NAME = "dev"
HELP = "serve an app in a simulated Mattermost, for a browser on this machine"

START_FILE = "plugin.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, NAME)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C; the exit code: 1 when the app does not start."""
    given = given_settings(arguments)
    settings = load_settings(flags=given, environ=os.environ, directory=Path.cwd())
    # Imported here: no wrong call should wait for asyncio and the wire.
    import asyncio

    try:
        # An extra: uvicorn is the gateway's HTTP server, watchfiles sees what was saved.
        from mm_asgi.cli.dev_session import Session
    except ImportError as exc:
        raise ConfigError(
            f"dev: the package {exc.name} is missing; pip install 'mm-asgi[dev]'"
        ) from exc
    session = Session(_command(settings, given), settings, _plugin_id(settings))
    return asyncio.run(session.run())


def _command(settings: Settings, given: Mapping[str, object]) -> list[str]:
    """The plugin's command line: ``mm-asgi serve`` with what was given here, or the start file."""
    if not settings.app:
        if not Path(START_FILE).is_file():
            raise ConfigError(
                "app: no target came and there is no plugin.py here; expected one such as"
                " shop.main:app as the argument of mm-asgi dev, in MM_ASGI_APP or as app in"
                " [tool.mm-asgi]"
            )
        return [sys.executable, START_FILE]
    command = [sys.executable, "-m", "mm_asgi", "serve", settings.app]
    rows = {row.name: row for row in TABLE if not row.commands and row.flag.startswith("--")}
    for name, value in given.items():
        if name not in rows:
            continue
        flag = rows[name].flag
        if isinstance(value, bool):
            command.append(flag if value else f"--no-{flag.removeprefix('--')}")
        else:
            command += [flag, str(value)]
    return command


def _plugin_id(settings: Settings) -> str:
    """What the settings or plugin.json say, else the target's first module: shop.main:app, shop."""
    if settings.id:
        return settings.id
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return str(json.loads(Path("plugin.json").read_text("utf-8"))["id"])
    module = settings.app.partition(":")[0].split(".")[0]
    # What a Mattermost server accepts as an id.
    name = re.sub(r"[^a-zA-Z0-9._-]", "-", module or Path.cwd().name)
    return name if len(name) >= 3 else f"com.example.{name}"
