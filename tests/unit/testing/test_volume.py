"""1 GiB up and 1 GiB down through WireTransport: the memory stays flat."""

from __future__ import annotations

import mmap
import resource
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mm_asgi.testing import WireTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIZE = 2**30
PIECE = bytes(2**16)
GROWTH = 32 * 2**20  # bytes: windows and buffers take 2 MiB, what is kept by mistake 1 GiB


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Counts what is sent to it, or sends as much."""
    assert scope["type"] == "http"
    received, more = 0, True
    while more:
        event = await receive()
        received += len(event["body"])
        more = event["more_body"]
    await send({"type": "http.response.start", "status": 200})
    if scope["method"] == "GET":
        for _ in range(SIZE // len(PIECE)):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": str(received).encode()})


async def upload() -> AsyncIterator[bytes]:
    for _ in range(SIZE // len(PIECE)):
        yield PIECE


def peak() -> int:
    """Bytes of memory that this process had at the most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def fill_up_to_the_peak() -> mmap.mmap:
    """Memory up to the peak of earlier tests, so that more of it shows as a new peak."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[1]) * resource.getpagesize()
    ballast = mmap.mmap(-1, max(peak() - now, mmap.PAGESIZE))
    for offset in range(0, len(ballast), mmap.PAGESIZE):
        ballast[offset] = 1
    return ballast


@pytest.mark.full
@pytest.mark.timeout(120)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
async def test_a_gibibyte_up_and_down_in_flat_memory() -> None:
    async with (
        WireTransport(app) as transport,
        httpx.AsyncClient(transport=transport, base_url=transport.base_url, timeout=60) as client,
    ):
        await client.post("/", content=PIECE * 4)
        with fill_up_to_the_peak():
            before = peak()
            response = await client.post("/", content=upload())
            assert response.text == str(SIZE)
            received = 0
            async with client.stream("GET", "/") as download:
                async for chunk in download.aiter_raw():
                    received += len(chunk)
            assert received == SIZE + 1
            assert peak() - before < GROWTH
