"""A connection's driver on asyncio: it reads, writes and keeps the clocks."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.http2.frames import ConnectionFault, ErrorCode

if TYPE_CHECKING:
    import ssl

    from mm_asgi.wire.http2.connection import Connection

__all__ = ["READ_SIZE", "Transport"]

log = logging.getLogger("mm_asgi.wire")

READ_SIZE: Final = 262_144
"""Bytes of one read at the most, as asyncio itself has it."""

_JOIN: Final = 65_536
"""Bytes up to which the pieces of one write are joined: a guess, up to which a copy costs less than
the kernel's work for a list of many pieces."""

_LOW_WATER: Final = 65_536

_TLS_RECORDS: Final = (0x15, 0x16)
"""A TLS connection's first byte (RFC 8446 section 5.1): an alert, a handshake."""


class Transport(asyncio.BufferedProtocol):
    """The protocol of one connection.

    The bytes of one turn of the loop leave as one write.

    Args:
        buffer: where reads go. All connections of a loop may share one, since the bytes of a read
            are used up before the next read.
    """

    def __init__(self, buffer: bytearray) -> None:
        self.loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self._connection: Connection | None = None
        self._transport: Any = None
        self._view = memoryview(buffer)
        self._is_scheduled = False
        self._is_closing = False
        self._paused_at = 0.0
        self._reads = True
        self._preface: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None

    def make_connection(self) -> Connection:
        """Return a new connection; a subclass does."""
        raise NotImplementedError

    @property
    def connection(self) -> Connection:
        """The connection; there is none before ``connection_made()``."""
        assert self._connection is not None
        return self._connection

    # ---------------------------------------------------------------- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the connection and start its clocks."""
        self._transport = transport
        self._connection = connection = self.make_connection()
        limits = connection.limits
        self._transport.set_write_buffer_limits(high=limits.output, low=_LOW_WATER)
        self._preface = self.loop.call_later(limits.preface, self._preface_is_late)
        self._watch = self.loop.call_later(limits.stall / 4, self._look_for_stalls)
        self._demand_h2(transport.get_extra_info("ssl_object"))
        self.wake()

    def _demand_h2(self, tls: ssl.SSLObject | None) -> None:
        """Fail the connection if TLS did not agree on "h2" (RFC 9113 section 3.2)."""
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            text = "TLS without the protocol h2 (ALPN), the only one that is spoken here"
            self.connection.fail(ConnectionFault(ErrorCode.PROTOCOL_ERROR, text))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next read.

        It is a memoryview, because asyncio's TLS writes into slices, and slices of a bytearray are
        copies.
        """
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Take the ``nbytes`` bytes of a read."""
        if self._is_closing:
            return  # TLS reads on until the peer has closed too
        # The flush is scheduled after the handlers' tasks. So what they answer in their first step
        # leaves with the acknowledgements, as one write in the same turn of the loop. grpc-go sends
        # a PING with each request: this halves the system calls of a small one.
        scheduled, self._is_scheduled = self._is_scheduled, True
        self.connection.receive(self._view[:nbytes])
        if self._preface is not None:
            self._look_at_preface(self._preface)
        self.received()
        if not scheduled:
            self.loop.call_soon(self.flush)

    def _look_at_preface(self, timer: asyncio.TimerHandle) -> None:
        if self.connection.has_settings:
            timer.cancel()
            self._preface = None
        elif self.connection.fault is not None and self._view[0] in _TLS_RECORDS:
            log.warning("the peer speaks TLS, and this connection is plain text")

    def received(self) -> None:
        """Act on what the connection has taken with a read; a subclass does."""

    def eof_received(self) -> None:
        """Close: the peer sends no more, which ends HTTP/2 even if it still reads."""
        self.flush()
        self.close()
        self.connection.lose()

    def pause_writing(self) -> None:
        """Hold bodies back: the transport has more than it wants."""
        self.connection.pause()
        self._paused_at = self.loop.time()

    def resume_writing(self) -> None:
        """Send and read again: the transport takes more."""
        self.connection.resume()
        if not self._reads:
            self._reads = True
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks, and close the connection's streams: the transport is gone."""
        self._is_closing = True
        for timer in (self._preface, self._watch):
            if timer is not None:
                timer.cancel()
        self.connection.lose()
        if not self.closed.done():
            self.closed.set_result(None)

    # ---------------------------------------------------------------- sending

    def wake(self) -> None:
        """Schedule a flush at the end of this turn of the loop."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write the connection's output."""
        self._is_scheduled = False
        connection = self.connection
        if self._is_closing or not connection.output:
            return
        size = connection.output_size
        output = connection.take()
        if len(output) == 1:
            self._transport.write(output[0])
        elif size <= _JOIN:
            self._transport.write(b"".join(output))
        else:
            self._transport.writelines(output)
        if connection.fault is not None:
            self._report(connection.fault)
            self.close()
        elif connection.is_paused and self._reads:
            self._stop_reading_if_replies_pile_up()
        elif connection.waiting:
            connection.pump()

    def _stop_reading_if_replies_pile_up(self) -> None:
        """Read no more from a peer that does not read our replies: they would grow without bound."""
        if self.connection.replies_size > self.connection.limits.replies:
            self._reads = False
            self._transport.pause_reading()

    def close(self) -> None:
        """Close when the written bytes have left; cut off a peer that does not read them."""
        self._is_closing = True
        self._transport.close()
        if self._watch is not None and not self.closed.done():
            self._watch.cancel()
            self._watch = self.loop.call_later(
                self.connection.limits.preface, self._transport.abort
            )

    # ---------------------------------------------------------------- clocks

    def _preface_is_late(self) -> None:
        self._preface = None
        limit = self.connection.limits.preface
        self.connection.fail(
            ConnectionFault(ErrorCode.SETTINGS_TIMEOUT, f"no preface after {limit:g} s")
        )

    def _look_for_stalls(self) -> None:
        connection = self.connection
        stall = connection.limits.stall
        self._watch = self.loop.call_later(stall / 4, self._look_for_stalls)
        before = self.loop.time() - stall
        if connection.is_paused and self._paused_at < before:
            log.warning("connection closed: the peer has read nothing for %g s", stall)
            self._transport.abort()
            return
        for stream in list(connection.streams.values()):
            if stream.waits and stream.moved_at < before:
                log.warning("stream reset: the peer has opened no window for %g s", stall)
                stream.reset(ErrorCode.ENHANCE_YOUR_CALM)
                stream.on_closed(ErrorCode.ENHANCE_YOUR_CALM)

    def _report(self, fault: ConnectionFault) -> None:
        log.warning("connection closed with GOAWAY %s: %s", fault.code.name, fault.text)

    async def wait_closed(self, seconds: float) -> None:
        """Wait for the end of the transport, and cut it off after ``seconds``."""
        await asyncio.wait((self.closed,), timeout=seconds)
        if not self.closed.done():
            self._transport.abort()
