"""The host's rewriting of a request before a plugin sees it. Pure.

The model is tests/gohost/rewrite.go and gateway.go, and behind them Mattermost's
plugin_requests.go, gorilla/mux and net/http. Text is one character a byte, as in Go.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mm_asgi.host.http.headers import (
    Header,
    canonical,
    cookies,
    first,
    make_header,
    media_type,
    rebuild_cookies,
)
from mm_asgi.host.http.urls import URL, encode_query, parse_query, parse_request_uri
from mm_asgi.host.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Context",
    "Login",
    "GoRequest",
    "Rewritten",
    "Route",
    "Rules",
    "identify_by_form",
    "read_request",
    "rewrite",
    "route",
    "strip",
    "vouch",
]

SESSION_COOKIE = "MMAUTHTOKEN"
USER_ID = "Mattermost-User-Id"
PLUGIN_ID = "Mattermost-Plugin-Id"
INVALID_TOKEN = "Token in plugin request is invalid. Treating request as unauthenticated"
MFA_REQUIRED = "Treating session as unauthenticated since MFA required"
CSRF_FAILED = "CSRF request failed. Treating the request as unauthenticated."
XHR_DEPRECATED = (
    "CSRF Check failed for request - Please migrate your plugin to either send a CSRF Header or"
    " Form Field, XMLHttpRequest is deprecated"
)
FORM = "application/x-www-form-urlencoded"
FORM_METHODS = ("POST", "PUT", "PATCH")
FORM_LIMIT = 10 << 20  # net/http's ParseForm; more counts as an empty form


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The host's settings that count for every request.

    Attributes:
        user: the user of requests without a token; empty: such requests are anonymous.
        strict_csrf: ExperimentalStrictCSRFEnforcement.
        trusted_proxy_headers: TrustedProxyIPHeader.
    """

    plugin_id: str
    subpath: str = "/"
    user: str = ""
    strict_csrf: bool = False
    trusted_proxy_headers: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """``/site/plugins/id``."""
        return posixpath.join(self.subpath, "plugins", self.plugin_id)


@dataclass(frozen=True, slots=True)
class Login:
    """A fake login.

    Attributes:
        user: the user's id.
        mfa: the user still has to set up MFA, and is anonymous until then.
    """

    user: str
    mfa: bool = False

    @property
    def id(self) -> str:
        return f"session-{self.user}"

    @property
    def csrf(self) -> str:
        return f"csrf-{self.user}"


@dataclass(slots=True)
class Context:
    """The facts that plugin_context carries."""

    session_id: str
    request_id: str
    ip_address: str
    accept_language: str
    user_agent: str


@dataclass(slots=True)
class GoRequest:
    """The fields of Go's http.Request that reach a plugin."""

    method: str
    request_uri: str
    url: URL
    protocol: tuple[int, int]
    host: str
    remote_addr: str
    header: Header
    content_length: int


@dataclass(slots=True)
class Rewritten:
    """The outcome of rewriting a request.

    Attributes:
        context: the facts for plugin_context.
        form_of: a login that only a CSRF token in the body can confirm. When it is set, the caller
            has to call `identify_by_form` with the whole body before the request goes on.
        notes: the lines for the server's log, as level and message.
    """

    context: Context
    form_of: Login | None = None
    notes: list[tuple[str, str]] = field(default_factory=list)


def read_request(scope: Mapping[str, Any]) -> GoRequest:
    """Read an HTTP request from a server's ASGI scope.

    Raises:
        ValueError: net/http answers 400 to this request.
    """
    target = scope["raw_path"].decode("latin-1")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    url = parse_request_uri(target)
    header = make_header((k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"])
    hosts = header.pop("Host", [""])
    major, _, minor = scope["http_version"].partition(".")
    if len(hosts) > 1:
        raise ValueError("too many Host headers")
    length = _content_length(header)
    if first(header, "Pragma") == "no-cache":
        header.setdefault("Cache-Control", ["no-cache"])
    return GoRequest(
        method=scope["method"],
        request_uri=target,
        url=url,
        protocol=(int(major), int(minor or 0)),
        host=url.host or hosts[0],
        remote_addr=_address(scope.get("client")),
        header=header,
        content_length=length,
    )


def _content_length(header: Header) -> int:
    if header.pop("Transfer-Encoding", None):
        header.pop("Content-Length", None)
        header.pop("Trailer", None)
        return -1
    lengths = header.get("Content-Length")
    if not lengths:
        return 0
    header["Content-Length"] = lengths[:1]
    return int(lengths[0])


def _address(client: tuple[str, int] | None) -> str:
    if client is None:
        return ""
    host, port = client
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# -------------------------------------------------------------------- routing


@dataclass(frozen=True, slots=True)
class Route:
    """A request's destination.

    Attributes:
        kind: ``plugin``, ``public``, ``redirect`` or ``not found``.
        status, location: of a redirect.
        file: the path below public/.
    """

    kind: str
    status: int = 0
    location: str = ""
    file: str = ""


_PLUGIN_PATH = re.compile(r"/plugins/([A-Za-z0-9_\-.]+)(?:|/[^\n]*)")


def route(url: URL, rules: Rules) -> Route:
    """Route a URL as gorilla/mux does with the server's routes.

    The decoded path counts. A path that is not clean is redirected.
    """
    path = url.path
    if (cleaned := clean_path(path)) != path:
        return Route("redirect", 301, str(replace(url, path=cleaned)))
    below = path.removeprefix(rules.subpath) if rules.subpath != "/" else path
    found = path.startswith(rules.subpath) and _PLUGIN_PATH.fullmatch(below)
    if not found:
        if rules.subpath == "/":
            return Route("not found")
        # Under a subpath the root's 404 is a redirect into it.
        joined = posixpath.normpath(posixpath.join(rules.subpath, path.lstrip("/")))
        return Route("redirect", 302, str(replace(url, path=joined)))
    if found[1] != rules.plugin_id:
        return Route("not found")
    public = f"{rules.prefix}/public/"
    if path.startswith(public):
        return (
            Route("not found") if path.endswith("/") else Route("public", file=path[len(public) :])
        )
    return Route("plugin")


def clean_path(path: str) -> str:
    """Return mux's cleanPath: without ``//``, ``.`` and ``..``; a slash at the end stays."""
    if not path:
        return "/"
    # normpath keeps two leading slashes, since POSIX allows them a meaning of their own.
    cleaned = "/" + posixpath.normpath("/" + path).lstrip("/")
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


# -------------------------------------------------------------------- rewriting


def rewrite(request: GoRequest, rules: Rules) -> Rewritten:
    """Rewrite a request in the host's order: strip it, then find out who sent it."""
    token, by_cookie = _auth_token(request)  # before the cookies are rebuilt
    context = strip(request, rules.prefix, rules.trusted_proxy_headers)
    login = find_login(token) if token else Login(rules.user) if rules.user else None
    done = Rewritten(context)
    if login is None:
        if token:
            done.notes.append(("debug", INVALID_TOKEN))
        return done
    if token:
        # A valid token never reaches the plugin, also where MFA or CSRF fail below.
        request.header.pop("Authorization", None)
    if login.mfa:
        done.notes.append(("warn", MFA_REQUIRED))
    elif not by_cookie or request.method == "GET":
        vouch(request, context, login)
    elif given := first(request.header, "X-Csrf-Token"):
        _check_csrf(request, done, login, given, strict=rules.strict_csrf)
    else:
        done.form_of = login
    return done


def strip(request: GoRequest, prefix: str, trusted_proxy_headers: tuple[str, ...] = ()) -> Context:
    """Strip and set the headers, the query and the path that the host rewrites in every request.

    Args:
        request: the request, which is changed. It is anonymous afterwards.
        prefix: the plugin's decoded path, which is removed from the URL's.
        trusted_proxy_headers: as in `Rules`.

    Returns:
        Context: the facts about the client from its headers, with a new request id.
    """
    header, url = request.header, request.url
    context = Context(
        session_id="",
        request_id=new_id(),
        ip_address=_ip_address(request, trusted_proxy_headers),
        accept_language=first(header, "Accept-Language"),
        user_agent=first(header, "User-Agent"),
    )
    header.pop(PLUGIN_ID, None)
    header.pop(USER_ID, None)
    rebuild_cookies(header, without=SESSION_COOKIE)
    header.pop("Referer", None)
    query = parse_query(url.raw_query)
    query.pop("access_token", None)
    # Sorted and encoded anew: the original lives on in request_uri only.
    url.raw_query = encode_query(query)
    # Trimmed on the decoded path. raw_path does not fit any more then: %2F is lost.
    url.path = url.path.removeprefix(prefix)
    return context


def vouch(request: GoRequest, context: Context, login: Login) -> None:
    """Mark a request as this user's, as the host does after it has checked the login."""
    request.header[USER_ID] = [login.user]
    context.session_id = login.id


def _check_csrf(
    request: GoRequest, done: Rewritten, login: Login, given: str, *, strict: bool
) -> None:
    passes = given == login.csrf
    if not passes and first(request.header, "X-Requested-With") == "XMLHttpRequest":
        done.notes.append(("warn" if strict else "debug", XHR_DEPRECATED))
        passes = not strict
    if passes:
        vouch(request, done.context, login)
    else:
        done.notes.append(("debug", CSRF_FAILED))


def identify_by_form(
    request: GoRequest, rewritten: Rewritten, body: bytes, *, strict: bool
) -> None:
    """Look for the CSRF token in a form field ``csrf`` of the body, then of the query."""
    login = rewritten.form_of
    assert login is not None
    kind = media_type(first(request.header, "Content-Type"))
    values: list[str] = []
    if kind == FORM and request.method in FORM_METHODS and len(body) <= FORM_LIMIT:
        values = parse_query(body.decode("latin-1")).get("csrf", [])
    values = values + parse_query(request.url.raw_query).get("csrf", [])
    _check_csrf(request, rewritten, login, (values or [""])[0], strict=strict)


def find_login(token: str) -> Login | None:
    """Return the login of a token, or None for an invalid one.

    ``token-USER`` logs USER in. ``mfa-USER`` belongs to a user who still has to set up MFA.
    """
    for prefix, mfa in (("token-", False), ("mfa-", True)):
        user = token.removeprefix(prefix)
        if user and user != token:
            return Login(user, mfa)
    return None


def _auth_token(request: GoRequest) -> tuple[str, bool]:
    """Return the request's token, and whether it stood in a cookie.

    A Bearer token in Authorization counts before the cookie, even an invalid one.
    """
    given = first(request.header, "Authorization")
    for scheme in ("bearer ", "token "):
        if given[: len(scheme)].lower() == scheme:
            return given[len(scheme) :], False
    for _, value, _ in cookies(request.header, SESSION_COOKIE):
        return value, True
    return (parse_query(request.url.raw_query).get("access_token") or [""])[0], False


def _ip_address(request: GoRequest, trusted: tuple[str, ...]) -> str:
    for name in trusted:
        words = first(request.header, canonical(name)).split()
        if words and (address := words[0].rstrip(",")):
            return address
    return request.remote_addr.rpartition(":")[0].strip("[]")
