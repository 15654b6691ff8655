"""Roads g and s: what a browser does and sees, through a host that has HTTP in front."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import h11

from tests.roads.host_road import HostRoad
from tests.roads.messages import has_host
from tests.roads.road import HOST, Answer, Exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HTTPExchange", "HTTPRoad"]


class HTTPRoad(HostRoad):
    """g and s: HTTP on connections of its own, written by hand."""

    kind = "g"

    async def open(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        length: int | None = 0,
        version: str = "1.1",
    ) -> HTTPExchange:
        # Written by hand: no client sends each target and header as it is given.
        lines = [f"{method} {self.site.spelled(target)} HTTP/{version}"]
        if not has_host(headers):
            lines.append(f"Host: {HOST}")
        lines += [f"{name}: {value}" for name, value in headers]
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif length:
            lines.append(f"Content-Length: {length}")
        name, _, port = self.host.address.rpartition(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return HTTPExchange(reader, writer, method, chunked=length is None)


class HTTPExchange(Exchange):
    """A request on a connection of its own."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        *,
        chunked: bool,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._chunked = chunked
        self._parser = h11.Connection(h11.CLIENT)
        # h11 has to know of a HEAD; what is sent for it goes nowhere.
        self._parser.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
        self._parser.send(h11.EndOfMessage())
        self._answer: Answer | None = None
        self._ended = False

    async def send(self, data: bytes, *, last: bool = False) -> None:
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            data += b"0\r\n\r\n" if last else b""
        self._writer.write(data)
        await self._writer.drain()

    async def cut(self) -> None:
        if self._chunked:
            self._writer.write(b"no chunk size\r\n")  # net/http: malformed, and no cancel
        else:
            self._writer.write_eof()

    async def head(self) -> Answer:
        while self._answer is None:
            event = await self._event()
            if isinstance(event, h11.Response):
                headers = [
                    (name.decode(), value.decode("utf-8", "surrogateescape"))
                    for name, value in event.headers
                ]
                self._answer = Answer(event.status_code, headers)
        return self._answer

    async def piece(self) -> bytes:
        answer = await self.head()
        if self._ended:
            return b""
        try:
            event = await self._event()
        except (h11.RemoteProtocolError, ConnectionError):
            answer.broken = self._ended = True
            return b""
        if isinstance(event, h11.EndOfMessage):
            self._ended = True
            return b""
        assert isinstance(event, h11.Data)
        answer.body += event.data
        return bytes(event.data)

    async def rest(self) -> Answer:
        while await self.piece():
            pass
        await self.leave()
        return await self.head()

    async def _event(self) -> Any:
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            self._parser.receive_data(await self._reader.read(64 * 1024))
        return event

    async def leave(self) -> None:
        self._writer.close()
