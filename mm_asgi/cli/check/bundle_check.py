"""``mm-asgi check FOLDER`` and ``check BUNDLE.tar.gz``: what a server has of it, and makes of it.

The plugin runs as on a server that has this Python and none of the packages of the environment that
runs the command: what is not in the bundle is missing there too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mm_asgi.bundle.manifest import Manifest, read_manifest
from mm_asgi.bundle.unpack import Unpacked, unpack
from mm_asgi.cli.check.findings import CheckFinding, find
from mm_asgi.cli.check.imports import Imported
from mm_asgi.cli.check.observed import Observed, Start, lives
from mm_asgi.cli.check.report import Report
from mm_asgi.cli.check.start_file import bundle_findings
from mm_asgi.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["check_bundle"]

BLOCKED_WARN = "0.25"
"""Seconds for blocked-warn, as for an app."""


def check_bundle(given: Path, paths: Sequence[str]) -> Report:
    """Check a bundle, or the folder that becomes one, as a server would use it.

    Args:
        given: a folder, or an archive, which is unpacked elsewhere.
        paths: the paths to request, below the plugin's root.
    """
    with contextlib.ExitStack() as stack:
        if given.is_dir():
            unpacked = Unpacked(given.resolve(), (), ())
        else:
            into = stack.enter_context(tempfile.TemporaryDirectory(prefix="mm-asgi-check-"))
            try:
                unpacked = unpack(given, Path(into))
            except BundleError as exc:
                found = [CheckFinding("bundle", "error", str(exc))]
                return _report(given.name, "", Observed(), found)
        return _check(given.name, unpacked, paths)


def _check(name: str, unpacked: Unpacked, paths: Sequence[str]) -> Report:
    folder = unpacked.folder
    manifest = read_manifest(folder)
    found = [*_unpacked_findings(unpacked), *bundle_findings(folder, Imported(), "")]
    if not (folder / "plugin.json").exists() and not unpacked.faults:
        found += [CheckFinding("manifest", "error", fault) for fault in manifest.faults]
    life, others = Observed(), []
    if manifest.id and (folder / manifest.executable).is_file():
        environ = {**_bare_environment(), "MM_ASGI_BLOCKED_WARN": BLOCKED_WARN}
        life, *others = asyncio.run(
            lives([*_starts(folder, manifest)], plugin_id=manifest.id, environ=environ, paths=paths)
        )
    return _report(name, manifest.id, life, find(Imported(), life, others, found))


def _report(name: str, id: str, life: Observed, findings: Sequence[CheckFinding]) -> Report:
    return Report(target=name, plugin_id=id, imported=Imported(), life=life, findings=findings)


def _unpacked_findings(unpacked: Unpacked) -> Iterator[CheckFinding]:
    for fault in unpacked.faults:
        yield CheckFinding("bundle", "error", fault)
    if unpacked.left_out:
        names = ", ".join(unpacked.left_out[:3])
        more = f" and {len(unpacked.left_out) - 3} more" if len(unpacked.left_out) > 3 else ""
        yield CheckFinding(
            "bundle",
            "warning",
            f"a server leaves out links and devices, and so {names}{more}: put plain files there",
        )


def _starts(folder: Path, manifest: Manifest) -> Iterator[Start]:
    """Yield how each kind of server starts it: the branch by a Python, a released one directly."""
    if manifest.is_python:
        venvs = (folder / venv / "bin" / name for venv in ("venv", ".venv") for name in _PYTHONS)
        python = next((str(found) for found in venvs if found.is_file()), _PYTHONS[1])
        yield Start("native", [python, manifest.executable], folder)
    yield Start("netrpc", [str(folder / manifest.executable)], folder)


_PYTHONS = ("python", "python3")


def _bare_environment() -> dict[str, str]:
    """Return variables that hide this environment's packages; an empty value unsets one."""
    ours = Path(sys.prefix, "bin")
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve().parent
    path = [part for part in os.environ.get("PATH", "").split(os.pathsep) if Path(part) != ours]
    if shutil.which("python3", path=os.pathsep.join(path)) is None or ours != base:
        path.insert(0, str(base))
    hidden = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    return {
        **dict.fromkeys(hidden, ""),
        "PATH": os.pathsep.join(path),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
