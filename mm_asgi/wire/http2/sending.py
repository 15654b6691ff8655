"""The sending half of a connection: what leaves, in which order, and what has to wait.

RFC 9113 sections 5.2 and 6.9. Frames that no window holds back leave at once. Bodies leave as far
as the stream's window, the connection's and the transport let; the streams that wait take turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.wire.http2.frames import DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, HEADER_SIZE
from mm_asgi.wire.http2.limits import Guard
from mm_asgi.wire.http2.stream import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mm_asgi.wire.http2.limits import Limits
    from mm_asgi.wire.http2.stream import H2Stream

__all__ = ["Sender"]


class Sender:
    """What a connection sends.

    Args:
        limits: what the peer may cost.
        clock: seconds, monotonic.
        wake: told when ``output`` has become non-empty.

    Attributes:
        streams: the streams that are not closed, by their identifier.
        output: what is to be sent; taken by ``take()``.
        output_size: bytes of it.
        replies_size: bytes that no window held back, since the transport was paused.
        is_ready: whether bodies may be added to ``output``.
        is_paused: whether the transport takes no more for now.
        waiting: streams with bytes that wait and room in their own window, in their turn.
        block_prefix: what the next header block has to begin with.
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
        """Send a frame that no window holds back."""
        if not self.output:
            self._wake()
        self.output.append(data)
        self.output_size += len(data)
        if self.is_paused:
            self.replies_size += len(data)

    def emit(self, header: bytes, pieces: Iterable[bytes | memoryview], size: int) -> None:
        """Send a DATA frame for which there is room in the windows; or several, in ``pieces``."""
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
        """What is to be sent now."""
        output, self.output = self.output, []
        self.output_size = 0
        self.is_ready = not self.is_paused
        return output

    def pause(self) -> None:
        """The transport has more than it wants: bodies wait."""
        self.is_paused = True
        self.is_ready = False

    def resume(self) -> None:
        """The transport takes bodies again."""
        self.is_paused = False
        self.replies_size = 0
        self.is_ready = self.output_size < self.limits.output
        self.pump()

    def unblock(self, stream: H2Stream) -> None:
        """A stream has bytes that wait and room in its own window."""
        if stream.send_window > 0:
            self.waiting[stream] = None

    def pump(self) -> None:
        """Send what waits, a frame of each stream in turn, as far as windows and transport let."""
        waiting = self.waiting
        while waiting and self.is_ready and self.send_window > 0:
            stream = next(iter(waiting))
            del waiting[stream]
            if stream.waits and stream.send_window > 0:  # SETTINGS may have shrunk it
                stream.send_pending(min(self.peer_frame_size, stream.send_window, self.send_window))
                if stream.waits:
                    self.unblock(stream)

    def forget(self, stream: H2Stream) -> None:
        """A stream is closed."""
        self.streams.pop(stream.id, None)
        self.waiting.pop(stream, None)

    def lose(self) -> None:
        """The connection is gone, or as good as gone: so are its streams."""
        streams, self.streams = self.streams, {}
        self.waiting.clear()
        for stream in streams.values():
            if stream.state is not StreamState.CLOSED:  # by what those before it were told
                stream.drop_pending()
                stream.state = StreamState.CLOSED
                stream.on_closed(None)
