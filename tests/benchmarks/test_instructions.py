"""That instructions are counted of requests alone, and counted the same again."""

from __future__ import annotations

import shutil

import pytest

from tests.benchmarks import instructions
from tests.benchmarks.instructions import SOURCE, instructions_in, measure, run, table
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.trees import HERE


@pytest.mark.full
@pytest.mark.timeout(180)
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind here")
def test_two_counts_differ_by_less_than_a_hundredth() -> None:
    first, again = (measure(HERE, SOURCE, batches=10) for _ in range(2))
    # Below are those of the frames alone, above is no request of 13 bytes.
    assert 50_000 < first < 1_000_000
    assert abs(again / first - 1) < 0.01


def test_the_sum_of_callgrinds_file_is_read() -> None:
    assert instructions_in("version: 1\nsummary: 86813818\n\ntotals: 86922008\n") == 86_813_818
    with pytest.raises(BenchmarkError, match="has no line 'summary'"):
        instructions_in("version: 1\n")


def test_figures_stand_beside_the_other_checkouts() -> None:
    found = table({"source": {"here": 261_810.4, "there": 200_000.0}})
    assert found.header == ["", "here", "there", "here/there"]
    assert found.rows == [["source", "261,810", "200,000", "1.3091"]]
    assert table({"compiled": {"here": 150_000.0}}).rows == [["compiled", "150,000"]]


def test_without_valgrind_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run([SOURCE]) == 0
    assert capsys.readouterr().out == (
        "instructions: skipped: there is no valgrind here (Debian's package valgrind)\n"
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["cython"], "'cython': there is no such kind, expected source or compiled"),
        (["--batches", "0"], "--batches: it is 0, expected 1 or more"),
    ],
)
def test_a_wrong_command_line_is_named(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        instructions.run(argv)
    assert said in capsys.readouterr().err
