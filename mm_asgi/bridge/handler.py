"""What happens around a request's cycle: admission, scope, log context, access line.

One HTTPHandler serves one app from activation to the end; it holds what requests share.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from mm_asgi.bridge.coach import LOST_USER, lost_its_user
from mm_asgi.bridge.hold import Holds
from mm_asgi.bridge.http import HTTPCycle
from mm_asgi.bridge.response import plain_answer
from mm_asgi.bridge.scope import build_scope
from mm_asgi.bridge.state import State
from mm_asgi.bridge.texts import BROKEN_BY_HOST
from mm_asgi.errors import HostProtocolError
from mm_asgi.observe.access import log_access
from mm_asgi.observe.context import LOG_CONTEXT, LogContext
from mm_asgi.wire.port import StatusCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from mm_asgi.protocol.hooks_http_read_pb2 import ServeHTTPRequest
    from mm_asgi.settings import Settings
    from mm_asgi.wire.port import Stream

__all__ = ["HTTPHandler"]

logger = logging.getLogger("mm_asgi.bridge")

FAILED = "the plugin failed, see its log"
"""All that the host may see of a fault beside the app: a fixed text, as for unary RPCs."""

UNREAD = (
    "the app answered %s %s and left %d of the body's %d bytes unread: the server closes such a"
    " connection, and a browser that still sends may show an error and not the answer; read the"
    " body to its end"
)

SERVER_READS = 256 * 1024
"""Bytes that Go reads of a body that was left, for the connection's sake (net/http server.go,
maxPostHandlerReadBytes)."""


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
        self._site_url = settings.site_url
        self._plugin_id = plugin_id
        self._holds = Holds(spawn)
        self._ready = ready
        self._requests: dict[Stream, tuple[HTTPCycle, dict[str, Any]]] = {}
        self._open = 0
        self._said: set[str] = set()
        self._has_coached = False

    def use_site_url(self, url: str | None) -> None:
        """Know the site's URL as the host says it; the setting site-url wins (row S7)."""
        self._settings = dataclasses.replace(self._settings, site_url=self._site_url or url)

    def drain(self) -> None:
        """Take no more requests; tell event streams, which do not end by themselves, to end."""
        self.draining = True
        for cycle, _ in self._requests.values():
            cycle.drain()

    def name(self, stream: Stream) -> str:
        """What the log calls a stream's request."""
        if stream not in self._requests:
            return "ServeHTTP"
        scope = self._requests[stream][1]
        return f"{scope['method']} {scope['path']}"

    async def serve(self, stream: Stream) -> None:
        """One RPC, from its first message to the end of the app's task."""
        try:
            first: ServeHTTPRequest | None = await stream.read()
            if first is None or not first.HasField("init"):
                self._refuse_stream(stream, first, "has no init; expected init first")
                return
            self._open += 1
            try:
                if await self._admit():
                    await self._run(stream, first)
                else:
                    await self._refuse(stream, first)
            finally:
                self._open -= 1
        except BaseException:
            # Whatever this is, a log filter that raises or a cancel: no peer waits for ever.
            stream.abort(StatusCode.INTERNAL, FAILED)
            raise

    def _refuse_stream(self, stream: Stream, first: ServeHTTPRequest | None, fault: str) -> None:
        """Row D8."""
        if first is None:
            # The client's body broke before the host's first read: nobody waits for an answer.
            logger.debug("a request stream ended before its first message")
            stream.abort(StatusCode.INVALID_ARGUMENT, "no message")
            return
        error = HostProtocolError(
            f"ServeHTTP: the host's first message {fault}; the request was refused"
        )
        logger.error("%s", error)
        stream.abort(StatusCode.INVALID_ARGUMENT, BROKEN_BY_HOST)

    async def _admit(self) -> bool:
        """Whether the app serves the request (rows L2, R15)."""
        if self.draining:
            return False
        limit = self._settings.limit_concurrency
        if limit and self._open > limit:
            self._say_once(
                "limit",
                "limit_concurrency: more than %d requests at once; those above get a 503",
                limit,
            )
            return False
        return await self._ready() and not self.draining

    async def _refuse(self, stream: Stream, first: ServeHTTPRequest) -> None:
        method = first.init.method
        await stream.write(plain_answer(503, "Service Unavailable", method=method, retry=True))
        stream.finish()

    async def _run(self, stream: Stream, first: ServeHTTPRequest) -> None:
        settings = self._settings
        try:
            scope, remark, upgrades = build_scope(
                first.init, plugin_id=self._plugin_id, settings=settings, state=self.state
            )
        except DecodeError as error:
            self._refuse_stream(stream, first, f"has a header that cannot be read ({error})")
            return
        facts = scope["extensions"]["mattermost"]
        LOG_CONTEXT.set(LogContext(facts["request_id"], facts["user_id"]))
        if remark is not None or upgrades:
            self._remark_scope(remark, upgrades=upgrades)
        if scope["method"] != "GET" and facts["user_id"] is None and not self._has_coached:
            self._coach(scope)
        cycle = HTTPCycle(
            stream,
            first,
            grace=settings.disconnect_grace,
            holds=self._holds,
            root_path=scope["root_path"],
            rewrite_cookies=settings.cookie_path == "root",
        )
        if cycle.state is State.LEFT:
            logger.debug("the client left before the app was called")
            return
        assert self.app is not None  # ready() said so
        self._requests[stream] = (cycle, scope)
        started = asyncio.get_running_loop().time() if settings.access_log else 0.0
        failure: BaseException | None = None
        try:
            await self.app(scope, cycle.receive, cycle.send)
        except BaseException as exc:  # noqa: BLE001 - SystemExit too is the app's fault (row R11)
            failure = exc
        finally:
            del self._requests[stream]
        if failure is not None or cycle.state is not State.COMPLETE:
            await cycle.settle(failure)
        if cycle.wide_cookies or cycle.unread > SERVER_READS:
            self._remark_answer(cycle, scope, first.init.content_length)
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

    def _coach(self, scope: dict[str, Any]) -> None:
        """Tell the developer why a request has no user, which the host does not."""
        lost = lost_its_user(scope)
        if lost is not None:
            self._has_coached = True
            logger.warning(LOST_USER, *lost)

    def _remark_scope(self, remark: str | None, *, upgrades: bool) -> None:
        if remark is not None:
            logger.warning("%s", remark)
        if upgrades:
            self._say_once(
                "upgrade",
                "a client asked for an upgrade (WebSocket): the host's gRPC wire cannot hand over"
                " a connection, so the request is served as plain HTTP; said once",
            )

    def _remark_answer(self, cycle: HTTPCycle, scope: dict[str, Any], length: int) -> None:
        if cycle.unread > SERVER_READS:
            logger.info(UNREAD, scope["method"], scope["path"], cycle.unread, length)
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
