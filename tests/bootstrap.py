"""Make .venv with all that tests and examples need, from nothing but Python and git.

Stdlib only, and in a syntax that old Pythons read: it runs before anything is installed, and has
to tell an old Python's owner what is missing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "tests-stamp"
MINIMUM = (3, 11)
# The first pip that knows --group.
PIP = "pip>=25.1"


class BootstrapError(Exception):
    """A sentence for the person who typed the command."""


def run_module(module: str, argv: list[str], folder: Path = ROOT) -> None:
    """Become ``python -m module argv`` of the prepared .venv, in ``folder``; never returns."""
    try:
        python = prepare()
    except BootstrapError as error:
        sys.exit(f"setup: {error}")
    os.chdir(folder)
    sys.stdout.flush()
    os.execv(python, [str(python), "-m", module, *argv])


def prepare() -> Path:
    """The Python of a .venv that fits this Python and pyproject.toml; made where it is not."""
    require_python()
    python = VENV / "bin" / "python"
    stamp = wanted_stamp()
    if STAMP.is_file() and STAMP.read_text() == stamp and python.exists():
        return python
    if venv_version(python) != current_version():
        say("making .venv")
        run(sys.executable, "-m", "venv", "--clear", str(VENV))
    say("installing what tests and examples need into .venv")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--upgrade", PIP)
    run(*pip, "--group", "dev", "--editable", ".")
    STAMP.write_text(stamp)
    return python


def require_python() -> None:
    if sys.version_info[:2] < MINIMUM:
        minimum = ".".join(map(str, MINIMUM))
        raise BootstrapError(
            f"mm_asgi needs Python {minimum} or newer and {sys.executable} is {current_version()}; "
            "install a newer one and start it with the same arguments"
        )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise BootstrapError(
            f"{sys.executable} has no venv with pip; install that (on Debian and Ubuntu: "
            f"apt install python{current_version()}-venv)"
        )


def current_version() -> str:
    return "{}.{}".format(*sys.version_info)


def wanted_stamp() -> str:
    """What .venv depends on; ROOT because an editable install points there."""
    facts = "\n".join([sys.version, sys.base_prefix, str(ROOT)])
    content = (ROOT / "pyproject.toml").read_bytes()
    return hashlib.sha256(facts.encode() + content).hexdigest()


def venv_version(python: Path) -> str | None:
    """Major and minor of a venv's Python; None where that or its pip is missing or broken."""
    code = "import pip, sys; sys.stdout.write('{}.{}'.format(*sys.version_info))"
    try:
        return subprocess.check_output([python, "-c", code], stderr=subprocess.DEVNULL, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None


def say(text: str) -> None:
    sys.stderr.write(f"setup: {text}\n")
    sys.stderr.flush()


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        raise BootstrapError(f"this failed, see above: {' '.join(command)}")
