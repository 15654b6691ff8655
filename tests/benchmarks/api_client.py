"""``python -m tests.benchmarks.api_client WIRE TARGET WORKERS SECONDS``: calls, then the figures.

On the native wire the whole of ``AsyncAPI.get_user``; for grpcio its bare stub, which is less.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.benchmarks import proc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

WARM = 0.3  # s
PATH = "/mattermost.pluginapi.v1.PluginAPI/GetUser"


async def calls(
    call: Callable[[], Awaitable[Any]], workers: int, seconds: float
) -> dict[str, float]:
    took: list[float] = []
    clock = time.perf_counter
    end = clock() + seconds

    async def work() -> None:
        began = clock()
        while began < end:
            await call()
            now = clock()
            took.append(now - began)
            began = now

    before, began = time.process_time(), clock()
    await asyncio.gather(*(work() for _ in range(workers)))
    cpu, wall = time.process_time() - before, clock() - began
    took.sort()
    return {
        "rate": len(took) / wall,
        "p50": took[len(took) // 2] * 1000,
        "p99": took[len(took) * 99 // 100] * 1000,
        "cpu": cpu / len(took) * 1e6,
        "peak": proc.peak_rss_mib(os.getpid()),
    }


async def native(target: str, workers: int, seconds: float) -> dict[str, float]:
    from mm_asgi.api import AsyncAPI

    async with AsyncAPI(target) as api:

        def call() -> Awaitable[Any]:
            return api.get_user(user_id="abcdefghijklmnopqrstuvwxyz")

        await calls(call, workers, WARM)
        return await calls(call, workers, seconds)


async def grpcio(target: str, workers: int, seconds: float) -> dict[str, float]:
    import grpc.aio

    from mm_asgi.protocol.api_user_team_pb2 import GetUserRequest, GetUserResponse

    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = channel.unary_unary(
            PATH,
            request_serializer=GetUserRequest.SerializeToString,
            response_deserializer=GetUserResponse.FromString,
        )

        def call() -> Awaitable[Any]:
            request = GetUserRequest(user_id="abcdefghijklmnopqrstuvwxyz")
            return stub(request, timeout=10)  # type: ignore[no-any-return]

        await calls(call, workers, WARM)
        return await calls(call, workers, seconds)


def main() -> None:
    """Read the command line and call."""
    wire, target, workers, seconds = sys.argv[1:]
    make = {"native": native, "grpcio": grpcio}[wire]
    figures = asyncio.run(make(target, int(workers), float(seconds)))
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
