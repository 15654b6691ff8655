"""contrib.django with Django as released: the cases of django_cases.py, in their own process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("django_cases.py")


@pytest.mark.full
@pytest.mark.timeout(60)
def test_the_cases() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(
        command, cwd=CASES.parents[3], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^(\d+) passed in", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) == CASES.read_text().count("\nasync def test_") + 2 + 6 + 1
