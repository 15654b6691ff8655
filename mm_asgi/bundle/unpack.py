"""A bundle as a server unpacks it, never outside of the folder that it is given.

After Mattermost's extract.go and install_plugin.go, where a real server was seen to do the same:
links and devices are left out, a name that leads out of the folder refuses all of it, a file that
comes twice is the last one, and there is one top folder of any name, or none.
"""

from __future__ import annotations

import posixpath
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mm_asgi.bundle.manifest import MANIFEST
from mm_asgi.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["LARGEST", "Unpacked", "unpack"]

LARGEST: Final = 104_857_600
"""Bytes of an upload that a server takes, unless its MaxFileSize was changed."""

_FOLDER_MODE: Final = 0o744


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a server has of a bundle.

    Attributes:
        folder: where the manifest is, or would be.
        faults: a sentence for each thing that it objects to.
        left_out: the names of links and devices, which no server unpacks.
    """

    folder: Path
    faults: tuple[str, ...]
    left_out: tuple[str, ...]


def unpack(archive: Path, into: Path) -> Unpacked:
    """Unpack a bundle into an empty folder.

    Raises:
        BundleError: a server cannot extract it.
    """
    left_out: list[str] = []
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for member in opened:
                if not (member.isreg() or member.isdir()):
                    left_out.append(member.name)
                    continue
                _put(opened, member, into, archive.name)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as exc:
        raise BundleError(
            f"{archive.name}: a server cannot extract it ({exc}): expected a tar.gz, such as mm-asgi"
            " bundle writes"
        ) from exc
    tops = sorted(into.iterdir())
    folder = into if (into / MANIFEST).is_file() or len(tops) != 1 else tops[0]
    return Unpacked(folder, (*_size_faults(archive), *_top_faults(into, tops)), tuple(left_out))


def _put(opened: tarfile.TarFile, member: tarfile.TarInfo, into: Path, archive: str) -> None:
    name = posixpath.normpath(member.name.lstrip("/"))
    if name == ".." or name.startswith("../"):
        raise BundleError(
            f"{archive}: {member.name!r} leads out of the plugin's folder, and a server refuses the"
            " bundle: make it anew"
        )
    place = into / name
    if member.isdir():
        _make_folders(place, into)
        return
    _make_folders(place.parent, into)
    source = opened.extractfile(member)
    assert source is not None  # it is a plain file
    with source, place.open("wb") as file:
        shutil.copyfileobj(source, file)
    place.chmod(member.mode & 0o755)


def _make_folders(place: Path, into: Path) -> None:
    for folder in reversed([place, *place.parents]):
        if folder.is_relative_to(into) and not folder.exists():
            folder.mkdir()
            folder.chmod(_FOLDER_MODE)


def _size_faults(archive: Path) -> Sequence[str]:
    size = archive.stat().st_size
    if size <= LARGEST:
        return ()
    return (
        f"{archive.name}: it has {size / 1e6:.0f} MB, and a server takes {LARGEST / 1e6:.0f} MB unless"
        " FileSettings.MaxFileSize was changed: leave out what the plugin does not need",
    )


def _top_faults(into: Path, tops: Sequence[Path]) -> Sequence[str]:
    if (into / MANIFEST).is_file() or len(tops) == 1:
        return ()
    names = ", ".join(top.name for top in tops[:3]) or "nothing"
    hint = ": macOS adds such files; set COPYFILE_DISABLE=1" if "._" in names else ""
    return (
        f"{MANIFEST}: a server finds none, since at the top there is {names}, expected one folder{hint}",
    )
