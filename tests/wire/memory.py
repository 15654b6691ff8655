"""A wire without sockets, for fast tests: MemoryStream is one RPC, MemoryServer dispatches by path.

What the peer sends waits "on the wire" until the handler's side fetches it, one message ahead of
the reader at most, as the real wires do. Written messages are copied, so that a writer which
changes a message afterwards is found out here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from mm_asgi.wire.calls import DEADLINE_EXCEEDED, TOO_LARGE, TOO_LARGE_SENT, Calls, CancelSlot, wake
from mm_asgi.wire.port import Encoded, Inbox, StatusCode

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

    from mm_asgi.wire.port import Listener, Metadata, Method, Parser

__all__ = ["MemoryPeer", "MemoryServer", "MemoryStream"]

log = logging.getLogger("mm_asgi.wire")


class MemoryStream:
    """The handler's side of one RPC (a ``port.Stream``); ``peer`` is the other one.

    Args:
        method: the RPC's path.
        deadline: on the running loop's clock; when it passes the RPC is cancelled.
        metadata: the request's metadata.
        window: how many written messages may wait unread before ``write()`` blocks; None: any.
        receive_limit: bytes of one message from the peer; a larger one ends the RPC.
        send_limit: bytes of one written message, likewise.
        parser: what makes the read message of the sent one; None: it is handed over as it is.
    """

    def __init__(
        self,
        method: str = "/x/y",
        *,
        deadline: float | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        window: int | None = None,
        receive_limit: int | None = None,
        send_limit: int | None = None,
        parser: Parser | None = None,
    ) -> None:
        self.method = method
        self.deadline = deadline
        self.metadata: Mapping[str, str | bytes] = dict(metadata or {})
        self.peer = MemoryPeer(self)
        # From the peer: what was sent and not fetched, then what was fetched and not read.
        self._sent: deque[Message] = deque()
        self._half_closed = False
        self._receive_limit = receive_limit
        self._parser = parser
        self._inbox = Inbox()
        # To the peer: whether anything has left, then messages beyond the window, each with the writer that waits for it.
        self._send_limit = send_limit
        self._opened = False
        self._window = window
        self._blocked: deque[tuple[Message, asyncio.Future[None]]] = deque()
        # The end.
        self._status: tuple[StatusCode, str] | None = None
        self._trailing: Metadata = ()
        self._over = asyncio.Event()
        self._cancel_slot = CancelSlot()
        self._when_over: Callable[[], None] | None = None
        self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(
                deadline, self._leave, StatusCode.DEADLINE_EXCEEDED, DEADLINE_EXCEEDED
            )

    async def read(self) -> Any | None:
        """The next message, or None for ever after the end."""
        message = await self._inbox.get()
        if message is not None:
            self.peer.reads += 1
            self._fetch()
        return message

    def send_metadata(self, metadata: Metadata) -> None:
        """Send the initial metadata; does nothing after the first message or the end."""
        if not self._opened and self._status is None:
            self._opened = True
            self.peer._open(metadata)

    async def write(self, message: Message | Encoded, *, last: bool = False) -> None:
        """Send a copy; blocks while more messages than the window wait unread."""
        if self._status is not None:
            return
        data = message.SerializeToString()
        if self._send_limit is not None and len(data) > self._send_limit:
            log.warning("message too large to send: %s, %d bytes", self.method, len(data))
            self._leave(StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE_SENT)
            return
        self._opened = True
        copied: Message = (
            message.decoded() if isinstance(message, Encoded) else type(message).FromString(data)
        )
        if self._window is None or len(self._blocked) + self.peer.unread < self._window:
            self.peer._deliver(copied)
            sent = None
        else:
            sent = asyncio.get_running_loop().create_future()
            self._blocked.append((copied, sent))
            self._unblock()
        if last:
            self.finish()
        if sent is not None:
            await sent

    def finish(self, metadata: Metadata = ()) -> None:
        """End the RPC with OK, after the messages written so far."""
        self._end(StatusCode.OK, "", metadata)

    def abort(self, code: StatusCode, text: str, metadata: Metadata = ()) -> None:
        """End the RPC with ``code``; messages that still wait for the window are dropped."""
        self._end(code, text, metadata)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the peer leaves."""
        self._cancel_slot.set(callback)

    def _fetch(self) -> None:
        if self._inbox.wants:
            if self._sent:
                self._take(self._sent.popleft())
            elif self._half_closed:
                self._inbox.end()

    def _take(self, message: Message) -> None:
        size = message.ByteSize()
        if self._receive_limit is not None and size > self._receive_limit:
            log.warning("message too large: %s, %d bytes", self.method, size)
            self._leave(StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE)
        else:
            self.peer.fetched += 1
            parser = self._parser
            self._inbox.put(parser.FromString(message.SerializeToString()) if parser else message)

    def _unblock(self) -> None:
        """Let blocked messages go as far as the window and the peer's open receives allow."""
        while self._blocked and self.peer.unread < (self._window or 0) + self.peer.receiving:
            message, sent = self._blocked.popleft()
            self.peer._deliver(message)
            wake(sent)
        if not self._blocked and self._status is not None:
            self._close()

    def _end(self, code: StatusCode, text: str, metadata: Metadata) -> None:
        if self._status is not None:
            return
        self._status = (code, text)
        self._trailing = tuple(metadata)
        self._inbox.end(drop=True)
        self._cancel_slot.close()
        if code is not StatusCode.OK:
            self._drop_blocked()
        self._unblock()

    def _leave(self, code: StatusCode, text: str) -> None:
        """The peer is gone: by its own cancel, by the deadline or by the server's stop."""
        if self._over.is_set():
            return
        self._status = (code, text)
        self._trailing = ()
        self._inbox.end(drop=True)
        self._drop_blocked()
        self._close()
        self._cancel_slot.fire()

    def _drop_blocked(self) -> None:
        while self._blocked:
            _, sent = self._blocked.popleft()
            wake(sent)

    def _close(self) -> None:
        if self._over.is_set():
            return
        if self._timer is not None:
            self._timer.cancel()
        self.peer._open(())
        self.peer._received.end()
        self._over.set()
        if self._when_over is not None:
            self._when_over()


class MemoryPeer:
    """The caller's side of a MemoryStream.

    Attributes:
        messages: everything that has left for this side so far, read by ``receive()`` or not.
        reads: how many messages the handler's side has taken by ``read()``.
        fetched: how many left the wire for the handler's side: ``reads`` or one more.
        unread: how many of ``messages`` no ``receive()`` has taken.
        receiving: how many ``receive()`` calls wait for a message.
    """

    def __init__(self, stream: MemoryStream) -> None:
        self.messages: list[Any] = []
        self.reads = 0
        self.fetched = 0
        self.unread = 0
        self.receiving = 0
        self._stream = stream
        self._received = Inbox()
        self._initial: Metadata = ()
        self._opened = asyncio.Event()

    def send(self, message: Message) -> None:
        """Put a message on the wire; after the RPC's end it is dropped."""
        assert not self._stream._half_closed, "send() after half_close()"
        if not self._stream._over.is_set():
            self._stream._sent.append(message)
            self._stream._fetch()

    def half_close(self) -> None:
        """Say that no more messages will come."""
        self._stream._half_closed = True
        self._stream._fetch()

    def cancel(self) -> None:
        """Leave. Does nothing after the RPC's end."""
        self._stream._leave(StatusCode.CANCELLED, "Cancelled")

    async def receive(self) -> Any | None:
        """The next message that the handler wrote, or None once the RPC ended."""
        self.receiving += 1
        try:
            self._stream._unblock()
            message = await self._received.get()
        finally:
            self.receiving -= 1
        if message is not None:
            self.unread -= 1
            self._stream._unblock()
        return message

    async def ended(self) -> tuple[StatusCode, str]:
        """Wait for the RPC's end; its status and text."""
        await self._stream._over.wait()
        assert self._stream._status is not None
        return self._stream._status

    async def initial_metadata(self) -> Metadata:
        """What came ahead of the first message; empty when that, or the end, came first."""
        await self._opened.wait()
        return self._initial

    def trailing_metadata(self) -> Metadata:
        """What came with the status; empty until the RPC has ended."""
        return self._stream._trailing if self._stream._over.is_set() else ()

    def _open(self, metadata: Metadata) -> None:
        if not self._opened.is_set():
            self._initial = tuple(metadata)
            self._opened.set()

    def _deliver(self, message: Message) -> None:
        self._open(())
        self.messages.append(message)
        self.unread += 1
        self._received.put(message)


class MemoryServer:
    """A ``port.Server`` whose RPCs are opened by ``open()``; it needs no listener."""

    def __init__(self) -> None:
        self._methods: Mapping[str, Method] | None = None
        self._calls = Calls()

    async def start(
        self,
        listener: Listener | None,
        methods: Mapping[str, Method],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Serve ``methods``; the listener is left alone, and so is ``tls``: nobody can listen."""
        self._methods = methods

    async def stop(self, grace: float) -> None:
        """Refuse new RPCs, give the running ones ``grace`` seconds, then cancel them."""
        self._methods = None
        try:
            async with asyncio.timeout(grace):
                await self._calls.idle()
        except TimeoutError:
            for stream in self._calls.streams:
                stream._leave(StatusCode.UNAVAILABLE, "Server shutting down")
        await self._calls.cancel_handlers()

    def open(
        self,
        method: str,
        *,
        deadline: float | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        window: int | None = None,
    ) -> MemoryPeer:
        """Start an RPC: its handler runs in a task of its own; the arguments are MemoryStream's."""
        entry = self._methods.get(method) if self._methods else None
        stream = MemoryStream(
            method,
            deadline=deadline,
            metadata=metadata,
            window=window,
            receive_limit=entry.receive_limit if entry else None,
            send_limit=entry.send_limit if entry else None,
            parser=entry.request if entry else None,
        )
        if self._methods is None:
            stream.abort(StatusCode.UNAVAILABLE, "the server does not run")
        elif entry is None:
            stream.abort(StatusCode.UNIMPLEMENTED, "Method not found!")
        else:
            self._calls.opened(stream)
            stream._when_over = lambda: self._calls.closed(stream)
            self._calls.run(entry.handler, stream)
        return stream.peer
