"""``python -m tests.mutants``: plant each fault of registry.py in a copy of the tree, run the tests
that ought to catch it, print the score. Exit code 1 when a fault lives.

``python -m tests.mutants NAME...`` runs those whose name contains one of the words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.mutants.fault import Fault

from tests.mutants.registry import EVERY_FAULT

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("mm_asgi", "proto", "tests", "examples", "docs", "pyproject.toml", "CHANGELOG.md")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".pytest_cache", ".hypothesis")
# A fault may well make a test hang; pytest's own time-out ends single tests, this the whole run.
LIMIT = 180  # s


def copy_tree(target: Path) -> None:
    """A tree of its own for each run: what is planted can never reach the working tree."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=LEFT_OUT)
        elif source.exists():
            shutil.copy2(source, target / name)


def plant(fault: Fault, tree: Path) -> None:
    """Replace the fault's text, which must be there exactly once."""
    path = tree / fault.file
    text = path.read_text("utf-8")
    if text.count(fault.old) != 1:
        raise SystemExit(f"{fault.name}: {fault.file} has its text {text.count(fault.old)} times")
    path.write_text(text.replace(fault.old, fault.new), "utf-8")


def run_tests(tree: Path, paths: Iterable[str], only: str) -> tuple[str, str]:
    """``passed``, ``failed`` (what we want of a fault) or ``broken``, and the last lines."""
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider",
        "--timeout=15", "-k", only, *paths,
    ]  # fmt: skip
    # First on the path: the copy, for the tests and for every process that they start.
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environ, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return "failed", f"no end after {LIMIT} s"
    verdict = {0: "passed", 1: "failed"}.get(done.returncode, "broken")
    return verdict, "\n".join((done.stdout + done.stderr).splitlines()[-15:])


def try_fault(fault: Fault | None, paths: Iterable[str], only: str = "") -> tuple[str, str]:
    """Run tests on a fresh copy of the tree, with the fault planted or, for None, without."""
    with tempfile.TemporaryDirectory(prefix="mm-asgi-mutant-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        if fault is not None:
            plant(fault, tree)
        return run_tests(tree, paths, only)


def main(words: list[str]) -> int:
    """Run the chosen faults; gives the exit code."""
    chosen = [f for f in EVERY_FAULT if not words or any(word in f.name for word in words)]
    # A test that fails anyway catches nothing: the sound tree has to pass them all first.
    verdict, tail = try_fault(None, sorted({path for fault in chosen for path in fault.paths}))
    if verdict != "passed":
        sys.stdout.write(f"the tests do not pass without a fault:\n{tail}\n")
        return 1
    living = []
    for fault in chosen:
        begun = time.monotonic()
        verdict, tail = try_fault(fault, fault.paths, fault.only)
        if verdict == "broken":
            sys.stdout.write(f"{fault.name}: the tests could not be run:\n{tail}\n")
        if verdict != "failed":
            living.append(fault.name)
        word = "caught" if verdict == "failed" else "LIVES"
        sys.stdout.write(f"{word:7} {time.monotonic() - begun:5.1f} s  {fault.name}\n")
        sys.stdout.flush()
    sys.stdout.write(f"mutants: {len(chosen) - len(living)} of {len(chosen)} caught\n")
    return 1 if living or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
