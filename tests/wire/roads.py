"""The roads on which the port's conformance suite runs: a server, and peers that call it.

They are a family of their own beside tests/roads. There a plugin stands behind a host and a test is
its browser; here there is no plugin, and the test is both ends of a bare RPC, which no road of the
contract shows. What both need they share: the wire in memory (memory.py).

The gRPC peer is grpcio's sync client: the asyncio one reports INTERNAL when the server ends the
RPC first (grpc/grpc#36066). Its calls block, so each runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import quote

import grpc
from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.wire.port import Metadata, Method, Server, StatusCode, Stream
from tests.wire.memory import MemoryServer

from .servers import LocalListener

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from google.protobuf.message import Message

    Handler = Callable[[Stream], Awaitable[None] | None]

RPC = "/test.Wire/Call"
LIMIT = 16 * 2**20
MEBIBYTE = 2**20
# More than any wire buffers on both sides of a connection together.
PLENTY = 64


def message(value: bytes | int) -> BytesValue:
    """A test message; a number is written out."""
    return BytesValue(value=value if isinstance(value, bytes) else b"%d" % value)


def number(received: Any) -> int:
    """The number in a test message."""
    return int(received.value)


async def settled(read: Callable[[], int], *, quiet: float = 0.15) -> int:
    """Wait until ``read()`` stays the same for ``quiet`` seconds: a stall has no event."""
    value = read()
    for _ in range(200):
        await asyncio.sleep(quiet)
        if value == (value := read()):
            return value
    raise AssertionError(f"never settled, last {value}")


class Peer(Protocol):
    """The caller's side of one RPC; MemoryPeer's docstrings say what each does."""

    def send(self, message: BytesValue, /) -> None: ...
    def half_close(self) -> None: ...
    def cancel(self) -> None: ...
    async def receive(self) -> Any | None: ...
    async def ended(self) -> tuple[StatusCode, str]: ...
    async def initial_metadata(self) -> Metadata: ...
    def trailing_metadata(self) -> Metadata: ...


async def collect(peer: Peer) -> list[int]:
    """The numbers that the peer receives until the end."""
    got = []
    while (received := await peer.receive()) is not None:
        got.append(number(received))
    return got


async def drain(stream: Stream) -> list[int]:
    """The numbers that the handler's side reads until the end."""
    got = []
    while (received := await stream.read()) is not None:
        got.append(number(received))
    return got


async def blocked_writers(stream: Stream) -> list[asyncio.Task[None]]:
    """Writers of more than the wire takes; some are done, the others wait."""
    writers = [asyncio.create_task(stream.write(message(b"x" * MEBIBYTE))) for _ in range(PLENTY)]
    assert await settled(lambda: sum(writer.done() for writer in writers)) < PLENTY
    return writers


class GrpcPeer:
    """One RPC of grpcio's sync client; bytes are sent as they are."""

    def __init__(
        self,
        channel: grpc.Channel,
        path: str,
        *,
        timeout: float | None = None,
        metadata: tuple[tuple[str, str | bytes], ...] = (),
    ) -> None:
        self.pushed = 0
        self._outgoing: queue.SimpleQueue[BytesValue | bytes | None] = queue.SimpleQueue()
        call = channel.stream_stream(path, _serialize, BytesValue.FromString)
        self._call: Any = call(self._requests(), timeout=timeout, metadata=metadata)

    def _requests(self) -> Iterator[BytesValue | bytes]:
        while (item := self._outgoing.get()) is not None:
            self.pushed += 1
            yield item

    def send(self, message: BytesValue | bytes) -> None:
        """Queue a message for the client's sending thread."""
        self._outgoing.put(message)

    def half_close(self) -> None:
        """Let the client half-close after what was sent."""
        self._outgoing.put(None)

    def cancel(self) -> None:
        """Cancel the RPC."""
        self._call.cancel()

    async def receive(self) -> Any | None:
        """The next message, or None at the end."""
        return await asyncio.to_thread(self.receive_now)

    def receive_now(self) -> Any | None:
        """The same, blocking."""
        try:
            return next(self._call)
        except (StopIteration, grpc.RpcError):
            return None

    async def ended(self) -> tuple[StatusCode, str]:
        """The status, after reading what is left: the core gives it after the last message."""
        return await asyncio.to_thread(self._ended)

    def _ended(self) -> tuple[StatusCode, str]:
        while self.receive_now() is not None:
            pass
        return StatusCode(self._call.code().value[0]), self._call.details()

    async def initial_metadata(self) -> Metadata:
        """What came ahead of the first message."""
        return _pairs(await asyncio.to_thread(self._call.initial_metadata))

    def trailing_metadata(self) -> Metadata:
        """What came with the status; empty until the RPC has ended."""
        # The call's own method would wait for the end.
        return _pairs(self._call.trailing_metadata()) if self._call.done() else ()

    def close(self) -> None:
        """End the RPC and the thread that sends."""
        self._call.cancel()
        self._outgoing.put(None)


def _pairs(metadata: Any) -> Metadata:
    return tuple((name, value) for name, value in metadata or ())


def _serialize(item: BytesValue | bytes) -> bytes:
    return item if isinstance(item, bytes) else item.SerializeToString()


class Road:
    """A server whose RPCs the test handles itself: ``open()`` one side, ``accept()`` the other."""

    name: str
    server: Server

    def __init__(self) -> None:
        self._accepted: asyncio.Queue[Stream] = asyncio.Queue()

    async def start(self, handlers: Mapping[str, Handler]) -> None:
        """Serve RPC by handing its stream to ``accept()``, and ``handlers`` by their path."""
        methods: dict[str, Handler] = {RPC: self.hand_over, **handlers}
        await self.serve(
            {path: Method(handler, BytesValue, LIMIT) for path, handler in methods.items()}
        )

    async def serve(self, methods: Mapping[str, Method]) -> None:
        """Start the server."""
        raise NotImplementedError

    def open(
        self,
        path: str = RPC,
        *,
        timeout: float | None = None,
        metadata: tuple[tuple[str, str | bytes], ...] = (),
    ) -> Peer:
        """Start an RPC."""
        raise NotImplementedError

    async def hand_over(self, stream: Stream) -> None:
        """The handler that gives its stream to ``accept()``."""
        self._accepted.put_nowait(stream)

    async def accept(self) -> Stream:
        """The stream of the next RPC."""
        return await self._accepted.get()

    async def pair(self) -> tuple[Peer, Stream]:
        """Both sides of a new RPC."""
        peer = self.open()
        return peer, await self.accept()

    async def close(self) -> None:
        """Stop the server."""
        await self.server.stop(0)


class MemoryRoad(Road):
    """Over wire.memory, with room for one unread message so that writes can block."""

    name = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.server: MemoryServer = MemoryServer()

    async def serve(self, methods: Mapping[str, Method]) -> None:
        """Start the server."""
        await self.server.start(None, methods)

    def open(
        self,
        path: str = RPC,
        *,
        timeout: float | None = None,
        metadata: tuple[tuple[str, str | bytes], ...] = (),
    ) -> Peer:
        """Start an RPC."""
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        return self.server.open(path, deadline=deadline, metadata=dict(metadata), window=1)


class GrpcRoad(Road):
    """Over a unix socket, with grpcio's sync client."""

    def __init__(self, name: str, server: Server) -> None:
        super().__init__()
        self.name = name
        self.server = server
        self._stack = contextlib.ExitStack()
        # An RPC under way is held by its sending thread.
        self._peers: weakref.WeakSet[GrpcPeer] = weakref.WeakSet()
        self.channel: grpc.Channel
        self.listener: LocalListener

    async def serve(self, methods: Mapping[str, Method]) -> None:
        """Start the server and a channel to it."""
        # Not pytest's tmp_path: a socket's path has 107 bytes at most.
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="mm"))
        self.listener = LocalListener(str(Path(folder, "wire.sock")))
        await self.server.start(self.listener, methods)
        self.channel = self._stack.enter_context(self.dial())

    def dial(self) -> grpc.Channel:
        """A channel of its own, with its own connection."""
        # Subchannels are shared process-wide by default, over closed servers too.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        return grpc.insecure_channel(f"unix:{quote(self.listener.address)}", options)

    def open(
        self,
        path: str = RPC,
        *,
        timeout: float | None = None,
        metadata: tuple[tuple[str, str | bytes], ...] = (),
        channel: grpc.Channel | None = None,
    ) -> GrpcPeer:
        """Start an RPC; the channel ends it at the latest when the road closes."""
        peer = GrpcPeer(channel or self.channel, path, timeout=timeout, metadata=metadata)
        self._peers.add(peer)
        return peer

    async def close(self) -> None:
        """Stop client and server."""
        for peer in tuple(self._peers):
            peer.close()
        await asyncio.to_thread(self._stack.close)
        await super().close()


async def counted(road: GrpcRoad) -> list[bytes]:
    """Start the road; what its wire has parsed."""
    parsed: list[bytes] = []

    class Counted:
        @staticmethod
        def FromString(data: bytes) -> BytesValue:
            parsed.append(data)
            return BytesValue.FromString(data)

    await road.serve({RPC: Method(road.hand_over, cast("type[Message]", Counted), LIMIT)})
    return parsed
