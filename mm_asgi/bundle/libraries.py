"""The packages of a bundle: the content of wheels, for one Python and one kind of machine.

pip resolves and downloads them; nothing is built from source, since what is built here may not run
there. mm_asgi itself comes from where it runs now, as the version that the app was tested with. Of
what pip leaves behind only the packages go in, so that two bundles of one tree are the same.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import mm_asgi
from mm_asgi.bundle.archive import Entry
from mm_asgi.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["PLATFORMS", "Libraries", "gather_libraries"]

OURS: Final = "mm-asgi"

PLATFORMS: Final = {"linux-amd64": "x86_64", "linux-arm64": "aarch64"}
"""The kinds of machines that a server runs on, as plugin.json spells them, and as wheels do."""

_NAME: Final = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA: Final = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_OF_PIP: Final = frozenset(("INSTALLER", "REQUESTED", "RECORD", "direct_url.json"))
"""Files of a dist-info that say how pip came to install it."""

_TOLD: Final = 5  # lines of pip's that an error shows


@dataclass(frozen=True, slots=True)
class Libraries:
    """What goes into ``lib/``.

    Attributes:
        entries: the files, below ``lib/``.
        sizes: bytes by package.
        is_pure: any Python on any machine can run them.
    """

    entries: Sequence[Entry]
    sizes: dict[str, int]
    is_pure: bool


def gather_libraries(requirements: Sequence[str], platform: str) -> Libraries:
    """Resolve and unpack an app's packages for this Python's version.

    Args:
        requirements: as in ``[project] dependencies``.
        platform: one of ``PLATFORMS``.

    Raises:
        BundleError: pip is not there, or finds no wheel for one of them.
    """
    wanted = [*_without_ours(requirements), *_needed_by_ours(requirements)]
    entries, sizes = [*_ours()], {}
    sizes[OURS] = sum(len(entry.read()) for entry in entries)
    is_pure = True
    with tempfile.TemporaryDirectory(prefix="mm-asgi-bundle-") as made:
        folder = Path(made)
        if wanted:
            _install(wanted, platform, folder)
        for info in sorted(folder.glob("*.dist-info")):
            is_pure = is_pure and "Root-Is-Purelib: true" in (info / "WHEEL").read_text("utf-8")
            sizes.update(_sizes_of(info))
        # Read now, since the folder goes.
        entries += [Entry(f"lib/{name}", path.read_bytes()) for name, path in _files(folder)]
    return Libraries(entries, sizes, is_pure)


def _without_ours(requirements: Iterable[str]) -> list[str]:
    return [each for each in requirements if not _is_ours(each)]


def _is_ours(requirement: str) -> bool:
    found = _NAME.match(requirement)
    return found is not None and re.sub(r"[-_.]+", "-", found[1]).lower() == OURS


def _needed_by_ours(requirements: Iterable[str]) -> Iterator[str]:
    """Yield what mm_asgi needs, with the extras that the app asks for."""
    extras = {
        extra.strip().lower()
        for each in requirements
        if _is_ours(each) and (found := _NAME.match(each)) and found[2]
        for extra in found[2].split(",")
    }
    for line in importlib.metadata.requires(OURS) or ():
        requirement, _, marker = line.partition(";")
        extra = _EXTRA.search(marker)
        if (extra is None or extra[1].lower() in extras) and not _is_ours(requirement):
            yield requirement.strip()


def _ours() -> Iterator[Entry]:
    """Yield mm_asgi's own files: the source, which runs on any Python that it supports."""
    package = Path(mm_asgi.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix not in (".pyc", ".so", ".pyd"):
            yield Entry(f"lib/mm_asgi/{path.relative_to(package).as_posix()}", path)


def _install(requirements: Sequence[str], platform: str, folder: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise BundleError(
            "bundle: this Python has no pip, which finds the app's packages: python -m ensurepip"
        )
    machine, version = PLATFORMS[platform], f"{sys.version_info[0]}.{sys.version_info[1]}"
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(28, 4, -1)]
    tags += [f"manylinux{old}_{machine}" for old in ("2014", "2010", "1")] + [f"linux_{machine}"]
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-warn-conflicts"),
        *("--disable-pip-version-check", "--no-input", "--only-binary", ":all:"),
        *("--target", str(folder), "--implementation", "cp", "--python-version", version),
        *(part for tag in tags for part in ("--platform", tag)),
        *requirements,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        lines = (told or done.stderr.splitlines())[-_TOLD:]
        raise BundleError(
            f"bundle: pip finds no wheels for Python {version} on {platform}, and nothing is built"
            " from source:\n  " + "\n  ".join(line.removeprefix("ERROR: ") for line in lines)
        )


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or path.is_symlink() or "__pycache__" in name.parts:
            continue
        if name.parts[0] == "bin":  # scripts, whose first line names this machine's Python
            continue
        if name.parts[0].endswith(".dist-info") and name.name in _OF_PIP:
            continue
        yield name.as_posix(), path


def _sizes_of(info: Path) -> dict[str, int]:
    """Return the bytes of one package, by its name."""
    name = info.name.removesuffix(".dist-info").rpartition("-")[0]
    size = 0
    for line in (info / "RECORD").read_text("utf-8").splitlines():
        path = info.parent / line.split(",")[0].strip('"')
        size += path.stat().st_size if path.is_file() else 0
    return {name: size}
