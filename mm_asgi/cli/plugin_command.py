"""The plugin's command line and id, for the commands that start it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mm_asgi.bundle.manifest import MANIFEST, VALID_ID, read_manifest
from mm_asgi.errors import ConfigError
from mm_asgi.settings import TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mm_asgi.settings import Settings

__all__ = ["START_FILE", "plugin_command", "plugin_id"]

START_FILE = "plugin.py"


def plugin_command(
    settings: Settings, given: Mapping[str, object], command: str, start_file: str = ""
) -> list[str]:
    """Return the plugin's command line: ``mm-asgi serve`` with the given flags, or the start file.

    Args:
        settings: all of them; ``app`` is used.
        given: the flags among them, by attribute name.
        command: the command's name, for the error.
        start_file: the one to run without ``app``, which is there; empty: plugin.py.

    Raises:
        ConfigError: there is no target and no start file.
    """
    if not settings.app:
        if start_file:
            here = str(Path(start_file).absolute())
            return [sys.executable, start_file] if start_file.endswith(".py") else [here]
        if not Path(START_FILE).is_file():
            raise ConfigError(
                "app: no target was given and there is no plugin.py here; expected one such as"
                f" shop.main:app as the argument of mm-asgi {command}, in MM_ASGI_APP or as app in"
                " [tool.mm-asgi]"
            )
        return [sys.executable, START_FILE]
    line = [sys.executable, "-m", "mm_asgi", "serve", settings.app]
    rows = {row.name: row for row in TABLE if not row.commands and row.flag.startswith("--")}
    for name, value in given.items():
        if name not in rows:
            continue
        flag = rows[name].flag
        if isinstance(value, bool):
            line.append(flag if value else f"--no-{flag.removeprefix('--')}")
        else:
            line += [flag, str(value)]
    return line


def plugin_id(settings: Settings) -> str:
    """Return the id in the settings or plugin.json, else the target's first module: shop.main:app, shop.

    Raises:
        ConfigError: a server would not accept it.
    """
    if settings.id:
        if not VALID_ID.fullmatch(settings.id):
            raise ConfigError(
                f"id: {settings.id!r} came from the settings, expected 3 to 190 letters, digits,"
                " dots, hyphens or underscores"
            )
        return settings.id
    if Path(MANIFEST).exists():
        manifest = read_manifest(Path.cwd())
        if not manifest.id:
            raise ConfigError(manifest.faults[0])
        return manifest.id
    module = settings.app.partition(":")[0].split(".")[0]
    name = re.sub(r"[^a-zA-Z0-9._-]", "-", module or Path.cwd().name)
    return name if len(name) >= 3 else f"com.example.{name}"
