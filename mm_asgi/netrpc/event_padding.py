"""What pushes an event out of a server that cannot flush: a comment behind it.

Servers before 11.3 have no Flush, and net/http keeps what a response writes until 4 KiB are there.
A comment of an event stream is a line that begins with a colon and means nothing, so that 4 KiB of
one, behind an event, push the event to the client and stay behind in its place. It fits only
between events: in the middle of one it would end a line of it. And only into text that nobody else
counts or encodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mm_asgi.bridge.response import ResponseHead

__all__ = ["EventEnds", "can_pad"]

PADDING: Final = b":" + b" " * 4093 + b"\n\n"
"""4 KiB: with 2 KiB every second event was seen to arrive."""

_BLANK_LINES: Final = (b"\n\n", b"\r\r", b"\n\r\n", b"\n\r", b"\r\r\n")
"""How an event may end. A line ends with LF, CR or both, and so does the empty line behind it."""


def can_pad(head: ResponseHead) -> bool:
    """Return whether comments may be added to this response's body."""
    return (
        head.length is None
        and not head.bodiless
        and head.content_type == "text/event-stream"
        and all(name != b"content-encoding" for name, _ in head.headers)
    )


class EventEnds:
    """Where a stream of events stands: whether a comment fits here, and pushes something."""

    __slots__ = ("_is_pushed", "_tail")

    def __init__(self) -> None:
        self._tail = b""  # nothing was written: the stream's beginning is as good as an end
        self._is_pushed = False

    def wrote(self, data: bytes | memoryview) -> None:
        """Body bytes left."""
        self._tail = (self._tail + bytes(data[-3:]))[-3:]
        self._is_pushed = False

    def padding(self) -> bytes:
        """Return what pushes all that has left so far; empty where nothing can or need be pushed."""
        if self._is_pushed or (self._tail and not self._tail.endswith(_BLANK_LINES)):
            return b""
        self._is_pushed = True
        return PADDING
