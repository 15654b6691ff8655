"""The benchmarks for real, as short as they can be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.processes import BUILT, ROOT
from tests.benchmarks.targets import all_targets
from tests.go_host import go_missing_reason

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason())),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no Linux /proc here"),
]


def test_a_quick_run_has_figures_of_every_target(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    names = [target.name for target in all_targets() if target.name not in BUILT]
    flags = [
        "--quick",
        "--targets",
        ",".join(names),
        "--only",
        "hello",
        "--markdown",
        "--json",
        str(file),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    assert list(found["cases"]) == ["hello", "hello-1"]
    for case in found["cases"].values():
        assert case["failed"] == {}
        assert list(case["samples"]) == names
        for samples in case["samples"].values():
            assert len(samples) == 2
            for sample in samples:
                assert sample.pop("errors") == 0
                assert set(sample) == {"rate", "p50", "p99", "cpu", "peak"}
                # Nothing here takes less than a microsecond, or a second.
                assert 1 < sample["cpu"] < 1e6
                assert 0.01 < sample["p50"] <= sample["p99"] < 1000
                assert sample["rate"] > 1
                assert sample["peak"] > 5
    assert {goal["case"] for goal in found["goals"]} == {"hello", "hello-1"}
    assert "**hello: raw ASGI hello, 32 connections; 2 rounds**" in done.stdout
    assert all(f"\n| {name} " in done.stdout for name in names)
