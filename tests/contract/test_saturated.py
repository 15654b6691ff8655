"""A host that is busy for long is never taken for an attacker (docs/decisions/0010).

grpc-go cancels each answered RPC and pings while data flows, thousands of times a second here. Clients
that leave early are part of it.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.benchmarks import proc
from tests.benchmarks.load import Load, http_load
from tests.benchmarks.processes import Running, plugin
from tests.go_host import go_missing_reason

pytestmark = pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason()))

APP = "tests.benchmarks.apps.raw:app"


async def saturate(running: Running, seconds: float) -> tuple[Load, Load]:
    """Small requests with 32 connections, and large answers beside them."""
    return await asyncio.gather(
        http_load(running, "hello", connections=32, duration=f"{seconds}s"),
        http_load(running, "down?bytes=8388608", connections=2, duration=f"{seconds}s"),
    )


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(10, marks=[pytest.mark.full, pytest.mark.timeout(90)]),
        pytest.param(600, marks=[pytest.mark.nightly, pytest.mark.timeout(900)]),
    ],
)
async def test_a_saturated_host_gets_no_goaway(seconds: int) -> None:
    async with plugin("native", APP) as running:
        await saturate(running, 1)
        before = proc.rss_mib(running.pid)
        small, large = await saturate(running, seconds)
        grown = proc.rss_mib(running.pid) - before
        log = [line["message"] for line in running.host.log_lines("plugin")]
    assert (small.errors, large.errors) == (0, 0), (small.first_error, large.first_error)
    assert not [line for line in log if "GOAWAY" in line or "reset" in line]
    assert small.count > 100 * seconds
    assert grown < 4.0  # MiB
