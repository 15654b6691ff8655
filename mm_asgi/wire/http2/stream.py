"""One stream: its states in one table (RFC 9113 section 5.1), and what waits for its window.

What a stream means is its subclass's business: the ``on_`` methods are told what happened. The
connection calls them, and takes what the stream sends.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.http2.frames import (
    END_STREAM,
    HEADER,
    MAX_WINDOW,
    ErrorCode,
    FrameType,
    StreamFault,
    frame,
    headers,
    reset,
    window_update,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mm_asgi.wire.http2.connection import Connection
    from mm_asgi.wire.http2.fields import HeaderSection
    from mm_asgi.wire.http2.hpack import Field

__all__ = ["NEXT", "REFUSALS", "H2Stream", "StreamState", "StreamStep"]

DATA: Final = int(FrameType.DATA)

_AT_ONCE: Final = 131_072
"""Bytes of a message that leaves whole, a little over the bound of what waits for the transport:
two of the largest chunks, a guess."""

_NOBODY: Final = object()
"""The token of bytes for which nobody waits."""


class StreamState(enum.IntEnum):
    """Section 5.1. Nobody pushes here, so the two reserved states do not exist."""

    IDLE = 0
    OPEN = 1
    HALF_CLOSED_LOCAL = 2
    HALF_CLOSED_REMOTE = 3
    CLOSED = 4


class StreamStep(enum.IntEnum):
    """What happens to a stream. END is the END_STREAM flag, after the frame that carries it."""

    RECEIVE_HEADERS = 0
    RECEIVE_DATA = 1
    RECEIVE_END = 2
    RECEIVE_RESET = 3
    SEND_HEADERS = 4
    SEND_DATA = 5
    SEND_END = 6
    SEND_RESET = 7


_IDLE, _OPEN, _LOCAL, _REMOTE, _CLOSED = StreamState

TRANSITIONS: Final[dict[tuple[StreamState, StreamStep], StreamState]] = {
    (_IDLE, StreamStep.RECEIVE_HEADERS): _OPEN,
    (_IDLE, StreamStep.SEND_HEADERS): _OPEN,
    (_OPEN, StreamStep.RECEIVE_HEADERS): _OPEN,  # a trailer section; a response
    (_OPEN, StreamStep.RECEIVE_DATA): _OPEN,
    (_OPEN, StreamStep.RECEIVE_END): _REMOTE,
    (_OPEN, StreamStep.RECEIVE_RESET): _CLOSED,
    (_OPEN, StreamStep.SEND_HEADERS): _OPEN,
    (_OPEN, StreamStep.SEND_DATA): _OPEN,
    (_OPEN, StreamStep.SEND_END): _LOCAL,
    (_OPEN, StreamStep.SEND_RESET): _CLOSED,
    (_LOCAL, StreamStep.RECEIVE_HEADERS): _LOCAL,
    (_LOCAL, StreamStep.RECEIVE_DATA): _LOCAL,
    (_LOCAL, StreamStep.RECEIVE_END): _CLOSED,
    (_LOCAL, StreamStep.RECEIVE_RESET): _CLOSED,
    (_LOCAL, StreamStep.SEND_RESET): _CLOSED,
    (_REMOTE, StreamStep.RECEIVE_RESET): _CLOSED,
    (_REMOTE, StreamStep.SEND_HEADERS): _REMOTE,
    (_REMOTE, StreamStep.SEND_DATA): _REMOTE,
    (_REMOTE, StreamStep.SEND_END): _CLOSED,
    (_REMOTE, StreamStep.SEND_RESET): _CLOSED,
}

# What a peer may not do to a stream that it knows of: a stream error. Frames on streams that are
# idle or closed are the connection's business, which keeps no object for those.
REFUSALS: Final[dict[tuple[StreamState, StreamStep], ErrorCode]] = {
    (_REMOTE, StreamStep.RECEIVE_HEADERS): ErrorCode.STREAM_CLOSED,
    (_REMOTE, StreamStep.RECEIVE_DATA): ErrorCode.STREAM_CLOSED,
}

NEXT: Final[tuple[tuple[StreamState | None, ...], ...]] = tuple(
    tuple(TRANSITIONS.get((state, step)) for step in StreamStep) for state in StreamState
)
"""TRANSITIONS as a table of rows, which is twice as fast to look up as a dict of Enum pairs."""


class H2Stream:
    """A stream and its two windows.

    Attributes:
        connection: where it lives.
        id: its identifier; 0 until a client's stream is opened.
        state: see the table.
        send_window: bytes that the peer takes; below 0 after a SETTINGS (section 6.9.2).
        receive_window: bytes that the peer may still send.
        expected: bytes of the declared Content-Length that have not come, or -1.
        begun: whether somebody has begun to serve it: a reset before that is an attacker's.
        in_message: whether a part of what ``send_data`` was given has left, and a part waits.
        moved_at: when something that waited last left, or began to wait.
    """

    __slots__ = (
        "_end",
        "_pending",
        "_uncredited",
        "begun",
        "connection",
        "expected",
        "id",
        "in_message",
        "moved_at",
        "receive_window",
        "send_window",
        "state",
    )

    def __init__(self, connection: Connection, stream_id: int = 0) -> None:
        self.connection = connection
        self.id = stream_id
        self.state = _IDLE
        self.send_window = connection.peer_stream_window
        self.receive_window = connection.limits.stream_window
        self.expected = -1
        self.begun = False
        self.in_message = False
        self.moved_at = 0.0
        self._uncredited = 0
        # Bytes that wait for a window or for the transport, each with what is to be told when the
        # last of them has left; then the trailer section that ends this side, or b"".
        self._pending: deque[tuple[memoryview, Any]] | None = None
        self._end: bytes | None = None

    def restart(self, connection: Connection) -> None:
        """Be a new stream, of this connection.

        The constructor does not call this: one more call for each RPC of a server, which never
        restarts one. A second call of the constructor would leak where it is compiled.
        """
        self.connection = connection
        self.id = 0
        self.state = _IDLE
        self.send_window = connection.peer_stream_window
        self.receive_window = connection.limits.stream_window
        self.expected = -1
        self.begun = False
        self.in_message = False
        self._uncredited = 0
        self._pending = None
        self._end = None

    # ---------------------------------------------------------------- told by the connection

    def on_headers(self, head: HeaderSection, *, end: bool) -> None:
        """The peer's header section is here."""

    def on_data(self, data: memoryview) -> None:
        """Bytes of the body; only valid during the call. They are credited by ``credit()``."""

    def on_trailers(self, fields: list[Field]) -> None:
        """The peer's trailer section is here; ``on_end()`` follows."""

    def on_end(self) -> None:
        """The peer has ended its side."""

    def on_ended(self) -> None:
        """This side's last frame is on its way."""

    def new_token(self) -> Any:
        """What stands for bytes that have to wait."""
        return self

    def on_sent(self, token: Any) -> None:
        """All bytes that ``token`` stands for have left, or never will."""

    def on_closed(self, code: ErrorCode | None) -> None:
        """The stream ended before both sides were done.

        Args:
            code: why, by whichever side reset it; None: the connection is gone.
        """

    # ---------------------------------------------------------------- receiving

    def move(self, step: StreamStep) -> None:
        """Take a step of the table.

        Raises:
            StreamFault: the peer took a step that is not in it.
        """
        state = NEXT[self.state][step]
        if state is None:
            code = REFUSALS[self.state, step]
            raise StreamFault(self.id, code, f"{step.name} while {self.state.name}")
        self.state = state
        if state is _CLOSED:
            self.connection.forget(self)

    def credit(self, size: int) -> None:
        """``size`` received bytes are used up: let the peer send as many more, in large steps."""
        self._uncredited += size
        if self._uncredited >= self.connection.credit_step and self.state in (_OPEN, _LOCAL):
            self.receive_window += self._uncredited
            self.connection.reply(window_update(self.id, self._uncredited))
            self._uncredited = 0

    def grow_send_window(self, increment: int) -> None:
        """A WINDOW_UPDATE, or SETTINGS_INITIAL_WINDOW_SIZE has changed (sections 6.9.1, 6.9.2).

        Raises:
            StreamFault: the window would be over its maximum.
        """
        if self.send_window + increment > MAX_WINDOW:
            raise StreamFault(self.id, ErrorCode.FLOW_CONTROL_ERROR, "window over 2**31 - 1")
        self.send_window += increment
        if self._pending and self.send_window > 0:
            self.connection.unblock(self)

    # ---------------------------------------------------------------- sending

    def has_room(self, size: int) -> bool:
        """Whether DATA of ``size`` bytes may leave now, and a header section of constant bytes."""
        connection = self.connection
        return (
            not self._pending
            and size <= self.send_window
            and size <= connection.send_window
            and size <= connection.peer_frame_size
            and connection.is_ready
            and not connection.block_prefix
        )

    def send_headers(self, block: bytes, *, end: bool = False) -> None:
        """Send a header or trailer section; it waits for nothing."""
        connection = self.connection
        self.move(StreamStep.SEND_HEADERS)
        block, connection.block_prefix = connection.block_prefix + block, b""
        connection.reply(headers(self.id, block, end=end, limit=connection.peer_frame_size))
        if end:
            self.move(StreamStep.SEND_END)
            self.on_ended()

    def send_data(self, pieces: Sequence[bytes | memoryview], size: int) -> Any | None:
        """Send ``size`` bytes in order; nobody changes them any more.

        Returns:
            None when all have left, else the token that ``on_sent()`` will be told.
        """
        connection = self.connection
        if (
            not self._pending
            and size <= self.send_window
            and size <= connection.send_window
            and size <= _AT_ONCE
            and connection.is_ready
        ):
            self.send_window -= size
            if size <= connection.peer_frame_size:
                head = HEADER.pack(size >> 8, size & 0xFF, DATA, 0, self.id)
                connection.emit(head, pieces, size)
            else:
                connection.emit(b"", self._frames(pieces, size), size)
            return None
        if self._pending is None:
            self._pending = deque()
        if not self._pending:
            self.moved_at = connection.clock()
        token = self.new_token()
        *others, last = [memoryview(piece) for piece in pieces if len(piece)]
        self._pending.extend((piece, None) for piece in others)
        self._pending.append((last, token))
        connection.unblock(self)
        connection.pump()
        return token if self._pending else None

    def _frames(
        self, pieces: Sequence[bytes | memoryview], size: int
    ) -> Iterator[bytes | memoryview]:
        """DATA frames of ``size`` bytes, for which there is room."""
        limit = self.connection.peer_frame_size
        room = 0
        for piece in pieces:
            view = memoryview(piece)
            while view:
                if not room:
                    room = min(limit, size)
                    size -= room
                    yield HEADER.pack(room >> 8, room & 0xFF, DATA, 0, self.id)
                part = view[:room]
                room -= len(part)
                view = view[len(part) :]
                yield part

    def send_end(self, block: bytes | None = None) -> None:
        """End this side, after the bytes that wait: with a trailer section, or without one."""
        if self._pending:
            self._end = block or b""
        elif block:
            self.send_headers(block, end=True)
        else:
            self.connection.reply(frame(DATA, END_STREAM, self.id))
            self.move(StreamStep.SEND_END)
            self.on_ended()

    def send_pending(self, limit: int) -> int:
        """Send at most ``limit`` of the bytes that wait as one DATA frame; gives how many."""
        assert self._pending is not None
        pieces: list[memoryview] = []
        tokens: list[Any] = []
        size = 0
        token: Any = None
        while self._pending and size < limit:
            view, token = self._pending[0]
            if size + len(view) <= limit:
                self._pending.popleft()
                tokens.append(token)
            else:
                self._pending[0] = (view[limit - size :], token)
                view, token = view[: limit - size], None
            pieces.append(view)
            size += len(view)
        self.in_message = token is None
        self.send_window -= size
        self.moved_at = self.connection.clock()
        self.connection.emit(HEADER.pack(size >> 8, size & 0xFF, DATA, 0, self.id), pieces, size)
        for token in tokens:
            if token not in (None, _NOBODY):
                self.on_sent(token)
        if not self._pending and self._end is not None:
            block, self._end = self._end, None
            self.send_end(block)
        return size

    @property
    def waits(self) -> bool:
        """Whether bytes wait for a window or for the transport."""
        return bool(self._pending)

    def drop_pending(self, *, whole: bool = True) -> None:
        """Forget the bytes that wait; those who wait for them are told.

        Args:
            whole: also the rest of a message that has left in part. Without it the peer could not
                read on.
        """
        pending, self._pending, self._end = self._pending, None, None
        kept: deque[tuple[memoryview, Any]] = deque()
        keeps = self.in_message and not whole
        for view, token in pending or ():
            if keeps:
                kept.append((view, None if token is None else _NOBODY))
                keeps = token is None
            if token not in (None, _NOBODY):
                self.on_sent(token)
        if kept:
            self._pending = kept
        else:
            self.connection.waiting.pop(self, None)

    def reset(self, code: ErrorCode) -> None:
        """End the stream at once with RST_STREAM; what waits is dropped."""
        if self.state is not _CLOSED:
            self.drop_pending()
            self.connection.reply(reset(self.id, code))
            self.connection.ids.remember_reset(self.id)
            self.move(StreamStep.SEND_RESET)
