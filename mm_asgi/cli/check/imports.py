"""The duration of a target's import and of its modules: ``-X importtime`` in a child process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_asgi.cli.plugin_command import START_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm_asgi.settings import Settings

__all__ = ["MARKER", "Imported", "Module", "parse_importtime", "probe_import"]

MARKER = "mm_asgi: from here on the app is imported"
"""The child writes it when it has loaded all modules that a plugin's process loads before its app."""

_LINE = re.compile(r"import time: +(\d+) \| +(\d+) \| *(\S+)", re.ASCII)
PATIENCE = 10.0
"""Seconds above the import's budget: Python's start, and importtime's own cost."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module's import: its own seconds, and those with the modules that it imported first."""

    name: str
    own: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The child's facts about an import.

    Attributes:
        seconds: of the whole import; None when the child did not finish it.
        error: the reason why the target could not be imported.
        slowest: at most ten modules, by seconds of their own.
        modules: how many were imported.
        printed: place, text and count of all writes to sys.stdout meanwhile.
        target: as the start file names it.
        app: the name of the target's type.
        public: its routes below /public; None: unknown.
    """

    seconds: float | None = None
    error: str | None = None
    slowest: Sequence[Module] = ()
    modules: int = 0
    printed: Sequence[dict[str, Any]] = field(default=())
    target: str = ""
    app: str | None = None
    public: Sequence[str] | None = None


def probe_import(settings: Settings, plugin_id: str, start_file: str = "") -> Imported:
    """Import the target, or the start file's, in a process of its own."""
    asked = {
        "app": settings.app,
        "factory": settings.factory,
        "app_dir": settings.app_dir,
        "env_file": settings.env_file,
        "start_file": start_file or START_FILE,
    }
    environ = {**os.environ, "MATTERMOST_PLUGIN_ID": plugin_id}
    limit = settings.import_budget + PATIENCE if settings.import_budget else None
    with tempfile.TemporaryDirectory(prefix="mm-asgi-check-") as folder:
        answer, said = Path(folder, "answer.json"), Path(folder, "stderr")
        command = [sys.executable, "-X", "importtime", "-m", "mm_asgi.cli.check.probe", str(answer)]
        # A file, since a pipe would end only with the last process that the app has started.
        with said.open("wb") as stderr, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command,
                input=json.dumps(asked).encode(),
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environ,
                timeout=limit,
                check=False,
            )
        measured = _import_facts(said.read_text("utf-8", "replace"))
        try:
            found: dict[str, Any] = json.loads(answer.read_text("utf-8"))
        except (OSError, ValueError):
            # Too late, os._exit or a crash: the findings about the plugin's process explain it.
            return Imported(**measured)
    return Imported(**found, **measured)


def _import_facts(stderr: str) -> dict[str, Any]:
    modules = parse_importtime(stderr.partition(MARKER)[2])
    return {
        "slowest": sorted(modules, key=lambda module: -module.own)[:10],
        "modules": len(modules),
    }


def parse_importtime(text: str) -> list[Module]:
    """Return the modules that ``-X importtime`` wrote, among whatever else was written there."""
    return [
        Module(name, int(own) / 1e6, int(total) / 1e6) for own, total, name in _LINE.findall(text)
    ]
