"""The sending half of a connection: which bytes leave, in which order, and which have to wait.

RFC 9113 sections 5.2 and 6.9. Frames that no window holds back leave at once. Bodies leave as far
as the stream's window, the connection's window and the transport allow. The streams that wait take
turns, a frame each. connection.py tells the whole theory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.wire.http2.frames import DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, HEADER_SIZE
from mm_asgi.wire.http2.limits import Guard
from mm_asgi.wire.http2.stream import StreamState, StreamStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mm_asgi.wire.http2.limits import Limits
    from mm_asgi.wire.http2.stream import H2Stream

__all__ = ["Sender"]


class Sender:
    """The sending half of a connection.

    Args:
        limits: what the peer may cost.
        clock: returns seconds, monotonic.
        wake: called when ``output`` has become non-empty.

    Attributes:
        streams: the streams that are not closed, by their identifier.
        output: the bytes to be sent, in pieces; ``take()`` takes them.
        output_size: roughly their number.
        replies_size: how many bytes that no window holds back were added since the transport
            paused.
        is_ready: whether bodies may be added to ``output``.
        is_paused: whether the transport takes no more for now.
        waiting: streams with bytes that wait and room in their own window, in their turn.
        block_prefix: the bytes that the next header block has to begin with.
    """

    def __init__(
        self, limits: Limits, clock: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        self.limits = limits
        self.clock = clock
        self.guard = Guard(limits, clock)
        self.streams: dict[int, H2Stream] = {}
        self._wake = wake
        # what the peer has set (section 6.5.2)
        self.peer_frame_size = DEFAULT_FRAME_SIZE
        self.peer_stream_window = DEFAULT_WINDOW
        self.peer_streams: int | None = None
        self.block_prefix = b""
        self.output: list[bytes | memoryview] = []
        self.output_size = 0
        self.replies_size = 0
        self.send_window = DEFAULT_WINDOW
        self.is_ready = True
        self.is_paused = False
        self.waiting: dict[H2Stream, None] = {}

    def reply(self, data: bytes) -> None:
        """Add a frame that no window holds back."""
        if not self.output:
            self._wake()
        self.output.append(data)
        self.output_size += len(data)
        if self.is_paused:
            self.replies_size += len(data)

    def emit(self, header: bytes, pieces: Iterable[bytes | memoryview], size: int) -> None:
        """Add a DATA frame for which there is room in the windows.

        Args:
            header: the frame's header; empty when ``pieces`` are whole frames.
            pieces: the body.
            size: how many bytes of the connection's window it takes.
        """
        output = self.output
        if not output:
            self._wake()
        if header:
            output.append(header)
        output.extend(pieces)
        self.send_window -= size
        self.guard.idle = 0
        self.output_size += size + HEADER_SIZE
        if self.output_size >= self.limits.output:
            self.is_ready = False

    def take(self) -> list[bytes | memoryview]:
        """Return the bytes to be sent now, and forget them."""
        output, self.output = self.output, []
        self.output_size = 0
        self.is_ready = not self.is_paused
        return output

    def pause(self) -> None:
        """Hold bodies back: the transport has more than it wants."""
        self.is_paused = True
        self.is_ready = False

    def resume(self) -> None:
        """Send bodies again: the transport takes them."""
        self.is_paused = False
        self.replies_size = 0
        self.is_ready = self.output_size < self.limits.output
        self.pump()

    def unblock(self, stream: H2Stream) -> None:
        """Give a stream with bytes that wait its turn, if its own window has room."""
        if stream.send_window > 0:
            self.waiting[stream] = None

    def pump(self) -> None:
        """Send what waits, a frame of each stream in turn, while windows and transport allow it."""
        waiting = self.waiting
        while waiting and self.is_ready and self.send_window > 0:
            stream = next(iter(waiting))
            del waiting[stream]
            if stream.waits and stream.send_window > 0:  # SETTINGS may have shrunk it
                stream.send_pending(min(self.peer_frame_size, stream.send_window, self.send_window))
                if stream.waits:
                    self.unblock(stream)

    def forget(self, stream: H2Stream) -> None:
        """Drop a stream that is closed."""
        self.streams.pop(stream.id, None)
        self.waiting.pop(stream, None)

    def lose(self) -> None:
        """Close all streams: the connection is gone, or nothing on it counts any more."""
        streams, self.streams = self.streams, {}
        self.waiting.clear()
        for stream in streams.values():
            if stream.state is not StreamState.CLOSED:  # an owner called before may have ended it
                stream.drop_pending()
                stream.move(StreamStep.LOSE_CONNECTION)
                stream.on_closed(None)
