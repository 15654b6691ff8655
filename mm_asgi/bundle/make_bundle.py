"""From a project's folder to the archive that a server takes.

In the bundle a start file of ours stands before the app's own: it checks that the server's Python is
the one that the packages are for, lets Python find them in ``lib/``, and runs the app's start file.
So that file stays as it is, and a wrong Python is one sentence for the admin.
"""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.bundle.app_files import app_files
from mm_asgi.bundle.archive import Entry, write_archive
from mm_asgi.bundle.libraries import PLATFORMS, gather_libraries
from mm_asgi.bundle.manifest import MANIFEST, Manifest, read_manifest
from mm_asgi.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LARGE", "Made", "make_bundle"]

LARGE: Final = 90_000_000
"""Bytes from which on a server may refuse the upload: its MaxFileSize is 100 MB unless changed."""

START: Final = "mm_asgi_start.py"
STAMP: Final = "mm_asgi_bundle.json"

_KEYS: Final = {"include": list, "exclude": list, "platforms": list}


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle.

    Attributes:
        path: the archive.
        size: its bytes.
        files: how many files of the app are in it.
        sizes: bytes of each package.
        python, platform: what it is for; a bundle that is pure needs no particular platform.
        is_pure: nothing in it is compiled.
        requirements: what the project says that it needs.
    """

    path: Path
    size: int
    files: int
    sizes: Mapping[str, int]
    python: str
    platform: str
    is_pure: bool
    requirements: Sequence[str]


def make_bundle(folder: Path, output: Path | None, platform: str) -> Made:
    """Write the bundle of a project.

    Args:
        folder: where plugin.json and the start file are.
        output: the archive; None: ID-VERSION.tar.gz in the folder.
        platform: one of ``PLATFORMS``; empty: the first of ``[tool.mm-asgi.bundle] platforms``.

    Raises:
        BundleError: the folder is no plugin, or its packages cannot be had.
    """
    manifest = _good_manifest(folder)
    project = _read_project(folder)
    keys = _bundle_keys(project)
    platform = platform or (keys["platforms"] or ["linux-amd64"])[0]
    if platform not in PLATFORMS:
        raise BundleError(
            f"platform: {platform!r} was given, expected one of {', '.join(PLATFORMS)}"
        )
    names = app_files(folder, keys["include"], keys["exclude"])
    _refuse_names(names, manifest)
    requirements = _requirements(project, folder)
    libraries = gather_libraries(requirements, platform)
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stamp = {
        "python": python,
        "platform": platform,
        "machine": PLATFORMS[platform],
        "pure": libraries.is_pure,
        "start": manifest.executable,
    }
    entries = [
        *(_app_entry(folder, name) for name in names if name != MANIFEST),
        Entry(MANIFEST, _as_json(_for_the_server(manifest))),
        Entry(START, (Path(__file__).parent / "bundle_start.py").read_bytes(), is_program=True),
        Entry(f"lib/{STAMP}", _as_json(stamp)),
        *libraries.entries,
    ]
    path = output or folder / f"{manifest.id}-{manifest.facts['version']}.tar.gz"
    size = write_archive(path, manifest.id, entries)
    sizes, pure = libraries.sizes, libraries.is_pure
    return Made(path, size, len(names), sizes, python, platform, pure, requirements)


def _good_manifest(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if manifest.faults:
        raise BundleError("\n".join(manifest.faults))
    if not manifest.executable.endswith(".py"):
        raise BundleError(
            f"{MANIFEST}: the executable is {manifest.executable}, expected a start file in Python"
        )
    return manifest


def _as_json(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()


def _for_the_server(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest that names our start file; both kinds of servers run it."""
    server = {"runtime": "python", **manifest.facts["server"], "executable": START}
    server.pop("executables", None)
    return {**manifest.facts, "server": server}


def _app_entry(folder: Path, name: str) -> Entry:
    path = folder / name
    return Entry(name, path, is_program=bool(path.stat().st_mode & 0o100))


def _refuse_names(names: Sequence[str], manifest: Manifest) -> None:
    if manifest.executable not in names:
        raise BundleError(
            f"{manifest.executable}: it is not among the bundle's files: let git track it, or name it"
            " in include of [tool.mm-asgi.bundle]"
        )
    for name in names:
        if name == START or name.startswith("lib/"):
            raise BundleError(f"{name}: the bundle has a file of its own there: rename it")


def _read_project(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise BundleError(f"pyproject.toml: it cannot be read ({exc})") from exc


def _bundle_keys(project: Mapping[str, Any]) -> dict[str, Any]:
    given = project.get("tool", {}).get("mm-asgi", {}).get("bundle", {})
    for name, value in given.items():
        if name not in _KEYS:
            raise BundleError(
                f"{name}: it stands in [tool.mm-asgi.bundle], expected one of {', '.join(_KEYS)}"
            )
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise BundleError(f"bundle.{name}: {value!r} was given, expected a list of texts")
    return {name: given.get(name, []) for name in _KEYS}


def _requirements(project: Mapping[str, Any], folder: Path) -> list[str]:
    """Return the app's requirements: those of [project], else of requirements.txt."""
    given = project.get("project", {}).get("dependencies")
    if isinstance(given, list):
        return [str(each) for each in given]
    try:
        lines = (folder / "requirements.txt").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as exc:
        raise BundleError(f"requirements.txt: it cannot be read ({exc})") from exc
    found = [line.partition(" #")[0].strip() for line in lines if not line.startswith("#")]
    for line in found:
        if line.startswith("-") or line.endswith("\\"):
            raise BundleError(
                f"requirements.txt: {line!r} is an option of pip's, expected a package a line, such as"
                " fastapi>=0.115"
            )
    return [line for line in found if line]
