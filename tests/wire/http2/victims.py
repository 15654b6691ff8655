"""What the fuzzer feeds it to, and what may never happen there.

Two victims: the bare connection, of either role, with streams that do what the program says; and the
server's transport with real RPC handlers, on a loop whose clock the program moves. ``replay()`` runs
a program; it raises when something is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
from typing import TYPE_CHECKING, Any

from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.wire.calls import Calls
from mm_asgi.wire.http2 import frames, hpack
from mm_asgi.wire.http2.frames import ErrorCode, FrameType
from mm_asgi.wire.http2.limits import Limits
from mm_asgi.wire.http2.server import ServerTransport
from mm_asgi.wire.http2.stream import StreamState
from mm_asgi.wire.port import Method

from .bare import DATA, END_STREAM, GOAWAY, HEADERS, RESPONSE, RST_STREAM, Bare, Frame, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mm_asgi.wire.http2.connection import Connection
    from mm_asgi.wire.port import Stream

    from .grammar import Program

MESSAGE = 100_000  # the receive limit
LIMITS = Limits(stream_window=65_535, connection_window=100_000, idle_frames=30_000, resets=30,
                streams=50, output=30_000, replies=20_000, header_list=20_000)  # fmt: skip
# What a read may ask for at once: the widest answer for the shortest request.
WIDEST = 40


class Wrong(Exception):
    """Something that may never happen has happened."""


class Judge:
    """Reads what was sent: frames that are whole, in an order that the RFC allows."""

    def __init__(self, *, client: bool) -> None:
        self._client = client
        self._rest = b""
        self._ended: set[int] = set()
        self._reset: set[int] = set()
        self._decoder = hpack.Decoder(10**6)
        self._is_over = False

    def read(self, data: bytes) -> None:
        """Take what was sent."""
        data = self._rest + data
        if self._client and data.startswith(frames.PREFACE):
            data = data[len(frames.PREFACE) :]
        size = 0
        while len(data) - size >= 9:
            end = size + 9 + int.from_bytes(data[size : size + 3], "big")
            if end > len(data):
                break
            size = end
        self._rest = data[size:]
        for frame in parse(data[:size]):
            self._judge(frame)

    def _judge(self, frame: Frame) -> None:
        if self._is_over:
            raise Wrong(f"{frame} after the last GOAWAY")
        if frame.kind == GOAWAY and frame.code is not ErrorCode.NO_ERROR:
            self._is_over = True
        elif frame.kind == FrameType.WINDOW_UPDATE:
            if not 0 < int.from_bytes(frame.payload, "big") < 2**31:
                raise Wrong(f"{frame}")
        elif frame.kind in (DATA, HEADERS):
            self._of_a_stream(frame)
        elif frame.kind == RST_STREAM:
            if frame.stream_id in self._reset:
                raise Wrong(f"{frame}: a second one")
            self._reset.add(frame.stream_id)
            self._ended.add(frame.stream_id)

    def _of_a_stream(self, frame: Frame) -> None:
        if frame.stream_id in self._ended:
            raise Wrong(f"{frame} after the end of its stream")
        if frame.flags & END_STREAM:
            self._ended.add(frame.stream_id)
        elif not frame.payload:
            raise Wrong(f"{frame} says nothing")
        if frame.kind == HEADERS:
            if not frame.flags & frames.END_HEADERS:
                raise Wrong("a header block in parts: nothing here is that long")
            self._decoder.decode(frame.payload)

    def finish(self) -> None:
        """Nothing is left over."""
        if self._rest:
            raise Wrong("a frame was sent in part")


def check(connection: Connection) -> None:
    """What has to hold of a connection between any two reads."""
    limits = connection.limits
    for holds, what in (
        (0 <= connection.send_window <= frames.MAX_WINDOW, "the send window"),
        (0 <= connection._receive_window <= limits.connection_window, "the receive window"),
        (len(connection._tail) < limits.frame_size + frames.HEADER_SIZE, "the tail"),
        (len(connection._blocks._block) <= limits.header_list + limits.frame_size, "the block"),
        (len(connection._blocks._heads) <= 256, "the heads"),
        (len(connection.ids._resets) <= 4096, "the resets"),
        (len(connection.ids._gaps) <= 64, "the gaps"),
        (len(connection.streams) <= limits.streams, "the streams"),
        (connection.fault is None or not connection.streams, "streams after the end"),
    ):
        if not holds:
            raise Wrong(f"{what}: over its bounds")
    for stream in connection.streams.values():
        if stream.state in (StreamState.IDLE, StreamState.CLOSED):
            raise Wrong(f"stream {stream.id} is kept and {stream.state.name}")
        if stream.send_window > frames.MAX_WINDOW or stream.receive_window > limits.stream_window:
            raise Wrong(f"stream {stream.id}: a window over its maximum")
        could_send = stream.send_window > 0 and connection.send_window > 0 and connection.is_ready
        if stream.waits and could_send:
            raise Wrong(f"stream {stream.id} waits for nothing")
    for stream in connection.waiting:
        if stream.id not in connection.streams:
            raise Wrong(f"stream {stream.id} waits and is gone")


# ---------------------------------------------------------------- the bare connection


class BareVictim:
    """A connection of either role, whose streams do what the program says."""

    def __init__(self, *, client: bool) -> None:
        self.bare = Bare(LIMITS, client=client, greet=False)
        self.judge = Judge(client=client)
        self.judge.read(self.bare.greeting)
        self.client = client
        self.tokens: dict[int, list[Any]] = {}
        self.heads: set[int] = set()
        self.ended: set[int] = set()
        if client:
            for _ in range(4):
                self.open()

    def run(self, program: Program) -> None:
        """Take the steps; at the end the connection is lost."""
        for name, *values in program:
            getattr(self, name)(*values)
            self.look()
        self.bare.connection.lose()
        if not self.bare.is_clean():
            raise Wrong("streams are left")
        for number, stream in self.bare.streams.items():
            if set(stream.sent) != set(self.tokens.get(number, ())):
                raise Wrong(f"stream {number}: a writer was not woken")
            if stream.waits or stream.state is not StreamState.CLOSED:
                raise Wrong(f"stream {number} is not over")
            if len(stream.closed) + stream.ended > 2 or len(stream.closed) > 1:
                raise Wrong(f"stream {number} ended more than once")
        self.judge.read(self.bare.output())
        self.judge.finish()

    def look(self) -> None:
        check(self.bare.connection)
        for stream in self.bare.connection.streams.values():
            window = stream.receive_window + stream._uncredited
            if (
                stream.state is not StreamState.HALF_CLOSED_REMOTE
                and window != LIMITS.stream_window
            ):
                raise Wrong(f"stream {stream.id}: {window} bytes of its window are left")
        if not self.bare.connection.is_paused:
            self.judge.read(self.bare.output())
            self.bare.connection.pump()

    def read(self, data: bytes) -> None:
        self.bare.give(data)

    def turn(self) -> None:
        """Nothing."""

    def wait(self, seconds: float) -> None:
        self.bare.clock.now += seconds

    def stuck(self) -> None:
        self.bare.connection.pause()

    def drain(self) -> None:
        self.bare.connection.resume()

    def leave(self) -> None:
        self.bare.connection.leave()

    def open(self) -> None:
        connection = self.bare.connection
        if self.client and connection.fault is None and len(connection.streams) < 20:
            self.heads.add(self.bare.open().id)

    def _pick(self, which: int) -> Any:
        alive = list(self.bare.connection.streams.values())
        return alive[which % len(alive)] if alive else None

    def send(self, which: int, size: int) -> None:
        stream = self._pick(which)
        if stream is None or stream.id in self.ended:
            return
        if stream.id not in self.heads:
            self.heads.add(stream.id)
            stream.send_headers(hpack.encode(RESPONSE))
        token = stream.send_data((b"x", bytes(size)), size + 1)
        if token is not None:
            self.tokens.setdefault(stream.id, []).append(token)

    def end(self, which: int) -> None:
        stream = self._pick(which)
        if stream is not None and stream.id in self.heads and stream.id not in self.ended:
            self.ended.add(stream.id)
            stream.send_end(None if self.client else hpack.encode([(b"grpc-status", b"0")]))

    def reset(self, which: int) -> None:
        stream = self._pick(which)
        if stream is not None:
            stream.reset(ErrorCode.CANCEL)


# ---------------------------------------------------------------- the server's transport


class FuzzLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still until it is moved, and which never waits."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self.now = 1000.0
        self.failures: list[str] = []
        self.set_exception_handler(self._failed)

    def time(self) -> float:
        return self.now

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    @property
    def timers(self) -> int:
        """How many will still fire."""
        return sum(not handle.cancelled() for handle in self._scheduled)  # type: ignore[attr-defined]


class FakeTransport:
    """Takes all, or nothing while it is stuck."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: ServerTransport) -> None:
        self.loop = loop
        self.protocol = protocol
        self.kept: list[bytes] = []
        self.size = 0
        self.is_stuck = False
        self.is_paused = False
        self.reads = True
        self.is_closing = False
        self.is_lost = False
        self.high = 0
        self.low = 0
        self.sent: list[bytes] = []

    def get_extra_info(self, name: str) -> None:
        """No TLS, no socket."""

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self.high, self.low = high, low

    def write(self, data: bytes) -> None:
        self.writelines([data])

    def writelines(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.kept.append(bytes(piece))
            self.size += len(piece)
        self.move()
        if self.size > self.high and not self.is_paused:
            self.is_paused = True
            self.protocol.pause_writing()

    def move(self) -> None:
        """Let what is kept leave, if it can."""
        if self.is_stuck:
            return
        self.sent += self.kept
        self.kept, self.size = [], 0
        if self.is_paused:
            self.is_paused = False
            self.protocol.resume_writing()
        if self.is_closing:
            self.lose()

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return self.size

    def close(self) -> None:
        self.is_closing = True
        if not self.size:
            self.lose()

    def abort(self) -> None:
        self.is_closing = True
        self.lose()

    def lose(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            self.loop.call_soon(self.protocol.connection_lost, None)


class Listening(logging.Handler):
    """Errors in the log are findings."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.getMessage().startswith("handler failed: /fail"):
            self.lines.append(record.getMessage())


class ServerVictim:
    """One connection of a server with handlers of every kind."""

    def __init__(self, loop: FuzzLoop) -> None:
        self.loop = loop
        self.calls = Calls()
        self.connections: set[ServerTransport] = set()
        self.buffer = bytearray(262_144)
        handlers = {"/echo": self._echo, "/pour": self._pour, "/hang": self._hang,
                    "/once": self._once, "/fail": self._fail}  # fmt: skip
        methods = {path: Method(handler, BytesValue, MESSAGE) for path, handler in handlers.items()}
        self.protocol = ServerTransport(self.buffer, LIMITS, methods, self.calls, self.connections)
        self.transport = FakeTransport(loop, self.protocol)
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]
        self.judge = Judge(client=False)

    async def _echo(self, stream: Stream) -> None:
        while (got := await stream.read()) is not None:
            await stream.write(got)
        stream.finish()

    async def _pour(self, stream: Stream) -> None:
        left = asyncio.Event()
        stream.on_cancel(left.set)
        big = BytesValue(value=bytes(50_000))
        while not left.is_set():
            await stream.write(big)
            await asyncio.sleep(0)

    async def _hang(self, stream: Stream) -> None:
        left = asyncio.Event()
        stream.on_cancel(left.set)
        await left.wait()

    async def _once(self, stream: Stream) -> None:
        got = await stream.read()
        await stream.write(got or BytesValue(), last=True)

    async def _fail(self, stream: Stream) -> None:
        await stream.read()
        raise ValueError("as planned")

    async def run(self, program: Program) -> None:
        """Take the steps; at the end the peer hangs up."""
        for name, *values in program:
            if name == "read":
                await self.read(*values)
            elif name == "wait":
                self.loop.now += values[0]
                await self.turns(2)
            elif name == "stuck":
                self.transport.is_stuck = True
            elif name == "drain":
                self.transport.is_stuck = False
                self.transport.move()
            elif name == "leave":
                self.protocol.leave()
            else:
                await self.turns(1)
            self.look()
        await self.finish()

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def read(self, data: bytes) -> None:
        if not self.transport.reads or self.transport.is_closing:
            await self.turns(1)
            return
        before = self.transport.size + self.protocol.connection.output_size
        self.protocol.get_buffer(-1)[: len(data)] = data
        self.protocol.buffer_updated(len(data))
        self.buffer[: len(data)] = b"\xa5" * len(data)  # nothing may have been kept of it
        await self.turns(1)
        after = self.transport.size + self.protocol.connection.output_size
        most = 2 * LIMITS.output + LIMITS.replies + 20_000
        if after > before and after > most + WIDEST * len(data):
            raise Wrong(f"{after} bytes wait for a peer that does not read")

    def look(self) -> None:
        if self.loop.failures:
            raise Wrong(self.loop.failures[0])
        if not self.transport.is_lost:
            check(self.protocol.connection)
        if self.transport.sent:
            sent, self.transport.sent = self.transport.sent, []
            self.judge.read(b"".join(sent))

    async def finish(self) -> None:
        self.transport.is_stuck = False
        self.transport.move()
        await self.turns(3)
        self.transport.abort()
        await self.turns(20)
        self.look()
        self.judge.finish()
        connection = self.protocol.connection
        for left, what in (
            (connection.streams, "streams"),
            (connection.waiting, "streams that wait"),
            (self.calls.streams, "RPCs"),
            (self.calls._tasks, "handlers"),
            (self.connections, "connections"),
            (self.loop.timers, "timers"),
        ):
            if left:
                raise Wrong(f"{what} are left: {left}")


async def replay(role: str, program: Program) -> None:
    """Run a program against ``server`` (a connection's), ``client`` or ``transport``.

    Raises:
        Exception: a finding.
    """
    if role != "transport":
        BareVictim(client=role == "client").run(program)
        return
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FuzzLoop)
    loop.failures.clear()
    listening = Listening()
    logger = logging.getLogger("mm_asgi.wire")
    logger.addHandler(listening)
    try:
        await ServerVictim(loop).run(program)
    finally:
        logger.removeHandler(listening)
    if listening.lines:
        raise Wrong(listening.lines[0])
