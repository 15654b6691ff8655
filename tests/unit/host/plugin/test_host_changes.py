"""Starts and restarts, one after the other."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from mm_asgi.host import HostError
from mm_asgi.host.plugin.changes import Changes


async def test_a_change_that_is_not_waited_for_any_more_never_begins() -> None:
    changes, go_on, begun = Changes(), asyncio.Event(), asyncio.Event()

    async def first() -> None:
        begun.set()
        await go_on.wait()

    async def second() -> None:
        pytest.fail("it has run")

    running = asyncio.create_task(changes.run(first()))
    await begun.wait()
    change = second()
    waiting = asyncio.create_task(changes.run(change))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert inspect.getcoroutinestate(change) == inspect.CORO_CLOSED
    go_on.set()
    await running
    await changes.close()
    with pytest.raises(HostError, match="the host is stopped"):
        await changes.run(first())
