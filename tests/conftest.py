"""Fixtures of the contract tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio
import pytest_asyncio

from tests.contract.roads import HTTPRoad, MemoryRoad, RawRoad, start_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from tests.contract.roads import Road
    from tests.go_host import GoHost


# grpcio stops its poller with the last aio object of a process and starts it anew with the next.
# Over the many loops of one test run that ends, one run in two, in a segmentation fault (grpcio
# 1.85.1, seen 2026-11-21). A plugin has one loop and one server; here the poller stays.
grpc.aio.init_grpc_aio()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def go_hosts() -> AsyncIterator[dict[str, GoHost]]:
    """The running Go hosts by their plugin's wire; a test's road starts what is missing."""
    hosts: dict[str, GoHost] = {}
    yield hosts
    for host in hosts.values():
        if host.running:
            await host.stop()
            await host.wait_gone()
        await host.close()


@pytest_asyncio.fixture(loop_scope="session")
async def road(request: pytest.FixtureRequest, go_hosts: dict[str, GoHost]) -> AsyncIterator[Road]:
    """One of the roads that the test names with ``@roads(...)``."""
    kind, wire = request.param
    if kind == "m":
        async with MemoryRoad(access_log=True) as memory:
            yield memory
        return
    if wire not in go_hosts:
        go_hosts[wire] = start_host(wire)
        await go_hosts[wire].start()
    made = RawRoad(go_hosts[wire]) if kind == "w" else HTTPRoad(go_hosts[wire])
    yield made
    await made.finish()
