"""ASGI response event -> checked facts -> ServeHTTPResponse messages (rows R3 to R13, R17). Pure.

An event is checked whole before anything is changed; a fault is an AppProtocolError that says what
came and what ASGI expects. The host would repair or pass on most of these faults (net/http turns
CR and LF into spaces, two Content-Length values reach the browser), which hides them at best.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mm_asgi.bridge.codec import encode_head, encode_header, encode_response
from mm_asgi.errors import AppProtocolError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from mm_asgi.wire.port import Encoded

__all__ = [
    "CHUNK_SIZE",
    "Head",
    "check_body",
    "check_length",
    "check_start",
    "fit",
    "messages",
    "plain_answer",
    "scope_cookies",
    "whole_answer",
]

CHUNK_SIZE = 64 * 1024
"""Bytes of one body_chunk at the most: what the host's own side uses."""

# RFC 9110 5.6.2 (token) and 5.5: net/http drops a bad name and rewrites a bad value.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_VALUE = re.compile(rb"[\r\n\0]")
_LENGTH = re.compile(rb"[0-9]{1,18}")  # Go reads it as an int64

# The host is one HTTP/1.1 or HTTP/2 hop further: these are its to say (row R13).
_HOP_BY_HOP = frozenset(
    {b"transfer-encoding", b"connection", b"keep-alive", b"upgrade", b"te", b"trailer"}
)
_BODILESS = frozenset({204, 304})

_PATH_SAFE = "/:@!$&'()*+,=~"
"""What RFC 3986 lets stand in a path, but for ``;``, which ends a cookie's attribute."""

_REMEMBERED = 64
"""Bytes of a header's value up to which the outcome of its check is kept."""

_BYTES = (bytes, bytearray, memoryview)
Buffer = bytes | bytearray | memoryview


@dataclass(slots=True)
class Head:
    """A checked http.response.start.

    Attributes:
        status: 200 to 999.
        headers: names lower case, hop-by-hop names and Content-Length removed.
        fields: the same in their wire form.
        length: the declared Content-Length in bytes, or None.
        bodiless: HEAD, 204, 304: body bytes of the app are dropped.
        head_request: the method was HEAD.
        sets_cookies: whether one of the headers is Set-Cookie.
    """

    status: int
    headers: list[tuple[str, str]]
    fields: list[bytes]
    length: int | None
    bodiless: bool
    head_request: bool
    sets_cookies: bool = False

    def set_length(self, size: int) -> None:
        """Declare the length of a body that is whole in its first event (row R6).

        Never when it is declared already, on 204 and 304, nor on HEAD with an empty body, where
        the app did not say what a GET would have returned.
        """
        if self.length is None and self.status not in _BODILESS and (size or not self.head_request):
            self.length = size

    @property
    def content_type(self) -> str:
        """The media type, lower case, without parameters; empty when not given."""
        for name, value in self.headers:
            if name == "content-type":
                return value.partition(";")[0].strip().lower()
        return ""

    def encoded(self) -> bytes:
        """The message's ``init``, headers in the app's order, Content-Length last."""
        fields = self.fields
        if self.length is not None and self.status != 204:
            fields = [*fields, _kept_length(self.length)]
        return encode_head(self.status, fields)


def check_start(event: MutableMapping[str, Any], method: str) -> Head:
    """Check an http.response.start.

    Raises:
        AppProtocolError: a key, a status or a header is not what ASGI says (row R7).
    """
    status = event.get("status")
    if not isinstance(status, int) or isinstance(status, bool):
        raise _fault("status", status, "an int from 200 to 999")
    if not 200 <= status <= 999:
        # 100 to 199 are interim answers in HTTP: net/http would send one and then 200.
        raise _fault("status", status, "an int from 200 to 999 (1xx cannot be a final status)")
    if event.get("trailers"):
        raise _fault("trailers", event["trailers"], "no trailers: the host's wire has none")
    head_request = method == "HEAD"
    head = Head(status, [], [], None, head_request or status in _BODILESS, head_request)
    _check_headers(head, event.get("headers", ()))
    return head


def _check_headers(head: Head, given: Any) -> None:
    try:
        pairs = [(name, value) for name, value in given]
    except (TypeError, ValueError):
        raise _fault("headers", given, "an iterable of (name, value) pairs of bytes") from None
    for name, value in pairs:
        if type(name) is bytes and type(value) is bytes and len(value) <= _REMEMBERED:
            key, text, field = _kept_header(name, value)
        elif isinstance(name, _BYTES) and isinstance(value, _BYTES):
            key, text, field = _header(bytes(name), bytes(value))
        else:
            raise _fault("header", (name, value), "name and value as bytes")
        if field:
            head.headers.append((key, text))
            head.fields.append(field)
            if key == "set-cookie":
                head.sets_cookies = True
        elif key:
            if head.length is not None:
                raise _fault("second content-length", value, "at most one")
            head.length = int(text)


def _header(name: bytes, value: bytes) -> tuple[str, str, bytes]:
    """A checked header: name, value and wire form.

    Content-Length has no wire form, being the head's own business; what is not the app's to say
    has no name either.
    """
    key = name.lower()
    if not _NAME.fullmatch(key):
        raise _fault("header name", key, "a token of RFC 9110 5.6.2")
    if _BAD_VALUE.search(value):
        raise _fault("header value", (key, value), "no CR, LF or NUL in it")
    if key in _HOP_BY_HOP:
        return "", "", b""
    text = _text(value)
    if key == b"content-length":
        if not _LENGTH.fullmatch(value.strip(b" \t")):
            raise _fault("content-length", value, "decimal digits, at most 18 of them")
        return "content-length", text, b""
    return key.decode("ascii"), text, encode_header(key.decode("ascii"), text)


def _length_field(size: int) -> bytes:
    return encode_header("content-length", str(size))


_kept_length = lru_cache(maxsize=1024)(_length_field)

# Not state: the same answer each time, only sooner. Short ones alone: what is kept stays small.
_kept_header = lru_cache(maxsize=1024)(_header)


def _text(raw: bytes) -> str:
    """A header value as the wire's UTF-8 string; bytes that are not UTF-8 as latin-1 (row R12)."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def check_body(event: MutableMapping[str, Any]) -> tuple[Buffer, bool]:
    """The body bytes of an http.response.body and its more_body.

    Raises:
        AppProtocolError: the body is not bytes.
    """
    body = event.get("body", b"")
    if not isinstance(body, _BYTES):
        raise _fault("body", body, "bytes, bytearray or memoryview")
    if isinstance(body, memoryview) and not (body.ndim == body.itemsize == 1 and body.contiguous):
        body = body.tobytes()
    return body, bool(event.get("more_body", False))


def check_length(head: Head, size: int, *, more: bool) -> AppProtocolError | None:
    """The fault of ``size`` body bytes, all events so far, against the declared length (row R5)."""
    if head.length is None or size == head.length or (more and size < head.length):
        return None
    return AppProtocolError(
        f"http.response: the app sent {size} body bytes{' so far' if more else ''}; expected the"
        f" {head.length} that its Content-Length declares"
    )


def fit(
    head: Head, sent: int, body: Buffer, *, more: bool
) -> tuple[Buffer, bool, AppProtocolError | None]:
    """What may leave of a body event after ``sent`` bytes, whether more may follow, its fault.

    Nothing leaves of a bodiless answer; a body over the declared length is cut there and ends.
    """
    if head.bodiless:
        return b"", more, None
    size = sent + len(body)
    fault = check_length(head, size, more=more)
    if head.length is not None and size > head.length:
        return memoryview(body)[: head.length - sent], False, fault
    return body, more, fault


def _fault(subject: str, came: object, expected: str) -> AppProtocolError:
    try:
        shown = repr(came)
    except Exception:  # noqa: BLE001 - the app's own repr may raise; the fault is still the app's
        shown = f"<{type(came).__name__}>"
    if len(shown) > 200:
        shown = shown[:200] + "..."
    return AppProtocolError(f"http.response: {subject}: the app sent {shown}; expected {expected}")


def messages(head: Head | None, body: Buffer, *, more: bool) -> list[Encoded]:
    """The messages for one body event, with ``head`` in the first one when it is still unsent.

    One message for what fits (row R1), else pieces of CHUNK_SIZE (row R3). The last one carries
    flush when more is to come: without it Go keeps up to 4 KiB back.
    """
    init = head.encoded() if head is not None else b""
    if type(body) is not bytes:
        body = bytes(body)  # the app may change its buffer before the wire has sent it
    if len(body) <= CHUNK_SIZE:
        if not init and not body and more:
            return []
        return [encode_response(init, body, complete=not more, flush=more)]
    view = memoryview(body)
    pieces = []
    for start in range(0, len(view), CHUNK_SIZE):
        last = start + CHUNK_SIZE >= len(view)
        chunk = view[start : start + CHUNK_SIZE]
        pieces.append(encode_response(init, chunk, complete=last and not more, flush=last and more))
        init = b""
    return pieces


def whole_answer(head: Head, body: object) -> Encoded | None:
    """An answer in one message (row R1), or None for one that wants a closer look."""
    if type(body) is not bytes or head.bodiless:
        return None
    size = len(body)
    if head.length is None:
        head.set_length(size)
    elif head.length != size:
        return None
    if size > CHUNK_SIZE:
        return None
    return encode_response(head.encoded(), body, complete=True, flush=False)


def plain_answer(status: int, text: str, *, method: str, retry: bool = False) -> Encoded:
    """A whole answer of the bridge's own, in one message.

    Args:
        status: the HTTP status.
        text: the body; fixed words, never an exception's.
        method: the request's, since HEAD gets no body bytes.
        retry: adds ``Retry-After: 1``.
    """
    headers = [("content-type", "text/plain; charset=utf-8")]
    if retry:
        headers.append(("retry-after", "1"))
    body = text.encode()
    fields = [encode_header(name, value) for name, value in headers]
    head = Head(status, headers, fields, len(body), bodiless=False, head_request=False)
    chunk = b"" if method == "HEAD" else body
    return encode_response(head.encoded(), chunk, complete=True, flush=False)


def scope_cookies(head: Head, root_path: str, *, rewrite: bool) -> list[str]:
    """Names of cookies that reach every plugin of the site, rewritten to ``root_path`` on demand.

    Two Django plugins with ``sessionid; Path=/`` overwrite each other (row R17). A cookie is named
    when its path is ``/``; ``rewrite`` also gives a path to a cookie that has none. A ``__Host-``
    cookie keeps its path: browsers take it with ``/`` alone (RFC 6265bis 4.1.3.2).
    """
    named: list[str] = []
    if not head.sets_cookies:
        return named
    scoped = quote(root_path or "/", safe=_PATH_SAFE)
    for index, (name, value) in enumerate(head.headers):
        if name != "set-cookie":
            continue
        first, *attributes = value.split(";")
        # RFC 6265 5.2: the last Path counts; one that does not start with "/" is no path.
        path = None
        for attribute in attributes:
            key, _, text = attribute.partition("=")
            if key.strip().lower() == "path":
                path = text.strip()
        wide = path == "/"
        if wide:
            named.append(first.partition("=")[0].strip())
        fixed = first.strip().lower().startswith("__host-")
        if rewrite and not fixed and (wide or not path or not path.startswith("/")):
            kept = [a for a in attributes if a.partition("=")[0].strip().lower() != "path"]
            cookie = ";".join([first, *kept, f" Path={scoped}"])
            head.headers[index] = (name, cookie)
            head.fields[index] = encode_header(name, cookie)
    return named
