"""One HTTP/2 stream: its states, its two windows, and the bytes that wait to be sent.

Theory of operation

A stream carries one exchange: header sections and a body each way. This module knows neither HTTP
nor gRPC. A subclass defines what the exchange means: it overrides the ``on_`` methods, which the
connection calls, and it calls the ``send_`` methods.

States. RFC 9113 section 5.1 stands here as one table, TRANSITIONS, and ``move()`` takes its steps.
A pair of state and step that the table lacks is one of two things. In REFUSALS it is a peer's
mistake, which costs the peer this stream. Otherwise it is a bug of ours, and raises KeyError. There
are two starts: a stream begins IDLE, and a client's call that has no connection yet begins CLOSED,
so that there is nothing to reset. ``restart()`` makes such a call a new stream, IDLE. One caller
takes three steps at once: a unary call that leaves as one piece (client_call.py), whose state is
looked up in the same table.

Life in the connection. A stream is in ``connection.streams`` from its first header section until
it is CLOSED, and ``move()`` removes it in the same moment. An ``on_`` method may do anything: end
its own stream, end others, send. So the connection reads a stream's state again after each of them,
and it keeps no stream in a local variable across two of them without that look.

Receiving. ``receive_window`` is what the peer may still send on this stream. The owner says with
``credit()`` what it has used up, and a WINDOW_UPDATE leaves when half a window has come together.
Only this window slows a peer down. The connection's own window is opened again as soon as bytes are
here, or one stream that is not read would stop all others.

Sending. Only DATA is ever held back: by the stream's window, by the connection's, or because the
transport has enough. While nothing waits and all three have room, ``send_data()`` hands the bytes to
the connection and returns None. Else they wait in ``_pending`` under a token, the connection sends
a frame of each waiting stream in turn, and ``on_sent()`` gets each token once: when its last byte
has left, or never will.

What always holds:

- ``_end``, the trailer section that ends this side, is set only while bytes wait before it.
- ``in_message`` is true only while the first bytes that wait are the rest of a message whose
  beginning has left. Such a rest is dropped only with the whole stream.
- A stream in ``connection.waiting`` has bytes that wait. SETTINGS may have shrunk its window since,
  which is why the connection looks again before it sends.
- ``send_window`` may be negative (section 6.9.2), ``receive_window`` never: that is a peer's fault.
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

__all__ = ["NEXT", "REFUSALS", "TRANSITIONS", "H2Stream", "StreamState", "StreamStep"]

DATA: Final = int(FrameType.DATA)

_AT_ONCE: Final = 131_072
"""Bytes up to which a message leaves whole, although it may pass the bound of what waits for the
transport by as much: two of the largest chunks, a guess."""

_NOBODY: Final = object()
"""The token of bytes whose writer has been woken already."""


class StreamState(enum.IntEnum):
    """Section 5.1. Neither side pushes here, so the two reserved states do not exist."""

    IDLE = 0
    OPEN = 1
    HALF_CLOSED_LOCAL = 2
    HALF_CLOSED_REMOTE = 3
    CLOSED = 4


class StreamStep(enum.IntEnum):
    """What happens to a stream.

    END is the END_STREAM flag, after the frame that carries it. LOSE_CONNECTION is the end of the
    connection, which resets nothing: no frame can be sent any more.
    """

    RECEIVE_HEADERS = 0
    RECEIVE_DATA = 1
    RECEIVE_END = 2
    RECEIVE_RESET = 3
    SEND_HEADERS = 4
    SEND_DATA = 5
    SEND_END = 6
    SEND_RESET = 7
    LOSE_CONNECTION = 8


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
    (_OPEN, StreamStep.LOSE_CONNECTION): _CLOSED,
    (_LOCAL, StreamStep.RECEIVE_HEADERS): _LOCAL,
    (_LOCAL, StreamStep.RECEIVE_DATA): _LOCAL,
    (_LOCAL, StreamStep.RECEIVE_END): _CLOSED,
    (_LOCAL, StreamStep.RECEIVE_RESET): _CLOSED,
    (_LOCAL, StreamStep.SEND_RESET): _CLOSED,
    (_LOCAL, StreamStep.LOSE_CONNECTION): _CLOSED,
    (_REMOTE, StreamStep.RECEIVE_RESET): _CLOSED,
    (_REMOTE, StreamStep.SEND_HEADERS): _REMOTE,
    (_REMOTE, StreamStep.SEND_DATA): _REMOTE,
    (_REMOTE, StreamStep.SEND_END): _CLOSED,
    (_REMOTE, StreamStep.SEND_RESET): _CLOSED,
    (_REMOTE, StreamStep.LOSE_CONNECTION): _CLOSED,
}

# Steps that a peer must not take: each is a stream error with this code. The connection handles
# frames on streams that are idle or closed, for which it keeps no object.
REFUSALS: Final[dict[tuple[StreamState, StreamStep], ErrorCode]] = {
    (_REMOTE, StreamStep.RECEIVE_HEADERS): ErrorCode.STREAM_CLOSED,
    (_REMOTE, StreamStep.RECEIVE_DATA): ErrorCode.STREAM_CLOSED,
}

NEXT: Final[tuple[tuple[StreamState | None, ...], ...]] = tuple(
    tuple(TRANSITIONS.get((state, step)) for step in StreamStep) for state in StreamState
)
"""TRANSITIONS as a table of rows, which is twice as fast to look up as a dict of Enum pairs."""


class H2Stream:
    """One stream of a connection.

    Attributes:
        connection: the connection that carries it.
        id: its identifier; 0 until a client's stream is opened.
        state: its state, as the table has it.
        send_window: how many bytes the peer takes; below 0 after a SETTINGS (section 6.9.2).
        receive_window: how many bytes the peer may still send.
        expected: how many bytes of the declared Content-Length are still to come, or -1.
        begun: whether its handler has been called, or on a client whether its answer has begun. A
            peer that resets a stream before counts as an attacker.
        in_message: whether a part of a message has left and the rest of it waits.
        moved_at: when bytes that waited last left, or began to wait, on the connection's clock.
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
        # Bytes that wait for a window or for the transport, each piece with its token or None; and
        # the trailer section that ends this side after them, or b"" for an end without one.
        self._pending: deque[tuple[memoryview, Any]] | None = None
        self._end: bytes | None = None

    def restart(self, connection: Connection) -> None:
        """Become a new stream, of this connection.

        ``__init__`` repeats these lines instead of calling this method: it saves servers, which
        never restart a stream, a call per RPC. Calling ``__init__`` again would leak where this is
        compiled.
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

    # ---------------------------------------------------------------- called by the connection

    def on_headers(self, head: HeaderSection, *, end: bool) -> None:
        """Take the peer's header section.

        Args:
            head: what it says.
            end: whether the peer sends nothing after it; ``on_end()`` follows then.
        """

    def on_data(self, data: memoryview) -> None:
        """Take bytes of the body, which are valid during the call only.

        ``credit()`` has to be called with their number once they are used up.
        """

    def on_trailers(self, fields: list[Field]) -> None:
        """Take the peer's trailer section; ``on_end()`` follows."""

    def on_end(self) -> None:
        """Note that the peer sends no more."""

    def on_ended(self) -> None:
        """Note that this side's last frame has been handed to the connection."""

    def new_token(self) -> Any:
        """Return an object that stands for bytes that have to wait."""
        return self

    def on_sent(self, token: Any) -> None:
        """Note that all bytes of ``token`` have left, or never will."""

    def on_closed(self, code: ErrorCode | None) -> None:
        """Note that the stream ended before both sides were done.

        Args:
            code: the code of the reset, whichever side sent it; None: the connection is gone.
        """

    # ---------------------------------------------------------------- receiving

    def move(self, step: StreamStep) -> None:
        """Take a step of the table; a stream that it closes leaves the connection.

        Raises:
            StreamFault: the peer took a step that REFUSALS names.
        """
        state = NEXT[self.state][step]
        if state is None:
            code = REFUSALS[self.state, step]
            raise StreamFault(self.id, code, f"{step.name} while {self.state.name}")
        self.state = state
        if state is _CLOSED:
            self.connection.forget(self)

    def credit(self, size: int) -> None:
        """Let the peer send ``size`` more bytes, for as many that are used up.

        The WINDOW_UPDATE waits until half a window has come together.
        """
        self._uncredited += size
        if self._uncredited >= self.connection.credit_step and self.state in (_OPEN, _LOCAL):
            self.receive_window += self._uncredited
            self.connection.reply(window_update(self.id, self._uncredited))
            self._uncredited = 0

    def grow_send_window(self, increment: int) -> None:
        """Let this side send ``increment`` more bytes (sections 6.9.1, 6.9.2).

        Args:
            increment: bytes; below 0 when SETTINGS_INITIAL_WINDOW_SIZE has shrunk.

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
        """Return whether DATA of ``size`` bytes may leave now, as one frame.

        Also whether header sections may leave as constant bytes: none has to begin with a change
        of the peer's table.
        """
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
        """Send a header or trailer section at once; no window holds it back.

        Args:
            block: the encoded fields.
            end: whether it is the last that this side sends.
        """
        connection = self.connection
        self.move(StreamStep.SEND_HEADERS)
        block, connection.block_prefix = connection.block_prefix + block, b""
        connection.reply(headers(self.id, block, end=end, limit=connection.peer_frame_size))
        if end:
            self.move(StreamStep.SEND_END)
            self.on_ended()

    def send_data(self, pieces: Sequence[bytes | memoryview], size: int) -> Any | None:
        """Send bytes in order, at once or as soon as there is room.

        Args:
            pieces: the bytes, which the caller must not change any more.
            size: their number.

        Returns:
            None if all have left, else the token that ``on_sent()`` will get.
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
        """Yield the DATA frames of ``size`` bytes for which there is room."""
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
        """End this side, after the bytes that wait.

        Args:
            block: the trailer section's encoded fields; None: an empty DATA frame ends it.
        """
        if self._pending:
            self._end = block or b""
        elif block:
            self.send_headers(block, end=True)
        else:
            self.connection.reply(frame(DATA, END_STREAM, self.id))
            self.move(StreamStep.SEND_END)
            self.on_ended()

    def send_pending(self, limit: int) -> int:
        """Send at most ``limit`` of the bytes that wait, as one DATA frame.

        Returns:
            how many bytes were sent.
        """
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
        """Forget the bytes that wait; ``on_sent()`` gets their tokens.

        Args:
            whole: whether to forget the rest of a message that has left in part, too. The peer
                cannot read what follows on this stream then.
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
        """End the stream at once with RST_STREAM, and drop the bytes that wait."""
        if self.state is not _CLOSED:
            self.drop_pending()
            self.connection.reply(reset(self.id, code))
            self.connection.ids.remember_reset(self.id)
            self.move(StreamStep.SEND_RESET)
