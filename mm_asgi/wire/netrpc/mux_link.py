"""A yamux session on asyncio, and the streams of the broker on it.

Every stream has an owner, an object that is told what happens to its stream; the link reads the
socket, hands each event to the owner that it concerns, and writes. What is sent during one turn of
the loop leaves as one write, the acknowledgements of what was read with the answers to it.

A brokered stream has two owners, one after the other. The first knows the four bytes that begin it
(broker.py): of a dial it waits for the acknowledgement, of the other side's dial it finds the
offer. Then the stream is given to the owner that it is for. That owner may write before: what it
writes first leaves in the frame that opens the stream. It must not believe that somebody reads
until ``stream_taken()`` was called.

Owners run in the middle of a read. What one raises is its own stream's end, never the link's: a
HostProtocolError, or any error of ours, which is logged. The link itself ends with the session, and
then every stream's owner is told, before ``on_lost``.

While the loop stands still a thread may read (stand_in.py). It does what the other side does not
wait for, pings, SYNs and dials, and keeps all else in order for the loop. Whoever touches the
session holds its lock, for as long as it takes to leave it whole.

What waits to be sent is bounded by the windows, but for answers to what the other side asks (pings,
SYNs). While the socket takes nothing, the link stops reading once they are too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.broker import MuxBroker, NumberReader, write_number
from mm_asgi.wire.netrpc.dials import Dials
from mm_asgi.wire.netrpc.stream_owner import StreamOwner
from mm_asgi.wire.netrpc.yamux_session import (
    DataReceived,
    MuxSession,
    PongReceived,
    SessionFailed,
    StreamDrained,
    StreamFinished,
    StreamOpened,
    StreamReset,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mm_asgi.wire.netrpc.yamux_session import MuxEvent
    from mm_asgi.wire.netrpc.yamux_stream import MuxStream

__all__ = ["MuxLink"]

log = logging.getLogger("mm_asgi.wire")

_JOIN: Final = 65_536
"""Bytes up to which the pieces of one write are joined, as on the native gRPC wire."""

_WAITING: Final = 1024 * 1024
"""Bytes that may wait while the socket takes nothing, before the link stops to read."""


class MuxLink(asyncio.Protocol):
    """One connection to a host (or, with ``client``, to a plugin).

    Args:
        client: which side this is.
        greet: returns the owner of a stream that the other side opened and that is not the
            broker's; None: the broker's.
        on_lost: called once when the connection is over, with the reason.

    Attributes:
        session: the yamux session.
        lock: the session's.
        closed: done when the transport is gone.
        may_begin: asked when a transport is there; where it returns False, the transport is closed.
        on_pong: called with the value of each ping that the other side has answered.
    """

    def __init__(
        self,
        *,
        client: bool,
        greet: Callable[[], StreamOwner | None] = lambda: None,
        on_lost: Callable[[str], None] = lambda why: None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.session = MuxSession(client=client, wake=self._wake)
        self.lock = self.session.lock
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self._broker: MuxBroker[StreamOwner] = MuxBroker()
        self._greet = greet
        self._on_lost = on_lost
        self.may_begin: Callable[[MuxLink], bool] = lambda link: True
        self.on_pong: Callable[[int], None] = lambda value: None
        self._transport: Any = None
        self._is_scheduled = False
        self._is_paused = False
        self._has_begun = False
        self._reads = True
        self._kept: list[MuxEvent | _Rest] = []  # what the thread has left to the loop
        self._dials = Dials(self.session, self.loop)

    @property
    def is_open(self) -> bool:
        """Whether there is a transport."""
        return self._transport is not None

    # ---------------------------------------------------------------- the broker

    def dial(self, number: int, owner: StreamOwner, *, fin: bool = False) -> MuxStream:
        """Take up an offer of the other side.

        The stream is written to at once and ends after 5 s without an acknowledgement.

        Args:
            number: what the other side offers.
            owner: told by ``stream_taken()`` when the other side is there.
            fin: whether this side sends nothing but ``first_bytes()``.

        Raises:
            ConnectionError: the connection is lost.
        """
        with self.lock:
            return self._dials.dial(number, owner, fin=fin)

    def expect(self, number: int) -> None:
        """Keep an offer of the other side for a ``dial()`` that comes later, and that has to come.

        The other side gives it up after 5 s; it is dialled before that, whether or not its owner
        has something to write.
        """
        with self.lock:
            self._dials.expect(number)

    def dial_meanwhile(self, offered: Iterable[int]) -> None:
        """Take up offers for owners to come; in the thread that stands in, under the lock."""
        self._dials.dial_meanwhile(offered)

    def offer(self, owner: StreamOwner) -> int:
        """Return a number that the other side may dial once; the stream is the owner's then."""
        with self.lock:
            return self._broker.offer(owner)

    def withdraw(self, number: int) -> bool:
        """Take an offer back; return whether it was still open."""
        with self.lock:
            return self._broker.withdraw(number)

    def claim(self, number: int) -> StreamOwner | None:
        """Return the owner for a stream that dialled; None where nobody offered."""
        return self._broker.claim(number)

    # ---------------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there, after the handshake where there is TLS."""
        if not self.may_begin(self):
            self._on_lost = lambda why: None  # nobody was told that it had begun
            transport.close()
            return
        self._transport = transport
        if self.session.output_size:
            self._wake()

    def data_received(self, data: bytes) -> None:
        """The transport has read."""
        with self.lock:
            scheduled, self._is_scheduled = self._is_scheduled, True
            self._has_begun = False
            if self._kept:
                self._catch_up()
            self._tell(self.session.receive(data))
            if scheduled:
                pass
            elif self._has_begun:
                # After the tasks that were just started have run once: what they answer leaves
                # with it.
                self.loop.call_soon(self._flush)
            else:
                self._flush()
            self._pace()

    def begin(self) -> None:
        """A task was started for what was just read: its answer leaves with all else."""
        self._has_begun = True

    def _pace(self) -> None:
        """Read no more while the other side asks and takes no answer."""
        if self._is_paused and self._reads and self.session.output_size > _WAITING:
            self._reads = False
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """The other side sends no more: the session is over, as in Go."""

    def pause_writing(self) -> None:
        """The socket takes nothing for now."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """The socket takes more again."""
        with self.lock:
            self._is_paused = False
            self._flush()
            if not self._reads and self._transport is not None:
                self._reads = True
                self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        with self.lock:
            self._transport = None
            self._dials.stop()
            why = "the connection is gone" if exc is None else f"the connection is gone: {exc}"
            self._catch_up()
            self._tell(self.session.lose(why))
        if not self.closed.done():
            self.closed.set_result(None)

    # ---------------------------------------------------------------- while the loop stands still

    def receive_meanwhile(self, data: bytes) -> None:
        """Take bytes in the thread that stands in: do what cannot wait, and keep the rest."""
        scheduled, self._is_scheduled = self._is_scheduled, True
        had = bool(self._kept)
        for event in self.session.receive(data):
            self._keep(event)
        self.dial_meanwhile(())
        self._is_scheduled = scheduled
        if self._transport is not None and not self._is_paused:
            self._write()
        self._pace()
        if self._kept and not had:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(self._wake_up)

    def _keep(self, event: MuxEvent) -> None:
        stream: MuxStream | None = getattr(event, "stream", None)
        owner: StreamOwner | None = None if stream is None else stream.owner
        if type(event) is StreamOpened:
            self._tell((event,))
        elif type(event) is DataReceived and owner is not None:
            try:
                rest = owner.received_meanwhile(event.data)
            except Exception as error:  # noqa: BLE001 - the loop raises and logs it
                rest = partial(_raise, error)
            self._kept.append(event if rest is None else _Rest(event.stream, rest))
        else:
            self._kept.append(event)

    def _wake_up(self) -> None:
        with self.lock:
            self._catch_up()
            self._dials.wind()

    def _catch_up(self) -> None:
        """Tell the owners what the thread has kept for them."""
        kept, self._kept = self._kept, []
        self._tell(kept)

    # ---------------------------------------------------------------- events

    def _tell(self, events: Iterable[MuxEvent | _Rest]) -> None:
        for event in events:
            kind = type(event)
            if kind is SessionFailed:
                self._over(str(event.error))  # type: ignore[union-attr]
                continue
            stream: MuxStream | None = getattr(event, "stream", None)
            if stream is None:
                if kind is PongReceived:
                    self.on_pong(event.value)  # type: ignore[union-attr]
                continue
            try:
                self._tell_owner(stream, event)
            except HostProtocolError as error:
                log.warning("yamux stream %d: %s; the stream was reset", stream.id, error)
                self._drop(stream)
            except Exception:
                log.exception("yamux stream %d: its owner failed; the stream was reset", stream.id)
                self._drop(stream)

    def _tell_owner(self, stream: MuxStream, event: MuxEvent | _Rest) -> None:
        # By the exact class, and the most frequent first: a match would ask each in turn.
        owner: StreamOwner | None = stream.owner
        kind = type(event)
        if kind is DataReceived:
            data: bytes = event.data  # type: ignore[union-attr]
            if owner is None:
                stream.consume(len(data))
            else:
                owner.data_received(data)
        elif kind is StreamOpened:
            owner = stream.owner = self._greet() or _Arrival(self)
            owner.stream_opened(stream)
        elif kind is _Rest:
            event.act()  # type: ignore[union-attr]
        elif owner is None:
            pass
        elif kind is StreamFinished:
            owner.stream_ended(whole=True)
            if stream.is_over:
                stream.owner = None  # each holds the other, and nothing else is told
        elif kind is StreamReset:
            stream.owner = None
            owner.stream_ended(whole=False)
        elif kind is StreamDrained:
            owner.stream_drained()

    def _drop(self, stream: MuxStream) -> None:
        """End a stream whose owner cannot go on, and tell it so."""
        owner: StreamOwner | None = stream.owner
        stream.owner = None
        stream.reset()
        if owner is not None:
            try:
                owner.stream_ended(whole=False)
            except Exception:
                log.exception("yamux stream %d: its owner failed at the end", stream.id)

    def _over(self, why: str) -> None:
        on_lost, self._on_lost = self._on_lost, lambda why: None
        on_lost(why)

    # ---------------------------------------------------------------- sending

    def _wake(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        with self.lock:
            self._is_scheduled = False
            if self._transport is None or self._is_paused:
                return
            self._write()
            if self.session.failure is not None:
                self._transport.close()

    def _write(self) -> None:
        size = self.session.output_size
        if not size:
            return
        output = self.session.take()
        if len(output) == 1:
            self._transport.write(output[0])
        elif size <= _JOIN:
            self._transport.write(b"".join(output))
        else:
            self._transport.writelines(output)

    def fail(self, error: HostProtocolError) -> None:
        """End the connection: what came on it cannot be understood."""
        log.warning("the connection to the host was closed: %s", error)
        with self.lock:
            self._tell(self.session.lose(str(error)))
            self.close()

    def close(self) -> None:
        """Close the connection once what was written has left."""
        with self.lock:
            self._is_paused = False  # the transport keeps what the socket does not take
            self._flush()
            if self._transport is not None:
                self._transport.close()

    def abort(self) -> None:
        """Close the connection now; what was written and has not left is lost."""
        if self._transport is not None:
            self._transport.abort()


class _Rest(NamedTuple):
    """What the loop has to do with bytes that the thread has taken."""

    stream: MuxStream
    act: Callable[[], None]


class _Arrival(StreamOwner):
    """A dial of the other side, until its number is known."""

    def __init__(self, link: MuxLink) -> None:
        self._link = link
        self._reader = NumberReader()

    def data_received(self, data: bytes) -> None:
        """Take the number, and give the stream to whom offered it."""
        self.received_meanwhile(data)()

    def received_meanwhile(self, data: bytes) -> Callable[[], None]:
        """Acknowledge the number: the other side waits 5 s. Its owner has the stream later."""
        stream = self.stream
        assert stream is not None
        found = self._reader.receive(data)
        if found is None:
            stream.consume(len(data))
            return _nothing
        number, rest = found
        stream.consume(len(data) - len(rest))
        owner = self._link.claim(number)
        if owner is None:
            stream.owner = None
            stream.reset()
            return partial(
                log.debug, "MuxBroker: the host dialled %d, which is not on offer", number
            )
        stream.write(write_number(number))  # before anything that the owner writes
        stream.owner = StreamOwner()  # of what comes before its owner has it; all of it is kept
        return partial(_hand_over, stream, owner, rest)

    def stream_ended(self, *, whole: bool) -> None:
        """The other side left without a number."""
        if self.stream is not None:
            self.stream.close()


def _hand_over(stream: MuxStream, owner: StreamOwner, rest: bytes) -> None:
    stream.owner = owner
    owner.stream_opened(stream)
    owner.stream_taken()
    if rest:
        owner.data_received(rest)


def _raise(error: Exception) -> None:
    raise error


def _nothing() -> None:
    """Do nothing: the bytes were taken whole."""
