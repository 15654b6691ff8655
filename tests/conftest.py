"""Fixtures of the contract tests."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.contract.roads import HTTPRoad, MemoryRoad, RawRoad, start_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from tests.contract.roads import Road
    from tests.contract.simulated import SimulatedHost
    from tests.go_host import GoHost


# An aio server that is freed without having been stopped logs itself at DEBUG from its
# __dealloc__ (grpcio 1.85.1); caplog keeps the record, and frees the server a second time: a
# segmentation fault, later, somewhere else.
logging.getLogger("grpc").setLevel(logging.INFO)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hosts() -> AsyncIterator[dict[str, GoHost | SimulatedHost]]:
    """The running hosts by kind and wire; a test's road starts what is missing."""
    running: dict[str, GoHost | SimulatedHost] = {}
    yield running
    for host in running.values():
        if host.running:
            await host.stop()
            await host.wait_gone()
        await host.close()


@pytest_asyncio.fixture(loop_scope="session")
async def road(
    request: pytest.FixtureRequest, hosts: dict[str, GoHost | SimulatedHost]
) -> AsyncIterator[Road]:
    """One of the roads that the test names with ``@roads(...)``."""
    kind, wire = request.param
    if kind == "m":
        async with MemoryRoad(access_log=True) as memory:
            yield memory
        return
    key = f"{'simulated' if kind == 's' else 'go'} {wire}"
    if key not in hosts:
        hosts[key] = start_host(kind, wire)
        await hosts[key].start()
    made = RawRoad(hosts[key]) if kind == "w" else HTTPRoad(hosts[key])
    yield made
    await made.finish()
