"""The ASGI lifespan protocol: start-up inside OnActivate, shutdown inside OnDeactivate (row L3).

The app runs once, in a task of its own, from its start-up to its shutdown. Each phase is a question
and an answer: ``_ask`` queues the event for the app's receive() and makes a future that the app's
send() sets. So each wait is for the future or for the end of the task, whichever comes first: an app
without a lifespan raises or returns instead of answering.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.errors import AppProtocolError, StartupError
from mm_asgi.tasks import is_cancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    ASGIApp = Callable[[dict[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]

__all__ = ["LAST_WAIT", "Lifespan"]

logger = logging.getLogger("mm_asgi.lifespan")

LAST_WAIT = 0.1  # s of a shutdown's time that the app has to end after its cancel


class Lifespan:
    """One run of an app's lifespan, from activation to deactivation.

    Args:
        app: the ASGI app.
        mode: ``auto`` also serves an app without a lifespan, ``on`` refuses it, ``off`` runs no
            lifespan at all.

    Attributes:
        state: what the app puts into ``scope["state"]``; requests get shallow copies.
    """

    def __init__(self, app: ASGIApp, mode: str) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        # Not among the requests' tasks: a drain must not wait for it.
        self._task: asyncio.Task[None] | None = None
        self._started = False  # the app has sent lifespan.startup.complete
        self._stopping = False
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._asked = False  # the app has received lifespan.startup: it knows the protocol
        self._failure: BaseException | None = None  # what the app raised
        self._answers: dict[str, asyncio.Future[str | None]] = {}

    @property
    def overdue(self) -> str:
        """The answer that the app owes after lifespan.startup, as a sentence; empty without one."""
        if not self._asked or any(answer.done() for answer in self._answers.values()):
            return ""
        return f"lifespan: the app received lifespan.startup and sent neither {' nor '.join(self._answers)}"

    async def startup(self) -> None:
        """Run the app's start-up.

        Raises:
            StartupError: the app sent lifespan.startup.failed, or in mode ``on`` did not complete
                its start-up. The app's exception is the cause.
        """
        if self._mode == "off":
            return
        answer = self._ask("startup")
        self._task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        await self._wait_for(answer, None)
        if answer.done():
            if (message := answer.result()) is not None:
                text = (
                    f"lifespan.startup failed: {message}" if message else "lifespan.startup failed"
                )
                raise StartupError(text)
            return
        self._ended_early()

    def _ended_early(self) -> None:
        """Judge an app whose lifespan ended without an answer to lifespan.startup."""
        failure = self._failure
        if not self._asked and self._mode == "auto":
            logger.debug("the app has no lifespan; serving without", exc_info=failure)
            return
        if failure is not None:
            logger.error("the app failed in lifespan.startup", exc_info=failure)
            reason = f"the app raised {type(failure).__name__} in lifespan.startup"
        else:
            reason = "the app's lifespan returned without lifespan.startup.complete"
        if self._mode == "on":
            raise StartupError(
                f'lifespan: {reason}; expected lifespan.startup.complete with lifespan = "on"'
            ) from failure
        if failure is None:
            logger.warning("lifespan: %s; serving without", reason)

    async def shutdown(self, timeout: float) -> None:
        """Run the app's shutdown, for at most ``timeout`` seconds; log what fails.

        An app whose start-up did not complete gets no lifespan.shutdown: its task is cancelled. A
        cancel of the caller also cancels the app's task, because the caller's time is over.
        """
        if self._task is None:
            return
        self._stopping = True
        try:
            if self._started and not self._task.done():
                answer = self._ask("shutdown")
                await self._wait_for(answer, max(0.0, timeout - LAST_WAIT))
                self._report(answer, timeout)
        finally:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=LAST_WAIT)

    def _report(self, answer: asyncio.Future[str | None], timeout: float) -> None:
        assert self._task is not None
        if answer.done():
            if (message := answer.result()) is not None:
                logger.error("lifespan.shutdown failed: %s", message)
        elif not self._task.done():
            logger.error("lifespan.shutdown did not complete in %.1f s", timeout)
        elif self._failure is not None:
            logger.error("the app failed in lifespan.shutdown", exc_info=self._failure)

    async def _wait_for(self, answer: asyncio.Future[str | None], timeout: float | None) -> None:
        """Wait for an answer or for the end of the app's lifespan."""
        assert self._task is not None
        waited: set[asyncio.Future[Any]] = {self._task, answer}
        await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _ask(self, phase: str) -> asyncio.Future[str | None]:
        answer = asyncio.get_running_loop().create_future()
        self._answers = {
            f"lifespan.{phase}.complete": answer,
            f"lifespan.{phase}.failed": answer,
        }
        self._events.put_nowait({"type": f"lifespan.{phase}"})
        return answer

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        # sys.exit() in an app must not end the plugin.
        except BaseException as exc:
            self._failure = exc
            ended = is_cancelled()  # the loop is being closed
            if self._started and not self._stopping and not ended:
                logger.error("the app's lifespan ended while the app is served", exc_info=exc)

    async def _receive(self) -> dict[str, Any]:
        event = await self._events.get()
        self._asked = True
        return event

    async def _send(self, event: dict[str, Any]) -> None:
        kind = event.get("type") if isinstance(event, dict) else None
        answer = self._answers.get(kind) if isinstance(kind, str) else None
        if answer is None or answer.done():
            waited = " or ".join(self._answers)
            raise AppProtocolError(f"lifespan: the app sent {kind!r}; expected once {waited}")
        failed = isinstance(kind, str) and kind.endswith(".failed")
        answer.set_result(str(event.get("message", "")) if failed else None)
        if kind == "lifespan.startup.complete":
            # Here and not where startup() goes on: the app may fail before that.
            self._started = True
