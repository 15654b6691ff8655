"""A server whose every byte the test writes, and a native channel to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.wire.http2 import frames, hpack
from mm_asgi.wire.http2.channel import NativeChannel

from .attacked import Raw, message, open_descriptors, until
from .bare import HEADERS, RESPONSE, SETTINGS, data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mm_asgi.wire.http2.hpack import Field

PATH = "/test.Wire/Call"
OK: list[Field] = [(b"grpc-status", b"0")]


def head(stream_id: int, *more: Field, fields: list[Field] = RESPONSE, end: bool = False) -> bytes:
    """A response's HEADERS."""
    return frames.headers(stream_id, hpack.encode([*fields, *more]), end=end)


def trailers(stream_id: int, *more: Field, fields: list[Field] = OK) -> bytes:
    """A response's end."""
    return frames.headers(stream_id, hpack.encode([*fields, *more]), end=True)


def answer(stream_id: int, body: bytes) -> bytes:
    """A whole unary answer."""
    return head(stream_id) + data(stream_id, message(body)) + trailers(stream_id)


class Peer(Raw):
    """The server's end of one connection."""

    async def greet(self, *more: bytes, settings: bytes = SETTINGS) -> None:
        """Take the client's preface and send the server's."""
        while len(self._buffer) < len(frames.PREFACE):
            self._buffer += await self._loop.sock_recv(self.socket, 65_536)
        assert self._buffer.startswith(frames.PREFACE)
        self._buffer = self._buffer[len(frames.PREFACE) :]
        await self.send(settings, *more)

    async def request(self) -> tuple[int, dict[bytes, bytes]]:
        """The next request's stream and head."""
        got = await self.find(HEADERS)
        return got.stream_id, dict(self.decoder.decode(got.payload))

    async def serve(self, body: bytes) -> None:
        """Answer the next request."""
        number, _ = await self.request()
        await self.send(answer(number, body))


class Scripted:
    """A unix socket, the connections to it, and a channel."""

    def __init__(self, folder: str, **options: Any) -> None:
        self.path = str(Path(folder, "wire.sock"))
        self.options = options
        self.listening: socket.socket
        self.channel: NativeChannel
        self._peers: list[Peer] = []

    def listen(self) -> None:
        """Be there."""
        Path(self.path).unlink(missing_ok=True)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.setblocking(False)
        self.listening.bind(self.path)
        self.listening.listen()

    async def accept(self, *, greet: bool = True, settings: bytes = SETTINGS) -> Peer:
        """The next connection."""
        opened, _ = await asyncio.get_running_loop().sock_accept(self.listening)
        opened.setblocking(False)
        peer = Peer(opened)
        self._peers.append(peer)
        if greet:
            await peer.greet(settings=settings)
        return peer

    def start(self, body: bytes = b"x", **options: Any) -> asyncio.Task[BytesValue]:
        """Begin a unary RPC."""
        made = self.channel.unary(PATH, BytesValue(value=body), BytesValue, **options)
        return asyncio.ensure_future(made)

    def hang_up(self) -> None:
        """Leave, on all connections."""
        for peer in self._peers:
            peer.close()


@contextlib.asynccontextmanager
async def scripted(**options: Any) -> AsyncIterator[Scripted]:
    """A server and a channel with these options; at the end nothing of them may be left."""
    descriptors = open_descriptors()
    tasks = len(asyncio.all_tasks())
    with tempfile.TemporaryDirectory(prefix="mm") as folder:
        made = Scripted(folder)
        made.listen()
        made.channel = NativeChannel(f"unix:{made.path}", **options)
        try:
            yield made
        finally:
            await made.channel.close()
            made.hang_up()
            made.listening.close()
    assert not made.channel._queue
    assert not made.channel._transports
    assert not made.channel._deadlines._calls
    await until(lambda: open_descriptors() <= descriptors)
    assert len(asyncio.all_tasks()) == tasks
