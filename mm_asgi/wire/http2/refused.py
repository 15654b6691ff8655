"""The requests that are refused: RPCs without a handler, and plain HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mm_asgi.wire.http2 import hpack
from mm_asgi.wire.http2.frames import ErrorCode
from mm_asgi.wire.http2.rpc import encode_trailers
from mm_asgi.wire.http2.stream import H2Stream

if TYPE_CHECKING:
    from mm_asgi.wire.http2.connection import Connection
    from mm_asgi.wire.http2.fields import HeaderSection
    from mm_asgi.wire.port import StatusCode

__all__ = ["NotGRPC", "RefusedCall"]


class RefusedCall(H2Stream):
    """An RPC that is not served: the peer gets a status at once."""

    __slots__ = ("_block",)

    def __init__(self, connection: Connection, stream_id: int, code: StatusCode, text: str) -> None:
        super().__init__(connection, stream_id)
        self.begun = True
        self._block = encode_trailers(code, text, (), only=True)

    def on_headers(self, head: HeaderSection, *, end: bool) -> None:
        """Answer at once."""
        self.send_headers(self._block, end=True)
        if not end:
            self.reset(ErrorCode.NO_ERROR)


class NotGRPC(H2Stream):
    """A request of plain HTTP: the peer gets 415, as PROTOCOL-HTTP2.md says, and a text."""

    __slots__ = ()

    _TEXT: Final = b"This is a gRPC server: expected POST with content-type application/grpc.\n"
    _BLOCK: Final = hpack.encode(
        [
            (b":status", b"415"),
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(_TEXT)),
        ]
    )

    def __init__(self, connection: Connection, stream_id: int) -> None:
        super().__init__(connection, stream_id)
        self.begun = True

    def on_headers(self, head: HeaderSection, *, end: bool) -> None:
        """Answer at once, whether or not a body follows."""
        if head.method == b"HEAD":
            self.send_headers(self._BLOCK, end=True)
            return
        self.send_headers(self._BLOCK)
        self.send_data((self._TEXT,), len(self._TEXT))
        self.send_end()

    def on_data(self, data: memoryview) -> None:
        """Drop half a window of the body, then tell the peer to stop (RFC 9113 section 8.1)."""
        if self.receive_window * 2 < self.connection.limits.stream_window and not self.waits:
            self.reset(ErrorCode.NO_ERROR)
