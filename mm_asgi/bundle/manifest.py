"""plugin.json as a server reads it, with a sentence for all that a server objects to.

A server refuses little of it at the upload: most faults only show when the plugin is enabled, as one
line in its status, or never. Here each has a sentence. The rules are those of Mattermost's
model/manifest.go and supervisor.go, and of the branch that starts plugins in Python.
"""

from __future__ import annotations

import json
import posixpath
import re
import sys
from dataclasses import dataclass
from platform import machine
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["MANIFEST", "SEMANTIC_VERSION", "VALID_ID", "Manifest", "read_manifest"]

MANIFEST: Final = "plugin.json"

VALID_ID: Final = re.compile(r"[a-zA-Z0-9._-]{3,190}")
"""Ids that a server accepts: model/manifest.go, IsValidPluginId."""

_NUMBER = r"(?:0|[1-9]\d*)"
_PART = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][\da-zA-Z-]*)"
SEMANTIC_VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PART}(?:\.{_PART})*)?(?:\+[\da-zA-Z-]+(?:\.[\da-zA-Z-]+)*)?",
    re.ASCII,
)
"""semver.org 2.0.0."""

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "AMD64": "amd64"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder's plugin.json says.

    Attributes:
        id: empty where there is none that a server accepts.
        executable: what a server runs, below the folder; empty where there is none.
        is_python: the branch with gRPC takes it for a plugin in Python.
        facts: the whole of it; empty where it cannot be read.
        faults: a sentence, with what to do, for each thing that a server objects to.
    """

    id: str
    executable: str
    is_python: bool
    facts: Mapping[str, Any]
    faults: tuple[str, ...]


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's plugin.json. What is wrong with it stands in ``faults``; nothing is raised."""
    facts, fault = _read(folder)
    if fault:
        return Manifest("", "", False, {}, (fault,))
    server = facts.get("server")
    server = server if isinstance(server, dict) else {}
    executable = _executable(server)
    faults = (
        *_id_faults(facts.get("id")),
        *_version_faults(facts),
        *_server_faults(facts, server, executable, folder),
    )
    id = facts.get("id")
    accepted = id if isinstance(id, str) and VALID_ID.fullmatch(id) else ""
    is_python = server.get("runtime") == "python" or executable.endswith(".py")
    return Manifest(accepted, executable, is_python, facts, faults)


def _read(folder: Path) -> tuple[dict[str, Any], str]:
    """Return what stands in the file, or a sentence."""
    try:
        data = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        return {}, f"{MANIFEST}: it is not there, and a server needs it: mm-asgi init writes one"
    except OSError as exc:
        return {}, f"{MANIFEST}: it cannot be read ({exc.strerror})"
    if data.startswith(b"\xef\xbb\xbf"):
        return {}, (
            f"{MANIFEST}: it begins with a byte order mark, behind which a server finds no manifest:"
            " save it as UTF-8 without one"
        )
    try:
        facts = json.loads(data)
    except ValueError as exc:
        return (
            {},
            f"{MANIFEST}: it is no JSON ({exc}), and a server finds no manifest in it: correct it",
        )
    if not isinstance(facts, dict):
        return {}, f"{MANIFEST}: it holds a {type(facts).__name__}, expected an object: correct it"
    return facts, ""


def _id_faults(id: object) -> Iterator[str]:
    if not isinstance(id, str) or not VALID_ID.fullmatch(id):
        yield (
            f"{MANIFEST}: the id is {id!r}, expected 3 to 190 letters, digits, dots, hyphens or"
            " underscores, such as com.acme.shop"
        )
    elif id != id.lower():
        yield f"{MANIFEST}: a server makes the id {id} {id.lower()}: write it so"


def _version_faults(facts: Mapping[str, Any]) -> Iterator[str]:
    version, least = facts.get("version"), facts.get("min_server_version", "")
    if not isinstance(version, str) or not SEMANTIC_VERSION.fullmatch(version):
        yield f"{MANIFEST}: the version is {version!r}, expected three numbers such as 1.0.0"
    if least != "" and not (isinstance(least, str) and SEMANTIC_VERSION.fullmatch(least)):
        yield (
            f"{MANIFEST}: min_server_version is {least!r}, which a server cannot read: expected three"
            " numbers such as 10.11.0"
        )


def _server_faults(
    facts: Mapping[str, Any], server: Mapping[str, Any], executable: str, folder: Path
) -> Iterator[str]:
    if not server:
        yield (
            f'{MANIFEST}: it has no "server", so that a server starts nothing: add'
            ' {"runtime": "python", "executable": "plugin.py"}'
        )
        return
    runtime = server.get("runtime", "")
    if runtime not in ("", "python"):
        yield f'{MANIFEST}: the runtime is {runtime!r}, expected "python"'
    if not executable:
        yield (
            f"{MANIFEST}: the server has no executable for {_system()}: name the start file, such as"
            ' "executable": "plugin.py"'
        )
    elif executable.startswith(("/", "..")):
        yield f"{MANIFEST}: the executable {executable} is outside of the bundle: move it into it"
    elif not (folder / executable).is_file():
        yield f"{MANIFEST}: the executable {executable} is not there: name the start file"


def _system() -> str:
    return f"{sys.platform}-{_ARCHITECTURES.get(machine(), machine())}"


def _executable(server: Mapping[str, Any]) -> str:
    many = server.get("executables")
    named = many.get(_system()) if isinstance(many, dict) else ""
    name = named or server.get("executable") or ""
    return posixpath.normpath(name) if isinstance(name, str) and name else ""
