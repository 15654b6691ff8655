"""``python -m tests.mutants``: plant each fault of every_fault.py in a copy of the tree, run the tests
that have to catch it, print the score. The exit code is 1 when a fault lives.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutants.caught_before import CaughtBefore, Fingerprints
from tests.mutants.every_fault import EVERY_FAULT
from tests.mutants.planted_tree import ROOT, PlantedTree, why_not_planted
from tests.mutants.trial import CAUGHT, Trial, TriedFault, shards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.mutants.fault import Fault

STATE = Path(".cache", "mutants.json")
"""Below the tree: what was caught before."""


def main(argv: list[str]) -> int:
    """Try the faults that the command line names; return the exit code."""
    given = parse(argv)
    chosen = [
        fault
        for fault in EVERY_FAULT
        if not given.names or any(name in fault.name for name in given.names)
    ]
    planted = [fault for fault in chosen if is_planted(fault)]
    if given.check:
        write(f"mutants: {len(planted)} of {len(chosen)} find their text")
        return 0 if chosen and planted == chosen else 1
    begun = time.monotonic()
    living = try_all(planted, jobs=given.jobs, resume=given.resume)
    living += [fault for fault in chosen if fault not in planted]
    for fault in living:
        write(f"lives: {fault.name}")
    score = f"{len(chosen) - len(living)} of {len(chosen)} caught"
    write(f"mutants: {score}, {time.monotonic() - begun:.0f} s, {given.jobs} at a time")
    return 1 if living or not chosen else 0


def is_planted(fault: Fault) -> bool:
    """Whether a fault finds its text once and its tests; say why not."""
    why = why_not_planted(fault, ROOT)
    if why is not None:
        write(f"not planted  {fault.name}: {why}")
    return why is None


def try_all(faults: Sequence[Fault], *, jobs: int, resume: bool) -> list[Fault]:
    """Try faults and say of each what became of it; return those that live."""
    before = CaughtBefore(ROOT / STATE)
    living: list[Fault] = []
    with tempfile.TemporaryDirectory(prefix="mm-asgi-mutant-") as folder:
        # One copy that all workers copy: the working tree may change during the run.
        source = PlantedTree(Path(folder), ROOT).root
        prints = Fingerprints(source)
        todo = [fault for fault in faults if not (resume and prints.of(fault) in before)]
        if len(todo) < len(faults):
            write(f"{len(faults) - len(todo)} were caught before, by what has not changed since")

        def tell(tried: TriedFault) -> None:
            if tried.verdict == CAUGHT:
                before.add(prints.of(tried.fault))
            else:
                living.append(tried.fault)
            if tried.tail:
                write(f"{tried.fault.name}: {tried.tail}")
            word = "caught" if tried.verdict == CAUGHT else "LIVES"
            write(f"{word:7} {tried.seconds:5.1f} s  {tried.fault.name}")

        Trial(source, tell).run(shards(todo), jobs)
    return living


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description="Plant faults, and see that the tests see them."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults with this in their name")
    jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument(
        "--jobs", type=int, metavar="N", default=jobs, help=f"so many at a time; default {jobs}"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="leave out what was caught before, if neither its file nor its tests have changed",
    )
    parser.add_argument(
        "--check", action="store_true", help="only look whether each fault finds its text"
    )
    given = parser.parse_args(argv)
    if given.jobs < 1:
        parser.error(f"--jobs: it is {given.jobs}, expected 1 or more")
    return given


def write(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Asked to end, it ends its tests and removes its trees. A shell's job ignores SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
