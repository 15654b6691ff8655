"""What a client sends and receives around an RPC's messages: heads, time-outs, statuses. No I/O.

Sources: the gRPC project's PROTOCOL-HTTP2.md, http-grpc-status-mapping.md and statuscodes.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from mm_asgi.wire.http2 import hpack
from mm_asgi.wire.http2.frames import ErrorCode
from mm_asgi.wire.http2.rpc import (
    ACCEPTED,
    CONTENT_TYPE,
    IDENTITY,
    cut_for_status,
    decode_metadata,
    encode_metadata_block,
    encode_timeout,
    read_status,
)
from mm_asgi.wire.port import StatusCode

if TYPE_CHECKING:
    from mm_asgi.wire.http2.fields import HeaderSection
    from mm_asgi.wire.port import Metadata

__all__ = ["RequestBlocks", "ResponseFacts", "status_of_reset"]

_USER_AGENT: Final = b"grpc-python-mm_asgi"

_HTTP: Final = {
    400: StatusCode.INTERNAL,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    429: StatusCode.UNAVAILABLE,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.UNAVAILABLE,
}
"""http-grpc-status-mapping.md, for a response without a grpc-status; all other codes are UNKNOWN."""

_RESETS: Final = {
    ErrorCode.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    ErrorCode.CANCEL: StatusCode.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}
"""PROTOCOL-HTTP2.md, "Errors"; all other codes are INTERNAL."""

_TIMEOUT_NAME: Final = b"\0\x0cgrpc-timeout"
"""A literal without indexing, whose value follows (RFC 7541 section 6.2.2)."""

_PATHS_KEPT: Final = 1024
"""How many paths' blocks are kept: a guess, more than a service has methods."""


class RequestBlocks:
    """The header blocks of one channel's requests; the part that a path's have in common is kept.

    Args:
        scheme: ``http`` or ``https``.
        authority: the server's name.
        encoding: the encoding of the messages, or None.
    """

    __slots__ = ("_after", "_before", "_kept")

    def __init__(self, scheme: str, authority: str, encoding: str | None) -> None:
        self._before = [(b":method", b"POST"), (b":scheme", scheme.encode())]
        self._after = [
            (b":authority", authority.encode()),
            (b"te", b"trailers"),
            (b"content-type", CONTENT_TYPE),
            (b"user-agent", _USER_AGENT),
            (b"grpc-accept-encoding", ACCEPTED),
        ]
        if encoding is not None:
            self._after.append((b"grpc-encoding", encoding.encode()))
        self._kept: dict[str, bytes] = {}

    def block(self, path: str, metadata: Metadata) -> bytes:
        """Return the block of a request, without its time-out, which follows at the end.

        Raises:
            ValueError: the path or a pair of metadata cannot be sent.
        """
        block = self._kept.get(path)
        if block is None:
            block = self._new_block(path)
        return block + encode_metadata_block(metadata) if metadata else block

    def _new_block(self, path: str) -> bytes:
        if not path.startswith("/") or not path.isascii() or not path.isprintable():
            raise ValueError(f"path is {path!r}, expected /package.Service/Name")
        block = hpack.encode([*self._before, (b":path", path.encode()), *self._after])
        if len(self._kept) < _PATHS_KEPT:
            self._kept[path] = block
        return block


def timeout_field(seconds: float) -> bytes:
    """Return a block's grpc-timeout field.

    Rounded up to whole milliseconds above one second, so that repeated calls send the same header
    and the server can cache it.
    """
    if seconds > 1:
        milli = math.ceil(seconds * 1000)
        value = b"%dm" % milli if milli < 10**8 else encode_timeout(milli / 1000)
    else:
        value = encode_timeout(seconds)
    return b"%b%c%b" % (_TIMEOUT_NAME, len(value), value)


def status_of_reset(code: ErrorCode) -> StatusCode:
    """Return the status of an RPC whose stream was reset with this code."""
    return _RESETS.get(code, StatusCode.INTERNAL)


class ResponseFacts:
    """What a client reads from a response's head.

    Attributes:
        encoding: the name of the response's Message-Encoding.
        fault: status and text for a response that is not gRPC; None when it is.
        status: status and text of a Trailers-Only response, or None.
    """

    __slots__ = ("_head", "encoding", "fault", "status")

    def __init__(self, head: HeaderSection) -> None:
        self._head = head
        self.encoding = IDENTITY
        self.status = read_status(head.fields)
        kind = b""
        for name, value in head.fields:
            if name == b"content-type":
                kind = value.partition(b";")[0].rstrip()
            elif name == b"grpc-encoding":
                self.encoding = value
        self.fault: tuple[StatusCode, str] | None = None
        is_grpc = kind == CONTENT_TYPE or kind.startswith(CONTENT_TYPE + b"+")
        if self.status is None and (head.status != 200 or not is_grpc):
            said = cut_for_status(kind.decode("latin-1")) or "no content-type"
            self.fault = (
                _HTTP.get(head.status, StatusCode.UNKNOWN),
                f"the answer is not gRPC's: HTTP status {head.status}, {said};"
                " expected 200, application/grpc",
            )

    @property
    def metadata(self) -> Metadata:
        """The Custom-Metadata, as pairs."""
        return tuple(decode_metadata(self._head.fields))
