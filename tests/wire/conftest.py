"""The roads as fixtures: ``road`` is each in turn, ``grpc_road`` those with a real gRPC client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .roads import GrpcRoad, MemoryRoad, Road
from .servers import SERVERS
from .tls_road import TLSRoad

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


TLS = pytest.param("native over TLS", marks=pytest.mark.full)


def grpc_road_of(name: str) -> GrpcRoad:
    """A road with a gRPC client."""
    return TLSRoad(name) if name not in SERVERS else GrpcRoad(name, SERVERS[name]())


@pytest.fixture(params=["memory", *SERVERS, TLS])
async def road(request: pytest.FixtureRequest) -> AsyncIterator[Road]:
    """Each wire in turn, not started."""
    name = request.param
    made = MemoryRoad() if name == "memory" else grpc_road_of(name)
    yield made
    await made.close()


@pytest.fixture(params=[*SERVERS, TLS])
async def grpc_road(request: pytest.FixtureRequest) -> AsyncIterator[GrpcRoad]:
    """Each wire that a gRPC client can dial, not started."""
    made = grpc_road_of(request.param)
    yield made
    await made.close()
