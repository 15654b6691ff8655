"""What a server objects to in the files that it gets: the manifest, and the start file.

A server that knows nothing of Python runs the start file directly.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from mm_asgi.bundle.manifest import MANIFEST, read_manifest
from mm_asgi.cli.check.findings import CheckFinding
from mm_asgi.cli.plugin_command import START_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mm_asgi.cli.check.imports import Imported

__all__ = ["bundle_findings", "start_file_faults"]

_FIRST = b"#!/usr/bin/env python3"


def start_file_faults(folder: Path) -> Iterator[str]:
    """Yield a sentence for each reason why a released server cannot run a folder's start file.

    The start file is the manifest's ``server.executable``, else plugin.py. One that is not there
    has no faults: the app may be checked long before there is a bundle.
    """
    name = read_manifest(folder).executable or START_FILE
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


def bundle_findings(folder: Path, imported: Imported, configured: str) -> Iterator[CheckFinding]:
    """Yield what a server objects to in the files that it gets.

    Args:
        folder: where plugin.json and the start file are.
        imported: how the import went.
        configured: the target of [tool.mm-asgi], beside a start file; empty: there is none.
    """
    if (folder / MANIFEST).exists():
        for fault in read_manifest(folder).faults:
            yield CheckFinding("manifest", "error", fault)
    for fault in start_file_faults(folder):
        yield CheckFinding("start-file", "error", fault)
    if configured and imported.target and configured != imported.target:
        yield CheckFinding(
            "two-targets",
            "error",
            f"the start file serves {imported.target}, and [tool.mm-asgi] names {configured}: a server"
            " runs the start file, and mm-asgi dev the other one: name the same in both",
        )
