"""A copy of the tree that faults are planted in and taken out of again, one at a time.

What is planted can never reach the working tree. One copy serves many faults, and keeps what Python
compiled: a run of pytest starts in half the time. Python knows a compiled file by its source's size
and time in whole seconds, so that each planted text gets a time that no other has had.
"""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mutants.fault import Fault

__all__ = ["COPIED", "ROOT", "PlantedTree", "why_not_planted"]

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "mm_asgi",
    "proto",
    "tests",
    "examples",
    "docs",
    "conftest.py",
    "pyproject.toml",
    "CHANGELOG.md",
)
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".pytest_cache", ".hypothesis")


def why_not_planted(fault: Fault, root: Path = ROOT) -> str | None:
    """Return what keeps a fault from being planted and tried in ``root``, or None."""
    path = root / fault.file
    if not path.is_file():
        return f"there is no {fault.file}"
    text = path.read_text("utf-8")
    found = text.count(fault.old)
    if found != 1:
        return f"{fault.file} has its text {found} times, expected once"
    if fault.old == fault.new:
        return "it changes nothing"
    if path.suffix == ".py":
        try:
            ast.parse(text.replace(fault.old, fault.new))
        except SyntaxError as error:
            return f"{fault.file} is no Python with it: {error}"
    missing = [test for test in fault.paths if not (root / test).exists()]
    return f"there is no {', '.join(missing)}, which ought to catch it" if missing else None


class PlantedTree:
    """One copy.

    Args:
        root: the folder that the copy is in, which is empty.
        source: what is copied; by default the working tree.

    Attributes:
        root: the copy's folder.
    """

    def __init__(self, root: Path, source: Path = ROOT) -> None:
        self.root = root
        self._plantings = 0
        for name in COPIED:
            path = source / name
            if path.is_dir():
                shutil.copytree(path, root / name, ignore=LEFT_OUT)
            elif path.exists():
                shutil.copy2(path, root / name)

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a test's processes: the copy comes first, and compiled files are kept."""
        return {
            "PYTHONPATH": str(self.root),
            "PYTHONPYCACHEPREFIX": str(self.root / ".compiled"),
            "PYTHONDONTWRITEBYTECODE": "",
        }

    @contextlib.contextmanager
    def planted(self, fault: Fault | None) -> Iterator[None]:
        """Replace the fault's text and put it back afterwards; None is no fault.

        Raises:
            ValueError: the text is not there exactly once.
        """
        if fault is None:
            yield
            return
        if why := why_not_planted(fault, self.root):
            raise ValueError(f"{fault.name}: {why}")
        path = self.root / fault.file
        text, times = path.read_bytes(), path.stat()
        self._plantings += 1
        path.write_bytes(text.replace(fault.old.encode(), fault.new.encode()))
        os.utime(path, (times.st_atime, times.st_mtime + self._plantings))
        try:
            yield
        finally:
            path.write_bytes(text)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
