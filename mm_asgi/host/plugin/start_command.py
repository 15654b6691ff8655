"""The command line of a plugin's process, and its working directory."""

from __future__ import annotations

import os
import posixpath
import sys
from dataclasses import dataclass
from pathlib import Path
from platform import machine
from typing import TYPE_CHECKING, Any

from mm_asgi.host.plugin.host_error import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["StartCommand", "executable_of"]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "AMD64": "amd64"}


@dataclass(frozen=True, slots=True)
class StartCommand:
    """What was asked for.

    Attributes:
        target: the argument of ``mm-asgi serve``.
        argv: the whole command line, which counts more.
        python: the interpreter for ``target`` and plugin.py.
        directory: the plugin's folder.
        released: whether a released server starts it: in its own working directory, and without
            ``target`` and ``argv`` what plugin.json names.
    """

    target: str | None
    argv: Sequence[str] | None
    python: str
    directory: Path
    released: bool

    def line(self, manifest: Mapping[str, Any]) -> tuple[list[str], Path]:
        """Return the command line and the working directory.

        Raises:
            HostError: a released server finds no executable in the manifest.
        """
        if self.target is not None and self.argv is None:
            # The app is looked for in the working directory: no server starts a plugin so.
            return [self.python, "-m", "mm_asgi", "serve", self.target], self.directory
        if not self.released:
            return list(self.argv or (self.python, "plugin.py")), self.directory
        if self.argv is not None:
            return list(self.argv), Path.cwd()
        return [executable_of(manifest, self.directory)], Path.cwd()


def executable_of(manifest: Mapping[str, Any], directory: Path) -> str:
    """Return the path of what a released server runs (supervisor.go).

    Raises:
        HostError: the manifest names none, or one outside of the bundle.
    """
    system = f"{sys.platform}-{_ARCHITECTURES.get(machine(), machine())}"
    server = manifest.get("server") or {}
    name = (server.get("executables") or {}).get(system) or server.get("executable") or ""
    if not name:
        what = system.replace("-", "/")
        raise HostError("start", f"backend executable not found for environment: {what}")
    cleaned = posixpath.normpath(posixpath.join(".", name))
    if cleaned.startswith("..") or cleaned.startswith("/"):
        raise HostError("start", f"invalid backend executable: {name}")
    return os.path.join(directory, cleaned)
