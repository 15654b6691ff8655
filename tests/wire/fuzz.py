"""``python -m tests.wire.fuzz [--seconds N] [--seed S]``: bytes that nobody expects.

Random programs for the native wire (http2/grammar.py), against its connection in both roles and
against the server's transport with RPC handlers (http2/victims.py has what may never happen). The
seed of each run is the first one plus its number, so a finding is found again by ``--seed`` with
the number that is printed; below it stands the program, made as short as it goes, to be pasted into
tests/wire/http2/test_fuzz.py. Exit code 1 after a finding.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import pprint
import random
import signal
import sys
import time
import traceback
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.wire.http2 import grammar
from tests.wire.http2.victims import FuzzLoop, Wrong, replay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tests.wire.http2.grammar import Program

__all__ = ["Report", "fuzz"]

ROLES = ("server", "client", "transport", "transport")
HANG = 10.0  # seconds of one run: they take milliseconds
# CPU seconds that a run may cost: what it takes at rest, and for each byte. Ten times what is
# usual, so that only what grows faster than its input is found.
FIXED, PER_BYTE, PER_STEP = 1.0, 20e-6, 2e-3
# Every so many runs one is looked at for its memory: what Python's objects take at the most, and
# what more is there after it was run again and again.
SAMPLE, AGAIN = 200, 20
PEAK, GROWTH = 30_000_000, 50_000  # bytes


@dataclass
class Report:
    """What a fuzzing came to.

    Attributes:
        runs: how many programs were run.
        octets: bytes that they fed.
        looks: how many were looked at for their memory.
        peak: the most bytes that one of them took.
        finding: what went wrong, or None; then the run's seed, its role and the program.
    """

    runs: int = 0
    octets: int = 0
    looks: int = 0
    peak: int = 0
    finding: BaseException | None = None
    seed: int = 0
    role: str = ""
    program: Program = field(default_factory=list)


def fuzz(seconds: float, seed: int, *, memory: bool = True) -> Report:
    """Run programs for so long, or to the first finding; ``memory``: with looks at theirs."""
    report = Report()
    logger = logging.getLogger("mm_asgi.wire")
    logger.propagate = False  # what the peers do wrong fills no screen
    silent = logging.NullHandler()
    logger.addHandler(silent)
    before = signal.signal(signal.SIGALRM, _hangs)
    loop = FuzzLoop()
    try:
        end = time.monotonic() + seconds
        while report.finding is None and time.monotonic() < end:
            _one(loop, report, seed + report.runs, memory=memory)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        loop.close()
        logger.removeHandler(silent)
        logger.propagate = True
    return report


def _hangs(number: int, frame: FrameType | None) -> None:
    raise Wrong(f"no end after {HANG:g} s")


def _one(loop: FuzzLoop, report: Report, seed: int, *, memory: bool) -> None:
    role = random.Random(seed).choice(ROLES)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    program = grammar.program(seed, client=role == "client")
    report.finding = _try(loop, role, program)
    report.runs += 1
    report.octets += octets(program)
    if memory and report.finding is None and report.runs % SAMPLE == 0:
        report.finding = _look_at_memory(loop, report, role, program)
    if report.finding is not None:
        sys.stdout.write(f"finding in seed {seed}: {report.finding!r}; it is made short\n")
        sys.stdout.flush()
        report.seed, report.role = seed, role
        report.program = shortest(loop, role, program, report.finding)


def _look_at_memory(
    loop: FuzzLoop, report: Report, role: str, program: Program
) -> BaseException | None:
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(AGAIN):
                if (finding := _try(loop, role, program, slow=10.0)) is not None:
                    return finding
            gc.collect()
            size, peak = tracemalloc.get_traced_memory()
            sizes.append(size)
    finally:
        tracemalloc.stop()
    report.looks += 1
    report.peak = max(report.peak, peak)
    if peak > PEAK:
        return Wrong(f"a run took {peak} bytes")
    if sizes[1] - sizes[0] > GROWTH:
        return Wrong(f"{AGAIN} runs left {sizes[1] - sizes[0]} bytes")
    return None


def octets(program: Program) -> int:
    """The bytes that a program feeds."""
    return sum(len(step[1]) for step in program if step[0] == "read")


def _try(loop: FuzzLoop, role: str, program: Program, *, slow: float = 1.0) -> BaseException | None:
    begun = time.process_time()
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        loop.run_until_complete(replay(role, program))
    except Exception as error:  # noqa: BLE001  whatever comes out is the finding
        return error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for task in asyncio.all_tasks(loop):
            task.cancel()
    spent = time.process_time() - begun
    if spent > slow * (FIXED + PER_BYTE * octets(program) + PER_STEP * len(program)):
        return Wrong(f"{spent:.1f} s for {octets(program)} bytes in {len(program)} steps")
    return None


def shortest(
    loop: FuzzLoop, role: str, program: Program, finding: BaseException, seconds: float = 60.0
) -> Program:
    """The program without the steps that the same finding does not need, as far as time lets."""
    size = len(program) // 2
    end = time.monotonic() + seconds
    while size and time.monotonic() < end:
        for shorter in list(_without(program, size)):
            if time.monotonic() >= end:
                break
            again = _try(loop, role, shorter)
            if type(again) is type(finding) and str(again)[:20] == str(finding)[:20]:
                program = shorter
                break
        else:
            size //= 2
        size = min(size, len(program) // 2 or len(program) - 1)
    return program


def _without(program: Program, size: int) -> Iterator[Program]:
    for start in range(0, len(program), size):
        yield program[:start] + program[start + size :]


def main(arguments: list[str]) -> int:
    """Fuzz and say what came of it; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire.fuzz", description="Fuzz the wire.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, help="the first run's seed (default: any)")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    report = fuzz(options.seconds, seed)
    write = sys.stdout.write
    write(
        f"{report.runs:,} runs from seed {seed}, {report.octets:,} bytes fed;"
        f" the most memory of {report.looks} runs: {report.peak:,} bytes\n"
    )
    if report.finding is None:
        return 0
    write(f"finding in seed {report.seed}:\n")
    traceback.print_exception(report.finding, file=sys.stdout)
    write(f"role {report.role!r}, program:\n{pprint.pformat(report.program, width=96)}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
