"""An HTTP request's body as net/http hands it out, and how the client's leaving is noticed."""

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
"""net/http's maxPostHandlerReadBytes: what it reads on to keep a connection."""


LINGER = 0.5
"""Seconds; net/http's rstAvoidanceDelay."""


class Body:
    """Reads one request's events; several tasks may, as goroutines do in Go."""

    def __init__(
        self,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        *,
        closing: bool = False,
        line: Line | None = None,
    ) -> None:
        """Keep the server's ``receive``; ``closing``: the connection ends with this request."""
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
        """Up to 64 KiB and whether the body is complete with them.

        ConnectionError: the client is gone or too slow, sent what is no HTTP, or net/http has
        closed the body (see `settle`).
        """
        async with self._lock:
            if self._closed:
                raise ConnectionError("http: invalid Read on closed Body")
            if not self._rest and not self.at_end:
                await self._fill()
            chunk, self._rest = self._rest[:CHUNK], self._rest[CHUNK:]
            return chunk, self.at_end and not self._rest

    async def read_all(self) -> bytes:
        """The whole body, as the CSRF check reads it, or as much of it as comes.

        It is put back: as complete, also where the client broke it off.
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

    async def _fill(self) -> None:
        while not self._rest and not self.at_end:
            if self.broken:
                raise ConnectionError("unexpected EOF")
            event = await self._next()
            self._rest = event.get("body", b"")
            self.at_end = not event.get("more_body", False)

    async def _next(self) -> MutableMapping[str, Any]:
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
        """What net/http does with an unread rest before the first byte of an answer leaves.

        HTTP/1.1 through Go is no full duplex: up to 256 KiB are read and thrown away, then the
        body counts as closed. False: there is more, and the connection ends with this answer.
        """
        if self._closing or self._cut:
            # Nothing is read on and nobody waited for, also not a read that is under way.
            return self.at_end and not (self._rest or self._cut)
        async with self._lock:
            if self.at_end and not self._rest:
                return True
            discarded = len(self._rest)
            self._rest = b""
            try:
                while not self.at_end and discarded <= MOST_DISCARDED:
                    await self._fill()
                    discarded += len(self._rest)
                    self._rest = b""
            except ConnectionError:
                return False
            self._closed = self.at_end
            return self.at_end and discarded <= MOST_DISCARDED

    async def linger(self) -> None:
        """Read on for a moment: closing with unread bytes could cost the client its answer."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(LINGER), self._lock:
                while not self.at_end:
                    self._rest = b""
                    await self._fill()

    async def left(self) -> None:
        """Wait until the client is gone; only after the body's end."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
