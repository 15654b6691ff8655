"""The roads as fixtures: ``road`` is each in turn, ``grpc_road`` those with a real gRPC client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .roads import GrpcRoad, MemoryRoad, Road
from .servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(params=["memory", *SERVERS])
async def road(request: pytest.FixtureRequest) -> AsyncIterator[Road]:
    """Each wire in turn, not started."""
    name = request.param
    made = MemoryRoad() if name == "memory" else GrpcRoad(name, SERVERS[name]())
    yield made
    await made.close()


@pytest.fixture(params=list(SERVERS))
async def grpc_road(request: pytest.FixtureRequest) -> AsyncIterator[GrpcRoad]:
    """Each wire that a gRPC client can dial, not started."""
    made = GrpcRoad(request.param, SERVERS[request.param]())
    yield made
    await made.close()
