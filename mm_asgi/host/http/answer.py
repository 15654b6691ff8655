"""The answer to one request, as a net/http handler writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.http.line import WriteLate
from mm_asgi.host.http.writer import ResponseWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from mm_asgi.host.http.body import Body
    from mm_asgi.host.http.line import Line

__all__ = ["PLAIN", "Answer"]

PLAIN = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
"""The headers of Go's http.Error."""


class Answer:
    """The answer to one client, through net/http's buffers."""

    def __init__(
        self,
        method: str,
        body: Body,
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
        line: Line | None = None,
    ) -> None:
        self.writer = ResponseWriter(method)
        self._line = line
        self._body = body
        self._send = send
        self._settled = False
        self._lingers = False

    @property
    def is_gone(self) -> bool:
        """Whether the client's connection is closed."""
        return self._line is not None and self._line.is_gone

    def cut(self) -> None:
        """Close the client's connection, once what was sent has left."""
        if self._line is not None:
            self._line.close()

    async def pass_on(self) -> bool:
        """Send the events that are due, and return whether there were any.

        Before the head leaves, the rest of the request's body is read, or the connection marked for
        closing (see `Body.settle`).

        Raises:
            WriteLate: the server's WriteTimeout is over, and the connection was cut.
        """
        if self.writer.head_decided and not self._settled:
            self._settled = True
            if not await self._body.settle():
                self._lingers = True
                self.writer.close_connection()
        events = self.writer.take()
        for event in events:
            if self._lingers and event.get("more_body") is False:
                await self._body.linger()
            if self._line is None:
                await self._send(event)
            else:
                await self._line.write(self._send, event)
        return bool(events)

    async def plain(self, status: int, text: str) -> None:
        """Send a text as Go's http.Error does, and finish."""
        await self.whole(status, PLAIN, f"{text}\n".encode())

    async def whole(self, status: int, pairs: Iterable[tuple[str, str]], data: bytes) -> None:
        """Send an answer in one piece, and finish."""
        self.writer.write_header(status, pairs)
        self.writer.write(data)
        await self.finish()

    async def finish(self) -> None:
        """Finish, as net/http does when a handler returns.

        When the body is shorter than its Content-Length, uvicorn closes the connection.
        """
        try:
            self.writer.finish()
            await self.pass_on()
        except WriteLate:
            await self._body.left()
