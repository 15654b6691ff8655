"""ServeHTTP's init message -> an ASGI http scope (contract rows S1 to S9). Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from mm_asgi.bridge.request import header_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mm_asgi.protocol.hooks_http_read_pb2 import ServeHTTPRequestInit
    from mm_asgi.settings import Settings

__all__ = ["Built", "Headers", "build_scope", "strip_access_token"]

Headers = list[tuple[bytes, bytes]]


class Built(NamedTuple):
    """What ``build_scope`` made.

    Attributes:
        scope: the ASGI scope.
        remark: for the log, when the host's paths disagree.
        upgrades: whether the client asked for another protocol (row R16).
    """

    scope: dict[str, Any]
    remark: str | None
    upgrades: bool


# RFC 9110 7.6.1 and what proxies have always dropped with it. The names that a client lists in
# its own Connection header are NOT added: "Connection: Mattermost-User-Id" would erase the user.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# WSGI and older Django fold "_" to "-": these would pass for what the host vouches for.
IDENTITY_HEADERS = frozenset({"mattermost-user-id", "mattermost-plugin-id"})
# The names whose first or any value means something here.
_TELLING = frozenset({*IDENTITY_HEADERS, "x-forwarded-proto", "upgrade"})
_REMEMBERED = 96
"""Bytes up to which what was read from a header or an address is kept: they come again."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")  # RFC 3986 3.1, what net/url takes
# Measured against Starlette 1.x: told 2.4 or later it leaves an idle stream alive after the
# client left, see docs/decisions/0002.
SPEC_VERSION = "2.3"


def build_scope(
    init: ServeHTTPRequestInit, *, plugin_id: str, settings: Settings, state: Mapping[str, Any]
) -> Built:
    """The scope for one request.

    Args:
        init: the first request message's ``init``.
        plugin_id: the id that the host runs this plugin under.
        settings: site_url, root_path and underscore_headers are used.
        state: the app's lifespan state; the scope gets a shallow copy.
    """
    host, uri, url = init.host, init.request_uri, init.url
    headers, told = _headers(init, host, underscores=settings.underscore_headers)
    path, root_path, raw_path, remark = _paths(uri, url, plugin_id, settings.root_path)
    scheme = _scheme(told, settings.site_url)
    _, _, query = (uri or url).partition("?")
    context = init.plugin_context
    ip_address = context.ip_address
    facts = {
        "plugin_id": plugin_id,
        "user_id": (told.get("mattermost-user-id") or _NONE)[0] or None,
        "session_id": context.session_id,
        "request_id": context.request_id,
        "ip_address": ip_address,
        "user_agent": context.user_agent,
        "accept_language": context.accept_language,
        "source_plugin_id": (told.get("mattermost-plugin-id") or _NONE)[0] or None,
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": _http_version(init),
        "method": init.method or "GET",  # net/http: an empty method means GET
        "scheme": scheme,
        "path": path,
        "raw_path": raw_path,
        "root_path": root_path,
        "query_string": strip_access_token(query).encode() if query else b"",
        "headers": headers,
        "client": _client(init.remote_addr, ip_address),
        "server": _server(host, scheme),
        "state": dict(state),
        "extensions": {"mattermost": facts},
    }
    return Built(scope, remark, "upgrade" in told)


def strip_access_token(query: str) -> str:
    """``query`` without access_token, every other byte as the client sent it (row S4).

    A ``;`` may hide a token from Go's parser but not from a framework that splits there, and a
    token may itself contain one: what follows such a key up to the next ``&`` goes with it.
    """
    if "token" not in query.lower() and "%" not in query:
        return query
    kept = []
    for pair in query.split("&"):
        before: list[str] = []
        for piece in pair.split(";"):
            if unquote_plus(piece.partition("=")[0]) == "access_token":
                if before:
                    kept.append(";".join(before))
                break
            before.append(piece)
        else:
            kept.append(pair)
    return "&".join(kept)


def _paths(
    uri: str, url: str, plugin_id: str, configured: str | None
) -> tuple[str, str, bytes, str | None]:
    """path, root_path, raw_path and a remark (rows S2, S3)."""
    below = _unquote(_raw_path(url))
    if not uri:  # an inter-plugin request: only the path below the plugin is known
        prefix = configured if configured is not None else f"/plugins/{plugin_id}"
        raw = quote(prefix).encode() + _raw_path(url).encode()
        return prefix + below, prefix, raw, None
    raw_path = _raw_path(uri)
    path = _unquote(raw_path)
    if path.endswith(below):
        root_path = path[: len(path) - len(below)]
    elif below == "/":  # "/plugins/demo" without its slash: the host adds one to url only
        root_path = path
    else:
        root_path = configured if configured is not None else f"/plugins/{plugin_id}"
        remark = (
            f"scope: the host's url path {below!r} is not the end of request_uri's path"
            f" {path!r}; root_path is {root_path!r}, from the plugin id or the setting"
        )
        return root_path + below, root_path, raw_path.encode(), remark
    return path, root_path, raw_path.encode(), None


def _raw_path(target: str) -> str:
    """The path of a request target, undecoded; scheme and authority of absolute-form removed."""
    path = target.partition("?")[0]
    if path[:1] != "/" and (scheme := _SCHEME.match(path)):
        path = path[scheme.end() :]
        if path.startswith("//"):  # else without authority, "http:/plugins/...", which Go takes
            path = "/" + path[2:].partition("/")[2]
    return path


def _unquote(path: str) -> str:
    return unquote(path, errors="replace") if "%" in path else path


_NONE = ("",)


def _headers(
    init: ServeHTTPRequestInit, host: str, *, underscores: bool
) -> tuple[Headers, dict[str, list[str]]]:
    """Host first, then the host's headers in their order (rows S5, S6); and the telling ones."""
    headers = [(b"host", host.encode())] if host else []
    told: dict[str, list[str]] = {}
    for header in init.headers:
        pairs, telling, values = (_kept_header if len(header) <= _REMEMBERED else _header)(
            header, underscores
        )
        headers += pairs
        if telling:
            told[telling] = [*told.get(telling, ()), *values]
    return headers, told


def _header(header: bytes, underscores: bool) -> tuple[Headers, str, list[str]]:
    """A header's pairs, none when it is dropped; when it is telling, its name and values too."""
    key, values = header_fields(header)
    name = key.lower()
    pairs: Headers = []
    if name not in HOP_BY_HOP and (
        "_" not in name or (underscores and name.replace("_", "-") not in IDENTITY_HEADERS)
    ):
        raw = name.encode()
        pairs = [(raw, value) for value in values]
    if name not in _TELLING:
        return pairs, "", []
    return pairs, name, [value.decode() for value in values]


# Not state: the same answer each time, only sooner. Short ones alone: what is kept stays small.
_kept_header = lru_cache(maxsize=2048)(_header)


def _scheme(told: Mapping[str, list[str]], site_url: str | None) -> str:
    for value in told.get("x-forwarded-proto", ()):
        if value.partition(",")[0].strip().lower() == "https":
            return "https"
    return urlsplit(site_url).scheme.lower() if site_url else "http"


def _http_version(init: ServeHTTPRequestInit) -> str:
    if init.proto_major >= 2:
        return str(init.proto_major)
    return "1.0" if init.proto == "HTTP/1.0" else "1.1"


def _split_port(address: str) -> tuple[str, int | None]:
    """``host:port``, ``[v6]:port``, a bare v6, "@" (a unix peer in Go) or nothing."""
    host, colon, port = address.rpartition(":")
    if not colon or "]" in port or (":" in host and not host.startswith("[")):
        host, port = address, ""
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if len(port) <= 5 and port.isascii() and port.isdigit() else None
    return ("" if host == "@" else host), number


_kept_split = lru_cache(maxsize=1024)(_split_port)


def _address(text: str) -> tuple[str, int | None]:
    return _kept_split(text) if len(text) <= _REMEMBERED else _split_port(text)


def _client(remote: str, ip_address: str) -> tuple[str, int] | None:
    host, port = _address(remote)
    host = ip_address or host
    return (host, port or 0) if host else None


def _server(host: str, scheme: str) -> tuple[str, int] | None:
    name, port = _address(host)
    if not name:
        return None
    return name, port if port is not None else (443 if scheme == "https" else 80)
