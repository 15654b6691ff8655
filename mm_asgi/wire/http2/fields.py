"""Header sections: the checks of RFC 9113 sections 8.1 to 8.3, and the facts read from them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm_asgi.wire.http2.hpack import Field

__all__ = ["HeaderSection", "MalformedError", "check_trailers", "request_head", "response_head"]

# Section 8.2.1 forbids upper case, space, controls and 0x7f to 0xff; RFC 9110 5.6.2 the rest.
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE: Final = re.compile(rb"[\0\r\n]|\A[ \t]|[ \t]\Z")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")

# Section 8.2.2: they describe an HTTP/1.1 connection.
_OF_CONNECTION: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_OF_REQUEST: Final = frozenset({b":method", b":scheme", b":authority", b":path"})
_OF_RESPONSE: Final = frozenset({b":status"})


class MalformedError(ValueError):
    """A header list is malformed: a stream error PROTOCOL_ERROR (section 8.1.1)."""


class HeaderSection:
    """A checked header list: its pseudo-header fields as attributes, and the others.

    Attributes:
        method: a request's ``:method``; empty in a response.
        path: a request's ``:path``; empty for CONNECT without one.
        scheme: a request's ``:scheme``.
        authority: a request's ``:authority``; empty when it has none.
        status: a response's ``:status``; 0 in a request.
        fields: the other fields in order.
        length: the declared Content-Length, or -1.
        call: the facts that gRPC has read from it. HeaderBlocks keeps header sections, so they
            are read once for all calls with the same one.
    """

    __slots__ = ("authority", "call", "fields", "length", "method", "path", "scheme", "status")

    def __init__(self, pseudo: dict[bytes, bytes], fields: Sequence[Field], length: int) -> None:
        self.method = pseudo.get(b":method", b"")
        self.path = pseudo.get(b":path", b"")
        self.scheme = pseudo.get(b":scheme", b"")
        self.authority = pseudo.get(b":authority", b"")
        self.status = int(pseudo.get(b":status", b"0"))
        self.fields = fields
        self.length = length
        self.call: Any = None


def request_head(fields: Sequence[Field]) -> HeaderSection:
    """Check a request's header list (section 8.3.1).

    Raises:
        MalformedError: it breaks the section.
    """
    pseudo, rest, length = _check(fields, _OF_REQUEST)
    if not pseudo.get(b":method"):
        raise MalformedError("the request has no :method")
    if pseudo[b":method"] != b"CONNECT":  # section 8.5
        for name in (b":scheme", b":path"):
            if not pseudo.get(name):
                raise MalformedError(f"the request has no {name.decode()}")
    return HeaderSection(pseudo, rest, length)


def response_head(fields: Sequence[Field]) -> HeaderSection:
    """Check a response's header list (section 8.3.2).

    Raises:
        MalformedError: it breaks the section.
    """
    pseudo, rest, length = _check(fields, _OF_RESPONSE)
    status = pseudo.get(b":status", b"")
    if len(status) != 3 or not status.isdigit():
        raise MalformedError(f"the response's :status is {status!r}, expected three digits")
    return HeaderSection(pseudo, rest, length)


def check_trailers(fields: Sequence[Field]) -> list[Field]:
    """Check a trailer section, which has no pseudo-header fields (section 8.1).

    Raises:
        MalformedError: it breaks the section.
    """
    return _check(fields, frozenset())[1]


def _check(
    fields: Sequence[Field], known: frozenset[bytes]
) -> tuple[dict[bytes, bytes], list[Field], int]:
    pseudo: dict[bytes, bytes] = {}
    rest: list[Field] = []
    length = -1
    for name, value in fields:
        if _BAD_VALUE.search(value):
            raise MalformedError(f"the value of {name!r} has a NUL, CR, LF or space at an end")
        if name[:1] == b":":
            if rest or name not in known or name in pseudo:
                raise MalformedError(f"{name!r} is unknown, repeated or after other fields")
            pseudo[name] = value
            continue
        if not _NAME.fullmatch(name):
            raise MalformedError(f"{name!r} is not a field name of HTTP/2")
        if name in _OF_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
            raise MalformedError(f"{name!r} with {value!r} belongs to HTTP/1.1")
        if name == b"content-length":
            length = _length(value, length)
        rest.append((name, value))
    return pseudo, rest, length


def _length(value: bytes, before: int) -> int:
    if not _DIGITS.fullmatch(value) or before not in (-1, int(value)):
        raise MalformedError(f"content-length is {value!r}")
    return int(value)
