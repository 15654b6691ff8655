"""The part around a handler that all wires share: run it, end its RPC, call it back when the peer
leaves.

Nothing here knows how a message travels. A wire's Server holds a Calls. CancelSlot is the rule of
``Stream.on_cancel()``, for a wire to hold in its Stream; the native wire's ServerCall follows the
same rule with two slots of its own, which saves each RPC an object.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.errors import PLUGIN_FAILED
from mm_asgi.tasks import is_cancelled
from mm_asgi.wire.port import StatusCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from mm_asgi.wire.port import Stream

__all__ = [
    "ANSWER_LIMIT",
    "CLOSED",
    "DEADLINE_EXCEEDED",
    "HANDLER_FAILED",
    "TOO_LARGE",
    "TOO_LARGE_SENT",
    "MISSING",
    "PLUGIN_FAILED",
    "UNPARSABLE",
    "CancelSlot",
    "Calls",
    "notify",
    "unary",
    "wake",
]

log = logging.getLogger("mm_asgi.wire")

# The status texts that we send. Fixed strings only: an exception's text might contain a user's data.
HANDLER_FAILED = "internal error in the plugin"
MISSING = "the request message is missing"
TOO_LARGE = "message larger than this method takes"
TOO_LARGE_SENT = "message larger than this method sends"
UNPARSABLE = "message cannot be parsed"
DEADLINE_EXCEEDED = "Deadline Exceeded"
CLOSED = "the channel is closed"

ANSWER_LIMIT = 128 * 2**20  # bytes of one answer that a Channel takes (row A1)

# How long stop() waits for handlers that it has cancelled. A guess: long enough for a finally
# clause, short beside the 10 s that the host waits for the whole process.
CANCEL_WAIT = 1.0


class CancelSlot:
    """Holds the callback that is called, once, when the peer leaves."""

    __slots__ = ("_callback", "_closed", "_fired")

    def __init__(self) -> None:
        self._callback: Callable[[], None] | None = None
        self._fired = False
        self._closed = False

    def set(self, callback: Callable[[], None]) -> None:
        """Replace the callback; call the new one at once if the peer has left already."""
        if self._fired:
            notify(callback)
        elif not self._closed:
            self._callback = callback

    def fire(self) -> None:
        """Call the callback: the peer has left. Do nothing if the RPC was ended on this side."""
        if self._fired or self._closed:
            return
        self._fired = True
        callback, self._callback = self._callback, None
        if callback is not None:
            notify(callback)

    def close(self) -> None:
        """Forget the callback: the RPC was ended on this side, so the peer may leave."""
        self._closed = True
        self._callback = None


class Calls:
    """The open RPCs of one server and the tasks of their handlers."""

    def __init__(self) -> None:
        self._open: set[Any] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: asyncio.Event | None = None  # made by the first that waits for it

    def __len__(self) -> int:
        """Return how many RPCs are open."""
        return len(self._open)

    def opened(self, stream: Stream) -> None:
        """Count an RPC as open until ``closed()``."""
        self._open.add(stream)

    def closed(self, stream: Stream) -> None:
        """Count an RPC as closed. Safe to call again."""
        self._open.discard(stream)
        if self._idle is not None and not self._open:
            self._idle.set()

    @property
    def streams(self) -> tuple[Any, ...]:
        """Return the RPCs that are open now."""
        return tuple(self._open)

    async def idle(self) -> None:
        """Return when no RPC is open."""
        while self._open:
            if self._idle is None or self._idle.is_set():
                self._idle = asyncio.Event()
            await self._idle.wait()

    def run(self, handler: Callable[[Stream], Awaitable[None] | None], stream: Stream) -> None:
        """Call a handler, and await what it returns in a task, which no peer's cancel touches."""
        try:
            work = handler(stream)
        except BaseException as error:  # noqa: BLE001  it ends its RPC and nothing else
            _failed(stream, error)
            return
        if work is not None:
            self.hold(asyncio.create_task(_run(work, stream), name=f"mm_asgi {stream.method}"))

    def hold(self, task: asyncio.Task[None]) -> None:
        """Keep a task alive: asyncio itself holds tasks only weakly."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def cancel_handlers(self) -> None:
        """Cancel the tasks that outlived their RPC, and wait for them up to CANCEL_WAIT."""
        # A task that is cancelled before its first step never awaits its handler's coroutine.
        await asyncio.sleep(0)
        tasks = {task for task in self._tasks if not task.done()}
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=CANCEL_WAIT)
            for task in stuck:
                log.warning("handler does not end after its cancel: %s", task.get_name())


def unary(
    answer: Callable[[Any, Stream], Awaitable[Message | None]],
) -> Callable[[Stream], Awaitable[None]]:
    """Return a handler for an RPC of one message each way.

    Args:
        answer: returns the answer to the request, or None if it has ended the RPC itself. An
            exception ends the RPC with INTERNAL and a fixed text, and is raised again.
    """

    async def handle(stream: Stream) -> None:
        request = await stream.read()
        if request is None:
            stream.abort(StatusCode.INVALID_ARGUMENT, MISSING)
            return
        try:
            message = await answer(request, stream)
        except BaseException:
            stream.abort(StatusCode.INTERNAL, PLUGIN_FAILED)
            raise
        if message is not None:
            await stream.write(message, last=True)

    return handle


async def _run(work: Awaitable[None], stream: Stream) -> None:
    try:
        await work
    except BaseException as error:  # SystemExit too: a handler must not end the loop
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            stream.abort(StatusCode.INTERNAL, HANDLER_FAILED)
            log.debug("handler cancelled: %s", stream.method)
            raise
        _failed(stream, error)


def _failed(stream: Stream, error: BaseException) -> None:
    # First the end of the RPC, then the log: whatever logging does, no peer waits for ever.
    stream.abort(StatusCode.INTERNAL, HANDLER_FAILED)
    log.error("handler failed: %s", stream.method, exc_info=error)


def notify(callback: Callable[[], None]) -> None:
    """Call an ``on_cancel`` callback, and log its failure."""
    try:
        callback()
    except Exception:
        log.exception("on_cancel callback failed")


def wake(future: asyncio.Future[None] | None) -> None:
    """Set the result of a future, if there is one and it is not done."""
    if future is not None and not future.done():
        future.set_result(None)
