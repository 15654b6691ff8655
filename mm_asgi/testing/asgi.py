"""An ASGI app as a plugin sees its requests, for clients that call the app in-process.

What a client sends is first treated as the host treats it (``_request``) and then goes through the
bridge's own ``build_http``: there is one truth about scopes, and tests see it. Not imitated: the
host's CSRF rule, its tokens and the wire itself. ``as_user`` says who the host vouches for.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import quote

from mm_asgi.api.connection import Connection
from mm_asgi.bridge.lifespan import Lifespan
from mm_asgi.bridge.request import HTTPRequest
from mm_asgi.bridge.scope import Mount, build_http
from mm_asgi.running import RUNNING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from mm_asgi.api.client import Client
    from mm_asgi.bridge.request import Header

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["Facts", "as_user", "lifespan"]

SESSION_COOKIE = "MMAUTHTOKEN"
# Replaced or taken out by the host, whatever the client sent; Host travels in a field of its own.
HOST_OWNED = frozenset({"host", "referer", "mattermost-user-id", "mattermost-plugin-id"})


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
    source = Connection("") if api is None else api

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
    """The scope that the app sees for a client's."""
    if scope["type"] == "lifespan":
        return scope
    if scope["type"] != "http":
        raise ValueError(
            f"as_user: the client began a {scope['type']}; expected http: the host has no"
            " way to hand a WebSocket to a plugin"
        )
    request = _request(scope, user_id, prefix, facts)
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


def _request(scope: Scope, user_id: str | None, prefix: str, facts: Facts) -> HTTPRequest:
    """Return the facts that the host would send for a client's request."""
    headers, sent = _headers(scope)
    source = facts.get("source_plugin_id")
    if user_id is not None:
        headers.append((b"Mattermost-User-Id", user_id.encode()))
    if source is not None:
        headers.append((b"Mattermost-Plugin-ID", source.encode()))
    client = scope.get("client") or ("", 0)
    version = scope.get("http_version", "1.1")
    target, url = _targets(scope, prefix)
    return HTTPRequest(
        method=scope["method"],
        # Another plugin's request has no target, host or address.
        target=target if source is None else "",
        url=url,
        host=sent.get("host", "") if source is None else "",
        remote_addr=_address(*client) if source is None and client[0] else "",
        proto=f"HTTP/{version}" if "." in version else f"HTTP/{version}.0",
        proto_major=int(version[0]),
        length=int(sent.get("content-length", -1)),
        headers=headers,
        session_id=facts.get("session_id", f"session-{user_id}" if user_id else ""),
        request_id=facts.get("request_id", uuid.uuid4().hex[:26]),
        ip_address=facts.get("ip_address", client[0] if source is None else ""),
        user_agent=facts.get("user_agent", sent.get("user-agent", "")),
        accept_language=facts.get("accept_language", sent.get("accept-language", "")),
    )


def _headers(scope: Scope) -> tuple[list[Header], dict[str, str]]:
    """Return the headers that the host passes on, and the first value of each that the client sent."""
    sent: dict[str, list[str]] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        try:
            sent.setdefault(name, []).append(raw_value.decode())
        except UnicodeDecodeError:
            raise ValueError(
                f"as_user: the client sent a {name!r} that is not UTF-8; expected UTF-8: the"
                " host's wire cannot carry it, such a request never reaches a plugin"
            ) from None
    passed = {name: values for name, values in sent.items() if name not in HOST_OWNED}
    if "cookie" in passed:
        passed["cookie"] = _cookies(passed["cookie"])
    headers = [
        (name.encode(), value.encode()) for name, values in passed.items() for value in values
    ]
    return headers, {name: values[0] for name, values in sent.items()}


def _cookies(values: list[str]) -> list[str]:
    """All cookies but the session's, in one header, as the host rebuilds them."""
    pairs = [pair.strip() for value in values for pair in value.split(";")]
    kept = [pair for pair in pairs if pair and pair.partition("=")[0].strip() != SESSION_COOKIE]
    return ["; ".join(kept)] if kept else []


def _targets(scope: Scope, prefix: str) -> tuple[str, str]:
    """request_uri with the prefix, and the path below it, both with the query."""
    path: str = scope["path"]
    raw = (scope.get("raw_path") or quote(path).encode()).partition(b"?")[0].decode("latin-1")
    if path == prefix or path.startswith(prefix + "/"):
        below = path[len(prefix) :] or "/"  # the host adds the slash here, and here only
    else:
        below, raw = path, quote(prefix) + raw
    query = scope.get("query_string", b"").decode("latin-1")
    mark = "?" if query else ""
    return f"{raw}{mark}{query}", f"{quote(below)}{mark}{query}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
