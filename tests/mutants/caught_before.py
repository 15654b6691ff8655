"""Which faults were caught before, by tests and by a file that have not changed since.

A run of the whole list takes long; with ``--resume`` only what changed is run again. What stands for
a fault is a hash of its own text, of the file that it is planted in, of its tests, and of what tests
share. A change elsewhere in the package does not count, so that a release wants a run without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.mutants.fault import Fault

__all__ = ["CaughtBefore", "Fingerprints"]

NOT_SHARED = ("tests/mutants", "tests/benchmarks", "tests/browser")


class Fingerprints:
    """The hashes of faults in one tree.

    Args:
        root: the tree's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[tuple[str, ...], bytes] = {}
        shared = (
            path
            for path in sorted((root / "tests").rglob("*.py"))
            if not path.name.startswith("test_")
            and not path.relative_to(root).as_posix().startswith(NOT_SHARED)
        )
        self._shared = self._hash((*shared, root / "conftest.py", root / "pyproject.toml"))

    def of(self, fault: Fault) -> str:
        """Return the hash that stands for a fault and all that its verdict depends on."""
        if fault.paths not in self._known:
            self._known[fault.paths] = self._hash(self._tests(fault.paths))
        found = hashlib.sha256(repr(fault).encode() + self._shared + self._known[fault.paths])
        found.update((self._root / fault.file).read_bytes())
        return found.hexdigest()

    def _tests(self, paths: Iterable[str]) -> Iterable[Path]:
        for path in paths:
            place = self._root / path
            yield from [place] if place.is_file() else sorted(place.rglob("*.py"))

    def _hash(self, paths: Iterable[Path]) -> bytes:
        found = hashlib.sha256()
        for path in paths:
            if path.is_file():
                text = path.read_bytes()
                found.update(f"{path.relative_to(self._root)} {len(text)}\n".encode() + text)
        return found.digest()


class CaughtBefore:
    """The file of hashes of faults that were caught, one object for a run.

    Args:
        file: where it is; it need not exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._hashes: set[str] = set()
        # A file that is cut or someone else's is worth nothing, and no reason to stop.
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._hashes.update(map(str, json.loads(file.read_text())))

    def __contains__(self, fingerprint: object) -> bool:
        return fingerprint in self._hashes

    def add(self, fingerprint: str) -> None:
        """Keep a hash, in the file too: a run that is broken off loses nothing."""
        self._hashes.add(fingerprint)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(sorted(self._hashes)))
        os.replace(beside, self._file)
