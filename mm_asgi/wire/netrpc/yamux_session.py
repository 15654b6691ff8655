"""One yamux session, for either side: bytes in by ``receive()``, bytes out by ``take()``.

A session is many streams on one connection and knows neither a socket nor a clock. ``receive()``
returns what happened as events, in order; how the input was cut into reads makes no difference but
to how often DataReceived comes. Frames to send collect in a list until the transport takes them,
so that whatever one turn of the loop sends leaves in one write.

The go-plugin host is the client: it opens odd streams (control, stdout, stderr, what it dials of
the broker), this side opens even ones (what ServeHTTP offers). Two numbers of Go's library rule
how streams are opened. It keeps 256 opened streams that nobody accepted yet and resets the next
one ("backlog exceeded"); go-plugin's broker accepts them one by one. So at most ``backlog`` SYNs
of ours are on the way without an ACK, the others wait here in order. And it closes the session
when a stream of its own is not acknowledged within 75 s, so that a SYN is answered here at once,
whether or not somebody wants the stream. An ACK never comes for a stream whose FIN Go read before
it accepted it; such a stream leaves the count when it is over.

Errors are final. A frame that breaks the protocol makes ``failure``, sends GO_AWAY and resets all
streams: the count of bytes is lost, nothing after it can be understood. Frames for streams that are
gone are no errors: both sides may have sent them before they knew.

Memory is bounded by the windows (256 KiB a stream, held by the stream's owner), by ``max_streams``
and, for what the other side makes us send, by the transport, which stops to read a peer that asks
and does not read (``output_size``).
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER,
    HEADER_SIZE,
    MAX_ID,
    NORMAL,
    PING,
    PROTOCOL_ERROR,
    RST,
    SYN,
    VERSION,
    WINDOW,
)
from mm_asgi.wire.netrpc.yamux_stream import MuxState, MuxStep, MuxStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.wire.netrpc.yamux_frames import Buffer

__all__ = [
    "DataReceived",
    "MuxEvent",
    "MuxSession",
    "PeerLeaving",
    "PongReceived",
    "SessionFailed",
    "StreamAcknowledged",
    "StreamDrained",
    "StreamFinished",
    "StreamOpened",
    "StreamReset",
]

BACKLOG: Final = 120
"""SYNs on the way without an ACK. Go takes 256; less than half of it leaves room for the streams
that were closed before Go's broker came to them."""

MAX_STREAMS: Final = 4096
"""Streams that the other side may have open. A host opens a handful."""


class StreamOpened(NamedTuple):
    """The other side opened a stream. It is acknowledged already."""

    stream: MuxStream


class StreamAcknowledged(NamedTuple):
    """The other side accepted a stream of this side."""

    stream: MuxStream


class DataReceived(NamedTuple):
    """Bytes came; the owner calls ``stream.consume(len(data))`` when it is done with them."""

    stream: MuxStream
    data: bytes


class StreamFinished(NamedTuple):
    """The other side sends no more. This side may still send."""

    stream: MuxStream


class StreamReset(NamedTuple):
    """The stream is over in both directions, and not whole."""

    stream: MuxStream


class StreamDrained(NamedTuple):
    """Everything that was written to the stream has left."""

    stream: MuxStream


class PongReceived(NamedTuple):
    """The answer to a ``ping()``."""

    value: int


class PeerLeaving(NamedTuple):
    """The other side accepts no more streams; those that are open go on."""


class SessionFailed(NamedTuple):
    """The session is over. A StreamReset for each open stream comes before this event."""

    error: HostProtocolError


MuxEvent = (
    StreamOpened
    | StreamAcknowledged
    | DataReceived
    | StreamFinished
    | StreamReset
    | StreamDrained
    | PongReceived
    | PeerLeaving
    | SessionFailed
)


class _Broken(Exception):
    """The session cannot go on; never leaves this module.

    Args:
        text: why.
        answer: whether the other side is to be sent a GO_AWAY with the reason.
    """

    def __init__(self, text: str, *, answer: bool = True) -> None:
        super().__init__(text)
        self.answer = answer


class MuxSession:
    """The state of one session.

    Args:
        client: whether this side has connected (the host's side) or listened (a plugin's).
        backlog: SYNs of this side that may be on the way without an ACK.
        max_streams: streams that the other side may have open; the next one is reset.
        wake: called when there is something for ``take()`` where there was nothing.

    Attributes:
        lock: held by whoever changes the session or a stream. A stream's own methods take it.
        streams: every stream that is not over, by its number.
        failure: what ended the session, once something has.
        output_size: bytes that wait for ``take()``.
        is_leaving: whether ``leave()`` was called.
        peer_is_leaving: whether the other side accepts no more streams.
    """

    def __init__(
        self,
        *,
        client: bool,
        backlog: int = BACKLOG,
        max_streams: int = MAX_STREAMS,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.lock = threading.RLock()
        self.streams: dict[int, MuxStream] = {}
        self.failure: HostProtocolError | None = None
        self.output_size = 0
        self.is_leaving = False
        self.peer_is_leaving = False
        self._own_parity = 1 if client else 0
        self._first_id = 1 if client else 2
        self._next_id = self._first_id
        self._backlog = backlog
        self._max_streams = max_streams
        self._peer_streams = 0
        self._unacknowledged: set[int] = set()
        self._waiting: deque[tuple[MuxStream, Buffer]] = deque()
        self._output: list[Buffer] = []
        self._wake = wake
        self._next_ping = 0
        self._pings: set[int] = set()
        self._events: list[MuxEvent] = []
        self._tail = b""
        self._rest = 0  # bytes to come of a DATA frame that has begun
        self._rest_stream: MuxStream | None = None  # None: nobody wants them
        self._rest_fin = False

    @property
    def is_midway(self) -> bool:
        """Whether a frame has begun and is not whole yet."""
        return self._rest > 0 or len(self._tail) > 0

    # ---------------------------------------------------------------- bytes out

    def take(self) -> list[Buffer]:
        """Return what is to be sent, in order, and forget it."""
        output, self._output = self._output, []
        self.output_size = 0
        return output

    def send_frame(
        self, kind: int, flags: int, stream_id: int, length: int, payload: Buffer = b""
    ) -> None:
        """Queue one frame; ``length`` is the payload's for DATA."""
        if not self._output:
            self._wake()
        self._output.append(HEADER.pack(VERSION, kind, flags, stream_id, length))
        self.output_size += HEADER_SIZE
        if kind == DATA and length:
            self._output.append(payload)
            self.output_size += length

    # ---------------------------------------------------------------- what the owner does

    def open(self, first: Buffer = b"", *, fin: bool = False) -> MuxStream:
        """Open a stream whose SYN carries its first bytes.

        Args:
            first: at most one window (256 KiB).
            fin: whether the stream is closed right after them.

        Raises:
            ValueError: ``first`` is over the window.
            ConnectionError: the session has ended or the other side accepts no more streams.
        """
        size = memoryview(first).nbytes
        if self.failure is not None:
            raise ConnectionError(f"yamux: the session has ended: {self.failure}")
        if self.peer_is_leaving:
            raise ConnectionError("yamux: the other side accepts no more streams (GO_AWAY)")
        stream = MuxStream(self, self._take_id(), MuxState.WAITING)
        if size > stream.send_window:
            raise ValueError(
                f"yamux: {size} bytes in a SYN, and a new stream's window is {stream.send_window}"
            )
        self.streams[stream.id] = stream
        if len(self._unacknowledged) >= self._backlog:
            self._waiting.append((stream, first))
        else:
            self._send_syn(stream, first, size)
        if fin:
            stream.close()
        return stream

    def _take_id(self) -> int:
        """The next number; after the last one they begin anew, past those in use."""
        while True:
            stream_id = self._next_id
            self._next_id = stream_id + 2 if stream_id + 2 < MAX_ID else self._first_id
            if stream_id not in self.streams:
                return stream_id

    def _send_syn(self, stream: MuxStream, first: Buffer, size: int) -> None:
        self._unacknowledged.add(stream.id)
        stream.send_window -= size
        self.send_frame(DATA if size else WINDOW, SYN, stream.id, size, first)
        stream.move(MuxStep.SEND_SYN)
        stream.opened()

    def _send_waiting(self) -> None:
        while self._waiting and len(self._unacknowledged) < self._backlog:
            stream, first = self._waiting.popleft()
            if stream.state is MuxState.WAITING:
                had = stream.queued
                self._send_syn(stream, first, memoryview(first).nbytes)
                if had and not stream.queued:
                    self._events.append(StreamDrained(stream))

    def forget(self, stream: MuxStream) -> None:
        """A stream is over (its own call); its place in the backlog is free."""
        if self.streams.pop(stream.id, None) is None:
            return
        if stream.id & 1 != self._own_parity:
            self._peer_streams -= 1
        elif stream.id in self._unacknowledged:
            self._unacknowledged.discard(stream.id)
            self._send_waiting()

    def ping(self) -> int:
        """Ask for a sign of life; return the value of the PongReceived that answers."""
        value = self._next_ping
        self._next_ping = (value + 1) & MAX_ID
        self._pings.add(value)
        self.send_frame(PING, SYN, 0, value)
        return value

    def leave(self) -> None:
        """Accept no more streams; those that are open go on."""
        if not self.is_leaving and self.failure is None:
            self.is_leaving = True
            self.send_frame(GO_AWAY, 0, 0, NORMAL)

    def lose(self, why: str = "the connection is gone") -> list[MuxEvent]:
        """The transport has ended: reset every stream and return the events of that."""
        self._end(HostProtocolError(f"yamux: {why}"))
        return self._take_events()

    # ---------------------------------------------------------------- bytes in

    def receive(self, data: bytes) -> list[MuxEvent]:
        """Take what the transport read; return what happened, in order.

        Nothing is raised: an error of the other side is the last event, SessionFailed. After it
        bytes are dropped.
        """
        if self.failure is None:
            try:
                self._receive(data)
            except _Broken as broken:
                if broken.answer:
                    self.send_frame(GO_AWAY, 0, 0, PROTOCOL_ERROR)
                self._end(HostProtocolError(f"yamux: {broken}; the session was closed"))
        return self._take_events()

    def _take_events(self) -> list[MuxEvent]:
        events, self._events = self._events, []
        return events

    def _end(self, error: HostProtocolError) -> None:
        if self.failure is not None:
            return
        self.failure = error
        self._waiting.clear()
        for stream in list(self.streams.values()):
            stream.move(MuxStep.LOSE)
            self._events.append(StreamReset(stream))
        self._events.append(SessionFailed(error))

    def _receive(self, data: bytes) -> None:
        if self._tail:
            data = self._tail + data
            self._tail = b""
        position, size = 0, len(data)
        while True:
            if self._rest:
                position = self._take_payload(data, position)
                if self._rest:
                    return
            if size - position < HEADER_SIZE:
                self._tail = data[position:]
                return
            version, kind, flags, stream_id, length = HEADER.unpack_from(data, position)
            position += HEADER_SIZE
            if version != VERSION:
                raise _Broken(f"a frame of version {version}, and only {VERSION} is spoken here")
            if kind <= WINDOW:
                self._stream_frame(kind, flags, stream_id, length)
            elif kind == PING:
                self._ping(flags, length)
            elif kind == GO_AWAY:
                self._go_away(length)
            else:
                raise _Broken(f"a frame of the unknown type {kind}")

    def _take_payload(self, data: bytes, position: int) -> int:
        end = min(position + self._rest, len(data))
        taken = end - position
        stream = self._rest_stream
        if taken:
            self._rest -= taken
            if stream is not None:
                if stream.is_over:  # its owner reset it between two parts of the frame
                    self._rest_stream = None
                else:
                    part = data if taken == len(data) else data[position:end]
                    self._events.append(DataReceived(stream, part))
        if not self._rest and self._rest_fin:
            self._rest_fin = False
            if stream is not None and not stream.is_over:
                self._finish(stream)
        return end

    def _stream_frame(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        if flags & SYN:
            self._accept(stream_id)
        stream = self.streams.get(stream_id)
        if stream is None or stream.state is MuxState.WAITING:
            if kind == DATA:
                self._rest, self._rest_stream = length, None
            return
        if flags & ACK:
            self._acknowledge(stream)
        if flags & RST:
            if kind == DATA:
                self._rest, self._rest_stream = length, None
            stream.move(MuxStep.RECEIVE_RST)
            self._events.append(StreamReset(stream))
        elif kind == DATA and length:
            self._begin_data(stream, length, fin=bool(flags & FIN))
        else:
            if length:
                self._add_window(stream, length)
            if flags & FIN:
                self._finish(stream)

    def _accept(self, stream_id: int) -> None:
        if stream_id == 0 or stream_id & 1 == self._own_parity:
            raise _Broken(f"a SYN for stream {stream_id}, whose number is not the other side's")
        if stream_id in self.streams:
            raise _Broken(f"a second SYN for stream {stream_id}")
        if self.is_leaving or self._peer_streams >= self._max_streams:
            self.send_frame(WINDOW, RST, stream_id, 0)
            return
        stream = self.streams[stream_id] = MuxStream(self, stream_id, MuxState.OPEN)
        self._peer_streams += 1
        self.send_frame(WINDOW, ACK, stream_id, 0)
        self._events.append(StreamOpened(stream))

    def _acknowledge(self, stream: MuxStream) -> None:
        stream.move(MuxStep.RECEIVE_ACK)
        if not stream.is_acknowledged:
            stream.is_acknowledged = True
            self._unacknowledged.discard(stream.id)
            self._events.append(StreamAcknowledged(stream))
            self._send_waiting()

    def _begin_data(self, stream: MuxStream, length: int, *, fin: bool) -> None:
        if not stream.begin_data(length):
            raise _Broken(
                f"{length} bytes on stream {stream.id}, whose window is {stream.receive_window}"
            )
        self._rest = length
        self._rest_fin = fin
        # Go's Write and Close may run at once, and then data follows the FIN: nobody reads it.
        closed = stream.state is MuxState.REMOTE_CLOSED
        if closed and fin:
            raise _Broken(f"a second FIN on stream {stream.id}")
        self._rest_stream = None if closed else stream

    def _add_window(self, stream: MuxStream, length: int) -> None:
        stream.send_window += length
        if stream.send_window > MAX_ID:
            raise _Broken(f"a window over {MAX_ID} bytes on stream {stream.id}")
        if stream.pump():  # the FIN behind it may have ended the stream; a writer still waits
            self._events.append(StreamDrained(stream))

    def _finish(self, stream: MuxStream) -> None:
        if not stream.move(MuxStep.RECEIVE_FIN):
            raise _Broken(f"a second FIN on stream {stream.id}")
        self._events.append(StreamFinished(stream))

    def _ping(self, flags: int, value: int) -> None:
        if flags & SYN:
            self.send_frame(PING, ACK, 0, value)
        elif value in self._pings:
            self._pings.discard(value)
            self._events.append(PongReceived(value))

    def _go_away(self, code: int) -> None:
        if code != NORMAL:
            reason = {PROTOCOL_ERROR: "protocol error"}.get(code, f"internal error (code {code})")
            raise _Broken(f"GO_AWAY came from the other side: {reason}", answer=False)
        if not self.peer_is_leaving:
            self.peer_is_leaving = True
            self._events.append(PeerLeaving())
