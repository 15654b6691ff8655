"""The command line: what to run, and where the figures go."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import shlex
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import compiled
from tests.benchmarks import instructions, pairs, walk
from tests.benchmarks.amounts import (
    add_amounts,
    amounts,
    pick,
    progress,
    raise_file_limit,
    write,
)
from tests.benchmarks.cases import CASES, Case, Options
from tests.benchmarks.figures import judge
from tests.benchmarks.processes import BUILT
from tests.benchmarks.rounds import Result, run_case
from tests.benchmarks.tables import case_table, goal_table
from tests.benchmarks.targets import WIRE, Target, all_targets, versions
from tests.go_host import build, go_missing_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

QUICK = Options(rounds=2, long_rounds=1, seconds=0.4, size=256, events=2)
OTHERS = {"instructions": instructions.run, "pairs": pairs.run, "walk": walk.run}
"""Commands of their own, by their first word."""


@dataclass(frozen=True)
class Plan:
    """A run: which cases on which targets, how much of each, what becomes of the figures."""

    cases: tuple[Case, ...]
    targets: tuple[Target, ...]
    options: Options
    markdown: bool
    json: Path | None

    @property
    def subject(self) -> str:
        """The wire that the ratios are of: the first one, which is the native one, compiled."""
        wires = [target.name for target in self.targets if target.kind == WIRE]
        return wires[0] if wires else self.targets[0].name


def run(argv: list[str]) -> int:
    """Run the benchmarks; the exit code is 1 when a target could not be measured."""
    if argv and argv[0] in OTHERS:
        return OTHERS[argv[0]](argv[1:])
    plan = parse(argv)
    if not Path("/proc/self/stat").exists():
        sys.exit("benchmarks: CPU and memory are read from Linux's /proc, which is not here")
    if reason := go_missing_reason():
        sys.exit(f"benchmarks: the host is in Go; {reason}")
    raise_file_limit()
    build()
    plan = compile_or_leave_out(plan)
    head = facts(argv)
    results = asyncio.run(measure(plan))
    if plan.json is not None:
        plan.json.write_text(json.dumps(as_json(plan, results, head), indent=1) + "\n")
    write(report(plan, results, head))
    return 1 if any(result.failed for result in results) else 0


def compile_or_leave_out(plan: Plan) -> Plan:
    """Where nothing can be compiled, the rest is measured all the same."""
    if not any(target.name in BUILT for target in plan.targets):
        return plan
    progress("compiling mm_asgi")
    try:
        compiled.build()
    except compiled.CompileError as error:
        write(f"without the targets {', '.join(BUILT)}: {error}\n")
        rest = tuple(target for target in plan.targets if target.name not in BUILT)
        return replace(plan, targets=rest)
    return plan


async def measure(plan: Plan) -> list[Result]:
    results = []
    for case in plan.cases:
        results.append(await run_case(case, plan.targets, plan.options, progress))
        if not plan.markdown:
            write(case_table(results[-1], plan.subject).render(markdown=False) + "\n")
    return results


def report(plan: Plan, results: Sequence[Result], head: dict[str, str]) -> str:
    """What follows the cases' tables in a terminal; in Markdown these too."""
    goals = goal_table(results, plan.subject)
    tables = [case_table(result, plan.subject) for result in results] if plan.markdown else []
    if goals.rows:
        tables.append(goals)
    bullet = "- " if plan.markdown else ""
    lines = "\n".join(f"{bullet}{name}: {text}" for name, text in head.items())
    parts = [table.render(markdown=plan.markdown) for table in tables]
    return "\n\n".join([lines, *parts] if plan.markdown else [*parts, lines])


def facts(argv: Sequence[str]) -> dict[str, str]:
    """What a reader has to know to judge the figures, or to get his own."""
    found = versions()
    return {
        "command": shlex.join(["python", "-m", "tests.benchmarks", *argv]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.system()}",
        "versions": ", ".join(f"{name} {version}" for name, version in found.items()),
    }


def as_json(plan: Plan, results: Sequence[Result], head: dict[str, str]) -> dict[str, Any]:
    return {
        **head,
        "options": asdict(plan.options),
        "subject": plan.subject,
        "cases": {
            result.case.name: {"samples": result.samples, "failed": result.failed}
            for result in results
        },
        "goals": [
            {**asdict(verdict.goal), **asdict(verdict.found), "met": verdict.met}
            for result in results
            for verdict in judge(plan.subject, result.case.name, result.samples)
        ],
    }


def parse(argv: list[str]) -> Plan:
    targets = all_targets()
    groups = list(dict.fromkeys(case.group for case in CASES))
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="What a plugin costs on each wire, beside HTTP servers behind a ReverseProxy.",
    )
    parser.add_argument("--only", metavar="CASE,...", help=f"of {', '.join(groups)}")
    parser.add_argument(
        "--targets", metavar="NAME,...", help=f"of {', '.join(target.name for target in targets)}"
    )
    parser.add_argument("--quick", action="store_true", help="under a minute, and rough")
    add_amounts(parser, Options())
    parser.add_argument("--markdown", action="store_true", help="print Markdown at the end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures")
    given = parser.parse_args(argv)

    options = amounts(parser, given, QUICK if given.quick else Options())
    return Plan(
        cases=tuple(case for case in CASES if case.group in pick(parser, given.only, groups)),
        targets=tuple(
            target
            for target in targets
            if target.name in pick(parser, given.targets, [target.name for target in targets])
        ),
        options=options,
        markdown=given.markdown,
        json=given.json,
    )
