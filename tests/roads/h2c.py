"""A request over HTTP/2 with prior knowledge: no client at hand uploads while it reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["H2CRequest"]

DATA, HEADERS, SETTINGS, GOAWAY = 0, 1, 4, 7  # kinds of frame (RFC 9113 6)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
REQUEST = 1  # the stream's number


class H2CRequest:
    """One request on a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(
        cls, address: str, headers: Sequence[tuple[str, str]], *, last: bool = False
    ) -> H2CRequest:
        """Connect and send the headers; ``last``: there is no body."""
        name, _, port = address.rpartition(":")
        made = cls(*await asyncio.open_connection(name, int(port)))
        made._writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        made._send(SETTINGS, stream=0)
        # Literals without indexing or Huffman code, each shorter than 127 bytes (RFC 7541 6.2.2).
        block = b"".join(
            b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in pair)
            for pair in headers
        )
        made._send(HEADERS, END_HEADERS | (END_STREAM if last else 0), block)
        return made

    def send(self, data: bytes) -> None:
        """Send bytes of the body."""
        self._send(DATA, payload=data)

    def _send(
        self, kind: int, flags: int = 0, payload: bytes = b"", *, stream: int = REQUEST
    ) -> None:
        # A frame: RFC 9113 4.1.
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
        self._writer.write(head + stream.to_bytes(4, "big") + payload)

    async def receive(self) -> tuple[bytes, bool]:
        """The next bytes of the answer, and whether they are the last."""
        while True:
            head = await self._reader.readexactly(9)
            payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            assert kind != GOAWAY, payload
            if kind == SETTINGS and not flags & ACK:
                self._send(SETTINGS, ACK, stream=0)
            if kind == DATA or (kind == HEADERS and stream and flags & END_STREAM):
                return (payload if kind == DATA else b""), bool(flags & END_STREAM)

    async def rest(self) -> bytes:
        """The bytes of the answer that have not been received yet."""
        body, ended = await self.receive()
        while not ended:
            more, ended = await self.receive()
            body += more
        return body

    async def close(self) -> None:
        """Leave."""
        self._writer.close()
        await self._writer.wait_closed()
