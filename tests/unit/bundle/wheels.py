"""Wheels without an index: tiny ones, and those of what is installed here."""

from __future__ import annotations

import importlib.metadata
import zipfile
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["tiny_wheel", "wheel_of_installed", "wheels_needed"]


def tiny_wheel(folder: Path, name: str, *, tag: str = "py3-none-any", requires: str = "") -> None:
    """Write a wheel of one module, which holds its own name."""
    is_pure = tag.endswith("any")
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    files = {
        f"{name}.py": f"NAME = {name!r}\n",
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: {str(is_pure).lower()}\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:NAME\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


def wheel_of_installed(folder: Path, name: str) -> None:
    """Write an installed distribution's own files as the wheel that they came from."""
    found = importlib.metadata.distribution(name)
    tag = (found.read_text("WHEEL") or "").partition("Tag: ")[2].splitlines()[0]
    name = found.metadata["Name"].replace("-", "_").replace(".", "_")
    with zipfile.ZipFile(folder / f"{name}-{found.version}-{tag}.whl", "w") as wheel:
        for path in found.files or ():
            place = path.locate()
            if path.parts[0] != ".." and path.suffix != ".pyc" and path.name != "INSTALLER":
                wheel.write(str(place), path.as_posix())


def wheels_needed(*names: str) -> set[str]:
    """Return these installed distributions and all that they need."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop().lower()
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left.append(requirement.name)
    return found
