"""The event loop of a plugin's process: which one, and how it outlives ``sys.exit()`` in an app.

Theory. asyncio lets SystemExit and KeyboardInterrupt out of any task: they stop the loop and come
out of ``run_until_complete``, whichever task that waited for. In a program that is right. In a
plugin a ``sys.exit()`` in one task of the app must not end the process (row R11), so the loop is
run again until its main task is done, and closing it goes the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["close_loop", "new_loop", "run_through_exits"]

logger = logging.getLogger("mm_asgi.process")

LAST_WAIT = 0.2  # s that tasks have for their cleanup when the loop is closed


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """Return a new loop.

    Args:
        kind: ``asyncio``, ``uvloop``, or ``auto``: uvloop where it is installed.

    Raises:
        ConfigError: uvloop was asked for and is not installed.
    """
    if kind != "asyncio":
        try:
            import uvloop
        except ImportError:
            if kind == "uvloop":
                raise ConfigError(
                    "loop: uvloop is not installed; pip install 'mm-asgi[uvloop]'"
                ) from None
        else:
            return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def run_through_exits(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, whatever tasks of the app raise meanwhile.

    Raises:
        BaseException: what the coroutine itself raises.
    """
    task = loop.create_task(main, name="mm_asgi")
    while True:
        try:
            loop.run_until_complete(task)
            return
        except (SystemExit, KeyboardInterrupt) as exc:
            if task.done():
                raise
            logger.error(
                "a task of the app raised %s; the plugin goes on", type(exc).__name__, exc_info=exc
            )


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what the app left running, as asyncio.run does, but within a bound; close the loop."""
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    if rest:
        _run_step(loop, asyncio.wait(rest, timeout=LAST_WAIT))
    _run_step(loop, loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()


def _run_step(loop: asyncio.AbstractEventLoop, step: Coroutine[Any, Any, object]) -> None:
    task = loop.create_task(step)
    while not task.done():
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            loop.run_until_complete(task)
