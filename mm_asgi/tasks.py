"""The set that holds every task a plugin starts, so that none is lost and all can be drained."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Name = str | Callable[[], str]

__all__ = ["DRAINED", "TaskSet", "is_cancelled"]

logger = logging.getLogger("mm_asgi.tasks")

DRAINED = "mm_asgi: the plugin stops"
"""The message of a cancel at the end of a drain, which an app's own CancelledError does not have."""

CANCEL_WAIT = 0.2
"""Seconds, the last of a drain, that cancelled tasks have for their cleanup."""


class TaskSet:
    """Tasks of one plugin; each runs in a fresh copy of the context the app was imported in."""

    def __init__(self) -> None:
        # By coroutine, each with its task and name.
        self._tasks: dict[Coroutine[Any, Any, None], tuple[asyncio.Task[None], Name]] = {}
        self._context = contextvars.copy_context()
        self._changed = asyncio.Event()
        self._drain_until = 0.0

    def __len__(self) -> int:
        return len(self._tasks)

    def use_context(self) -> contextvars.Context:
        """Copy the present context for all later tasks, and return the copy."""
        self._context = contextvars.copy_context()
        return self._context

    def start(
        self, coroutine: Coroutine[Any, Any, None], name: Name = "a task"
    ) -> asyncio.Task[None]:
        """Run a coroutine; hold its task, and log an exception that leaves it.

        Args:
            coroutine: what to run.
            name: the task's name in the log, or a function that returns it, called only when
                something is logged.
        """
        task = asyncio.get_running_loop().create_task(
            self._run(coroutine),
            name=name if isinstance(name, str) else "mm_asgi",
            context=self._context.copy(),
        )
        self._tasks[coroutine] = (task, name)
        return task

    async def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        # Not by a callback of the task: that would take every request another turn of the loop.
        try:
            await coroutine
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            name = _text(self._tasks[coroutine][1])
            logger.error("the task %s failed", name, exc_info=failure)
            if not isinstance(failure, Exception):
                raise
        finally:
            del self._tasks[coroutine]
            if not self._tasks:
                self._changed.set()

    def drain_by(self, seconds: float) -> None:
        """Let a drain that runs end within ``seconds`` from now."""
        self._drain_until = min(self._drain_until, _cancel_at(seconds))
        self._changed.set()

    async def drain(self, seconds: float) -> None:
        """Wait until all tasks are done; cancel those that take longer, and log their names.

        It takes at most ``seconds``, but waits CANCEL_WAIT in any case for the tasks that it cancels.
        """
        loop = asyncio.get_running_loop()
        self._drain_until = _cancel_at(seconds)
        while self._tasks and (left := self._drain_until - loop.time()) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                break
        rest = dict(self._tasks)
        if not rest:
            return
        logger.warning(
            "drain: %d tasks were still running and are cancelled: %s",
            len(rest),
            ", ".join(sorted(_text(name) for _, name in rest.values())[:20]),
        )
        for task, _ in rest.values():
            task.cancel(DRAINED)
        await asyncio.wait([task for task, _ in rest.values()], timeout=CANCEL_WAIT)
        for coroutine, (task, _) in rest.items():
            if task.done():  # one that was cancelled before its first step did not remove itself
                coroutine.close()
                self._tasks.pop(coroutine, None)
        names = sorted(_text(name) for task, name in rest.values() if not task.done())
        if names:
            logger.warning(
                "drain: %d tasks were cancelled and run on: %s; the app catches CancelledError,"
                " expected it to let that pass, or to raise it again after its cleanup",
                len(names),
                ", ".join(names[:20]),
            )


def is_cancelled() -> bool:
    """Return whether the running task was cancelled from outside."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _text(name: Name) -> str:
    return name if isinstance(name, str) else name()


def _cancel_at(seconds: float) -> float:
    """Return the time at which to cancel, so that a drain is over in ``seconds``."""
    return asyncio.get_running_loop().time() + max(0.0, seconds - CANCEL_WAIT)
