"""40,000 RPCs over one connection leave nothing: memory, tasks, streams, descriptors."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from pathlib import Path

import pytest

from mm_asgi.wire.http2 import frames

from .attacked import Attacked, Raw, call, message, open_descriptors, until
from .bare import data, request

MEBIBYTE = 2**20
RPCS = 20_000
BATCH = 100


def resident() -> int:
    """Bytes of this process; where the system says only the most there were, those."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


async def batch(house: Attacked, peer: Raw, first: int, kind: str) -> None:
    """A hundred RPCs at once and a hundred cancelled ones among them."""
    numbers = range(first, first + 4 * BATCH, 4)
    begun = len(house.begun)
    parts = []
    for number in numbers:
        parts.append(request(number, fields=call("/echo")) + data(number, message(b"x"), end=True))
        parts.append(request(number + 2, fields=call("/hang" if kind == "begun" else "/echo")))
        if kind == "answered":
            parts[-1] += data(number + 2, message(b"y"), end=True)
    await peer.send(*parts)
    if kind == "begun":
        await until(lambda: len(house.begun) == begun + BATCH)
    waiting = {*numbers, *([n + 2 for n in numbers] if kind == "answered" else [])}
    while waiting:
        got = await peer.frame()
        assert got is not None, "the server closed"
        assert got.kind not in (3, 7), got
        if got.kind == 1 and got.flags & 1:
            waiting.remove(got.stream_id)
    await peer.send(*[frames.reset(number + 2, 8) for number in numbers])
    await until(lambda: house.done == len(house.begun))
    house.begun.clear()
    house.done = house.left = 0


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_cancelled_and_normal_rpcs_leave_nothing() -> None:
    async with Attacked.serving() as house:
        peer = await house.dial()
        await peer.send(frames.window_update(0, 2**30))
        first = 1
        for turn in range(40):  # until everything has its size
            await batch(house, peer, first, "begun" if turn % 2 else "answered")
            first += 4 * BATCH
        gc.collect()
        tasks, descriptors, before = len(asyncio.all_tasks()), open_descriptors(), resident()
        for turn in range(RPCS // BATCH):
            await batch(house, peer, first, "begun" if turn % 2 else "answered")
            first += 4 * BATCH
        gc.collect()
        await until(lambda: not house.server._calls._tasks)
        transport = await house.transport()
        grown = resident() - before
        assert transport.connection.streams == {}
        assert transport.connection.waiting == {}
        assert len(house.server._calls) == 0
        assert len(asyncio.all_tasks()) == tasks
        assert open_descriptors() == descriptors
        assert grown < 2 * MEBIBYTE, f"{grown} bytes"
