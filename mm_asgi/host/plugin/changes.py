"""Starts and restarts of the plugin: one at a time, and none once the host is closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mm_asgi.host.plugin.host_error import HostError

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Changes"]


class Changes:
    """Run one change after the other, each in a task that `close` can cancel."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def run(self, change: Coroutine[Any, Any, None]) -> None:
        """Run a change when its turn comes.

        Raises:
            HostError: the host is closed, or was closed meanwhile; or the change's own.
        """
        try:
            await self._turn.acquire()
        except BaseException:
            change.close()
            raise
        try:
            if self._closed:
                change.close()
                raise HostError("start", "the host is stopped")
            task = self._task = asyncio.create_task(change, name="plugin change")
            try:
                await asyncio.wait((task,))
            except BaseException:
                await _end_task(task)
                raise
            finally:
                self._task = None
            if task.cancelled():
                raise HostError("start", "the host was stopped while the plugin started")
            task.result()
        finally:
            self._turn.release()

    async def close(self) -> None:
        """Cancel the running change, and let no other follow."""
        self._closed = True
        if self._task is not None:
            await _end_task(self._task)


async def _end_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()  # the gate and the log have it already
