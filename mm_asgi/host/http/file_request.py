"""What a client wants of a file: all of it, parts, or nothing new. After net/http's fs.go.

Theory. A client that has the file says when it was changed (If-Modified-Since, If-Unmodified-Since)
or by which tag it knows it (If-Match, If-None-Match); these files have no tag. One that has a part
asks for the rest (Range), maybe only while the file is the same (If-Range). RFC 9110 has the order:
first whether there is an answer at all, then which part of it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from mm_asgi.host.http.headers import first

if TYPE_CHECKING:
    from mm_asgi.host.http.headers import Header

__all__ = ["NO_OVERLAP", "BadRange", "choose_parts", "refused_by"]

NO_OVERLAP: Final = "invalid range: failed to overlap"

_FORMATS: Final = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
"""The three forms of a date in HTTP."""

_TAG: Final = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_NUMBER: Final = re.compile(r"[+-]?[0-9]+")


class BadRange(ValueError):
    """A Range that cannot be served; the text is the answer's."""


def refused_by(method: str, header: Header, changed: float) -> int:
    """Return the status that answers instead of the file: 304, 412, or 0 for none.

    Args:
        method: the request's.
        header: the request's.
        changed: when the file was changed, in seconds since 1970.
    """
    reads = method in ("GET", "HEAD")
    if match := first(header, "If-Match"):
        if not _has_star(match):
            return 412
    elif (since := _seconds(first(header, "If-Unmodified-Since"))) is not None and (
        int(changed) > since
    ):
        return 412
    if none_match := first(header, "If-None-Match"):
        if _has_star(none_match):
            return 304 if reads else 412
    elif reads and (since := _seconds(first(header, "If-Modified-Since"))) is not None:
        return 304 if int(changed) <= since else 0
    return 0


def choose_parts(method: str, header: Header, changed: float, size: int) -> list[tuple[int, int]]:
    """Return the parts that are wanted, as (first byte, length); empty: the whole file.

    Raises:
        BadRange: no part of the file is meant, or the header is no range.
    """
    text = first(header, "Range")
    if not text or not _still_the_same(method, header, changed):
        return []
    try:
        parts = _read_ranges(text, size)
    except BadRange as exc:
        if size == 0 and str(exc) == NO_OVERLAP:  # some ask every file for its beginning
            return []
        raise
    return [] if sum(length for _, length in parts) > size else parts


def _still_the_same(method: str, header: Header, changed: float) -> bool:
    wanted = first(header, "If-Range")
    if not wanted or method not in ("GET", "HEAD"):
        return True
    return not _TAG.match(wanted) and _seconds(wanted) == int(changed)


def _read_ranges(text: str, size: int) -> list[tuple[int, int]]:
    if not text.startswith("bytes="):
        raise BadRange("invalid range")
    parts: list[tuple[int, int]] = []
    beyond = False
    for given in text.removeprefix("bytes=").split(","):
        if not (given := given.strip(" \t\r\n")):
            continue
        start_text, dash, end_text = (part.strip(" \t\r\n") for part in given.partition("-"))
        if not dash:
            raise BadRange("invalid range")
        if not start_text:
            if end_text.startswith("-"):
                raise BadRange("invalid range")
            length = min(_number(end_text), size)
            parts.append((size - length, length))
            continue
        start = _number(start_text)
        if start >= size:
            beyond = True
            continue
        end = size - 1 if not end_text else _number(end_text)
        if start > end:
            raise BadRange("invalid range")
        parts.append((start, min(end, size - 1) - start + 1))
    if beyond and not parts:
        raise BadRange(NO_OVERLAP)
    return parts


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text) or not 0 <= int(text) < 2**63:
        raise BadRange("invalid range")
    return int(text)


def _has_star(tags: str) -> bool:
    """Return whether a list of tags has a ``*`` before its end; a file without a tag is no other."""
    while tags := tags.lstrip(" \t\r\n"):
        if tags[0] == "*":
            return True
        if tags[0] == ",":
            tags = tags[1:]
        elif tag := _TAG.match(tags):
            tags = tags[tag.end() :]
        else:
            return False
    return False


def _seconds(text: str) -> int | None:
    for form in _FORMATS:
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return None
