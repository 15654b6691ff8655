"""A client's connection on asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mm_asgi.wire.http2.connection import Connection
from mm_asgi.wire.http2.frames import MAX_STREAM_ID, ErrorCode, go_away
from mm_asgi.wire.http2.transport import Transport

if TYPE_CHECKING:
    import asyncio

    from mm_asgi.wire.http2.channel import NativeChannel
    from mm_asgi.wire.http2.client_call import ClientCall

__all__ = ["ClientTransport"]

_LAST_STREAM: Final = MAX_STREAM_ID - 2


class ClientTransport(Transport):
    """One connection of a channel.

    Args:
        channel: the channel that dials it.
        buffer: where reads go.

    Attributes:
        greeted: gets True when the server has sent its SETTINGS, False when the connection ends
            without.
        is_taken: whether the channel has accepted it for RPCs; until then only ``_dial`` may close
            it.
        reason: the loop's exception, of a connection that was lost.
    """

    def __init__(self, channel: NativeChannel, buffer: bytearray) -> None:
        super().__init__(buffer)
        self.greeted: asyncio.Future[bool] = self.loop.create_future()
        self.is_taken = False
        self.reason: Exception | None = None
        self._channel = channel
        self._idle: asyncio.TimerHandle | None = None
        self._opened_before = 0

    def make_connection(self) -> Connection:
        """Return a client's connection, and make it known to the channel."""
        self._channel.add(self)
        return Connection(
            client=True, limits=self._channel.limits, clock=self.loop.time, wake=self.wake
        )

    @property
    def is_usable(self) -> bool:
        """Return whether new RPCs may begin on it."""
        connection = self._connection
        return (
            connection is not None
            and connection.peer_last is None
            and connection.fault is None
            and not self._is_closing
            and connection.ids.opened < _LAST_STREAM
        )

    @property
    def has_room(self) -> bool:
        """Return whether the server takes one more RPC now."""
        connection = self.connection
        most = connection.peer_streams
        return most is None or len(connection.streams) < most

    @property
    def calls(self) -> list[ClientCall]:
        """Return the RPCs that are under way."""
        connection = self._connection
        return [] if connection is None else list(connection.streams.values())  # type: ignore[arg-type]

    def begin(self, call: ClientCall) -> None:
        """Send an RPC's request.

        It is written at once when nothing else is under way. Waiting for the end of the loop's
        turn, when several leave as one write, would cost the loop one more round.
        """
        connection = self.connection
        if self._is_scheduled or connection.streams or not call.is_whole:
            call.start(connection)
        else:
            self._is_scheduled = True
            call.start(connection)
            self.flush()

    def received(self) -> None:
        """Look what the read has changed: the greeting, the end, and room for calls that wait."""
        connection = self.connection
        if not self.greeted.done() and connection.has_settings:
            self.greeted.set_result(True)
            self._watch_idle()
        if connection.peer_last is not None or connection.fault is not None:
            self._channel.retire(self)
        self._channel.pump()

    def eof_received(self) -> None:
        """Retire the connection: the server sends no more."""
        self._channel.retire(self)
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """End its RPCs, and leave the channel: the connection is gone."""
        self._is_closing = True
        self.reason = exc
        if self._idle is not None:
            self._idle.cancel()
        if not self.greeted.done():
            self.greeted.set_result(False)
        self._channel.retire(self)
        super().connection_lost(exc)
        self._channel.lost(self)

    def goodbye(self) -> None:
        """Close it with a GOAWAY; no RPC may be on it any more."""
        if not self._is_closing:
            if self.connection.fault is None:
                self.connection.reply(go_away(0, ErrorCode.NO_ERROR))
            self.flush()
            self.close()

    # ---------------------------------------------------------------- idle

    def _watch_idle(self) -> None:
        """Look for RPCs twice in the idle time: reading the clock for each RPC would cost more."""
        if self._channel.idle is not None:
            self._idle = self.loop.call_later(self._channel.idle / 2, self._look_idle)

    def _look_idle(self) -> None:
        connection = self.connection
        opened = connection.ids.opened
        if opened == self._opened_before and not connection.streams:
            self._channel.retire(self)
        else:
            self._opened_before = opened
            self._watch_idle()
