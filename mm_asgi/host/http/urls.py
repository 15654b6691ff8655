"""URLs as Go's net/url reads, keeps and writes them. Pure.

Text here and in rules.py is like a Go string: one character for each byte (latin-1). Bytes that are
not UTF-8 therefore survive until the message is made, as they do in the host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote_to_bytes

__all__ = ["URL", "encode_query", "parse_query", "parse_request_uri"]

# The characters that net/url does not escape, beside letters, digits and "-_.~".
_PATH = "$&+,/:;=@"
_USER = "$&+,;="
_HOST = "!$&'()*+,;=:[]<>\""

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_VALID_PATH = re.compile(r"[A-Za-z0-9_.~$&+,/:;=@!'()*\[\]%-]*")
_AUTHORITY_PORT = re.compile(r"(?::[0-9]*)?")
_USERINFO = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")

_MOST_PARAMETERS = 10_000
"""net/url's defaultMaxParams: a longer query is taken for empty."""


@dataclass(slots=True)
class URL:
    """Go's url.URL.

    Attributes:
        path: the decoded path.
        raw_path: the path as it was sent; only set where encoding ``path`` yields another one.
    """

    scheme: str = ""
    opaque: str = ""
    user: str = ""
    host: str = ""
    path: str = ""
    raw_path: str = ""
    raw_query: str = ""
    force_query: bool = False
    omit_host: bool = False

    def escaped_path(self) -> str:
        """Return ``raw_path`` if it still decodes to ``path``, else ``path`` encoded."""
        if (
            self.raw_path
            and _VALID_PATH.fullmatch(self.raw_path)
            and unescape(self.raw_path) == self.path
        ):
            return self.raw_path
        return "*" if self.path == "*" else _escape(self.path, _PATH)

    def __str__(self) -> str:
        text = f"{self.scheme}:" if self.scheme else ""
        text += self.opaque or self._authority_text() + self._path_text(text)
        if self.force_query or self.raw_query:
            text += f"?{self.raw_query}"
        return text

    def _authority_text(self) -> str:
        if not (self.scheme or self.host or self.user) or self.omit_host:
            return ""
        user = f"{self.user}@" if self.user else ""
        slashes = "//" if self.host or self.path or user else ""
        return slashes + user + _escape(self.host, _HOST)

    def _path_text(self, before: str) -> str:
        path = self.escaped_path()
        if path and path[0] != "/" and self.host:
            return f"/{path}"
        if not (before or self._authority_text()) and ":" in path.partition("/")[0]:
            return f"./{path}"  # a first segment with a colon would look like a scheme
        return path


def parse_request_uri(text: str) -> URL:
    """Parse the target of a request line: a path, or an absolute URL.

    Raises:
        ValueError: the host answers 400 to this target.
    """
    if not text or _CONTROL.search(text):
        raise ValueError("invalid URI for request")
    if text == "*":
        return URL(path="*")
    url = URL()
    rest = text
    if found := _SCHEME.match(text):
        url.scheme, rest = found[1].lower(), text[found.end() :]
    elif text[0] == ":":
        raise ValueError("missing protocol scheme")
    if rest.endswith("?") and rest.count("?") == 1:
        url.force_query, rest = True, rest[:-1]
    else:
        rest, _, url.raw_query = rest.partition("?")
    if not rest.startswith("/"):
        if not url.scheme:
            raise ValueError("invalid URI for request")
        url.opaque = rest
        return url
    if url.scheme and rest.startswith("//"):
        authority, slash, rest = rest[2:].partition("/")
        rest = slash + rest
        url.user, url.host = _parse_authority(authority)
    elif url.scheme:
        url.omit_host = True
    url.path = unescape(rest)
    url.raw_path = "" if _escape(url.path, _PATH) == rest else rest
    return url


def _parse_authority(authority: str) -> tuple[str, str]:
    userinfo, at, host = authority.rpartition("@")
    if not _USERINFO.fullmatch(userinfo):
        raise ValueError("invalid userinfo")
    name, colon, password = userinfo.partition(":")
    user = _escape(unescape(name), _USER)
    if colon:
        user += ":" + _escape(unescape(password), _USER)
    port = host[host.rfind("]") + 1 :] if host.startswith("[") else host[len(_host_name(host)) :]
    if not _AUTHORITY_PORT.fullmatch(port) or host.find("[") > 0 or re.search(r"[ \\^`{|}]", host):
        raise ValueError("invalid host")
    return user if at else "", unescape(host)


def _host_name(host: str) -> str:
    return host.partition(":")[0]


def unescape(text: str, *, query: bool = False) -> str:
    """Percent-decode a text.

    Raises:
        ValueError: a percent sign is not followed by two hexadecimal digits.
    """
    if _BAD_ESCAPE.search(text):
        raise ValueError("invalid URL escape")
    if query:
        text = text.replace("+", " ")
    return unquote_to_bytes(text.encode("latin-1")).decode("latin-1")


def _escape(text: str, safe: str) -> str:
    return quote(text.encode("latin-1"), safe=safe)


def parse_query(raw: str) -> dict[str, list[str]]:
    """Parse a query as Go's URL.Query() does: pairs with a ``;`` or a broken escape are dropped."""
    values: dict[str, list[str]] = {}
    pairs = raw.split("&")
    if len(pairs) > _MOST_PARAMETERS:
        return values
    for pair in pairs:
        if not pair or ";" in pair:
            continue
        key, _, value = pair.partition("=")
        try:
            key, value = unescape(key, query=True), unescape(value, query=True)
        except ValueError:
            continue
        values.setdefault(key, []).append(value)
    return values


def encode_query(values: dict[str, list[str]]) -> str:
    """Encode a query as Go's Values.Encode() does: sorted by key, ``flag`` becomes ``flag=``."""
    return "&".join(
        f"{_query_escape(key)}={_query_escape(value)}"
        for key in sorted(values)
        for value in values[key]
    )


def _query_escape(text: str) -> str:
    return quote_plus(text.encode("latin-1"), safe="")
