"""typed.py holds for mypy and for pyright: precise types, and each mistake is seen."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TYPED = ROOT / "tests" / "unit" / "api" / "typed.py"


def has_pyright() -> bool:
    """Whether pyright is here and has a node: without one it would download it."""
    return importlib.util.find_spec("pyright") is not None and shutil.which("node") is not None


@pytest.mark.full
@pytest.mark.timeout(120)
def test_mypy() -> None:
    # --warn-unused-ignores, a part of --strict: a mistake that is not seen is an error.
    command = [sys.executable, "-m", "mypy", "--strict", str(TYPED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Success"), done.stdout + done.stderr


@pytest.mark.full
@pytest.mark.timeout(120)
@pytest.mark.skipif(not has_pyright(), reason="needs pyright and node")
def test_pyright(tmp_path: Path) -> None:
    lines = TYPED.read_text().splitlines()
    expected = {n for n, line in enumerate(lines) if "# type: ignore" in line}
    # Without the comments, which pyright heeds too: it is to see each mistake.
    copy = tmp_path / "typed.py"
    copy.write_text("\n".join(line.partition("# type: ignore")[0] for line in lines))
    # The wheel's own copy: no download of a newer one.
    environ = {
        **os.environ,
        "PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT": "1",
        "PYRIGHT_PYTHON_GLOBAL_NODE": "1",
    }
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        str(copy),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=environ
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    told = {item["range"]["start"]["line"] for item in found if item["severity"] == "error"}
    assert told == expected, json.dumps(found, indent=1)
