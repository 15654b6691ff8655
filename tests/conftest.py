"""The fixtures of the roads: see tests/roads."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.roads.hosts import Hosts
from tests.roads.letters import LETTERS
from tests.roads.memory import MemoryRoad

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from tests.roads import Road
    from tests.roads.on import Way


# An aio server that is freed without having been stopped logs itself at DEBUG from its
# __dealloc__ (grpcio 1.85.1); caplog keeps the record, and frees the server a second time: a
# segmentation fault, later, somewhere else.
logging.getLogger("grpc").setLevel(logging.INFO)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hosts() -> AsyncIterator[Hosts]:
    """The hosts that run; a test's road starts what is missing."""
    running = Hosts()
    yield running
    await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def road(request: pytest.FixtureRequest, hosts: Hosts) -> AsyncIterator[Road]:
    """One of the roads that the test names with ``@on(...)``."""
    way: Way = request.param
    row = LETTERS[way.letter]
    if row.host is None:
        settings = dict(way.plan.settings)
        async with MemoryRoad(way.plan.plugin, site=way.plan.site, **settings) as memory:
            yield memory
        return
    assert row.road is not None, f"on {way.letter} a test takes host, not road"
    own = Hosts()
    host = await (own if way.alone else hosts).get(row.host, way.plan)
    made = row.road(host, way.plan.site, way.letter)
    try:
        yield made
        await made.finish()
    finally:
        await own.close()
