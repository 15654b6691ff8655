"""One yamux stream: its states in one table, its two windows, and what waits to be sent.

A stream is two half pipes. Each side ends its own with FIN; a RST ends both at once, and what was
not read yet is lost. The handshake stands apart from that: the side that opens a stream may send
data and even FIN before the other one has acknowledged it, so ``is_acknowledged`` is no state, it
only counts for the backlog (yamux_session.py).

Go ends the whole session, all plugins' requests with it, when a stream breaks the rules: a second
SYN, a second FIN, a byte over the window. So each frame that this class sends is a step of the
table, and a step that the table lacks is never sent. One more rule stands in no specification:
FIN never travels in the frame that carries data. Go's reader handles the flags of a frame before
its payload, so that a reader who waits there can see the end before the last bytes, and lose them.

Flow control is credit. Received bytes count against ``receive_window`` when their frame begins and
come back when the owner says that they were consumed; an update leaves once half a window came
together. An owner that expects much widens the window first: a sender that would otherwise wait for
each update goes on meanwhile. What is written beyond ``send_window`` is queued; the owner asks ``queued`` and waits for
the session's StreamDrained before it writes more, else the queue grows.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from mm_asgi.wire.netrpc.yamux_frames import DATA, FIN, INITIAL_WINDOW, RST, WINDOW

if TYPE_CHECKING:
    import threading

    from mm_asgi.wire.netrpc.yamux_frames import Buffer

__all__ = ["MUX_TRANSITIONS", "FrameSink", "MuxState", "MuxStep", "MuxStream"]


class MuxState(enum.Enum):
    """Where a stream is, as this side sees it."""

    __hash__ = object.__hash__  # Enum's own, over the name, is slow and asked for with each frame

    WAITING = "opened here, its SYN waits for the backlog"
    OPENING = "SYN sent"
    OPEN = "open"
    LOCAL_CLOSED = "FIN sent"
    REMOTE_CLOSED = "FIN received"
    CLOSED = "FIN sent and received"
    RESET = "reset"


class MuxStep(enum.Enum):
    """What can happen to a stream."""

    __hash__ = object.__hash__

    SEND_SYN = "SYN sent"
    RECEIVE_ACK = "ACK received"
    SEND_FIN = "FIN sent"
    RECEIVE_FIN = "FIN received"
    SEND_RST = "RST sent"
    RECEIVE_RST = "RST received"
    LOSE = "the session ended"


MUX_TRANSITIONS: Final[dict[tuple[MuxState, MuxStep], MuxState]] = {
    # A stream that the other side opens begins OPEN: its SYN is acknowledged at once.
    (MuxState.WAITING, MuxStep.SEND_SYN): MuxState.OPENING,
    (MuxState.WAITING, MuxStep.SEND_RST): MuxState.RESET,  # nothing was sent, and no RST is
    (MuxState.WAITING, MuxStep.LOSE): MuxState.RESET,
    (MuxState.OPENING, MuxStep.RECEIVE_ACK): MuxState.OPEN,
    (MuxState.OPENING, MuxStep.SEND_FIN): MuxState.LOCAL_CLOSED,
    (MuxState.OPENING, MuxStep.RECEIVE_FIN): MuxState.REMOTE_CLOSED,
    (MuxState.OPENING, MuxStep.SEND_RST): MuxState.RESET,
    (MuxState.OPENING, MuxStep.RECEIVE_RST): MuxState.RESET,  # Go's backlog is full
    (MuxState.OPENING, MuxStep.LOSE): MuxState.RESET,
    (MuxState.OPEN, MuxStep.RECEIVE_ACK): MuxState.OPEN,  # Go logs a second ACK and goes on
    (MuxState.OPEN, MuxStep.SEND_FIN): MuxState.LOCAL_CLOSED,
    (MuxState.OPEN, MuxStep.RECEIVE_FIN): MuxState.REMOTE_CLOSED,
    (MuxState.OPEN, MuxStep.SEND_RST): MuxState.RESET,
    (MuxState.OPEN, MuxStep.RECEIVE_RST): MuxState.RESET,
    (MuxState.OPEN, MuxStep.LOSE): MuxState.RESET,
    (MuxState.LOCAL_CLOSED, MuxStep.RECEIVE_ACK): MuxState.LOCAL_CLOSED,
    (MuxState.LOCAL_CLOSED, MuxStep.RECEIVE_FIN): MuxState.CLOSED,
    (MuxState.LOCAL_CLOSED, MuxStep.SEND_RST): MuxState.RESET,
    (MuxState.LOCAL_CLOSED, MuxStep.RECEIVE_RST): MuxState.RESET,
    (MuxState.LOCAL_CLOSED, MuxStep.LOSE): MuxState.RESET,
    (MuxState.REMOTE_CLOSED, MuxStep.RECEIVE_ACK): MuxState.REMOTE_CLOSED,
    (MuxState.REMOTE_CLOSED, MuxStep.SEND_FIN): MuxState.CLOSED,
    (MuxState.REMOTE_CLOSED, MuxStep.SEND_RST): MuxState.RESET,
    (MuxState.REMOTE_CLOSED, MuxStep.RECEIVE_RST): MuxState.RESET,
    (MuxState.REMOTE_CLOSED, MuxStep.LOSE): MuxState.RESET,
}

_OVER: Final = frozenset({MuxState.CLOSED, MuxState.RESET})
_CANNOT_SEND: Final = frozenset({MuxState.LOCAL_CLOSED, MuxState.CLOSED})


class FrameSink(Protocol):
    """What a stream needs of its session.

    Attributes:
        lock: whoever changes a stream holds it: the loop, or the thread that stands in for it.
    """

    lock: threading.RLock

    def send_frame(
        self, kind: int, flags: int, stream_id: int, length: int, payload: Buffer = b""
    ) -> None:
        """Queue one frame."""

    def forget(self, stream: MuxStream) -> None:
        """Drop a stream whose two directions are over."""


class MuxStream:
    """One stream of a session. The session makes it; its owner writes, consumes and closes.

    Attributes:
        id: the stream's number; even ones were opened by the side that listened.
        state: where it is in ``MUX_TRANSITIONS``.
        is_acknowledged: whether the other side has accepted it.
        send_window: bytes that may leave now.
        receive_window: bytes that the other side may still send.
        unread: bytes that were received and not consumed yet.
        queued: bytes that were written and wait for the window.
        owner: whatever the owner attaches; the session never looks at it.
    """

    __slots__ = (
        "_credit",
        "_due",
        "_lock",
        "_queue",
        "_wants_fin",
        "_sink",
        "id",
        "is_acknowledged",
        "owner",
        "queued",
        "receive_window",
        "send_window",
        "state",
        "unread",
    )

    def __init__(self, sink: FrameSink, stream_id: int, state: MuxState) -> None:
        self._sink = sink
        self._lock = sink.lock
        self.id = stream_id
        self.state = state
        self.is_acknowledged = state is MuxState.OPEN
        self.send_window = INITIAL_WINDOW
        self.receive_window = INITIAL_WINDOW
        self.unread = 0
        self.queued = 0
        self.owner: Any = None
        self._credit = 0
        self._due = INITIAL_WINDOW // 2
        self._queue: deque[memoryview] | None = None
        self._wants_fin = False

    @property
    def is_over(self) -> bool:
        """Whether both directions have ended."""
        return self.state in _OVER

    def move(self, step: MuxStep) -> bool:
        """Take a step of the table; return False, and stay, where the table lacks it."""
        state = MUX_TRANSITIONS.get((self.state, step))
        if state is None:
            return False
        self.state = state
        if state in _OVER:
            self._queue = None
            self.queued = 0
            self._sink.forget(self)
        return True

    # ---------------------------------------------------------------- sending

    def write(self, data: Buffer) -> None:
        """Send bytes, or queue what the window does not hold.

        ``data`` is kept, not copied, until it has left. On a stream that was reset nothing happens:
        the session's StreamReset has said so.

        Raises:
            ValueError: this side has closed the stream before.
        """
        with self._lock:
            self._write(data)

    def _write(self, data: Buffer) -> None:
        state = self.state
        if state is MuxState.RESET:
            return
        if self._wants_fin or state in _CANNOT_SEND:
            raise ValueError(
                f"yamux stream {self.id}: write() after close(); write everything, then close"
            )
        view = memoryview(data)
        size = view.nbytes
        if not size:
            return
        if state is not MuxState.WAITING and not self.queued and size <= self.send_window:
            self.send_window -= size
            self._sink.send_frame(DATA, 0, self.id, size, data)
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.append(view.cast("B") if view.format != "B" or view.ndim != 1 else view)
        self.queued += size
        if state is not MuxState.WAITING:
            self.pump()

    def pump(self) -> bool:
        """Send of the queue what the window holds; return whether the queue became empty by it."""
        queue = self._queue
        if not queue:
            return False
        while queue and self.send_window:
            part = queue.popleft()
            if len(part) > self.send_window:
                queue.appendleft(part[self.send_window :])
                part = part[: self.send_window]
            size = len(part)
            self.send_window -= size
            self.queued -= size
            self._sink.send_frame(DATA, 0, self.id, size, part)
        if queue:
            return False
        if self._wants_fin:
            self._send_fin()
        return True

    def close(self) -> None:
        """End this side's direction once everything that was written has left. Idempotent."""
        with self._lock:
            if self._wants_fin or self.state in _OVER or self.state is MuxState.LOCAL_CLOSED:
                return
            self._wants_fin = True
            if not self.queued and self.state is not MuxState.WAITING:
                self._send_fin()

    def opened(self) -> None:
        """The SYN has left: send what waited for it."""
        if self.queued:
            self.pump()
        elif self._wants_fin:
            self._send_fin()

    def _send_fin(self) -> None:
        # The frame before the step: the step may make the session forget the stream.
        self._sink.send_frame(WINDOW, FIN, self.id, 0)
        self.move(MuxStep.SEND_FIN)

    def reset(self) -> None:
        """End both directions at once; what waits is dropped. Idempotent."""
        with self._lock:
            if self.state is not MuxState.WAITING and self.state not in _OVER:
                self._sink.send_frame(WINDOW, RST, self.id, 0)
            self.move(MuxStep.SEND_RST)

    # ---------------------------------------------------------------- receiving

    def begin_data(self, size: int) -> bool:
        """Count a DATA frame's payload; return False where it is over the window."""
        if size > self.receive_window:
            return False
        self.receive_window -= size
        self.unread += size
        return True

    def consume(self, size: int) -> None:
        """Give the window back ``size`` bytes that the owner is done with.

        Raises:
            ValueError: so many bytes were not received.
        """
        with self._lock:
            if size > self.unread:
                raise ValueError(
                    f"yamux stream {self.id}: consume({size}), and {self.unread} bytes are unread"
                )
            self.unread -= size
            self._credit += size
            if self._credit >= self._due:
                self._send_credit()

    def widen(self, size: int) -> None:
        """Let the other side send ``size`` bytes more before it waits, for as long as the stream lives."""
        with self._lock:
            self._due += size // 2
            self._credit += size
            self._send_credit()

    def _send_credit(self) -> None:
        if self.state in _RECEIVES:
            self._sink.send_frame(WINDOW, 0, self.id, self._credit)
            self.receive_window += self._credit
            self._credit = 0


_RECEIVES: Final = frozenset({MuxState.OPENING, MuxState.OPEN, MuxState.LOCAL_CLOSED})
