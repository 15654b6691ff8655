"""What the benchmarks compute, without a run: /proc, pairs, goals, tables, options."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from mm_asgi.settings import TABLE
from tests.benchmarks import proc
from tests.benchmarks.apps import item, raw
from tests.benchmarks.cases import CASES, REQUESTS, Case, Options, Sample
from tests.benchmarks.command import QUICK, parse
from tests.benchmarks.figures import GOALS, Spread, judge, ratios, spread
from tests.benchmarks.processes import BUILT, COMPILED, ROOT, BenchmarkError, server_command
from tests.benchmarks.rounds import Result, run_case
from tests.benchmarks.tables import Table, case_table, goal_table
from tests.benchmarks.targets import SERVERS, WIRE, Target, all_targets

if TYPE_CHECKING:
    from collections.abc import Iterator

# ------------------------------------------------------------------------ proc


def test_stat_is_read_behind_a_name_with_brackets() -> None:
    text = "42 (a) b (c)) S 7 42 42 0 -1 4194304 101 5 6 8 11 13 17 19 20 0 1 0 140136"
    assert proc.parse_stat(text) == proc.Stat(parent=7, own=24, waited=36)


def test_status_is_given_in_mib() -> None:
    text = "Name:\tVmHWM\nVmHWM:\t    2048 kB\nVmRSS:\t 1536 kB\n"
    assert proc.parse_status(text, "VmHWM") == 2.0
    assert proc.parse_status(text, "VmRSS") == 1.5
    assert proc.parse_status("State:\tZ (zombie)\n", "VmRSS") == 0.0


def test_descendants_are_all_below() -> None:
    parents = {2: 1, 3: 2, 4: 3, 5: 1, 6: 4, 1: 0}
    assert proc.descendants(parents, 2) == [2, 3, 4, 6]
    assert proc.descendants(parents, 5) == [5]


BURN = """
import subprocess, sys, time
def burn():
    while time.process_time() < 0.15: pass
if sys.argv[1:]:
    child = subprocess.Popen([sys.executable, *sys.argv])
    print(child.pid, flush=True)
    burn(); child.wait(); room = bytearray(64 << 20); del room
    print('done', flush=True)
    sys.stdin.read()
else:
    burn()
"""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="no Linux /proc here"
)


@pytest.fixture
def burner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that uses 0.15 s itself, has a child that does, and held 64 MiB for a moment."""
    script = tmp_path / "burn.py"
    script.write_text(
        BURN.replace("[sys.executable, *sys.argv]", f"[sys.executable, {str(script)!r}]")
    )
    command = [sys.executable, str(script), "parent"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        yield process


@needs_proc
def test_a_process_counts_with_its_children(burner: subprocess.Popen[str]) -> None:
    assert burner.stdout is not None
    child = int(burner.stdout.readline())
    assert proc.tree(burner.pid) in ([burner.pid, child], [burner.pid])  # or it has ended already
    assert burner.stdout.readline() == "done\n"
    # The child has been waited for: its time is in whole ticks, rounded down twice.
    assert 0.3 - 2 / proc.TICKS <= proc.cpu_seconds(burner.pid) < 3
    assert proc.peak_rss_mib(burner.pid) > proc.rss_mib(burner.pid) + 32
    proc.reset_peak(burner.pid)
    assert proc.peak_rss_mib(burner.pid) < proc.rss_mib(burner.pid) + 32
    burner.communicate("")
    with pytest.raises(ProcessLookupError, match=f"process {burner.pid} has ended"):
        proc.cpu_seconds(burner.pid)


# --------------------------------------------------------------------- figures


def of(metric: str, *numbers: float) -> list[Sample]:
    return [{metric: number} for number in numbers]


def test_ratios_are_of_pairs_and_not_of_medians() -> None:
    ours, theirs = of("cpu", 10, 40, 30), of("cpu", 10, 20, 60)
    assert ratios(ours, theirs, "cpu") == [1.0, 2.0, 0.5]
    assert spread(ratios(ours, theirs, "cpu")) == Spread(1.0, 0.5, 2.0)
    assert ratios(ours, of("cpu", 10, 0, 60), "cpu") == [1.0, 0.5]
    with pytest.raises(ValueError, match="shorter"):
        ratios(ours, of("cpu", 1), "cpu")


def test_goals_are_judged_by_the_median_of_the_pairs() -> None:
    samples = {
        "native": [
            {"cpu": 8.0, "rate": 99.0},
            {"cpu": 9.0, "rate": 100.0},
            {"cpu": 30.0, "rate": 50.0},
        ],
        "uvicorn": [{"cpu": 10.0, "rate": 100.0}] * 3,
    }
    verdicts = {v.goal.metric: v for v in judge("native", "json", samples)}
    assert verdicts["cpu"].found == Spread(0.9, 0.8, 3.0)
    assert (verdicts["cpu"].met, verdicts["rate"].met) == (True, False)
    # Without the other side, or as the other side, there is nothing to judge.
    assert judge("native", "json", {"native": samples["native"]}) == []
    assert judge("grpcio", "json", samples) == []
    assert {v.goal.over for v in judge("grpcio", "hello", {"grpcio": samples["native"], **samples})} == {"uvicorn"}  # fmt: skip


def test_goals_without_an_other_side_are_of_the_figure_itself() -> None:
    samples = {"native": [{"start": 150.0, "rss": 41.0}]}
    assert [verdict.met for verdict in judge("native", "start", samples)] == [True, False]


def test_every_goal_is_of_a_figure_that_is_measured() -> None:
    metrics = {(case.name, metric.key) for case in CASES for metric in case.metrics}
    assert {(goal.case, goal.metric) for goal in GOALS} <= metrics
    names = {target.name for target in all_targets()} | {""}
    assert {goal.over for goal in GOALS} <= names
    assert {goal.sense for goal in GOALS} == {"<=", ">="}


# ---------------------------------------------------------------------- rounds


async def test_targets_take_turns_and_a_broken_one_is_left_out() -> None:
    turns: list[str] = []

    async def measure(target: Target, app: str) -> Sample:
        turns.append(target.name)
        if target.name == "b" and turns.count("b") == 3:
            raise BenchmarkError("it fell over")
        return {"rate": float(turns.count(target.name))}

    case = Case("case", "title", "app", (WIRE,), REQUESTS[:1], measure_start=measure)
    targets = [Target("a", WIRE), Target("b", WIRE), Target("c", WIRE), Target("d", "other")]
    said: list[str] = []
    result = await run_case(case, targets, Options(rounds=3), said.append)
    assert "".join(turns) == "abcabcabcac"
    # The first turn was to warm up.
    assert result.samples == {
        name: [{"errors": 0, "rate": float(n)} for n in (2, 3, 4)] for name in "ac"
    }
    assert result.failed == {"b": "BenchmarkError: it fell over"}
    assert said[0] == "case: warm-up, a"
    assert said[-1] == "case: round 3, c"


# ---------------------------------------------------------------------- tables


def test_a_table_is_aligned() -> None:
    table = Table("title", ["", "req/s"], [["a", "1"], ["long", "22,222"]], ["a note"])
    assert table.render(markdown=False).splitlines() == [
        "title", "         req/s", "  a          1", "  long  22,222", "  a note",
    ]  # fmt: skip
    assert table.render(markdown=True).splitlines() == [
        "**title**", "", "|      |  req/s |", "| ---- | -----: |", "| a    |      1 |",
        "| long | 22,222 |", "", "a note",
    ]  # fmt: skip


def hello_result() -> Result:
    case = next(case for case in CASES if case.name == "hello")
    one = {"rate": 2000.0, "p50": 1.0, "p99": 2.0, "cpu": 20.0, "peak": 30.0, "errors": 0.0}
    samples = {"native": [one, {**one, "cpu": 10.0}], "uvicorn": [one, {**one, "errors": 2.0}]}
    return Result(case, Options(rounds=2), samples, {"granian": "OSError: no\n  more"})


def test_a_case_shows_medians_ratios_and_what_went_wrong() -> None:
    table = case_table(hello_result(), "native")
    assert table.title == "hello: raw ASGI hello, 32 connections; 2 rounds"
    assert table.rows[0] == ["native", "2,000", "1.000", "2.000", "15.0", "30.0"]
    assert table.rows[2] == ["native/uvicorn", "1.00", "1.00", "1.00", "0.75", "1.00"]
    assert table.notes == [
        "uvicorn: 2 errors, which count in no figure", "granian: not measured: OSError: no more",
    ]  # fmt: skip


def test_goals_are_shown_beside_what_was_found() -> None:
    table = goal_table([hello_result()], "native")
    assert table.rows == [
        ["hello: CPU us/req, native/uvicorn", "<= 0.9", "0.75", "0.50 - 1.00", "met"],
        ["hello: req/s, native/uvicorn", ">= 1", "1.00", "1.00 - 1.00", "met"],
    ]
    assert (table.title, table.notes) == ("goals of the native wire", ["2 of 2 met"])
    assert goal_table([], "grpcio").title == "goals of the native wire, with grpcio in its place"


# --------------------------------------------------------------------- options


def test_targets_are_the_settings_wires_and_the_others() -> None:
    wires = next(row.choices for row in TABLE if row.name == "wire")
    targets = all_targets()
    assert {target.name for target in targets if target.kind == WIRE} == {*BUILT, *wires}
    assert [target.name for target in targets][-4:] == ["bare", "go", *SERVERS]
    assert parse([]).subject == COMPILED
    assert parse(["--targets", "native,uvicorn"]).subject == "native"
    assert parse(["--targets", "uvicorn,granian"]).subject == "uvicorn"


def test_options_choose_cases_and_sizes() -> None:
    plan = parse(["--only", "hello,up", "--quick", "--rounds", "7", "--targets", "bare"])
    assert [case.name for case in plan.cases] == ["hello", "hello-1", "up"]
    assert [target.name for target in plan.targets] == ["bare"]
    assert plan.options == replace(QUICK, rounds=7)
    assert parse([]).options == Options()
    assert len(parse([]).cases) == len(CASES)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--only", "helo"], "'helo': there is no such name, expected some of hello, json"),
        (["--targets", "gunicorn"], "'gunicorn': there is no such name"),
        (["--rounds", "0"], "--rounds: it is 0, expected 1 or more"),
        (["--size", "4"], "--size: it is 4, expected 8 or more"),
        (["--seconds", "0.01"], "--seconds: it is 0.01, expected 0.1 or more"),
    ],
)
def test_wrong_options_are_named(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(argv)
    assert said in capsys.readouterr().err


def test_the_docs_tell_how_the_servers_are_started() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    for server in SERVERS:
        flags = server_command(server, "app", Path("s"))[3:-2]
        assert [flag for flag in flags if flag not in page] == []


# ------------------------------------------------------------------------ apps


async def test_the_apps_answer_what_the_loads_expect() -> None:
    transport = httpx.ASGITransport(cast("Any", raw.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://host/plugins/x") as client:
        hello = await client.get("/hello")
        assert (hello.status_code, hello.content) == (200, raw.HELLO)
        up = await client.post("/up", content=b"x" * 100_000)
        assert (up.status_code, up.text) == (200, "100000")
        short = await client.post("/up", content=b"x", headers={"content-length": "2"})
        assert (short.status_code, short.text) == (500, "1")
        down = await client.get("/down", params={"bytes": 2 * len(raw.CHUNK) + 5})
        assert len(down.content) == 2 * len(raw.CHUNK) + 5
        assert down.headers["content-length"] == str(len(down.content))
        events = await client.get("/events", params={"count": 1})
        assert len(events.content) == raw.EVENT_SIZE
        assert events.headers["content-type"] == "text/event-stream"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(item.app), base_url="http://host"
    ) as client:
        assert (await client.get("/item")).json()["name"] == "teapot"
