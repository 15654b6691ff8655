"""An app that is watched: the ends, the faults and the disconnects of its requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mm_asgi.bridge.state import is_disconnect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    ASGIApp = Callable[[dict[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]

__all__ = ["AppCall", "Watch"]


class AppCall:
    """One call of the app: one request.

    Attributes:
        failure: the exception that left the app; None also for one that only says that the client
            left.
        disconnected: set when the app has received http.disconnect.
        ended: set when the app has returned or raised, its background tasks included.
        is_begun: whether the app was called at all; a 503 of the bridge comes without.
        left: whether the client has left before the answer was complete.
        is_raised: whether its failure is raised in the test; else its client takes the answer.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.disconnected = asyncio.Event()
        self.ended = asyncio.Event()
        self.is_begun = False
        self.left = False
        self.is_raised = True

    async def disconnected_or_ended(self) -> None:
        """Wait until the app has received http.disconnect, or has ended."""
        events = (self.disconnected, self.ended)
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class Watch:
    """An ASGI app around another one.

    Attributes:
        lifespan_failure: the exception that left the app's lifespan.
        unraised: exceptions that left requests and were not raised in the test yet.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.lifespan_failure: BaseException | None = None
        self.unraised: list[BaseException] = []
        self._app = app
        self._calls: dict[str, AppCall] = {}
        self._running: set[AppCall] = set()

    def expect(self, request_id: str) -> AppCall:
        """Return the call of the app that the request of this id makes, or will make."""
        return self._calls.setdefault(request_id, AppCall())

    def forget(self, request_id: str) -> None:
        """Drop the call of a request whose client is done with it."""
        self._calls.pop(request_id, None)

    async def settled(self) -> None:
        """Wait until no call of the app is under way."""
        while self._running:
            await next(iter(self._running)).ended.wait()

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        if scope["type"] == "http":
            await self._request(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except BaseException as exc:
            self.lifespan_failure = exc
            raise

    async def _request(
        self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        call = self.expect(scope["extensions"]["mattermost"]["request_id"])
        call.is_begun = True
        self._running.add(call)

        async def hear() -> Any:
            event = await receive()
            if event["type"] == "http.disconnect":
                call.disconnected.set()
            return event

        try:
            await self._app(scope, hear, send)
        except BaseException as exc:
            self._failed(call, exc)
            raise
        finally:
            self._running.discard(call)
            call.ended.set()

    def _failed(self, call: AppCall, exc: BaseException) -> None:
        parting = is_disconnect(exc) or isinstance(exc, asyncio.CancelledError)
        if not (parting and (call.left or call.disconnected.is_set())):
            call.failure = exc
            if call.is_raised:
                self.unraised.append(exc)
