"""Faults on trial: the list cut into shards, and workers that try a shard each on a tree of its own.

A shard's faults have the same tests. Its worker first runs these once without a fault, since a test
that fails anyway catches nothing, and then once for each fault.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from tests.mutants.planted_tree import PlantedTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tests.mutants.fault import Fault

__all__ = ["CAUGHT", "TriedFault", "Shard", "Trial", "shards"]

LARGEST = 8
"""Faults of a shard at most: the last one should not keep a single worker busy for long."""
HANG = 15.0
"""Seconds after which a single test counts as one that a fault makes hang, on an idle machine."""
LIMIT = 180.0
"""Seconds of all tests of a fault."""
SOUND_HANG, SOUND_LIMIT = 300.0, 1800.0
"""The same without a fault: a machine that is busy makes tests slow, and says how slow."""
PASSED, CAUGHT, BROKEN = "passed", "caught", "broken"
TAIL = 15  # lines


@dataclass(frozen=True)
class Shard:
    """Faults with the same tests."""

    faults: tuple[Fault, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Where their tests are."""
        return self.faults[0].paths

    @property
    def only(self) -> str:
        """What selects the tests of all of them, as pytest's ``-k``; empty: all tests."""
        words = list(dict.fromkeys(fault.only for fault in self.faults))
        return "" if "" in words else " or ".join(f"({word})" for word in words)


def shards(faults: Iterable[Fault], largest: int = LARGEST) -> list[Shard]:
    """Cut a list into shards, the longest first."""
    by_paths: dict[tuple[str, ...], list[Fault]] = {}
    for fault in faults:
        by_paths.setdefault(fault.paths, []).append(fault)
    found = []
    for group in by_paths.values():
        rest = iter(group)
        while part := tuple(islice(rest, largest)):
            found.append(Shard(part))
    return sorted(found, key=lambda shard: -len(shard.faults))


@dataclass(frozen=True)
class TriedFault:
    """What became of a fault.

    Attributes:
        fault: the fault.
        verdict: CAUGHT, or what keeps it alive: PASSED, or BROKEN where its tests could not be run.
        seconds: how long its tests ran.
        tail: the last lines of a run that could not tell.
    """

    fault: Fault
    verdict: str
    seconds: float
    tail: str = ""


@dataclass(frozen=True)
class PytestRun:
    """A run of pytest that has ended.

    Attributes:
        verdict: PASSED, CAUGHT or BROKEN.
        seconds: how long it took.
        said: all that pytest said, a line a test.
    """

    verdict: str
    seconds: float
    said: str

    @property
    def tail(self) -> str:
        """The last lines."""
        return "\n".join(self.said.splitlines()[-TAIL:])

    @property
    def files(self) -> list[str]:
        """The files whose tests ran. A folder's others need not be collected again."""
        return list(dict.fromkeys(re.findall(r"^(\S+\.py)::", self.said, re.MULTILINE)))


class Trial:
    """A run of shards.

    Args:
        source: the tree that is copied for each worker.
        tell: called with each fault that was tried, by one worker at a time.
    """

    def __init__(self, source: Path, tell: Callable[[TriedFault], None]) -> None:
        self._source = source
        self._tell = tell
        self._telling = threading.Lock()
        self._queue: SimpleQueue[Shard] = SimpleQueue()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = threading.Event()

    def run(self, todo: Sequence[Shard], jobs: int) -> None:
        """Try all shards, so many at a time."""
        for shard in todo:
            self._queue.put(shard)
        with ThreadPoolExecutor(jobs) as pool:
            try:
                for work in [pool.submit(self._work) for _ in range(min(jobs, len(todo)))]:
                    work.result()
            except BaseException:
                self._stop()
                raise

    def _stop(self) -> None:
        """End what runs; the workers then see that there is no more."""
        self._stopped.set()
        for process in tuple(self._running):
            _kill(process)

    def _work(self) -> None:
        with tempfile.TemporaryDirectory(
            prefix="mm-asgi-mutant-", ignore_cleanup_errors=True
        ) as folder:
            tree = PlantedTree(Path(folder), self._source)
            with contextlib.suppress(Empty):
                while not self._stopped.is_set():
                    for tried in self._try_shard(self._queue.get_nowait(), tree):
                        with self._telling:
                            self._tell(tried)

    def _try_shard(self, shard: Shard, tree: PlantedTree) -> Iterator[TriedFault]:
        sound = self._run_tests(tree, shard.paths, shard.only, SOUND_HANG, SOUND_LIMIT)
        # No test took longer than all of them: with a fault one that does so hangs.
        hang, limit = max(HANG, sound.seconds), max(LIMIT, 3 * sound.seconds)
        for fault in shard.faults:
            if self._stopped.is_set():
                return
            if sound.verdict != PASSED:
                why = f"its tests do not pass without a fault:\n{sound.tail}"
                yield TriedFault(fault, BROKEN, sound.seconds, why)
                continue
            with tree.planted(fault):
                found = self._run_tests(tree, sound.files, fault.only, hang, limit)
            if not self._stopped.is_set():
                tail = found.tail if found.verdict == BROKEN else ""
                yield TriedFault(fault, found.verdict, found.seconds, tail)

    def _run_tests(
        self, tree: PlantedTree, paths: Iterable[str], only: str, hang: float, limit: float
    ) -> PytestRun:
        # Native tracebacks: pytest's own read a function's source, and what some faults leave behind
        # on the stack (a StopIteration in a thread) then ends pytest itself on Python 3.11.
        command = [
            sys.executable, "-m", "pytest", "-x", "-v", "--no-header", "-p", "no:cacheprovider",
            "--tb=native", f"--timeout={hang:g}", "-k", only, *paths,
        ]  # fmt: skip
        begun = time.monotonic()
        with subprocess.Popen(
            command,
            cwd=tree.root,
            env={**os.environ, **tree.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",  # a fault may let bytes through that are no text
            start_new_session=True,
        ) as process:
            self._running.add(process)
            try:
                said, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                return PytestRun(CAUGHT, time.monotonic() - begun, f"no end after {limit:g} s")
            finally:
                # What a fault left running is ended too: plugins, hosts.
                _kill(process)
                self._running.discard(process)
        verdict = {0: PASSED, 1: CAUGHT}.get(process.returncode, BROKEN)
        return PytestRun(verdict, time.monotonic() - begun, said)


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process and its children, which are a group of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
