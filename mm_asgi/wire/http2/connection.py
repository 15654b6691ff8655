"""One HTTP/2 connection, for either side: bytes in by ``receive()``, bytes out in ``output``.

Theory of operation

A Connection is a machine without I/O: it has no socket, no task and no clock of its own. Its driver
(transport.py) calls ``receive()`` with the bytes of a read, and writes what ``take()`` returns once
``wake`` was called. It calls ``pause()`` and ``resume()`` when the socket is full and has room again,
and ``lose()`` when the socket is gone. The streams belong to others: a server's ``accept`` makes one
for each request, and a client's call is a stream that opens itself. RFC 9113 sections 3.4 (preface), 4
(frames), 5 (streams) and 6 (frame types) are implemented here; the class takes three modules.
sending.py is its base class: output, windows, turns. This one reads frames. control.py handles the
frames that carry no payload of an RPC, and writes this object's attributes as if it were a method.

States. A connection has no single state but five facts, each of which changes once:

- ``_preface`` is empty as soon as a server has seen the client's first bytes whole;
- ``has_settings``: the peer's SETTINGS came. Before that no other frame may come (section 3.4);
- ``is_leaving``: this side has begun a graceful end. ``leave()`` sends a GOAWAY that names no
  stream, and a PING. Streams that the peer opens from now on are refused, which tells it to try
  elsewhere. Its answer to the PING brings the second GOAWAY, with the last stream, and ``farewell``
  is called;
- ``peer_last``: the peer has sent GOAWAY. This side's streams above that number were closed as
  refused, and a channel opens no more here;
- ``fault``: the connection has failed, and that is final. A GOAWAY is in ``output``, all streams are
  closed, and ``receive()`` drops what it gets.

Frames. ``receive()`` walks over all whole frames of a read, with plain ints and without an object
for each: what a small RPC costs here is what this wire exists for (docs/decisions/0009). The cut
frame at the end waits in ``_tail``, but for DATA: its parts are taken as they come (``_rest``), so
that a large frame is not copied. Never are both set. A header block may come in several frames;
while one is open (``_blocks.stream_id``), nothing but its CONTINUATION may come (section 6.10).

Faults. What a peer does wrong is raised below ``receive()`` and ends there. A StreamFault becomes
RST_STREAM and the stream's ``on_closed()``, a ConnectionFault becomes ``fail()``. The guard
(limits.py) counts what costs more than it brings, and raises a ConnectionFault as well.

Owners. The streams' ``on_`` methods are called in the middle of ``receive()``, after the state has
moved. They may send, and end any stream, but must not raise and must not call ``receive()``.
Streams use ``reply()``, ``emit()``, ``unblock()``, ``pump()`` and ``forget()``; a client's call also
``open_stream()`` and ``ids``. The rest is for the driver and for control.py.

What always holds: each stream in ``streams`` is open or half closed. The connection's receive
window is opened again as bytes come, whether or not a stream's owner has used them, so that it is
never a stream that holds up the others. ``wake`` is called each time that ``output`` was empty and
is not any more.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mm_asgi.wire.http2 import control
from mm_asgi.wire.http2.blocks import HeaderBlocks
from mm_asgi.wire.http2.fields import request_head, response_head
from mm_asgi.wire.http2.frames import (
    END_HEADERS,
    END_STREAM,
    HEADER,
    HEADER_SIZE,
    MAX_STREAM_ID,
    PADDED,
    PREFACE,
    PRIORITY,
    ConnectionFault,
    ErrorCode,
    FrameType,
    StreamFault,
    go_away,
    ping,
    reset,
    window_update,
)
from mm_asgi.wire.http2.identifiers import Identifiers
from mm_asgi.wire.http2.sending import Sender
from mm_asgi.wire.http2.stream import H2Stream, StreamState, StreamStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.wire.http2.fields import HeaderSection
    from mm_asgi.wire.http2.limits import Limits


__all__ = ["Connection"]

log = logging.getLogger("mm_asgi.wire")

DATA: Final = int(FrameType.DATA)
HEADERS: Final = int(FrameType.HEADERS)
CONTINUATION: Final = int(FrameType.CONTINUATION)
SETTINGS: Final = int(FrameType.SETTINGS)
RST_STREAM: Final = int(FrameType.RST_STREAM)

_OPEN: Final = StreamState.OPEN

_FAREWELL: Final = b"mmgoaway"
"""The payload of the PING between the two steps of a graceful GOAWAY (section 6.8)."""


class Connection(Sender):
    """One connection.

    Args:
        client: whether this side is the client.
        limits: what the peer may cost.
        clock: returns seconds, monotonic.
        accept: returns the stream of a request, by its identifier and its header section; a
            client's connection has none.
        wake: called when ``output`` has become non-empty.

    Attributes:
        credit_step: how many used-up bytes of a stream are worth a WINDOW_UPDATE.
        fault: the fault that ended the connection, once one has.
        has_settings: whether the peer's preface is whole (section 3.4).
        ids: which streams there have been.
        is_leaving: whether ``leave()`` was called.
        peer_last: the last stream that the peer's GOAWAY names, once one came.
        farewell: called once, when the second step of the graceful end is done.
    """

    def __init__(
        self,
        *,
        client: bool,
        limits: Limits,
        clock: Callable[[], float],
        accept: Callable[[int, HeaderSection], H2Stream] | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(limits, clock, wake)
        self.credit_step = limits.stream_window // 2
        self.fault: ConnectionFault | None = None
        self._accept = accept
        self._is_client = client
        # bytes in
        self._blocks = HeaderBlocks(limits, response_head if client else request_head)
        self._fault_level = logging.WARNING
        self._receive_window = limits.connection_window
        self._tail = b""
        self._rest = 0  # bytes to come of a DATA frame that has begun, then its stream and flags
        self._rest_stream = 0
        self._rest_flags = 0
        self._preface = b"" if client else PREFACE
        self.has_settings = False
        self.ids = Identifiers(client=client)
        # the end (section 6.8)
        self.is_leaving = False
        self.peer_last: int | None = None
        self.farewell: Callable[[], None] | None = None
        self.reply(control.preface(limits, client=client))

    # ---------------------------------------------------------------- bytes in

    def receive(self, data: memoryview) -> None:
        """Take the bytes of a read.

        A peer's fault ends its stream or the connection; nothing is raised. Once the connection
        has failed, bytes are dropped.

        Args:
            data: the bytes; the caller may use the buffer again afterwards.
        """
        if self.fault is not None:
            return
        try:
            self._receive(data)
        except ConnectionFault as fault:
            self.fail(fault)

    def _receive(self, data: memoryview) -> None:
        if self._tail:
            data = memoryview(self._tail + bytes(data))
            self._tail = b""
        position, size = 0, len(data)
        if self._preface:
            position = self._take_preface(data)
        if self._rest:
            position = min(self._rest, size)
            self._data_part(data[:position], position)
        while size - position >= HEADER_SIZE:
            high, low, kind, flags, stream_id = HEADER.unpack_from(data, position)
            length = high << 8 | low
            if length > self.limits.frame_size:
                raise ConnectionFault(
                    ErrorCode.FRAME_SIZE_ERROR,
                    f"a frame of {length} bytes, {self.limits.frame_size} are taken",
                )
            start = position + HEADER_SIZE
            end = start + length
            stream_id &= MAX_STREAM_ID
            if end > size:
                if kind == DATA and not flags & PADDED and self._may_come(kind, stream_id):
                    self._data_begins(flags, stream_id, length)
                    self._data_part(data[start:], size - start)
                    return
                break
            try:
                if kind == RST_STREAM and self._is_late_reset(stream_id, length):
                    pass
                else:
                    self._frame(kind, flags, stream_id, data[start:end])
            except StreamFault as fault:
                self._stream_failed(fault)
            position = end
        self._tail = bytes(data[position:])

    def _is_late_reset(self, stream_id: int, length: int) -> bool:
        """Return whether a RST_STREAM ends a stream that is over already.

        The host ends each answered RPC this way, so such a frame is dealt with first.
        """
        if stream_id in self.streams or length != 4 or self._blocks.stream_id:
            return False
        if self.ids.is_idle(stream_id):
            return False
        self.guard.idle_frame()
        return True

    def _take_preface(self, data: memoryview) -> int:
        size = min(len(data), len(self._preface))
        if data[:size] != self._preface[:size]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the peer does not speak HTTP/2")
        self._preface = self._preface[size:]
        return size

    def _frame(self, kind: int, flags: int, stream_id: int, payload: memoryview) -> None:
        if kind == CONTINUATION or self._blocks.stream_id or not self.has_settings:
            self._may_come(kind, stream_id)
        if kind == DATA:
            self._data(flags, stream_id, payload)
        elif kind == HEADERS:
            self._headers(flags, stream_id, payload)
        elif kind == CONTINUATION:
            block = self._blocks.extend(bytes(payload), last=bool(flags & END_HEADERS))
            if block is not None:
                self._header_block(stream_id, block, end=self._blocks.end)
        else:
            control.receive(self, kind, flags, stream_id, payload)

    def _may_come(self, kind: int, stream_id: int) -> bool:
        """Return True if a frame may come now.

        Raises:
            ConnectionFault: it may not: SETTINGS come first, and a header block is not interrupted.
        """
        if not self.has_settings:
            if kind != SETTINGS:
                raise ConnectionFault(
                    ErrorCode.PROTOCOL_ERROR, f"frame type {kind} before SETTINGS (section 3.4)"
                )
        elif (kind == CONTINUATION) != bool(self._blocks.stream_id) or (
            kind == CONTINUATION and stream_id != self._blocks.stream_id
        ):
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR,
                f"frame type {kind} on stream {stream_id} while stream"
                f" {self._blocks.stream_id or 'none'} has an open header block (section 6.10)",
            )
        return True

    # ---------------------------------------------------------------- DATA (section 6.1)

    def _data(self, flags: int, stream_id: int, payload: memoryview) -> None:
        size = len(payload)
        if flags & PADDED:
            payload = control.without_padding(payload)
        if len(payload) < self.limits.tiny and not flags & END_STREAM:
            self.guard.idle_frame()
        else:
            self.guard.idle = 0
        self._body(stream_id, payload, size, end=bool(flags & END_STREAM))

    def _data_begins(self, flags: int, stream_id: int, length: int) -> None:
        """Begin a DATA frame that comes in several reads."""
        self._rest, self._rest_stream, self._rest_flags = length, stream_id, flags
        if length < self.limits.tiny:
            self.guard.idle_frame()
        else:
            self.guard.idle = 0

    def _data_part(self, payload: memoryview, size: int) -> None:
        self._rest -= size
        end = not self._rest and bool(self._rest_flags & END_STREAM)
        try:
            self._body(self._rest_stream, payload, size, end=end)
        except StreamFault as fault:
            self._stream_failed(fault)

    def _body(self, stream_id: int, payload: memoryview, size: int, *, end: bool) -> None:
        """Take a DATA frame or a part of one; ``size`` counts the padding too (section 6.9.1)."""
        limit = self.limits.connection_window
        self._receive_window -= size
        if self._receive_window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA over the connection's window")
        if self._receive_window * 2 < limit:
            self.reply(window_update(0, limit - self._receive_window))
            self._receive_window = limit
        stream = self.streams.get(stream_id)
        if stream is None:
            self.ids.late_data(stream_id)
            return
        if stream.state is not _OPEN:  # where the table leads back to OPEN
            stream.move(StreamStep.RECEIVE_DATA)
        stream.receive_window -= size
        if stream.receive_window < 0:
            raise StreamFault(stream_id, ErrorCode.FLOW_CONTROL_ERROR, "DATA over the window")
        if stream.expected >= 0:
            self._count(stream, len(payload))
        if size != len(payload):
            stream.credit(size - len(payload))
        if payload:
            stream.on_data(payload)
        if end:
            self._end(stream)

    def _count(self, stream: H2Stream, size: int) -> None:
        """Hold a request or response to its Content-Length (section 8.1.1)."""
        stream.expected -= size
        if stream.expected < 0:
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "DATA over its content-length")

    def _end(self, stream: H2Stream) -> None:
        if stream.state is StreamState.CLOSED:  # its owner ended it meanwhile
            return
        if stream.expected > 0:
            raise StreamFault(stream.id, ErrorCode.PROTOCOL_ERROR, "DATA under its content-length")
        stream.move(StreamStep.RECEIVE_END)
        stream.on_end()

    # ---------------------------------------------------------------- HEADERS (sections 6.2, 8.1)

    def _headers(self, flags: int, stream_id: int, payload: memoryview) -> None:
        self.guard.idle = 0
        if not stream_id % 2:  # section 5.1.1; a server's own streams would be pushed ones
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}")
        if flags & PADDED:
            payload = control.without_padding(payload)
        if flags & PRIORITY:
            depends_on_itself = control.priority(stream_id, payload)
            payload = payload[control.PRIORITY_SIZE :]
        else:
            depends_on_itself = False
        end = bool(flags & END_STREAM)
        if not flags & END_HEADERS:
            self._blocks.begin(stream_id, bytes(payload), end=end)
            return
        self._header_block(stream_id, bytes(payload), end=end)
        if depends_on_itself:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "it depends on itself")

    def _header_block(self, stream_id: int, block: bytes, *, end: bool) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            if self._is_client or stream_id <= self.ids.accepted:
                self._blocks.skip(stream_id, block)
                self.ids.late_headers(stream_id)
            else:
                self._request(stream_id, block, end=end)
        elif self._is_client and not stream.begun:
            head = self._blocks.head(stream_id, block)
            stream.move(StreamStep.RECEIVE_HEADERS)
            stream.begun = head.status >= 200  # section 8.1: interim responses go before
            if stream.begun and head.status != 304:  # which declares what it does not send
                stream.expected = head.length
            stream.on_headers(head, end=end)
            if end:
                self._end(stream)
        else:
            if stream.state is StreamState.HALF_CLOSED_REMOTE:  # refused, but the table follows
                self._blocks.skip(stream_id, block)
            stream.move(StreamStep.RECEIVE_HEADERS)
            fields = self._blocks.trailers(stream_id, block)
            if not end:
                raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "trailers do not end it")
            stream.on_trailers(fields)
            self._end(stream)

    def _request(self, stream_id: int, block: bytes, *, end: bool) -> None:
        self.ids.accept(stream_id)
        head = self._blocks.head(stream_id, block)
        if self.is_leaving or len(self.streams) >= self.limits.streams:
            raise StreamFault(stream_id, ErrorCode.REFUSED_STREAM, "no more streams are taken")
        assert self._accept is not None
        stream = self._accept(stream_id, head)
        self.streams[stream_id] = stream
        stream.move(StreamStep.RECEIVE_HEADERS)
        stream.expected = head.length
        stream.on_headers(head, end=end)
        if end:
            self._end(stream)

    def _stream_failed(self, fault: StreamFault) -> None:
        stream = self.streams.get(fault.stream_id)
        if stream is None and self.ids.is_idle(fault.stream_id):  # section 5.1: no RST_STREAM
            raise ConnectionFault(fault.code, f"stream {fault.stream_id}, idle: {fault.text}")
        if fault.code is not ErrorCode.REFUSED_STREAM:
            self.guard.broken()
            log.log(self._fault_level, "stream %d reset with %s: %s", *fault.args)
            self._fault_level = logging.DEBUG  # a peer must not fill the log
        if stream is None:
            if not self.ids.was_reset(fault.stream_id):
                self.reply(reset(fault.stream_id, fault.code))
                self.ids.remember_reset(fault.stream_id)
        else:
            stream.reset(fault.code)
            stream.on_closed(fault.code)

    # ---------------------------------------------------------------- streams and the end

    def open_stream(self, stream: H2Stream, block: bytes) -> None:
        """Open a client's stream.

        Args:
            stream: it; gets its identifier and its window here.
            block: the encoded header section of its request.
        """
        stream.id = self.ids.open()
        self.streams[stream.id] = stream
        stream.send_window = self.peer_stream_window
        stream.send_headers(block)

    def leave(self) -> None:
        """Begin a graceful end (section 6.8): send a GOAWAY that names no stream, and a PING.

        The answer to the PING shows that the peer has read the GOAWAY. Streams that it opened
        before are refused, which tells it to try elsewhere. ``farewell`` is called once the second
        GOAWAY has named the last stream.
        """
        if not self.is_leaving and self.fault is None:
            self.is_leaving = True
            self.reply(go_away(MAX_STREAM_ID, ErrorCode.NO_ERROR))
            self.reply(ping(_FAREWELL))

    def pinged(self, payload: bytes) -> None:
        """Take the peer's answer to a PING: the second step of a graceful end, if it is ours."""
        if self.is_leaving and payload == _FAREWELL and self.farewell is not None:
            self.reply(go_away(self.ids.accepted, ErrorCode.NO_ERROR))
            farewell, self.farewell = self.farewell, None
            farewell()

    def fail(self, fault: ConnectionFault) -> None:
        """End the connection with GOAWAY, and close its streams as lost."""
        if self.fault is None:
            self.fault = fault
            self.reply(go_away(self.ids.accepted, fault.code, fault.text))
            self.lose()
