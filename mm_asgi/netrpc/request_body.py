"""A request's body over net/rpc: offered by the host, permitted by the app's first receive().

The host offers a stream for each body and gives it up when nobody dials it within 5 s, while an app
may take longer before it reads. So the stream is dialled at once, and the app's first read sends a
permission for everything, which makes the stream's window the backpressure. A GET or HEAD without
Content-Length has no body but for one in a million (chunked, which the host does not tell): its
stream is opened and closed in one frame.

A stream's end is all that says that the body is over, and a failure looks the same: with a
Content-Length the count tells them apart, and a chunked body that breaks off looks whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.permits import permit_all
from mm_asgi.wire.netrpc.stream_owner import StreamOwner

if TYPE_CHECKING:
    from mm_asgi.wire.netrpc.mux_link import MuxLink

__all__ = ["RequestBody"]

_BODILESS = frozenset({"GET", "HEAD"})


class RequestBody:
    """The body of one request.

    Args:
        link: the host's connection.
        number: the broker's number that the host offers the body on; 0: there is none.
        length: Content-Length in bytes; negative when unknown.
        method: the request's.
    """

    def __init__(self, link: MuxLink, number: int, length: int, method: str) -> None:
        self._link = link
        self._number = number
        self._length = length
        self._left = length
        self._pipe = BytePipe()
        self._is_permitted = False
        self._turn: asyncio.Lock | None = None
        self._is_over = not number or length == 0 or (length < 0 and method in _BODILESS)
        self._is_closed = False
        self._is_lost = False
        self._ended = False
        try:
            if self._is_over:
                self.close()
            else:
                link.dial(number, self._pipe)
        except ConnectionError:
            self._is_over = self._ended = True  # the host is gone: so is its body

    async def read(self) -> tuple[bytes, bool] | None:
        """Return the next part and whether more follows; None where the body was cut.

        A cancelled call loses nothing; of several callers each gets parts of its own.
        """
        if self._is_over:
            return self._last(b"")
        if self._turn is None:
            self._turn = asyncio.Lock()
        async with self._turn:
            if self._is_over:
                return self._last(b"")
            if self._is_closed:
                return None
            if not self._is_permitted:
                self._is_permitted = True
                permit_all(self._pipe, self._length)
            try:
                data = await self._pipe.read()
            except ConnectionError:
                data = b""
                self._is_lost = True
            return self._part(data)

    def _part(self, data: bytes) -> tuple[bytes, bool] | None:
        if not data:
            self._is_over = True
            if self._length >= 0 or self._is_lost or self._is_closed:  # fewer bytes than declared
                self._ended = True
                return None
            return self._last(b"")
        if self._length >= 0:
            self._left -= len(data)
            if self._left <= 0:
                self._is_over = True
                return self._last(data)
        return data, True

    def _last(self, data: bytes) -> tuple[bytes, bool] | None:
        if self._ended:
            return None
        self._ended = True
        return data, False

    def close(self) -> None:
        """Dial what was not dialled, and end it. Safe to call again.

        Raises:
            ConnectionError: the connection is lost.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if self._pipe.stream is not None:
            self._pipe.discard()
            self._pipe.stream_ended(whole=True)  # who still waits for bytes waits in vain
        elif self._number:
            self._link.dial(self._number, StreamOwner(), fin=True)
