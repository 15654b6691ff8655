"""``python -m tests.benchmarks instructions``: what a request costs in instructions, by callgrind.

Seconds of a shared machine move by a tenth from run to run; instructions do not, so that a change of
one percent shows. One process serves N requests and then 2 N; the difference of the two counts, over
N, is a request's. What both have in common cancels: the dump, the first use of something, a timer.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.benchmarks import direct
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.tables import Table
from tests.benchmarks.trees import HERE, Tree, checkout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["NoValgrindError", "measure", "run"]

TOGETHER = 32
"""Requests whose frames come in one write, as with 32 connections of a busy host."""
WARM = 20
"""Batches before the first that counts."""
BATCHES = 20
"""Batches of a first count; the second one is of twice as many."""
PAIRS = 3
"""Pairs of counts, of which the middle difference is taken: a timer may fall into one."""
VGDB_LIMIT = 60.0  # s
SOURCE, COMPILED = "source", "compiled"
APP = "tests.benchmarks.apps.raw:app"
START = "import sys, mm_asgi; mm_asgi.run(sys.argv[1])"


class NoValgrindError(BenchmarkError):
    """There is no valgrind on this machine."""


@dataclass(frozen=True)
class Callgrind:
    """The callgrind of one process, which is asked by ``vgdb``.

    Attributes:
        folder: where the counts and valgrind's pipes are.
        pid: the process.
    """

    folder: Path
    pid: int

    def ask(self, *words: str) -> None:
        """Send callgrind one of its monitor commands.

        Raises:
            BenchmarkError: ``vgdb`` did not reach it.
        """
        command = ["vgdb", f"--vgdb-prefix={self.folder / 'vgdb'}", f"--pid={self.pid}", *words]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=VGDB_LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"vgdb {' '.join(words)}: no answer in {VGDB_LIMIT:g} s") from None
        if done.returncode:
            raise BenchmarkError(f"vgdb {' '.join(words)} failed: {done.stderr.strip()}")

    def dump(self, number: int) -> int:
        """Return the instructions since ``zero``, as the ``number``-th dump of the process."""
        self.ask("dump")
        return instructions_in((self.folder / f"counts.{number}").read_text())


def instructions_in(text: str) -> int:
    """Read the sum of a callgrind file.

    Raises:
        BenchmarkError: it has none.
    """
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "summary":
            return int(value)
    raise BenchmarkError("callgrind's file has no line 'summary'; expected one with a number")


def measure(tree: Tree, kind: str, batches: int = BATCHES) -> float:
    """Return the instructions of one hello request, GET of 13 bytes.

    Args:
        tree: whose package is measured.
        kind: SOURCE or COMPILED.
        batches: how many times TOGETHER requests the first count is of.

    Raises:
        NoValgrindError: it is not installed.
        BenchmarkError: the process did not start or answer, or could not be compiled.
    """
    if shutil.which("valgrind") is None or shutil.which("vgdb") is None:
        raise NoValgrindError("there is no valgrind here (Debian's package valgrind)")
    message = direct.request("GET", "/hello")
    with (
        tree.python_path(compiled_too=kind == COMPILED) as path,
        _counted(path) as (plugin, counter),
    ):

        def serve(count: int) -> None:
            for _ in range(count):
                plugin.batch("ServeHTTP", message, TOGETHER)

        serve(WARM)
        counter.ask("instrumentation", "on")
        serve(WARM)  # what callgrind translates only now
        differences = []
        for pair in range(PAIRS):
            counts = []
            for times in (1, 2):
                counter.ask("zero")
                serve(times * batches)
                counts.append(counter.dump(2 * pair + times))
            differences.append(counts[1] - counts[0])
        return median(differences) / (batches * TOGETHER)


@contextlib.contextmanager
def _counted(path: str) -> Iterator[tuple[direct.DirectPlugin, Callgrind]]:
    with tempfile.TemporaryDirectory(prefix="counts-") as name:
        folder = Path(name)
        command = [
            "valgrind", "--tool=callgrind", "--instr-atstart=no", "--combine-dumps=no",
            f"--callgrind-out-file={folder / 'counts'}", f"--vgdb-prefix={folder / 'vgdb'}",
            sys.executable, "-P", "-c", START, APP,
        ]  # fmt: skip
        # Under callgrind the loop looks blocked, and a warning with its stack costs as 10 requests.
        quiet = {"MM_ASGI_BLOCKED_WARN": "0", "MM_ASGI_BLOCKED_KILL": "0"}
        environ = {"PYTHONPATH": path, "MM_ASGI_LOOP": "uvloop", **quiet}
        with direct.started(command, environ) as plugin:
            yield plugin, Callgrind(folder, plugin.pid)


def run(argv: list[str]) -> int:
    """Count what the command line says, and print the figures; return the exit code."""
    given = parse(argv)
    try:
        trees = [HERE] if given.against is None else [HERE, checkout(given.against)]
        for kind in given.kinds or (SOURCE, COMPILED):
            found = {tree.name: measure(tree, kind, given.batches) for tree in trees}
            # At once: what fails later takes nothing along.
            sys.stdout.write(table({kind: found}).render(markdown=False) + "\n")
            sys.stdout.flush()
    except NoValgrindError as error:
        sys.stdout.write(f"instructions: skipped: {error}\n")
    except BenchmarkError as error:
        sys.exit(f"instructions: {error}")
    return 0


def table(found: Mapping[str, Mapping[str, float]]) -> Table:
    """Return a row a kind: the instructions of each tree, and here over there."""
    rows = []
    for kind, by_tree in found.items():
        figures = [f"{value:,.0f}" for value in by_tree.values()]
        if "there" in by_tree:
            figures.append(f"{by_tree['here'] / by_tree['there']:.4f}")
        rows.append([kind, *figures])
    names: Sequence[str] = list(next(iter(found.values()), {}))
    header = ["", *names, *(["here/there"] if "there" in names else [])]
    return Table(f"instructions of one hello request, {TOGETHER} together", header, rows)


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks instructions",
        description="Count the instructions of a hello request with callgrind.",
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="source or compiled; default both")
    parser.add_argument("--against", metavar="CHECKOUT", help="count another checkout too")
    parser.add_argument(
        "--batches",
        type=int,
        default=BATCHES,
        help=f"of {TOGETHER} requests, in the first count; default {BATCHES}",
    )
    given = parser.parse_args(argv)
    for kind in given.kinds:
        if kind not in (SOURCE, COMPILED):
            parser.error(f"{kind!r}: there is no such kind, expected {SOURCE} or {COMPILED}")
    if given.batches < 1:
        parser.error(f"--batches: it is {given.batches}, expected 1 or more")
    return given
