"""A tar.gz that is the same, byte for byte, wherever it is made.

Nothing of the machine goes in: no times, no users, no modes beyond "can be run" and "cannot", and
the entries in the order of their names. Folders have no entries of their own: a server makes them.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Entry", "write_archive"]

_MADE: Final = 315532800  # 1980-01-01, the earliest date that every tool takes


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive.

    Attributes:
        name: its path below the top folder, with ``/``.
        content: its bytes, or the file that has them.
        is_program: whether it can be run.
    """

    name: str
    content: bytes | Path
    is_program: bool = False

    def read(self) -> bytes:
        """Return its bytes."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


def write_archive(path: Path, top: str, entries: Iterable[Entry]) -> int:
    """Write the entries below one top folder, and return the archive's size in bytes."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for entry in sorted(entries, key=lambda entry: entry.name):
            data = entry.read()
            info = tarfile.TarInfo(f"{top}/{entry.name}")
            info.size, info.mtime = len(data), _MADE
            info.mode = 0o755 if entry.is_program else 0o644
            archive.addfile(info, io.BytesIO(data))
    return path.stat().st_size
