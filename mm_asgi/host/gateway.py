"""The server's HTTP side, as an ASGI app: routes, rewriting, public files, and the plugin."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from mm_asgi.host.host_exchange import HostExchange
from mm_asgi.host.http.answer import Answer
from mm_asgi.host.http.body import Body
from mm_asgi.host.http.line import LINE
from mm_asgi.host.http.public import serve_file
from mm_asgi.host.http.rules import USER_ID, identify_by_form, read_request, rewrite, route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from pathlib import Path

    from mm_asgi.host.http.line import Line
    from mm_asgi.host.http.rules import GoRequest, Route, Rules
    from mm_asgi.host.plugin.gate import Gate
    from mm_asgi.host.plugin.log import HostLog

__all__ = ["Gateway"]

_SAID = {404: "404 page not found", 500: "500 internal server error"}
"""What a server answers while there is no plugin; any other status has the reason as its text."""


class Gateway:
    """Answer every HTTP request. A failure goes to the log and never ends the server."""

    def __init__(
        self,
        rules: Rules,
        gate: Gate,
        log: HostLog,
        public: Path,
        on_user: Callable[[str], None] = lambda user_id: None,
        exchange: Callable[..., Any] = HostExchange,
    ) -> None:
        self._rules = rules
        self._gate = gate
        self._log = log
        self._public = public
        self._on_user = on_user
        self._exchange = exchange
        self._running: set[Any] = set()

    def cancel(self) -> None:
        """End every RPC: the server stops."""
        for exchange in self._running:
            exchange.cancel()

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve a request: an ASGI app for uvicorn with ``lifespan="off"``."""
        line: Line | None = scope.get(LINE)
        headers = dict(scope["headers"])
        body = Body(receive, closing=_ends_connection(scope["http_version"], headers), line=line)
        answer = Answer(scope["method"], body, send, line)
        try:
            await self._answer_request(scope, body, answer)
        except Exception as exc:
            # An error of ours or of uvicorn, such as a header that h11 refuses. Log it, and let
            # uvicorn close the connection.
            self._log.host(
                "error", "the simulated host failed", error=f"{type(exc).__name__}: {exc}"
            )
            raise

    async def _answer_request(
        self, scope: MutableMapping[str, Any], body: Body, answer: Answer
    ) -> None:
        try:
            request = read_request(scope)
        except ValueError:
            await answer.whole(
                400,
                [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")],
                b"400 Bad Request",
            )
            return
        if request.request_uri == "*" and request.method == "OPTIONS":
            await answer.whole(200, [("Content-Length", "0")], b"")
            return
        way = route(request.url, self._rules)
        if way.kind == "redirect":
            await _send_redirect(way, request, answer)
        elif way.kind == "not found":
            await answer.plain(404, "404 page not found")
        elif way.kind == "public":
            await serve_file(self._public, way.file, request, answer)
        else:
            await self._ask_plugin(request, body, answer)

    async def _ask_plugin(self, request: GoRequest, body: Body, answer: Answer) -> None:
        rewritten = rewrite(request, self._rules)
        if rewritten.form_of is not None:
            whole = await body.read_all()
            identify_by_form(request, rewritten, whole, strict=self._rules.strict_csrf)
        for level, note in rewritten.notes:
            self._log.host(level, note, path=request.url.path, method=request.method)
        for user_id in request.header.get(USER_ID, ()):
            self._on_user(user_id)
        exchange = self._exchange(
            request, rewritten.context, body, answer, gate=self._gate, log=self._log
        )
        self._running.add(exchange)
        try:
            while (plugin := await self._gate.enter()) is not None:
                if not plugin.hooks.lists("ServeHTTP"):
                    await answer.plain(404, "404 page not found")
                    return
                await exchange.run(plugin)
                if not exchange.moved:
                    return
            status = self._gate.status
            await answer.plain(status, _SAID.get(status, self._gate.failure))
        finally:
            self._running.discard(exchange)


async def _send_redirect(way: Route, request: GoRequest, answer: Answer) -> None:
    pairs = [("Location", way.location)]
    data = b""
    if way.status == 302:
        if request.method in ("GET", "HEAD"):
            pairs.append(("Content-Type", "text/html; charset=utf-8"))
        if request.method == "GET":
            shown = html.escape(way.location).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
            data = f'<a href="{shown}">Found</a>.\n\n'.encode()
    await answer.whole(way.status, pairs, data)


def _ends_connection(http_version: str, headers: dict[bytes, bytes]) -> bool:
    """Return whether the connection ends with this request, so that net/http reads no rest of it."""
    return (
        http_version == "1.0"
        or headers.get(b"expect", b"").lower() == b"100-continue"
        or b"close" in headers.get(b"connection", b"").lower()
    )
