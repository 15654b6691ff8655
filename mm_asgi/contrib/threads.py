"""Threads that do not hold up Python's end, as ThreadPoolExecutor's do.

One view that hangs would keep a test run there for ever. Starlette's threads are daemons, too.
"""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DaemonThreads"]


class DaemonThreads(Executor):
    """As ThreadPoolExecutor, for calls from one thread; Python ends without waiting for it.

    Args:
        most: how many calls run at once; more of them wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._calls: SimpleQueue[Any] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        # Nobody calls any more: the threads end, each telling the next.
        weakref.finalize(self, self._calls.put, None)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See Executor."""
        future: Future[Any] = Future()
        self._calls.put((future, fn, args, kwargs))
        if not self._idle.acquire(blocking=False) and self._count < self._most:
            self._count += 1
            threading.Thread(
                target=_work,
                args=(self._calls, self._idle),
                name=f"WSGI_{self._count}",
                daemon=True,
            ).start()
        return future


def _work(calls: SimpleQueue[Any], idle: threading.Semaphore) -> None:
    while (call := calls.get()) is not None:
        future, function, args, kwargs = call
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as exc:  # noqa: BLE001 - the future's
                future.set_exception(exc)
        del call, future, function, args, kwargs
        idle.release()
    calls.put(None)
