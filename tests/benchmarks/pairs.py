"""``python -m tests.benchmarks pairs --against CHECKOUT``: this tree's speed beside another's.

Both run at the same time behind a Go host each and take turns, here and there, round after round.
A ratio is of the two measurements of one round, so that what the machine does otherwise hits both
sides; the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from tests.benchmarks.amounts import add_amounts, amounts, pick, progress, raise_file_limit, write
from tests.benchmarks.cases import CASES, Case, Options
from tests.benchmarks.figures import ratios, spread
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.rounds import Result, run_case
from tests.benchmarks.tables import Table, case_table
from tests.benchmarks.targets import WIRE, Target
from tests.benchmarks.trees import HERE, checkout
from tests.go_host import build, go_missing_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PAIRED", "parse", "run", "summary"]

PAIRED = tuple(case for case in CASES if case.measure is not None)
"""The cases whose targets run side by side; start and api make a process for each round."""
USUAL = ("hello", "json", "up", "down", "sse")
OPTIONS = Options(rounds=10, long_rounds=10, size=256, events=3)


def run(argv: list[str]) -> int:
    """Measure both trees and print the ratios; return 1 when a side could not be measured."""
    given = parse(argv)
    if reason := go_missing_reason():
        sys.exit(f"pairs: the host is in Go; {reason}")
    raise_file_limit()
    build()
    cases = [case for case in PAIRED if case.group in given.only]
    try:
        trees = (HERE, checkout(given.against))
        with contextlib.ExitStack() as stack:
            targets = [
                Target(
                    tree.name,
                    WIRE,
                    stack.enter_context(tree.python_path(compiled_too=given.compiled)),
                )
                for tree in trees
            ]
            results = asyncio.run(_measure(cases, targets, given.options))
    except BenchmarkError as error:
        sys.exit(f"pairs: {error}")
    kind = "compiled" if given.compiled else "from the source"
    write(summary(results, kind).render(markdown=False))
    write(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    return 1 if any(result.failed for result in results) else 0


async def _measure(
    cases: Sequence[Case], targets: Sequence[Target], options: Options
) -> list[Result]:
    results = []
    for case in cases:
        results.append(await run_case(case, targets, options, progress))
        write(case_table(results[-1], HERE.name).render(markdown=False) + "\n")
    return results


def summary(results: Sequence[Result], kind: str) -> Table:
    """Return a row a figure: here over there, the median of the pairs and the two ends."""
    rows = []
    for result in results:
        here, there = (result.samples.get(name, []) for name in ("here", "there"))
        for metric in result.case.metrics:
            found = ratios(here, there, metric.key) if here and there else []
            if found:
                middle = spread(found)
                ends = f"{middle.low:.2f} - {middle.high:.2f}"
                rows.append([f"{result.case.name}: {metric.title}", f"{middle.median:.3f}", ends])
    return Table(f"here over there, {kind}", ["", "median", "pairs"], rows)


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    groups = list(dict.fromkeys(case.group for case in PAIRED))
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks pairs",
        description="Measure this tree and another checkout in turns.",
    )
    parser.add_argument("--against", metavar="CHECKOUT", required=True)
    parser.add_argument(
        "--only",
        metavar="CASE,...",
        default=",".join(USUAL),
        help=f"of {', '.join(groups)}; default {','.join(USUAL)}",
    )
    parser.add_argument("--compiled", action="store_true", help="both sides as a wheel has them")
    add_amounts(parser, OPTIONS)
    given = parser.parse_args(argv)
    given.only = pick(parser, given.only, groups)
    given.options = amounts(parser, given, OPTIONS)
    return given
