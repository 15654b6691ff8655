"""What processes used, from Linux's /proc (man 5 proc). A process counts with its children."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stat:
    """Of /proc/PID/stat.

    Attributes:
        parent: its parent's process id.
        own: CPU time of all its threads, user and system, in clock ticks.
        waited: the same of the children that have ended and were waited for.
    """

    parent: int
    own: int
    waited: int


def parse_stat(text: str) -> Stat:
    # The name is in brackets and may itself hold spaces and brackets. After it, state is field 3.
    fields = text[text.rindex(")") + 1 :].split()
    user, system, children_user, children_system = map(int, fields[11:15])
    return Stat(int(fields[1]), user + system, children_user + children_system)


def parse_status(text: str, name: str) -> float:
    """A line such as ``VmHWM:  1024 kB``, in MiB; 0 where there is none (an ended process)."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) / 1024
    return 0.0


def descendants(parents: Mapping[int, int], root: int) -> list[int]:
    """``root`` and everything below it; ``parents`` maps a process to its parent."""
    found = [root]
    for process in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == process]
    return found


def tree(root: int) -> list[int]:
    parents = {pid: parse_stat(text).parent for pid, text in _read_all("stat")}
    return descendants(parents, root)


def cpu_seconds(root: int) -> float:
    """CPU time so far, user and system, in seconds."""
    return sum(
        _own_seconds(pid) + parse_stat(_read(pid, "stat")).waited / TICKS for pid in tree(root)
    )


def _own_seconds(pid: int) -> float:
    """`Stat.own` before it is cut down to ticks of 10 ms: 256 MiB down cost uvicorn four of them.

    The process's CPU clock (man 3 clock_getcpuclockid), which Python has a name for only where
    the process is itself; the number is the kernel's, include/linux/posix-timers_types.h.
    """
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        raise ProcessLookupError(f"process {pid} has ended") from None


def rss_mib(root: int) -> float:
    return sum(parse_status(_read(pid, "status"), "VmRSS") for pid in tree(root))


def peak_rss_mib(root: int) -> float:
    """The most since the process started, or since `reset_peak`; pages that a child shares with
    its parent count twice, as everywhere in RSS."""
    return sum(parse_status(_read(pid, "status"), "VmHWM") for pid in tree(root))


def reset_peak(root: int) -> None:
    """Let the peak start again from now; where that is not allowed it stays the start's."""
    for pid in tree(root):
        try:
            (PROC / str(pid) / "clear_refs").write_text("5")
        except OSError:
            return


def _read(pid: int, name: str) -> str:
    return (PROC / str(pid) / name).read_text()


def _read_all(name: str) -> Iterator[tuple[int, str]]:
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                yield int(folder.name), (folder / name).read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended while we looked
