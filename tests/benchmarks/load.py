"""Drive a running target: HTTP by ``gohost load``, hooks by the host's own loop."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks import proc
from tests.benchmarks.processes import BenchmarkError, Running
from tests.go_host import BINARY

if TYPE_CHECKING:
    from collections.abc import Awaitable


@dataclass(frozen=True)
class Load:
    """What one load did, and what it cost the target.

    Attributes:
        count: turns that went well; a turn is a request or a call.
        errors: turns that did not, with the first one's reason.
        seconds: from the first turn's start to the last one's end.
        p50, p99, longest: a turn's latency in microseconds.
        cpu: seconds of CPU of the target's processes.
        peak: MiB, the most their RSS was meanwhile.
    """

    count: int
    errors: int
    first_error: str
    seconds: float
    p50: float
    p99: float
    longest: float
    cpu: float
    peak: float


async def http_load(running: Running, path: str, **flags: object) -> Load:
    """``gohost load`` with these flags, ``_`` for ``-``."""
    arguments = [f"-{name.replace('_', '-')}={value}" for name, value in flags.items()]
    return await _measured(running, _generate(f"-url={running.url}/{path}", *arguments))


async def hook_load(running: Running, hook: str, workers: int, seconds: float) -> Load:
    """One hook, called by the host again and again."""
    path = f"/hook/{hook}/loop?workers={workers}&seconds={seconds}"
    return await _measured(running, running.host.control(path))


async def _measured(running: Running, work: Awaitable[dict[str, Any]]) -> Load:
    proc.reset_peak(running.pid)
    before = proc.cpu_seconds(running.pid)
    facts = await work
    cpu = proc.cpu_seconds(running.pid) - before
    if not facts["count"]:
        raise BenchmarkError(f"nothing went well: {facts['first_error']}")
    return Load(
        count=facts["count"],
        errors=facts["errors"],
        first_error=facts.get("first_error", ""),
        seconds=facts["seconds"],
        p50=facts["p50_us"],
        p99=facts["p99_us"],
        longest=facts["max_us"],
        cpu=cpu,
        peak=proc.peak_rss_mib(running.pid),
    )


async def _generate(*arguments: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        str(BINARY),
        "load",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if not out:
        raise BenchmarkError(f"the load generator failed: {err.decode().strip()}")
    facts: dict[str, Any] = json.loads(out)
    return facts
