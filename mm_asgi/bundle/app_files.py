"""Which files of a project go into its bundle.

What git tracks is what the author means to publish; where there is no git, it is all files that no
tool has made and that are not hidden. Links stay out, since a server drops them, and so does what may
hold a secret or is of this machine alone.
"""

from __future__ import annotations

import fnmatch
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mm_asgi.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["app_files"]

_MADE_BY_TOOLS: Final = frozenset(
    ("__pycache__", "node_modules", "venv", "build", "dist", "htmlcov")
)
"""Folders that are left out where git does not say what belongs to the project."""

_NEVER: Final = ("*.pyc", "*.pyo", "*.tar.gz")


def app_files(folder: Path, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[str]:
    """Return the files that go into the bundle, as paths below the folder with ``/``.

    Args:
        folder: the project's.
        include: patterns of the files that go in, such as ``shop/*``; empty: what git tracks.
        exclude: patterns of those that stay out.

    Raises:
        BundleError: a pattern of ``include`` fits no file.
    """
    there = sorted(name for name in _walk(folder) if not _is_never(name))
    if include:
        for pattern in include:
            if not any(_fits(name, pattern) for name in there):
                raise BundleError(
                    f"bundle.include: {pattern!r} fits no file below {folder.name}; a pattern is a path"
                    " from there, such as shop/* or data.json"
                )
        chosen = [name for name in there if any(_fits(name, each) for each in include)]
    elif (tracked := _tracked(folder)) is not None:
        chosen = [name for name in there if name in tracked]
    else:
        chosen = [name for name in there if not _MADE_BY_TOOLS & set(name.split("/")[:-1])]
    return [name for name in chosen if not any(_fits(name, each) for each in exclude)]


def _walk(folder: Path) -> Iterator[str]:
    for here, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not (Path(here) / name).is_symlink()
        ]
        for name in names:
            path = Path(here) / name
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix()


def _is_never(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last.startswith(".") or any(fnmatch.fnmatch(last, each) for each in _NEVER)


def _fits(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or name.startswith(pattern.rstrip("/") + "/")


def _tracked(folder: Path) -> frozenset[str] | None:
    """Return what git tracks below a folder; None: it is no work tree of git's, or there is no git."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return frozenset(os.fsdecode(listed.stdout).split("\0")) - {""} or None
