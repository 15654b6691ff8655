"""What the light host and the real one have in common: folder, settings, how a plugin ends."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.roads.road import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["APPS", "Exit", "StartFailed", "clean_environ", "plugin_env"]

APPS = ROOT / "tests" / "contract" / "apps" / "process"


class StartFailed(Exception):
    """OnActivate answered an error; the text is what the admin sees."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a plugin ended after a stop.

    Attributes:
        code: the exit code, None after a signal.
        killed: the host had to use SIGKILL.
        deactivate_seconds: what OnDeactivate took.
        kill_seconds: from Shutdown to the end of the process.
    """

    code: int | None
    killed: bool
    deactivate_seconds: float
    kill_seconds: float


def plugin_env(app: str, bell: str, settings: Mapping[str, object]) -> dict[str, str]:
    """The plugin's variables. Settings by their names; a name in capitals is a variable itself."""
    env = {
        "PROCESS_APP": app,
        "PROCESS_BELL": bell,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),  # the apps import each other from the tests
    }
    for name, value in settings.items():
        env[name if name.isupper() else f"MM_ASGI_{name.upper()}"] = str(value)
    return env


def clean_environ() -> dict[str, str]:
    """Our own environment without what would configure a plugin."""
    prefixes = ("MM_ASGI_", "MATTERMOST_", "PLUGIN_", "PROCESS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    # As in a terminal: a virtual environment's scripts come first.
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return kept
