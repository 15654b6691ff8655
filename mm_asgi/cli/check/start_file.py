"""Whether a server that knows nothing of Python can run the start file: it runs it directly."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

from mm_asgi.cli.plugin_command import START_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["start_file_faults"]

_FIRST = b"#!/usr/bin/env python3"


def start_file_faults(folder: Path) -> Iterator[str]:
    """Yield a sentence for each reason why a released server cannot run a folder's start file.

    The start file is the manifest's ``server.executable``, else plugin.py. One that is not there
    has no faults: the app may be checked long before there is a bundle.
    """
    name = _executable(folder / "plugin.json")
    try:
        mode = (folder / name).stat().st_mode
        with (folder / name).open("rb") as file:
            first = file.readline(256)
    except OSError:
        return
    if not mode & stat.S_IXUSR:
        yield f"{name} is not executable, and a released server runs it directly: chmod +x {name}"
    if not name.endswith(".py"):
        return
    if not first.startswith(b"#!"):
        yield (
            f"{name} does not begin with #!, so that a released server cannot run it: let its first"
            f" line be {_FIRST.decode()}"
        )
    elif first.endswith(b"\r\n"):
        yield (
            f"the first line of {name} ends with CR LF, and no system finds a Python of that name:"
            " save it with Unix line ends"
        )


def _executable(manifest: Path) -> str:
    try:
        return str(json.loads(manifest.read_text("utf-8"))["server"]["executable"])
    except (OSError, ValueError, LookupError, TypeError):
        return START_FILE
