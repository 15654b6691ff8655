"""Headers and cookies as Go's net/http keeps them. Pure; text is one character a byte."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "Header",
    "canonical",
    "clean_value",
    "cookies",
    "is_token",
    "media_type",
    "rebuild_cookies",
]

Header = dict[str, list[str]]
"""Go's http.Header: canonical names to their values in order. Ours also keeps the names' order."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PARAMETER = re.compile(
    rf'\s*;\s*({_TOKEN.pattern})\s*=\s*({_TOKEN.pattern}|"(?:[^"\\\r\n]|\\.)*")'
)
_COOKIE_VALUE = re.compile(r"[\x20\x21\x23-\x3a\x3c-\x5b\x5d-\x7e]*")
_MOST_COOKIES = 3000
"""net/http's defaultCookieMaxNum: with more of them none is read."""


def is_token(name: str) -> bool:
    """Return whether a header or a cookie may have this name."""
    return bool(_TOKEN.fullmatch(name))


def canonical(name: str) -> str:
    """Return ``Mattermost-User-Id`` for ``mattermost-user-ID``. A name that is not a token stays."""
    if not is_token(name):
        return name
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def make_header(pairs: Iterable[tuple[str, str]]) -> Header:
    """Collect all values of a name, whatever its case, in one entry."""
    header: Header = {}
    for name, value in pairs:
        header.setdefault(canonical(name), []).append(value)
    return header


def first(header: Header, name: str) -> str:
    """Return the first value of a canonical name, or an empty text."""
    values = header.get(name)
    return values[0] if values else ""


def clean_value(value: str) -> str:
    """Return a response header's value as net/http writes it: CR and LF become spaces."""
    return value.replace("\r", " ").replace("\n", " ").strip(" \t")


def cookies(header: Header, wanted: str = "") -> Iterator[tuple[str, str, bool]]:
    """Yield each cookie's name, its value, and whether it was quoted.

    Cookies that Go finds malformed are skipped.
    """
    lines = header.get("Cookie", [])
    if sum(line.count(";") + 1 for line in lines) > _MOST_COOKIES:
        return
    for line in lines:
        for part in line.split(";"):
            name, _, value = part.strip(" \t\r\n").partition("=")
            name = name.strip(" \t\r\n")
            if not is_token(name) or (wanted and name != wanted):
                continue
            quoted = len(value) > 1 and value[0] == value[-1] == '"'
            if quoted:
                value = value[1:-1]
            if _COOKIE_VALUE.fullmatch(value):
                yield name, value, quoted


def rebuild_cookies(header: Header, without: str) -> None:
    """Parse the Cookie headers and write all cookies into one header, as the host does."""
    kept = [
        f'{name}="{value}"' if quoted or " " in value or "," in value else f"{name}={value}"
        for name, value, quoted in cookies(header)
        if name != without
    ]
    header.pop("Cookie", None)
    if kept:
        header["Cookie"] = ["; ".join(kept)]


def media_type(text: str) -> str:
    """Return the media type without its parameters, as Go's mime.ParseMediaType reads it.

    It is empty when a parameter stands there twice with different values.
    """
    kind, semicolon, rest = text.partition(";")
    rest = semicolon + rest
    seen: dict[str, str] = {}
    at = 0
    while found := _PARAMETER.match(rest, at):
        name, value = found[1].lower(), re.sub(r"\\(.)", r"\1", found[2].strip('"'))
        if seen.setdefault(name, value) != value:
            return ""
        at = found.end()
    return kind.strip().lower()
