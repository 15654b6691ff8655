"""The package with its hot modules compiled by mypyc, as a published wheel has them.

``python -m tests.compiled`` builds it, if the sources have changed, and prints the folder to put first
on PYTHONPATH. It needs a C compiler, and pip has to find hatch-mypyc.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

__all__ = ["CompileError", "NoCompilerError", "build"]

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv" / "compiled"
NOTHING_TO_DO_IT_WITH = 3
"""The exit code of NoCompilerError."""


class CompileError(Exception):
    """There is no compiled package; the text says why."""


class NoCompilerError(CompileError):
    """Nothing can be compiled on this machine."""


def build(root: Path = ROOT) -> Path:
    """Return the folder with the compiled ``mm_asgi``; takes a minute when something has changed.

    Args:
        root: the checkout whose package is compiled. Another one's is kept here too, beside ours.

    Raises:
        NoCompilerError: no C compiler, or no header files of this Python.
        CompileError: what pip said last.
    """
    compiler = os.environ.get("CC", "cc").split()[0]
    if shutil.which(compiler) is None:
        raise NoCompilerError(f"there is no C compiler {compiler}")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        raise NoCompilerError("this Python has no header files (Debian's python3-dev)")
    target = FOLDER if root == ROOT else FOLDER.with_name("compiled-other")
    stamp, wanted = target / "stamp", _stamp(root)
    if not (stamp.is_file() and stamp.read_text() == wanted):
        shutil.rmtree(target, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="mm-asgi-") as folder:
            _build(root, Path(folder), target)
        stamp.write_text(wanted)
    return target


def _build(root: Path, folder: Path, target: Path) -> None:
    # From a copy: meanwhile hatch-mypyc takes pyproject.toml away, and it leaves what it made.
    copy = folder / "copy"
    shutil.copytree(root / "mm_asgi", copy / "mm_asgi", ignore=shutil.ignore_patterns("*.so"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, copy)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, copy],
        env={**os.environ, "HATCH_BUILD_HOOKS_ENABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CompileError(f"pip wheel failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")
    (wheel,) = folder.glob("*.whl")
    if "-none-any" in wheel.name:
        raise CompileError(f"{wheel.name} has nothing compiled in it")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)


def _stamp(root: Path) -> str:
    """Return a hash of what the build depends on."""
    found = hashlib.sha256(sys.version.encode())
    for path in (root / "pyproject.toml", *sorted((root / "mm_asgi").rglob("*.py"))):
        found.update(path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    try:
        print(build())  # noqa: T201
    except NoCompilerError as error:
        sys.stderr.write(f"compiled: {error}\n")
        sys.exit(NOTHING_TO_DO_IT_WITH)
    except CompileError as error:
        sys.exit(f"compiled: {error}")
