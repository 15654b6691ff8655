"""Cases whose answer takes time, and what outlives an answer (rows R1 to R3, R14 to R16)."""

from __future__ import annotations

import asyncio
import logging

from tests.contract.apps.registry import Call, unlisted
from tests.contract.apps.response import BLOCK, HOP_BY_HOP


@unlisted
async def idle(call: Call) -> None:
    """An event stream on which nothing happens."""
    await call.start_events()
    await call.left()


@unlisted
async def idle_told(call: Call) -> None:
    """The same, but it says that the head should go."""
    await call.start_events()
    await call.body(b"", more=True)
    await call.left()


@unlisted
async def told_held(call: Call) -> None:
    """The head is told to go, and the body comes when its gate opens."""
    await call.start_events()
    await call.body(b"", more=True)
    await call.gate()
    await call.body()


@unlisted
async def idle_plain(call: Call) -> None:
    """The same, and no event stream: a drain does not tell it to end."""
    await call.start()
    await call.body(b"", more=True)
    await call.left()


@unlisted
async def waits_held(call: Call) -> None:
    """A start, and the body when its gate opens."""
    await call.start()
    call.note("waits")
    await call.gate()
    await call.body()


@unlisted
async def ticks(call: Call) -> None:
    """An event stream that sends when its gate opens."""
    await call.start_events()
    for number in range(3):
        await call.body(b"data: %d\n\n" % number, more=True)
        await call.gate(f"tick {number}")
    await call.body(b"")


@unlisted
async def background(call: Call) -> None:
    """A whole answer, and work after it."""
    await call.start()
    await call.body()
    call.note("works")
    try:
        await call.gate()
    except asyncio.CancelledError:
        call.note("cancelled")
        raise
    call.note("done")


@unlisted
async def background_works(call: Call) -> None:
    """Work of a known length, which says in the log that it was done."""
    await call.start()
    await call.body()
    await asyncio.sleep(0.1)
    logging.getLogger("app").info("the work was done")


@unlisted
async def background_raises(call: Call) -> None:
    await call.start()
    await call.body()
    await call.gate()
    raise RuntimeError(call.secret)


@unlisted
async def swallows_cancel(call: Call) -> None:
    call.note("waits")
    try:
        await call.gate()
    except asyncio.CancelledError:
        call.note("swallowed")


@unlisted
async def cut_in_the_middle(call: Call) -> None:
    """A large event whose send is cancelled before all of it has left."""
    await call.start()
    task = asyncio.create_task(call.body(BLOCK * 5, more=True))
    await call.gate()
    task.cancel()
    await asyncio.wait([task])


@unlisted
async def cut_in_the_queue(call: Call) -> None:
    """A send that is cancelled while another one's large event leaves."""
    await call.start()
    large = asyncio.create_task(call.body(BLOCK * 5, more=True))
    await asyncio.sleep(0)
    small = asyncio.create_task(call.body(b"small"))
    await call.gate()
    small.cancel()
    await asyncio.wait([large, small])


@unlisted
async def upgrade(call: Call) -> None:
    names = [name.decode() for name, _ in call.scope["headers"]]
    await call.start(426)
    await call.body(" ".join(name for name in names if name in HOP_BY_HOP).encode())
