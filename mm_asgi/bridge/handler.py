"""What happens around a request's cycle: admission, scope, log context, access line.

One HTTPHandler serves one app from activation to the end; it holds what requests share.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.bridge.http import BROKEN_BY_HOST, HTTPCycle
from mm_asgi.bridge.response import plain_answer
from mm_asgi.bridge.scope import build_scope
from mm_asgi.bridge.state import State
from mm_asgi.errors import HostProtocolError
from mm_asgi.observe.access import log_access
from mm_asgi.observe.context import LOG_CONTEXT, LogContext
from mm_asgi.wire.port import StatusCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest
    from mm_asgi.settings import Settings
    from mm_asgi.wire.port import Stream

__all__ = ["HTTPHandler"]

logger = logging.getLogger("mm_asgi.bridge")

FAILED = "the plugin failed, see its log"
"""All that the host may see of a fault beside the app: a fixed text, as for unary RPCs."""


class HTTPHandler:
    """Serves ServeHTTP streams with one ASGI app.

    Args:
        settings: the plugin's.
        plugin_id: the id that the host runs this plugin under.
        spawn: gives a coroutine a task that somebody holds.
        ready: waits until the app may be called; False when it will not be (row L2).

    Attributes:
        app: the ASGI app; set before ``ready`` says True.
        state: the app's lifespan state.
        draining: new requests get a 503.
    """

    def __init__(
        self,
        settings: Settings,
        plugin_id: str,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        ready: Callable[[], Awaitable[bool]],
    ) -> None:
        self.app: Callable[..., Awaitable[None]] | None = None
        self.state: dict[str, Any] = {}
        self.draining = False
        self._settings = settings
        self._plugin_id = plugin_id
        self._spawn = spawn
        self._ready = ready
        self._cycles: set[HTTPCycle] = set()
        self._open = 0
        self._said: set[str] = set()

    def drain(self) -> None:
        """Take no more requests; tell event streams, which do not end by themselves, to end."""
        self.draining = True
        for cycle in self._cycles:
            cycle.drain()

    async def serve(self, stream: Stream) -> None:
        """One RPC, from its first message to the end of the app's task."""
        try:
            await self._serve(stream)
        except BaseException:
            # Whatever this is, a log filter that raises or a cancel: no peer waits for ever.
            stream.abort(StatusCode.INTERNAL, FAILED)
            raise

    async def _serve(self, stream: Stream) -> None:
        first: ServeHTTPRequest | None = await stream.read()
        if first is None:
            # The client's body broke before the host's first read: nobody waits for an answer.
            logger.debug("a request stream ended before its first message")
            stream.abort(StatusCode.INVALID_ARGUMENT, "no message")
            return
        if not first.HasField("init"):
            fault = HostProtocolError(
                "ServeHTTP: the host's first message has no init; expected init first; the"
                " request was refused"
            )
            logger.error("%s", fault)
            stream.abort(StatusCode.INVALID_ARGUMENT, BROKEN_BY_HOST)
            return
        self._open += 1
        try:
            limit = self._settings.limit_concurrency
            if not self.draining and (self._open <= limit or not limit):
                if await self._ready() and not self.draining:
                    await self._run(stream, first)
                    return
            elif not self.draining:
                self._say_once(
                    "limit",
                    "limit_concurrency: more than %d requests at once; those above get a 503",
                    limit,
                )
            await self._refuse(stream, first)
        finally:
            self._open -= 1

    async def _refuse(self, stream: Stream, first: ServeHTTPRequest) -> None:
        method = first.init.method
        await stream.write(plain_answer(503, "Service Unavailable", method=method, retry=True))
        stream.finish()

    async def _run(self, stream: Stream, first: ServeHTTPRequest) -> None:
        settings = self._settings
        scope, remark = build_scope(
            first.init, plugin_id=self._plugin_id, settings=settings, state=self.state
        )
        facts = scope["extensions"]["mattermost"]
        if (task := asyncio.current_task()) is not None:
            task.set_name(f"{scope['method']} {scope['path']}")  # what a drain names in the log
        LOG_CONTEXT.set(LogContext(facts["request_id"], facts["user_id"]))
        if remark is not None:
            logger.warning("%s", remark)
        self._remark_upgrade(first)
        cycle = HTTPCycle(
            stream,
            first,
            grace=settings.disconnect_grace,
            spawn=self._spawn,
            root_path=scope["root_path"],
            rewrite_cookies=settings.cookie_path == "root",
        )
        if cycle.state is State.LEFT:
            logger.debug("the client left before the app was called")
            return
        assert self.app is not None  # ready() said so
        self._cycles.add(cycle)
        started = asyncio.get_running_loop().time()
        failure: BaseException | None = None
        try:
            await self.app(scope, cycle.receive, cycle.send)
        except BaseException as exc:  # noqa: BLE001 - SystemExit too is the app's fault (row R11)
            failure = exc
        finally:
            self._cycles.discard(cycle)
        await cycle.settle(failure)
        self._remark_cookies(cycle)
        if settings.access_log:
            log_access(
                method=scope["method"],
                path=scope["path"],
                status=cycle.status,
                sent=cycle.sent,
                seconds=asyncio.get_running_loop().time() - started,
                client=scope["client"][0] if scope["client"] else None,
                user_id=facts["user_id"],
            )

    def _remark_upgrade(self, first: ServeHTTPRequest) -> None:
        if any(header.key.lower() == "upgrade" for header in first.init.headers):
            self._say_once(
                "upgrade",
                "a client asked for an upgrade (WebSocket): the host's gRPC wire cannot hand over"
                " a connection, so the request is served as plain HTTP; said once",
            )

    def _remark_cookies(self, cycle: HTTPCycle) -> None:
        if self._settings.cookie_path == "root":
            return
        for name in cycle.wide_cookies:
            self._say_once(
                f"cookie {name}",
                "cookie %s has Path=/ and so reaches every plugin of this site; the setting"
                ' cookie-path = "root" gives it this plugin\'s path; said once',
                name,
            )

    def _say_once(self, key: str, text: str, *args: object) -> None:
        # Bounded: an app that makes up cookie names must not fill the memory.
        if key not in self._said and len(self._said) < 1000:
            self._said.add(key)
            logger.warning(text, *args)
