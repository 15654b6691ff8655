"""Call a user's function: on the loop or in a thread (row H3), and within its time."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor

__all__ = ["Function", "Overrun", "signature_of", "within"]


class Function:
    """Calls a user's function where it belongs.

    Args:
        wrapped: the function.
        threads: where it runs when it is not async.
    """

    __slots__ = ("_is_async", "_threads", "wrapped")

    def __init__(self, wrapped: Callable[..., Any], threads: Executor) -> None:
        self.wrapped = wrapped
        self._threads = threads
        self._is_async = inspect.iscoroutinefunction(wrapped)

    async def __call__(self, *arguments: Any) -> Any:
        if self._is_async:
            return await self.wrapped(*arguments)
        run = contextvars.copy_context().run
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._threads, run, _call, self.wrapped, arguments)
        # A plain decorator around an async function hides what it is.
        return await result if inspect.isawaitable(result) else result


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except StopIteration as exc:
        # A Future cannot hold it and would never be done (python/cpython#112182).
        raise RuntimeError("the function raised StopIteration") from exc


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return a function's signature; names in it may exist for type checkers alone."""
    # FORWARDREF: from 3.14 on annotations are evaluated when they are asked for.
    lenient: dict[str, Any] = {"annotation_format": 3} if sys.version_info >= (3, 14) else {}
    return inspect.signature(function, **lenient)


class Overrun(Exception):
    """The function was still running at the end of its time."""


async def within(seconds: float, call: Awaitable[Any], overrun: Callable[[], None]) -> Any:
    """Await a call; after ``seconds`` cancel it and call ``overrun``.

    ``overrun`` is called at the deadline and not at the function's end, which may come much later
    if it ignores its cancellation.

    Raises:
        Overrun: the call was cancelled at its deadline. Other exceptions of the call pass through.
    """
    task = asyncio.current_task()
    assert task is not None
    is_over = False

    def expire() -> None:
        nonlocal is_over
        is_over = True
        task.cancel()
        overrun()

    timer = asyncio.get_running_loop().call_later(seconds, expire)
    try:
        return await call
    except asyncio.CancelledError as exc:
        if is_over:
            raise Overrun from exc
        raise
    finally:
        timer.cancel()
