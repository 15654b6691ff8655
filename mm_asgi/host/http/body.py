"""A request's body as net/http reads it, and the client's disconnect."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from mm_asgi.host.http.line import Line

__all__ = ["Body"]

CHUNK = 64 * 1024
"""serveHTTPChunkSize of hooks_grpc_client.go."""

MOST_DISCARDED = 256 * 1024
"""net/http's maxPostHandlerReadBytes: so much more it reads to keep a connection usable."""

LINGER = 0.5
"""Seconds; net/http's rstAvoidanceDelay."""


class Body:
    """One request's body. Several tasks may read it, as goroutines may in Go."""

    def __init__(
        self,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        *,
        closing: bool = False,
        line: Line | None = None,
    ) -> None:
        """Wrap the server's ``receive``.

        Args:
            receive: uvicorn's, of this request.
            closing: whether the connection ends with this request.
            line: the connection, for its time limits.
        """
        self._closing = closing
        self._line = line
        self.at_end = False
        # The connection failed in the middle, and with it the request's context; `late`: only
        # its reading, and the client still waits.
        self.broken = False
        self.late = False
        self._closed = False
        self._cut = False  # its end is only where it broke off
        self._receive = receive
        self._rest = b""
        self._lock = asyncio.Lock()

    async def read(self) -> tuple[bytes, bool]:
        """Return up to 64 KiB, and whether the body is complete with them.

        Raises:
            ConnectionError: the client is gone or too slow or sent malformed HTTP, or net/http has
                closed the body (see `settle`).
        """
        async with self._lock:
            if self._closed:
                raise ConnectionError("http: invalid Read on closed Body")
            if not self._rest and not self.at_end:
                await self._read_event()
            chunk, self._rest = self._rest[:CHUNK], self._rest[CHUNK:]
            return chunk, self.at_end and not self._rest

    async def read_all(self) -> bytes:
        """Return the whole body, as the CSRF check reads it, or the part before a disconnect.

        The bytes are put back. They count as the complete body, even after a disconnect.
        """
        parts = []
        complete = False
        try:
            while not complete:
                chunk, complete = await self.read()
                parts.append(chunk)
        except ConnectionError:
            self.at_end = self._cut = True
        self._rest = b"".join(parts)
        return self._rest

    async def _read_event(self) -> None:
        while not self._rest and not self.at_end:
            if self.broken:
                raise ConnectionError("unexpected EOF")
            event = await self._next_event()
            self._rest = event.get("body", b"")
            self.at_end = not event.get("more_body", False)

    async def _next_event(self) -> MutableMapping[str, Any]:
        if self._line is not None and self._line.malformed:
            raise ConnectionError("malformed chunked encoding")
        try:
            async with asyncio.timeout_at(self._line.read_until if self._line else None):
                event = await self._receive()
        except TimeoutError:
            self.broken = self.late = True
            raise ConnectionError("i/o timeout") from None
        if event["type"] == "http.disconnect":
            self.broken = True
            raise ConnectionError("unexpected EOF")
        return event

    async def settle(self) -> bool:
        """Discard an unread rest, as net/http does before the first byte of an answer leaves.

        Go's HTTP/1.1 is not full duplex: it reads and discards up to 256 KiB, then closes the body.

        Returns:
            bool: False when there is more, and the connection has to end with this answer.
        """
        if self._closing or self._cut:
            # Do not read any further, and do not wait for a read in progress.
            return self.at_end and not (self._rest or self._cut)
        async with self._lock:
            if self.at_end and not self._rest:
                return True
            discarded = len(self._rest)
            self._rest = b""
            try:
                while not self.at_end and discarded <= MOST_DISCARDED:
                    await self._read_event()
                    discarded += len(self._rest)
                    self._rest = b""
            except ConnectionError:
                return False
            self._closed = self.at_end
            return self.at_end and discarded <= MOST_DISCARDED

    async def linger(self) -> None:
        """Read for a moment more. Closing with unread bytes could cost the client its answer."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(LINGER), self._lock:
                while not self.at_end:
                    self._rest = b""
                    await self._read_event()

    async def left(self) -> None:
        """Wait until the client is gone. Call this after the body's end only."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
