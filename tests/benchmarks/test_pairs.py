"""That two checkouts are measured in turns, and that their ratios are of pairs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.cases import CASES, Options, Sample
from tests.benchmarks.pairs import OPTIONS, parse, summary
from tests.benchmarks.processes import ROOT, BenchmarkError
from tests.benchmarks.rounds import Result
from tests.benchmarks.trees import Tree, checkout
from tests.go_host import go_missing_reason


@pytest.mark.full
@pytest.mark.timeout(120)
@pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason()))
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no Linux /proc here")
def test_a_tree_is_measured_beside_another(tmp_path: Path) -> None:
    (tmp_path / "mm_asgi").symlink_to(ROOT / "mm_asgi")
    flags = ["--against", str(tmp_path), "--only", "hello,up", "--rounds", "2", "--seconds", "0.3"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "pairs", *flags, "--long-rounds=1", "--size=16"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello: raw ASGI hello, 32 connections; 2 rounds" in done.stdout
    table = done.stdout.partition("here over there, from the source")[2].splitlines()
    names = [line.partition(":")[0].strip() for line in table if ":" in line]
    assert names == ["hello"] * 5 + ["hello-1"] * 5 + ["up"] * 3


def test_a_ratio_is_of_the_two_of_a_round() -> None:
    case = next(case for case in CASES if case.name == "up")

    def of(*rates: float) -> list[Sample]:
        return [{"rate": rate, "cpu": 1.0, "peak": 30.0, "errors": 0.0} for rate in rates]

    samples = {"here": of(10, 40, 30), "there": of(10, 20, 60)}
    found = summary([Result(case, Options(), samples)], "compiled")
    assert found.title == "here over there, compiled"
    assert found.rows[0] == ["up: MiB/s", "1.000", "0.50 - 2.00"]
    assert len(found.rows) == 3
    assert summary([Result(case, Options(), {"here": of(1)})], "compiled").rows == []


def test_the_usual_pairs_are_ten_of_five_cases() -> None:
    given = parse(["--against", "x"])
    assert given.only == ["hello", "json", "up", "down", "sse"]
    assert given.options == OPTIONS
    assert OPTIONS.rounds == OPTIONS.long_rounds == 10
    assert parse(["--against", "x", "--only", "hook", "--size", "64"]).options.size == 64


def test_another_checkouts_tests_stay_out_of_the_way(tmp_path: Path) -> None:
    (tmp_path / "mm_asgi").mkdir()
    (tmp_path / "mm_asgi" / "__init__.py").write_text("PLACE = 'there'\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").write_text("raise ImportError\n")
    with checkout(str(tmp_path)).python_path() as path:
        code = "import mm_asgi, tests.benchmarks as b; print(mm_asgi.PLACE, b.__file__)"
        said = subprocess.check_output(
            [sys.executable, "-P", "-c", code], env={"PYTHONPATH": path}, text=True
        )
    assert said.split() == ["there", str(ROOT / "tests" / "benchmarks" / "__init__.py")]
    with pytest.raises(BenchmarkError, match="holds no mm_asgi, expected a checkout of it"):
        checkout(str(tmp_path / "tests"))
    with Tree("here", ROOT).python_path() as path:
        assert path == str(ROOT)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "the following arguments are required: --against"),
        (["--against", "x", "--only", "start"], "'start': there is no such name, expected some"),
        (["--against", "x", "--rounds", "0"], "--rounds: it is 0, expected 1 or more"),
    ],
)
def test_a_wrong_command_line_is_named(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(argv)
    assert said in capsys.readouterr().err
