"""What happens around a request's cycle: admission, scope, log context, remarks, access line.

One HTTPHandler serves one app from activation to the end; it holds what requests share. It knows
no wire: the code that takes requests from a wire makes an exchange of each and calls ``serve()``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.bridge.http import Holds, HTTPCycle
from mm_asgi.bridge.response import plain_answer
from mm_asgi.bridge.scope import Mount
from mm_asgi.bridge.state import ResponseState
from mm_asgi.observe.access import log_access
from mm_asgi.observe.context import LOG_CONTEXT, LogContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mm_asgi.bridge.exchange import Exchange
    from mm_asgi.bridge.scope import HTTPScope
    from mm_asgi.settings import Settings

__all__ = ["HTTPHandler"]

logger = logging.getLogger("mm_asgi.bridge")

UNREAD = (
    "the app answered %s %s and left %d of the body's %d bytes unread: the server closes such a"
    " connection, and a browser that still sends may show an error and not the answer; read the"
    " body to its end"
)

SERVER_READS = 256 * 1024
"""Bytes that Go reads of a body that was left, for the connection's sake (net/http server.go,
maxPostHandlerReadBytes)."""

LOST_USER = (
    "a %s by cookie came without its user, and with%s X-CSRF-Token: Mattermost makes a request"
    " anonymous that has a session's cookie, is no GET and lacks a valid token (or whose session"
    " has ended); send the value of the cookie MMCSRF as the header X-CSRF-Token, see"
    " docs/how-to/csrf.md; said once"
)

# The session's own cookie, MMAUTHTOKEN, does not leave the host; these two do.
_COOKIES = (b"MMCSRF=", b"MMUSERID=")


class HTTPHandler:
    """Serves HTTP exchanges with one ASGI app.

    Args:
        settings: the plugin's.
        plugin_id: the id that the host runs this plugin under.
        spawn: starts a task for a coroutine and keeps it alive, as ``TaskSet.start`` does.
        ready: waits until the app may be called; False when it will not be (row L2).

    Attributes:
        app: the ASGI app; set before ``ready`` returns True.
        state: the app's lifespan state.
        draining: new requests get a 503.
        spawn: the argument.
    """

    def __init__(
        self,
        settings: Settings,
        plugin_id: str,
        *,
        spawn: Callable[..., object],
        ready: Callable[[], Awaitable[bool]],
    ) -> None:
        self.app: Callable[..., Awaitable[None]] | None = None
        self.state: dict[str, Any] = {}
        self.draining = False
        self.spawn = spawn
        self._mount = Mount(
            plugin_id, settings.root_path, settings.site_url, settings.underscore_headers
        )
        self._site_url = settings.site_url
        self._limit = settings.limit_concurrency
        self._grace = settings.disconnect_grace
        self._rewrite_cookies = settings.cookie_path == "root"
        self._access_log = settings.access_log
        self._holds = Holds(spawn)
        self._ready = ready
        self._cycles: set[HTTPCycle] = set()
        self._open = 0
        self._said: set[str] = set()
        self._has_coached = False

    def use_site_url(self, url: str | None) -> None:
        """Take the site's URL as the host knows it; the setting site-url wins (row S7)."""
        self._mount = dataclasses.replace(self._mount, site_url=self._site_url or url)

    def drain(self) -> None:
        """Take no more requests; make event streams, which do not end by themselves, end."""
        self.draining = True
        for cycle in self._cycles:
            cycle.drain()

    async def serve(self, exchange: Exchange) -> None:
        """Serve one request, to the end of the app's call.

        What the app raises is handled here. Whoever calls this ends the exchange if anything else
        goes wrong.

        Raises:
            HostProtocolError: the request's head cannot be read; the app was not called.
        """
        self._open += 1
        try:
            if not (self._takes_more() and await self._ready()) or self.draining:
                await _refuse(exchange)
                return
            scope, cycle = self._begin(exchange)
            if cycle.state is ResponseState.LEFT:
                logger.debug("the client left before the app was called")
                return
            assert self.app is not None  # ready() said so
            self._cycles.add(cycle)
            started = asyncio.get_running_loop().time() if self._access_log else 0.0
            failure: BaseException | None = None
            try:
                await self.app(scope, cycle.receive, cycle.send)
            except BaseException as exc:  # noqa: BLE001 - SystemExit too is the app's fault (row R11)
                failure = exc
            finally:
                self._cycles.discard(cycle)
            if failure is not None or cycle.state is not ResponseState.COMPLETE:
                await cycle.settle(failure)
            if cycle.wide_cookies or cycle.unread > SERVER_READS:
                self._remark_answer(cycle, scope, exchange.request.length)
            if self._access_log:
                _log_line(cycle, scope, started)
        finally:
            self._open -= 1

    def _takes_more(self) -> bool:
        """Return whether one more request may wait for the app (rows L2, R15)."""
        if self.draining:
            return False
        if self._limit and self._open > self._limit:
            self._say_once(
                "limit",
                "limit_concurrency: more than %d requests at once; those above get a 503",
                self._limit,
            )
            return False
        return True

    def _begin(self, exchange: Exchange) -> tuple[dict[str, Any], HTTPCycle]:
        """Return the scope and the cycle of a request; say what is odd about it."""
        built = exchange.scope(self._mount, self.state)
        scope = built.scope
        facts = scope["extensions"]["mattermost"]
        LOG_CONTEXT.set(LogContext(facts["request_id"], facts["user_id"]))
        if built.remark is not None or built.upgrades:
            self._remark_scope(built, exchange)
        if scope["method"] != "GET" and facts["user_id"] is None and not self._has_coached:
            self._coach(scope)
        return scope, HTTPCycle(
            exchange,
            grace=self._grace,
            holds=self._holds,
            root_path=scope["root_path"],
            rewrite_cookies=self._rewrite_cookies,
        )

    def _coach(self, scope: Mapping[str, Any]) -> None:
        """Say why a request has no user, since the host does not."""
        lost = _lost_its_user(scope)
        if lost is not None:
            self._has_coached = True
            logger.warning(LOST_USER, *lost)

    def _remark_scope(self, built: HTTPScope, exchange: Exchange) -> None:
        if built.remark is not None:
            logger.warning("%s", built.remark)
        if built.upgrades and exchange.upgrade() is None:
            self._say_once(
                "upgrade",
                "a client asked for an upgrade (WebSocket): the host's wire cannot hand over a"
                " connection, so the request is served as plain HTTP; said once",
            )

    def _remark_answer(self, cycle: HTTPCycle, scope: Mapping[str, Any], length: int) -> None:
        if cycle.unread > SERVER_READS:
            logger.info(UNREAD, scope["method"], scope["path"], cycle.unread, length)
        if self._rewrite_cookies:
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


async def _refuse(exchange: Exchange) -> None:
    method = exchange.request.method
    head, body = plain_answer(503, "Service Unavailable", method=method, retry=True)
    await exchange.write(head, body, more=False, flush=False)


def _log_line(cycle: HTTPCycle, scope: Mapping[str, Any], started: float) -> None:
    log_access(
        method=scope["method"],
        path=scope["path"],
        status=cycle.status,
        sent=cycle.sent,
        seconds=asyncio.get_running_loop().time() - started,
        client=scope["client"][0] if scope["client"] else None,
        user_id=scope["extensions"]["mattermost"]["user_id"],
    )


def _lost_its_user(scope: Mapping[str, Any]) -> tuple[str, str] | None:
    """Recognize a request that lost its user to Mattermost's CSRF rule (row S10).

    Args:
        scope: of an anonymous request that is not a GET.

    Returns:
        The method, and "" or "out", for LOST_USER; None for a request without a session.
    """
    names = set()
    has_session = False
    for name, value in scope["headers"]:
        names.add(name)
        if name == b"cookie":
            pairs = [pair.lstrip() for pair in value.split(b";")]
            has_session |= any(pair.startswith(_COOKIES) for pair in pairs)
    if not has_session or scope["extensions"]["mattermost"]["source_plugin_id"]:
        return None
    return scope["method"], "" if b"x-csrf-token" in names else "out"
