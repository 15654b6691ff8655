"""ASGI response events as checked facts (rows R3 to R13, R17). Pure.

An event is checked whole before anything is changed. A fault is an AppProtocolError that says what
the app sent and what ASGI expects. The host would repair or pass on most of these faults (net/http
turns CR and LF into spaces, two Content-Length values reach the browser), which hides them at best.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mm_asgi.bridge.request import Header  # noqa: TC001 - mypyc reads it at run time
from mm_asgi.errors import AppProtocolError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = [
    "Buffer",
    "ResponseHead",
    "check_body",
    "check_length",
    "check_start",
    "fit",
    "plain_answer",
    "scope_cookies",
]

# RFC 9110 5.6.2 (token) and 5.5: net/http drops a bad name and rewrites a bad value.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_VALUE = re.compile(rb"[\r\n\0]")
_LENGTH = re.compile(rb"[0-9]{1,18}")  # Go reads it as an int64

# The host is one HTTP/1.1 or HTTP/2 hop further: these are its to say (row R13).
_HOP_BY_HOP = frozenset(
    {b"transfer-encoding", b"connection", b"keep-alive", b"upgrade", b"te", b"trailer"}
)
_BODILESS = frozenset({204, 304})
_SPECIAL = frozenset({*_HOP_BY_HOP, b"content-length", b"set-cookie"})

_PATH_SAFE = "/:@!$&'()*+,=~"
"""What RFC 3986 lets stand in a path, but for ``;``, which ends a cookie's attribute."""

_SHORT_VALUE = 64
"""Bytes of a header's value up to which the outcome of its check is kept."""

_BYTES = (bytes, bytearray, memoryview)
Buffer = bytes | bytearray | memoryview


@dataclass(slots=True)
class ResponseHead:
    """A checked http.response.start.

    Attributes:
        status: 200 to 999.
        headers: in the app's order, names in lower case; without Content-Length and without the
            hop-by-hop names.
        length: Content-Length in bytes, the response's last header; None: it has none.
        bodiless: HEAD, 204, 304: body bytes of the app are dropped.
        head_request: the method was HEAD.
        sets_cookies: whether one of the headers is Set-Cookie.
    """

    status: int
    headers: list[Header]
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

    def fits_whole(self, size: int) -> bool:
        """Return whether a body of ``size`` bytes is the whole body, and declare its length (R6)."""
        if self.bodiless:
            return False
        if self.length is None:
            self.length = size
        return self.length == size

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; empty when the app sent none."""
        for name, value in self.headers:
            if name == b"content-type":
                return value.partition(b";")[0].strip().lower().decode("latin-1")
        return ""


def check_start(event: MutableMapping[str, Any], method: str) -> ResponseHead:
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
    head = ResponseHead(status, [], None, head_request or status in _BODILESS, head_request)
    _check_headers(head, event.get("headers", ()))
    if status == 204:
        head.length = None  # RFC 9110 8.6 forbids it there (row R4)
    return head


def _check_headers(head: ResponseHead, given: Any) -> None:
    try:
        pairs = [(name, value) for name, value in given]
    except (TypeError, ValueError):
        raise _fault("headers", given, "an iterable of (name, value) pairs of bytes") from None
    for name, value in pairs:
        if type(name) is bytes and type(value) is bytes and len(value) <= _SHORT_VALUE:
            pair, special = _kept_header(name, value)
        elif isinstance(name, _BYTES) and isinstance(value, _BYTES):
            pair, special = _header(bytes(name), bytes(value))
        else:
            raise _fault("header", (name, value), "name and value as bytes")
        if not special:
            head.headers.append(pair)
        elif special == b"set-cookie":
            head.headers.append(pair)
            head.sets_cookies = True
        elif special == b"content-length":
            if head.length is not None:
                raise _fault("second content-length", value, "at most one")
            head.length = int(pair[1])


def _header(name: bytes, value: bytes) -> tuple[Header, bytes]:
    """Check a header; return its pair, and its name again when it needs special treatment."""
    key = name.lower()
    if not _NAME.fullmatch(key):
        raise _fault("header name", key, "a token of RFC 9110 5.6.2")
    if _BAD_VALUE.search(value):
        raise _fault("header value", (key, value), "no CR, LF or NUL in it")
    if key == b"content-length" and not _LENGTH.fullmatch(value.strip(b" \t")):
        raise _fault("content-length", value, "decimal digits, at most 18 of them")
    return (key, value), key if key in _SPECIAL else b""


# Not state: the same answer each time, only sooner. Short ones alone, so that the cache stays small.
_kept_header = lru_cache(maxsize=1024)(_header)


def check_body(event: MutableMapping[str, Any]) -> tuple[Buffer, bool]:
    """Return the body bytes of an http.response.body and its more_body.

    Raises:
        AppProtocolError: the body is not bytes.
    """
    body = event.get("body", b"")
    if not isinstance(body, _BYTES):
        raise _fault("body", body, "bytes, bytearray or memoryview")
    if isinstance(body, memoryview) and not (body.ndim == body.itemsize == 1 and body.contiguous):
        body = body.tobytes()
    return body, bool(event.get("more_body", False))


def check_length(head: ResponseHead, size: int, *, more: bool) -> AppProtocolError | None:
    """Return the app's fault if ``size`` bytes, all events so far, break the declared length (R5)."""
    if head.length is None or size == head.length or (more and size < head.length):
        return None
    return AppProtocolError(
        f"http.response: the app sent {size} body bytes{' so far' if more else ''}; expected the"
        f" {head.length} that its Content-Length declares"
    )


def fit(
    head: ResponseHead, sent: int, body: Buffer, *, more: bool
) -> tuple[Buffer, bool, AppProtocolError | None]:
    """Fit a body event, after ``sent`` bytes, into the declared length.

    Nothing leaves of a bodiless answer. A body over the declared length is cut there and ends.

    Returns:
        The bytes that may leave, whether more may follow, and the app's fault or None.
    """
    if head.bodiless:
        return b"", more, None
    size = sent + len(body)
    fault = check_length(head, size, more=more)
    if head.length is not None and size > head.length:
        return memoryview(body)[: head.length - sent], False, fault
    return body, more, fault


def _fault(subject: str, sent: object, expected: str) -> AppProtocolError:
    try:
        shown = repr(sent)
    except Exception:  # noqa: BLE001 - the app's own repr may raise; the fault is still the app's
        shown = f"<{type(sent).__name__}>"
    if len(shown) > 200:
        shown = shown[:200] + "..."
    return AppProtocolError(f"http.response: {subject}: the app sent {shown}; expected {expected}")


def plain_answer(
    status: int, text: str, *, method: str, retry: bool = False
) -> tuple[ResponseHead, bytes]:
    """Return head and body of an answer of the bridge's own.

    Args:
        status: the HTTP status.
        text: the body; fixed words, never an exception's.
        method: the request's; HEAD gets no body bytes.
        retry: adds ``Retry-After: 1``.
    """
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if retry:
        headers.append((b"retry-after", b"1"))
    body = text.encode()
    is_head = method == "HEAD"
    head = ResponseHead(status, headers, len(body), bodiless=is_head, head_request=is_head)
    return head, b"" if is_head else body


def scope_cookies(head: ResponseHead, root_path: str, *, rewrite: bool) -> list[str]:
    """Find the cookies that reach every plugin of the site; on demand narrow them to ``root_path``.

    Two Django plugins with ``sessionid; Path=/`` overwrite each other (row R17). A cookie is named
    when its path is ``/``; ``rewrite`` also gives a path to a cookie that has none. A ``__Host-``
    cookie keeps its path: browsers take it with ``/`` alone (RFC 6265bis 4.1.3.2).

    Returns:
        The names of these cookies.
    """
    named: list[str] = []
    if not head.sets_cookies:
        return named
    scoped = quote(root_path or "/", safe=_PATH_SAFE).encode()
    for index, (name, value) in enumerate(head.headers):
        if name != b"set-cookie":
            continue
        first, *attributes = value.split(b";")
        # RFC 6265 5.2: the last Path counts; one that does not start with "/" is no path.
        path = None
        for attribute in attributes:
            key, _, text = attribute.partition(b"=")
            if key.strip().lower() == b"path":
                path = text.strip()
        wide = path == b"/"
        if wide:
            named.append(_text(first.partition(b"=")[0].strip()))
        fixed = first.strip().lower().startswith(b"__host-")
        if rewrite and not fixed and (wide or not path or not path.startswith(b"/")):
            kept = [a for a in attributes if a.partition(b"=")[0].strip().lower() != b"path"]
            cookie = b";".join([first, *kept, b" Path=" + scoped])
            head.headers[index] = (name, cookie)
    return named


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
