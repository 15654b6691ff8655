"""An ASGI app as a plugin sees its requests, for clients that call the app in-process.

A client's request first goes through the simulated host's own rewriting (`mm_asgi.host.http`), then
through the bridge's own ``build_http``. So tests see the same scope as under ``mm-asgi dev`` and on a
server. ``as_user`` names the user that the host vouches for: the host's tokens, its CSRF rule, its
routes and the wire are left out.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import quote

from mm_asgi.api.api_connection import APIConnection
from mm_asgi.bridge.lifespan import Lifespan
from mm_asgi.bridge.request import HTTPRequest
from mm_asgi.bridge.scope import Mount, build_http
from mm_asgi.host.http import PLUGIN_ID, Login, read_request, strip, vouch
from mm_asgi.running import RUNNING
from mm_asgi.testing.request_line import with_prefix

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from mm_asgi.api.client import Client
    from mm_asgi.host.http import Context, GoRequest

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["Facts", "as_user", "lifespan"]


class Facts(TypedDict, total=False):
    """What the host knows of a request beside the user, see ``mm_asgi.identity``.

    Attributes:
        session_id: of the user's session; by default made from the user's id.
        request_id: by default another one for each request.
        ip_address: by default the address that the transport gives its client.
        user_agent: by default the client's header; so is accept_language.
        source_plugin_id: makes it a request from another plugin: no host, no client address.
    """

    session_id: str
    request_id: str
    ip_address: str
    user_agent: str
    accept_language: str
    source_plugin_id: str


def as_user(
    app: ASGIApp,
    user_id: str | None,
    *,
    plugin_id: str = "com.example.plugin",
    root_path: str | None = None,
    api: Client | None = None,
    **facts: Unpack[Facts],
) -> ASGIApp:
    """Wrap an app so that it sees each request as a plugin does, from this user.

    Paths may be given with or without the plugin's prefix: ``/hello`` and
    ``/plugins/{plugin_id}/hello`` are the same request. Lifespan events and ``state`` go through
    unchanged.

    Args:
        app: an ASGI app.
        user_id: who the host vouches for; None is an anonymous request.
        plugin_id: the id that the host runs the plugin under.
        root_path: the prefix, ``/plugins/{plugin_id}`` by default; with a site's subpath for
            example ``/chat/plugins/{plugin_id}``. That of the transport is not looked at.
        api: the client whose connection ``mm_asgi.contrib`` uses. Without one its calls raise
            Unavailable.
        facts: the other keys of ``scope["extensions"]["mattermost"]``.

    Raises:
        TypeError: a fact that there is not.
    """
    if unknown := facts.keys() - Facts.__annotations__.keys():
        raise TypeError(
            f"as_user: no such fact: {', '.join(sorted(unknown))}; expected some of"
            f" {', '.join(Facts.__annotations__)}"
        )
    prefix = f"/plugins/{plugin_id}" if root_path is None else root_path.rstrip("/")
    source = APIConnection("") if api is None else api

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        token = RUNNING.set(source)
        try:
            await app(_seen(scope, user_id, plugin_id, prefix, facts), receive, send)
        finally:
            RUNNING.reset(token)

    return wrapped


def _seen(
    scope: Scope, user_id: str | None, plugin_id: str, prefix: str, facts: Facts
) -> MutableMapping[str, Any]:
    """Return the scope that the app sees for a client's scope."""
    if scope["type"] == "lifespan":
        return scope
    if scope["type"] != "http":
        raise ValueError(
            f"as_user: the client began a {scope['type']}; expected http: the host has no"
            " way to hand a WebSocket to a plugin"
        )
    passed = _pass_on(scope, user_id, prefix, facts.get("source_plugin_id"))
    request = _facts(*passed, facts)
    # The client's URL says what a proxy in front of Mattermost would.
    site = f"{scope.get('scheme', 'http')}://{request.host or 'localhost'}"
    mount = Mount(plugin_id, root_path=prefix, site_url=site)
    return build_http(request, mount, scope.get("state", {})).scope


@contextlib.asynccontextmanager
async def lifespan(app: ASGIApp, *, timeout: float = 10.0) -> AsyncIterator[ASGIApp]:
    """Start the app as OnActivate does, give it with its state, stop it at the end.

    ``httpx.ASGITransport`` runs no lifespan; wrap the outcome in as many ``as_user`` as the test
    has users.

    Args:
        app: an ASGI app.
        timeout: seconds that its shutdown may take.

    Raises:
        StartupError: the app's start-up failed.
    """
    running = Lifespan(app, "auto")
    await running.startup()

    async def started(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            scope = {**scope, "state": dict(running.state)}
        await app(scope, receive, send)

    try:
        yield started
    finally:
        await running.shutdown(timeout)


def _pass_on(
    scope: Scope, user_id: str | None, prefix: str, source: str | None
) -> tuple[GoRequest, Context]:
    """Return a client's request, and the facts beside it, as the host passes them on."""
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    try:
        request = read_request(
            {
                "method": scope["method"],
                "raw_path": with_prefix(path.partition(b"?")[0], prefix),
                "query_string": scope.get("query_string", b""),
                "headers": scope["headers"],
                "http_version": scope.get("http_version", "1.1"),
                "client": scope.get("client"),
            }
        )
    except ValueError as exc:
        raise ValueError(
            f"as_user: the client sent a request that the host answers with 400 ({exc}); expected"
            " one that reaches a plugin"
        ) from exc
    context = strip(request, _go_text(prefix))
    if user_id is not None:
        vouch(request, context, Login(_go_text(user_id)))
    if not user_id:
        context.session_id = ""
    if source is not None:
        request.header[PLUGIN_ID] = [_go_text(source)]
        # Another plugin's request has none of these.
        request.request_uri = request.host = request.remote_addr = context.ip_address = ""
    return request, context


def _facts(request: GoRequest, context: Context, facts: Facts) -> HTTPRequest:
    """Return the facts as a wire brings them; those that the test gave win."""
    major, minor = request.protocol
    return HTTPRequest(
        method=request.method,
        target=_utf8(request.request_uri, "target"),
        url=_utf8(str(request.url), "target"),
        host=_utf8(request.host, "Host header"),
        remote_addr=request.remote_addr,
        proto=f"HTTP/{major}.{minor}",
        proto_major=major,
        length=request.content_length or -1,
        headers=[
            (name.encode(), _utf8(value, repr(name.lower())).encode())
            for name, values in request.header.items()
            for value in values
        ],
        session_id=facts.get("session_id", _utf8(context.session_id, "user id")),
        request_id=facts.get("request_id", context.request_id),
        ip_address=facts.get("ip_address", context.ip_address),
        user_agent=facts.get("user_agent", _utf8(context.user_agent, "'user-agent'")),
        accept_language=facts.get(
            "accept_language", _utf8(context.accept_language, "'accept-language'")
        ),
    )


def _go_text(text: str) -> str:
    """Return a text as the host's model has it: one character a byte."""
    return text.encode().decode("latin-1")


def _utf8(text: str, what: str) -> str:
    """Return a text of the host's model as Python has it."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise ValueError(
            f"as_user: the client sent a {what} that is not UTF-8; expected UTF-8: the host's wire"
            " cannot carry it, such a request never reaches a plugin"
        ) from None
