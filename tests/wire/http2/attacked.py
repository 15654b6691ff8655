"""A real server on a unix socket, and peers that send it bytes as they please."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.wire.http2 import frames
from mm_asgi.wire.http2.hpack import Decoder
from mm_asgi.wire.http2.rpc import PREFIX
from mm_asgi.wire.http2.server import NativeServer
from mm_asgi.wire.port import Method
from tests.wire.servers import LocalListener

from .bare import DATA, END_STREAM, GOAWAY, GREETING, HEADERS, RST_STREAM, Frame, data, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mm_asgi.wire.http2.frames import ErrorCode
    from mm_asgi.wire.http2.hpack import Field
    from mm_asgi.wire.http2.limits import Limits
    from mm_asgi.wire.http2.server import ServerTransport
    from mm_asgi.wire.port import Stream

MEBIBYTE = 2**20
RECEIVE_LIMIT = MEBIBYTE
TURNS = 100_000  # of the loop, before a test gives up


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it holds."""
    for _ in range(TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came about")


def call(path: str) -> list[Field]:
    """A request's fields."""
    return [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()),
            (b"content-type", b"application/grpc"), (b"te", b"trailers")]  # fmt: skip


def message(body: bytes) -> bytes:
    """A Length-Prefixed-Message with a BytesValue."""
    encoded = BytesValue(value=body).SerializeToString()
    return PREFIX.pack(0, len(encoded)) + encoded


class Raw:
    """A peer made of bytes."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.decoder = Decoder(10**6)
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._newest = -1

    async def send(self, *parts: bytes) -> None:
        """Send it all; a server that has closed is no news."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await self._loop.sock_sendall(self.socket, b"".join(parts))

    async def frame(self) -> Frame | None:
        """The next frame, or None when the server has closed."""
        while len(self._buffer) < 9 or len(self._buffer) < 9 + int.from_bytes(
            self._buffer[:3], "big"
        ):
            try:
                read = await self._loop.sock_recv(self.socket, 65_536)
            except ConnectionResetError:
                read = b""
            if not read:
                assert not self._buffer, "the server closed in the middle of a frame"
                return None
            self._buffer += read
        high, low, kind, flags, stream_id = frames.HEADER.unpack_from(self._buffer)
        end = 9 + (high << 8 | low)
        got = Frame(kind, flags, stream_id, self._buffer[9:end])
        self._buffer = self._buffer[end:]
        return got

    async def find(self, kind: int, stream_id: int | None = None) -> Frame:
        """The next frame of that kind."""
        while (got := await self.frame()) is not None:
            if got.kind == kind and stream_id in (None, got.stream_id):
                return got
        raise AssertionError(f"the server closed before frame type {kind}")

    async def goaway(self) -> ErrorCode:
        """The code of the GOAWAY with which the server closes."""
        code = (await self.find(GOAWAY)).code
        while await self.frame() is not None:
            pass
        return code

    async def refusal(self, stream_id: int) -> ErrorCode:
        """The code of a RST_STREAM."""
        return (await self.find(RST_STREAM, stream_id)).code

    async def trailers(self, stream_id: int) -> tuple[bytes, dict[bytes, bytes]]:
        """The DATA of an RPC, and its header and trailer fields together."""
        body = b""
        fields: dict[bytes, bytes] = {}
        while (got := await self.frame()) is not None:
            if got.kind == HEADERS:  # every block, whoever's: the decoder follows
                found = self.decoder.decode(got.payload)
                if got.stream_id == stream_id:
                    fields.update(found)
            if got.stream_id == stream_id and got.kind == DATA:
                body += got.payload
            if got.stream_id == stream_id and got.flags & END_STREAM and got.kind < RST_STREAM:
                return body, fields
        raise AssertionError("the server closed before the trailers")

    async def rpc(self, body: bytes, path: str = "/echo") -> tuple[bytes, bytes]:
        """A whole RPC on the next free stream: its answer's bytes, its status."""
        self._newest += 2
        number = self._newest
        await self.send(request(number, fields=call(path)), data(number, message(body), end=True))
        answer, fields = await self.trailers(number)
        return answer, fields[b"grpc-status"]

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


class Attacked:
    """A NativeServer with a few handlers.

    Attributes:
        begun: the RPCs of ``/hang`` (``/test.Wire/Call`` too) and ``/pour`` that were begun.
        left: how many of them were told that the peer left.
        done: how many handlers of theirs have returned.
    """

    def __init__(self) -> None:
        self.begun: list[Stream] = []
        self.left = 0
        self.done = 0
        self.server: NativeServer
        self._address = ""
        self._peers: list[Raw] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(cls, limits: Limits | None = None) -> AsyncIterator[Attacked]:
        """A server that runs; at the end nothing of it may be left."""
        descriptors = open_descriptors()
        tasks = len(asyncio.all_tasks())
        made = cls()
        made.server = NativeServer(limits)
        with tempfile.TemporaryDirectory(prefix="mm") as folder:
            made._address = str(Path(folder, "wire.sock"))
            await made.server.start(LocalListener(made._address), made._methods())
            try:
                yield made
                await made.settled()
            finally:
                for peer in made._peers:
                    peer.close()
                await made.server.stop(0.0)
        await until(lambda: open_descriptors() <= descriptors)
        assert len(asyncio.all_tasks()) == tasks

    async def settled(self) -> None:
        """Hang up each peer; nothing may stay, and the server still serves."""
        for peer in self._peers:
            peer.close()
        await until(lambda: not self.server._connections)
        await until(lambda: self.done == len(self.begun))
        await until(lambda: not self.server._calls._tasks)
        assert len(self.server._calls) == 0
        other = await self.dial()
        assert await other.rpc(b"still here") == (message(b"still here"), b"0")
        other.close()
        await until(lambda: not self.server._connections)

    def _methods(self) -> dict[str, Method]:
        handlers = {"/echo": self._echo, "/hang": self._hang, "/pour": self._pour,
                    "/early": self._early, "/test.Wire/Call": self._hang}  # fmt: skip
        return {
            path: Method(handler, BytesValue, RECEIVE_LIMIT) for path, handler in handlers.items()
        }

    async def _echo(self, stream: Stream) -> None:
        while (got := await stream.read()) is not None:
            await stream.write(got)
        stream.finish()

    async def _hang(self, stream: Stream) -> None:
        left = asyncio.Event()
        stream.on_cancel(left.set)
        self.begun.append(stream)
        await left.wait()
        self.left += 1
        self.done += 1

    async def _pour(self, stream: Stream) -> None:
        """Writes until nobody is there."""
        left = asyncio.Event()
        stream.on_cancel(left.set)
        self.begun.append(stream)
        big = BytesValue(value=bytes(MEBIBYTE))
        while not left.is_set():
            await stream.write(big)
        self.left += 1
        self.done += 1

    async def _early(self, stream: Stream) -> None:
        """Answers before it has read anything."""
        await stream.read()
        task = asyncio.ensure_future(stream.write(BytesValue(value=b"early" * 1000)))
        await asyncio.sleep(0)
        stream.finish()
        await task

    async def dial(self, *first: bytes, greet: bool = True) -> Raw:
        """A peer that has sent its preface, if it greets, and ``first``."""
        opened = socket.socket(socket.AF_UNIX)
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, self._address)
        peer = Raw(opened)
        self._peers.append(peer)
        await peer.send(GREETING if greet else b"", *first)
        return peer

    async def transport(self) -> ServerTransport:
        """The server's side of the only connection, or of one of several."""
        await until(lambda: bool(self.server._connections))
        (found, *_) = self.server._connections
        return found


def open_descriptors() -> int:
    """How many this process has."""
    return len(os.listdir("/dev/fd"))
