"""A request's facts -> an ASGI scope (contract rows S1 to S9). Pure.

``build_http`` is the whole of it. A wire that can sift its headers faster (by a cache of its own)
calls ``sift_name`` and ``assemble_http`` itself. The parts stand apart, each a function of facts,
since a WebSocket's scope has the same paths, headers and addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, unquote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mm_asgi.bridge.request import Header, HTTPRequest

__all__ = [
    "REMEMBERED",
    "HTTPScope",
    "Mount",
    "assemble_http",
    "build_http",
    "sift_name",
    "strip_access_token",
]


@dataclass(frozen=True, slots=True)
class Mount:
    """Where an app stands on its site: what a scope needs beside the request.

    Attributes:
        plugin_id: the id that the host runs the plugin under.
        root_path: the setting root-path; None: ``/plugins/{plugin_id}``. It counts where the
            request does not say it itself.
        site_url: the site's URL, for the scheme; None when nothing says it.
        underscores: whether headers with an underscore in their name are kept (row S6).
    """

    plugin_id: str
    root_path: str | None = None
    site_url: str | None = None
    underscores: bool = False


class HTTPScope(NamedTuple):
    """A scope, and what else was seen on the way.

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
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# WSGI and older Django fold "_" to "-": these would pass for what the host vouches for.
IDENTITY_HEADERS = frozenset({b"mattermost-user-id", b"mattermost-plugin-id"})
# The names whose values say something of the request: the first value, or any of them.
_TELLING = frozenset({*IDENTITY_HEADERS, b"x-forwarded-proto", b"upgrade"})
REMEMBERED = 96
"""Bytes of a header or an address up to which the outcome of reading it is kept: it comes again."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")  # RFC 3986 3.1, what net/url takes
# Measured against Starlette 1.x: with 2.4 or later it leaves an idle stream alive after the
# client left, see docs/decisions/0002.
SPEC_VERSION = "2.3"


def build_http(request: HTTPRequest, mount: Mount, state: Mapping[str, Any]) -> HTTPScope:
    """Build the scope of one request.

    Args:
        request: its facts.
        mount: where the app stands.
        state: the app's lifespan state; the scope gets a shallow copy.
    """
    headers: list[Header] = []
    telling: dict[bytes, list[bytes]] = {}
    for name, value in request.headers:
        kept, telling_name = sift_name(name, mount.underscores)
        if kept:
            headers.append((kept, value))
        if telling_name:
            telling.setdefault(telling_name, []).append(value)
    return assemble_http(request, mount, state, headers, telling)


def sift_name(name: bytes, underscores: bool) -> tuple[bytes, bytes]:
    """Return a header's name as the scope has it, and as ``assemble_http`` looks for it (row S6).

    The first is empty for a header that is dropped, the second for one that tells nothing.
    """
    if name.isascii():
        key = name.lower()
    else:
        key = name.decode("utf-8", "surrogateescape").lower().encode("utf-8", "surrogateescape")
    telling_name = key if key in _TELLING else b""
    if key in HOP_BY_HOP:
        return b"", telling_name
    if b"_" in key and not (underscores and key.replace(b"_", b"-") not in IDENTITY_HEADERS):
        return b"", telling_name
    return key, telling_name


def assemble_http(
    request: HTTPRequest,
    mount: Mount,
    state: Mapping[str, Any],
    headers: list[Header],
    telling: Mapping[bytes, Sequence[bytes]],
) -> HTTPScope:
    """Build a scope from facts and sifted headers; the other arguments are ``build_http``'s.

    Args:
        request: its ``headers`` are not read.
        headers: those that are kept, in their order; the scope takes the list.
        telling: the values of the headers that ``sift_name`` calls telling, by that name.
    """
    host, major = request.host, request.proto_major
    path, root_path, raw_path, remark = _paths(request.target, request.url, mount)
    scheme = _scheme(telling, mount.site_url)
    query = (request.target or request.url).partition("?")[2]
    if host:
        headers.insert(0, (b"host", host.encode()))  # net/http takes it out of the headers
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": "1.0"
        if request.proto == "HTTP/1.0"
        else "1.1"
        if major < 2
        else str(major),
        "method": request.method or "GET",  # net/http: an empty method means GET
        "scheme": scheme,
        "path": path,
        "raw_path": raw_path,
        "root_path": root_path,
        "query_string": strip_access_token(query).encode("utf-8", "surrogateescape")
        if query
        else b"",
        "headers": headers,
        "client": _client(request.remote_addr, request.ip_address),
        "server": _server(host, scheme),
        "state": dict(state),
        "extensions": {"mattermost": _facts(request, mount.plugin_id, telling)},
    }
    return HTTPScope(scope, remark, b"upgrade" in telling)


def _facts(
    request: HTTPRequest, plugin_id: str, telling: Mapping[bytes, Sequence[bytes]]
) -> dict[str, str | None]:
    """Return the extension ``mattermost`` (row S8)."""
    user = telling.get(b"mattermost-user-id")
    source = telling.get(b"mattermost-plugin-id")
    return {
        "plugin_id": plugin_id,
        "user_id": (user[0].decode("utf-8", "replace") or None) if user else None,
        "session_id": request.session_id,
        "request_id": request.request_id,
        "ip_address": request.ip_address,
        "user_agent": request.user_agent,
        "accept_language": request.accept_language,
        "source_plugin_id": (source[0].decode("utf-8", "replace") or None) if source else None,
    }


def strip_access_token(query: str) -> str:
    """Return ``query`` without access_token, every other byte as the client sent it (row S4).

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


def _paths(uri: str, url: str, mount: Mount) -> tuple[str, str, bytes, str | None]:
    """Return path, root_path, raw_path and a remark (rows S2, S3)."""
    raw_below = url.partition("?")[0]
    if raw_below[:1] != "/":
        raw_below = _origin_form(raw_below)
    below = raw_below
    if "%" in below or not below.isascii():
        below = _unquote(below)
    if not uri:  # an inter-plugin request: only the path below the plugin is known
        prefix = _prefix(mount)
        return (
            prefix + below,
            prefix,
            quote(prefix).encode() + raw_below.encode("utf-8", "surrogateescape"),
            None,
        )
    raw_path = uri.partition("?")[0]
    if raw_path[:1] != "/":
        raw_path = _origin_form(raw_path)
    path = raw_path
    if "%" in path or not path.isascii():
        path = _unquote(path)
    raw = raw_path.encode("utf-8", "surrogateescape")
    if path.endswith(below):
        return path, path[: len(path) - len(below)], raw, None
    if below == "/":  # "/plugins/demo" without its slash: the host adds one to url only
        return path, path, raw, None
    prefix = _prefix(mount)
    remark = (
        f"scope: the host's url path {below!r} is not the end of request_uri's path"
        f" {path!r}; root_path is {prefix!r}, from the plugin id or the setting"
    )
    return prefix + below, prefix, raw, remark


def _prefix(mount: Mount) -> str:
    return mount.root_path if mount.root_path is not None else f"/plugins/{mount.plugin_id}"


def _origin_form(path: str) -> str:
    """Return the undecoded path of a request target, without absolute-form's scheme and host."""
    if scheme := _SCHEME.match(path):
        path = path[scheme.end() :]
        if path.startswith("//"):  # else without authority, "http:/plugins/...", which Go takes
            path = "/" + path[2:].partition("/")[2]
    return path


def _unquote(path: str) -> str:
    path = unquote(path, errors="replace")
    # A wire of bytes hands on those that are not UTF-8 as surrogates, which no app could encode.
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _scheme(telling: Mapping[bytes, Sequence[bytes]], site_url: str | None) -> str:
    for value in telling.get(b"x-forwarded-proto", ()):
        if value.partition(b",")[0].strip().lower() == b"https":
            return "https"
    return urlsplit(site_url).scheme.lower() if site_url else "http"


def _split_port(address: str) -> tuple[str, int | None]:
    """Split ``host:port``, ``[v6]:port``, a bare v6, "@" (a unix peer in Go) or nothing."""
    host, colon, port = address.rpartition(":")
    if not colon or "]" in port or (":" in host and not host.startswith("[")):
        host, port = address, ""
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if len(port) <= 5 and port.isascii() and port.isdigit() else None
    return ("" if host == "@" else host), number


# Not state: the same answer each time, only sooner. Short ones alone, so that the cache stays small.
_kept_split = lru_cache(maxsize=1024)(_split_port)


def _client(remote: str, ip_address: str) -> tuple[str, int] | None:
    host, port = (_kept_split if len(remote) <= REMEMBERED else _split_port)(remote)
    host = ip_address or host
    return (host, port or 0) if host else None


def _server(host: str, scheme: str) -> tuple[str, int] | None:
    name, port = (_kept_split if len(host) <= REMEMBERED else _split_port)(host)
    if not name:
        return None
    return name, port if port is not None else (443 if scheme == "https" else 80)
