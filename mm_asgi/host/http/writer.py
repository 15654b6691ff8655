"""net/http's ResponseWriter: it decides when bytes leave, and with which headers. Pure.

Go writes into two buffers. The first has 2 KiB and decides the head: an answer that ends within it
gets a Content-Length. The second has 4 KiB and belongs to the connection: without a flush nothing
leaves before it is full. The HTTP server below adds the status line and the chunks' framing.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from mm_asgi.host.http.headers import Header, canonical, clean_value, first, is_token
from mm_asgi.host.http.sniff import detect_content_type

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ResponseWriter", "WriteRefused"]

HEAD_BUFFER = 2048
WIRE_BUFFER = 4096

_OURS = {"Transfer-Encoding", "Trailer"}
"""Headers that the HTTP server below sets itself. mm_asgi's bridge drops both from an app's answer."""


class WriteRefused(Exception):
    """net/http refused a write: the answer has no body, or the bytes exceed its Content-Length."""


class ResponseWriter:
    """One answer, as ASGI events that have to be sent as soon as they are due.

    Attributes:
        head_decided: the headers are final, though they may not have left yet.
        cut: the answer is shorter than its Content-Length, and the connection has to close.
    """

    def __init__(self, method: str) -> None:
        self.head_decided = False
        self.cut = False
        self.written = 0
        self._method = method
        self._status = 0
        self._header: Header = {}
        self._length = -1
        self._finished = False
        self._first = bytearray()
        self._wire = bytearray()
        self._wire_used = 0  # the head and the chunks' framing count too
        self._start: dict[str, Any] | None = None
        self._start_is_out = False
        self._out: list[dict[str, Any]] = []

    @property
    def started(self) -> bool:
        """Whether a status was set."""
        return self._status != 0

    def write_header(self, status: int, pairs: Iterable[tuple[str, str]]) -> None:
        """Set status and headers, once. Names become canonical, values stay in their order."""
        for name, value in pairs:
            self._header.setdefault(canonical(name), []).append(value)
        self._status = status
        length = first(self._header, "Content-Length")
        if length:
            # ParseInt takes "+3" too, and of two values the first counts. Both would go on to the
            # client; the server below sends one plain number.
            digits = length.removeprefix("+")
            if digits.isascii() and digits.isdigit() and int(digits) < 2**63:
                self._length = int(digits)
                self._header["Content-Length"] = [str(self._length)]
            else:
                del self._header["Content-Length"]

    def write(self, data: bytes) -> None:
        """Write body bytes.

        Raises:
            WriteRefused: net/http refuses them.
        """
        if not self.started:
            self.write_header(200, ())
        if not data:
            return
        if not self._body_allowed():
            raise WriteRefused(f"a {self._status} has no body")
        self.written += len(data)
        if self._length not in (-1,) and self.written > self._length:
            raise WriteRefused("the body is longer than its Content-Length")
        rest = memoryview(data)
        while len(rest) > (free := HEAD_BUFFER - len(self._first)):
            if self._first:
                self._first += rest[:free]
                rest = rest[free:]
                self._move_to_wire(bytes(self._first))
                self._first.clear()
            else:
                self._move_to_wire(bytes(rest))
                rest = rest[:0]
        self._first += rest

    def flush(self) -> None:
        """Send both buffers on."""
        if not self.started:
            self.write_header(200, ())
        self._flush_first()
        if not self.head_decided:
            self._decide_head(b"")
        self._flush_wire()

    def finish(self) -> None:
        """Finish the answer, as net/http does when the handler returns."""
        self._finished = True
        self.flush()
        bodiless = self._method == "HEAD" or not self._body_allowed()
        if not bodiless and self._length not in (-1, self.written):
            self.cut = True
        else:
            self._out.append({"type": "http.response.body", "body": b"", "more_body": False})

    def close_connection(self) -> None:
        """Close the connection after this answer. Call it before the head is taken."""
        assert self._start is not None
        others = [pair for pair in self._start["headers"] if pair[0] != b"Connection"]
        self._start["headers"] = [*others, (b"Connection", b"close")]

    def take(self) -> list[dict[str, Any]]:
        """Return the events that are due, and forget them."""
        out, self._out = self._out, []
        return out

    # ---------------------------------------------------------------- the two buffers

    def _body_allowed(self) -> bool:
        return self._status >= 200 and self._status not in (204, 304)

    def _flush_first(self) -> None:
        if self._first:
            self._move_to_wire(bytes(self._first))
            self._first.clear()

    def _move_to_wire(self, data: bytes) -> None:
        """Move bytes from the first buffer to the connection's."""
        if not self.head_decided:
            self._decide_head(data)
        if self._method == "HEAD":
            return
        framing = 0 if self._length != -1 else len(f"{len(data):x}") + 4
        self._wire += data
        self._wire_used += len(data) + framing
        if self._wire_used > WIRE_BUFFER:
            self._send_full_buffer(len(data))

    def _send_full_buffer(self, newest: int) -> None:
        """Send the bytes that do not fit. bufio keeps a rest smaller than its buffer."""
        kept = 0 if newest >= WIRE_BUFFER else min(self._wire_used % WIRE_BUFFER, newest)
        data = bytes(self._wire[: len(self._wire) - kept])
        del self._wire[: len(data)]
        self._wire_used = kept
        self._queue_events(data)

    def _flush_wire(self) -> None:
        data = bytes(self._wire)
        self._wire.clear()
        self._wire_used = 0
        self._queue_events(data)

    def _queue_events(self, data: bytes) -> None:
        if not self._start_is_out:
            assert self._start is not None
            self._start_is_out = True
            self._out.append(self._start)
        if data:
            self._out.append({"type": "http.response.body", "body": data, "more_body": True})

    # ---------------------------------------------------------------- the head

    def _decide_head(self, beginning: bytes) -> None:
        """Add and remove headers as net/http does (chunkWriter.writeHeader)."""
        self.head_decided = True
        header, allowed = self._header, self._body_allowed()
        for name in _OURS:
            header.pop(name, None)
        if (
            self._finished
            and allowed
            and "Content-Length" not in header
            and (self._method != "HEAD" or beginning)
        ):
            self._length = len(beginning)
            header["Content-Length"] = [str(self._length)]
        if not allowed:
            header.pop("Content-Length", None)
            self._length = -1
            if self._status == 304:
                header.pop("Content-Type", None)
        elif beginning and "Content-Type" not in header and not first(header, "Content-Encoding"):
            header["Content-Type"] = [detect_content_type(beginning)]
        header.setdefault("Date", [formatdate(usegmt=True)])
        pairs = [
            (name.encode("latin-1", "replace"), _clean_bytes(value))
            for name, values in sorted(header.items())
            if is_token(name)
            for value in values
        ]
        self._wire_used += 32 + sum(len(name) + len(value) + 4 for name, value in pairs)
        self._start = {"type": "http.response.start", "status": self._status, "headers": pairs}


def _clean_bytes(value: str) -> bytes:
    """Return a header's value without control characters, which the HTTP server below refuses."""
    data = clean_value(value).encode("utf-8", "surrogateescape")
    return bytes(
        0x20 if byte < 0x20 and byte != 0x09 or byte == 0x7F else byte for byte in data
    ).strip()
