"""A client's connection: uvicorn's HTTP/1.1 with net/http's time limits.

The limits mean less than their names say. ReadTimeout counts from the first byte of a request, and
for a connection's first request from the accept. It limits the reading of head and body only: after
the body a request may take any time. WriteTimeout counts from the end of the head. It cuts the
connection at the first byte written after it, so an answer that stays silent is not cut (measured
with tests/gohost, -read-timeout and -write-timeout).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

__all__ = ["LINE", "Line", "Protocol", "WriteLate"]

LINE = "mm_asgi.line"
"""The key of a request's `Line` in its scope."""

BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\n400 Bad Request"
)


class WriteLate(Exception):
    """WriteTimeout is over: the connection was cut, and this write reached no client."""


class Line:
    """One request's view of its client's connection.

    Attributes:
        read_until: the loop's time after which no more is read; None: no limit.
    """

    def __init__(self, protocol: Protocol, read_until: float | None, write_until: float | None):
        self.read_until = read_until
        self._write_until = write_until
        self._protocol = protocol

    @property
    def malformed(self) -> bool:
        """Whether the client went on with malformed HTTP, and all bytes before it were read."""
        return self._protocol.malformed and not self._protocol.cycle.body

    @property
    def is_gone(self) -> bool:
        """Whether the connection is closed, or is being closed."""
        return bool(self._protocol.transport.is_closing())

    def close(self) -> None:
        """Close the connection, once what was written has left."""
        self._protocol.transport.close()

    async def write(self, send: Send, event: MutableMapping[str, Any]) -> None:
        """Send an event and wait until the operating system has taken all of it.

        Raises:
            WriteLate: it did not take all in time.
        """
        now = asyncio.get_running_loop().time()
        try:
            if self._write_until is not None and now >= self._write_until:
                raise TimeoutError
            async with asyncio.timeout_at(self._write_until):
                await send(event)
                await self._protocol.flow.drain()
        except TimeoutError:
            self._protocol.transport.abort()
            raise WriteLate from None


class Protocol(H11Protocol):
    """One connection, which puts a `Line` into the scope of each request."""

    def __init__(
        self, *arguments: Any, read_timeout: float, write_timeout: float, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._gateway: Any = self.app
        self.app = self._serve
        self._read_timeout = read_timeout
        self._write_timeout = write_timeout
        self.malformed = False
        self._begun = self.loop.time()
        self._head_timer: asyncio.TimerHandle | None = None

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        self._end_head()
        line = Line(
            self,
            _end_of_limit(self._begun, self._read_timeout),
            _end_of_limit(self.loop.time(), self._write_timeout),
        )
        await self._gateway({**scope, LINE: line}, receive, send)

    # ---------------------------------------------------------------- the head

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # In Go a write ends when the operating system has all bytes.
        transport.set_write_buffer_limits(0)
        self._begin_head()

    def data_received(self, data: bytes) -> None:
        if self._is_idle and self._head_timer is None:
            self._begin_head()
        super().data_received(data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_idle and self.conn.trailing_data[0]:
            self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _begin_head(self) -> None:
        self._begun = self.loop.time()
        if self._read_timeout > 0:
            self._head_timer = self.loop.call_later(self._read_timeout, self._head_is_late)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._is_idle and not self.transport.is_closing():
            if self.conn.trailing_data[0]:
                self.transport.write(BAD_REQUEST)
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer 400 to malformed HTTP. In a body it does not end the answer, as in net/http."""
        if self._is_idle:
            self.transport.write(BAD_REQUEST)
            self.transport.close()
            return
        self.malformed = True
        self.cycle.message_event.set()


def _end_of_limit(time: float, seconds: float) -> float | None:
    """Return the end of a time limit; 0 means no limit, as in net/http."""
    return time + seconds if seconds > 0 else None
