"""The port's Channel, kept on every wire: each channel against each server."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from mm_asgi.wire.http2.channel import NativeChannel
from mm_asgi.wire.port import Method, RPCError, StatusCode
from tests.wire.grpcio_channel import GrpcioChannel

from .roads import LIMIT, MEBIBYTE, PLENTY, RPC, message, number
from .servers import SERVERS, LocalListener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mm_asgi.wire.port import Call, Channel, Server, Stream

CHANNELS: dict[str, Callable[..., Channel]] = {
    "native": NativeChannel,
    "grpcio": GrpcioChannel,
}
MISSING = "/test.Wire/Missing"
# grpc/grpc#36066: a write that fails since the RPC has ended overwrites the status, for good.
LOSES_EARLY_STATUS = {"grpcio"}


class Wire:
    """A server on a unix socket and a channel to it; ``handler`` serves each RPC."""

    def __init__(self, channel: str, server: str, folder: str) -> None:
        self.channel = channel
        self._new_channel = CHANNELS[channel]
        self._new_server = SERVERS[server]
        self.path = str(Path(folder, "wire.sock"))
        self.target = f"unix:{quote(self.path)}"
        self.stack = contextlib.AsyncExitStack()

    async def serve(
        self, handler: Callable[[Stream], Awaitable[None]], *, listener: LocalListener | None = None
    ) -> Server:
        """Start a server; it stops with the test, or before."""
        server = self._new_server()
        methods = {RPC: Method(handler, BytesValue, LIMIT * 16)}
        await server.start(listener or LocalListener(self.path), methods)
        self.stack.push_async_callback(server.stop, 0)
        return server

    def dial(self, target: str = "", **options: int) -> Channel:
        """A channel that closes with the test."""
        channel = self._new_channel(target or self.target, **options)
        self.stack.push_async_callback(channel.close)
        return channel


@pytest.fixture(params=[(c, s) for c in CHANNELS for s in SERVERS], ids=lambda pair: "-".join(pair))
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """Each channel with each server, neither started."""
    channel, server = request.param
    # Not pytest's tmp_path: a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="mm") as folder:
        made = Wire(channel, server, folder)
        async with made.stack:
            yield made


async def echo(stream: Stream) -> None:
    """Answer each message with itself."""
    while (received := await stream.read()) is not None:
        await stream.write(received)
    stream.finish()


async def failure(answer: Awaitable[object]) -> RPCError:
    """The error that an RPC ends with."""
    with pytest.raises(RPCError) as caught:
        await answer
    return caught.value


def unary(
    channel: Channel, value: bytes | int = 1, **options: float | bool
) -> Awaitable[BytesValue]:
    return channel.unary(RPC, message(value), BytesValue, **options)  # type: ignore[arg-type]


async def numbers(call: Call) -> list[int]:
    """What the call reads until its end."""
    got = []
    while (received := await call.read()) is not None:
        got.append(number(received))
    return got


# -------------------------------------------------------------------- kinds of RPC


async def test_unary(wire: Wire) -> None:
    await wire.serve(echo)
    answer = await unary(wire.dial(), 7)
    assert isinstance(answer, BytesValue)
    assert number(answer) == 7


async def test_many_at_once_each_get_their_own_answer(wire: Wire) -> None:
    await wire.serve(echo)
    channel = wire.dial()
    answers = await asyncio.gather(*(unary(channel, n) for n in range(200)))
    assert [number(answer) for answer in answers] == list(range(200))


async def test_server_stream(wire: Wire) -> None:
    async def count(stream: Stream) -> None:
        for n in range(number(await stream.read())):
            await stream.write(message(n))
        stream.finish()

    await wire.serve(count)
    call = wire.dial().stream(RPC, BytesValue)
    await call.write(message(5))
    call.half_close()
    assert await numbers(call) == [0, 1, 2, 3, 4]
    assert await call.read() is None


async def test_client_stream(wire: Wire) -> None:
    async def total(stream: Stream) -> None:
        result = 0
        while (received := await stream.read()) is not None:
            result += number(received)
        await stream.write(message(result))
        stream.finish()

    await wire.serve(total)
    call = wire.dial().stream(RPC, BytesValue)
    for n in range(10):
        await call.write(message(n))
    call.half_close()
    assert await numbers(call) == [45]


async def test_both_directions_in_turns(wire: Wire) -> None:
    await wire.serve(echo)
    call = wire.dial().stream(RPC, BytesValue)
    for n in range(20):
        await call.write(message(n))
        assert number(await call.read()) == n
    call.half_close()
    assert await call.read() is None


async def test_a_stream_without_any_message(wire: Wire) -> None:
    await wire.serve(echo)
    call = wire.dial().stream(RPC, BytesValue)
    call.half_close()
    assert await call.read() is None


async def test_a_writer_waits_for_a_slow_reader(wire: Wire) -> None:
    go_on = asyncio.Event()

    async def slow(stream: Stream) -> None:
        await go_on.wait()
        await echo(stream)

    await wire.serve(slow)
    call = wire.dial().stream(RPC, BytesValue)
    big = message(b"x" * MEBIBYTE)
    writer = asyncio.create_task(_write(call, big, PLENTY))
    done, _ = await asyncio.wait({writer}, timeout=0.3)
    assert not done
    go_on.set()
    for _ in range(PLENTY):
        assert await call.read() == big
    await writer
    call.half_close()
    assert await call.read() is None


async def _write(call: Call, item: BytesValue, times: int) -> None:
    for _ in range(times):
        await call.write(item)


# -------------------------------------------------------------------- metadata and status


async def test_metadata_both_ways(wire: Wire) -> None:
    seen: dict[str, str | bytes] = {}

    async def handler(stream: Stream) -> None:
        seen.update(stream.metadata)
        await stream.read()
        stream.send_metadata([("early", "1"), ("early-bin", b"\x00\xff")])
        await stream.write(message(1))
        stream.finish([("late", "2"), ("late-bin", b"\xfe\x00")])

    await wire.serve(handler)
    call = wire.dial().stream(
        RPC, BytesValue, metadata=[("asked", "a b"), ("asked-bin", b"\xff\n")]
    )
    await call.write(message(1))
    call.half_close()
    initial = await call.initial_metadata()
    assert ("early", "1") in initial
    assert ("early-bin", b"\x00\xff") in initial
    assert call.trailing_metadata() == ()
    assert await numbers(call) == [1]
    assert ("late", "2") in call.trailing_metadata()
    assert ("late-bin", b"\xfe\x00") in call.trailing_metadata()
    assert (seen["asked"], seen["asked-bin"]) == ("a b", b"\xff\n")


@pytest.mark.parametrize("code", [code for code in StatusCode if code is not StatusCode.OK])
async def test_each_status_arrives_with_text_and_metadata(wire: Wire, code: StatusCode) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.read()
        stream.abort(
            code, "näin ei 100%\n", [("grpc-status-details-bin", b"\x08\x05"), ("why", "x")]
        )

    await wire.serve(refuse)
    channel = wire.dial()
    error = await failure(unary(channel))
    assert (error.code, error.text, error.path) == (code, "näin ei 100%\n", RPC)
    assert ("grpc-status-details-bin", b"\x08\x05") in error.metadata
    assert ("why", "x") in error.metadata
    call = channel.stream(RPC, BytesValue)
    await call.write(message(1))
    error = await failure(call.read())
    assert (error.code, error.text) == (code, "näin ei 100%\n")
    assert ("why", "x") in call.trailing_metadata()
    assert await failure(call.read()) is error
    await call.write(message(2))  # does nothing: read() has said why


async def test_a_method_that_is_not_there(wire: Wire) -> None:
    await wire.serve(echo)
    error = await failure(wire.dial().unary(MISSING, message(1), BytesValue))
    assert error.code is StatusCode.UNIMPLEMENTED


async def test_an_early_end_tells_its_own_status_to_a_busy_writer(wire: Wire) -> None:
    expected = {(StatusCode.FAILED_PRECONDITION, "enough")}
    if wire.channel in LOSES_EARLY_STATUS:
        expected.add((StatusCode.INTERNAL, "Internal error from Core"))

    async def refuse(stream: Stream) -> None:
        stream.abort(StatusCode.FAILED_PRECONDITION, "enough")

    await wire.serve(refuse)
    call = wire.dial().stream(RPC, BytesValue)
    writer = asyncio.create_task(_write(call, message(b"x" * MEBIBYTE), PLENTY))
    error = await failure(call.read())
    assert (error.code, error.text) in expected
    await writer


async def test_an_answer_that_cannot_be_parsed(wire: Wire) -> None:
    async def wrong(stream: Stream) -> None:
        await stream.read()
        await stream.write(message(b"\xff\xfe"))
        stream.finish()

    await wire.serve(wrong)
    channel = wire.dial()
    error = await failure(channel.unary(RPC, message(1), StringValue))
    assert error.code is StatusCode.INTERNAL
    call = channel.stream(RPC, StringValue)
    await call.write(message(1))
    assert (await failure(call.read())).code is StatusCode.INTERNAL


# -------------------------------------------------------------------- time and cancel


class Held:
    """A handler that holds its RPC and says when the peer has left."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.rpcs = asyncio.Semaphore(0)
        self.left = asyncio.Event()
        self.deadline: float | None = None

    async def __call__(self, stream: Stream) -> None:
        self.deadline = stream.deadline
        stream.on_cancel(self.left.set)
        self.started.set()
        self.rpcs.release()
        await self.left.wait()


async def test_timeout(wire: Wire) -> None:
    held = Held()
    await wire.serve(held)
    error = await failure(unary(wire.dial(), timeout=0.2))
    assert error.code is StatusCode.DEADLINE_EXCEEDED
    await held.left.wait()


async def test_timeout_of_a_stream(wire: Wire) -> None:
    held = Held()
    await wire.serve(held)
    call = wire.dial().stream(RPC, BytesValue, timeout=0.2)
    assert (await failure(call.read())).code is StatusCode.DEADLINE_EXCEEDED
    await held.left.wait()


async def test_the_server_is_told_the_deadline(wire: Wire) -> None:
    held = Held()
    await wire.serve(held)
    call = wire.dial().stream(RPC, BytesValue, timeout=60)
    await held.started.wait()
    assert held.deadline is not None
    assert 50 < held.deadline - asyncio.get_running_loop().time() < 61
    call.cancel()


async def test_a_cancelled_unary_is_cancelled_there(wire: Wire) -> None:
    held = Held()
    await wire.serve(held)
    task = asyncio.ensure_future(unary(wire.dial()))
    await held.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await held.left.wait()


async def test_cancel_of_a_stream(wire: Wire) -> None:
    held = Held()
    await wire.serve(held)
    call = wire.dial().stream(RPC, BytesValue)
    await held.started.wait()
    reader = asyncio.ensure_future(call.read())
    call.cancel()
    assert (await failure(reader)).code is StatusCode.CANCELLED
    await held.left.wait()
    call.cancel()
    await call.write(message(1))


async def test_a_cancelled_read_or_write_ends_no_rpc(wire: Wire) -> None:
    go_on = asyncio.Event()

    async def slow(stream: Stream) -> None:
        await go_on.wait()
        await echo(stream)

    await wire.serve(slow)
    call = wire.dial().stream(RPC, BytesValue)
    reader = asyncio.create_task(call.read())
    await call.write(message(1))
    writer = asyncio.create_task(_write(call, message(b"x" * MEBIBYTE), PLENTY))
    await asyncio.wait({reader, writer}, timeout=0.1)
    for task in (reader, writer):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    # The write under way is still that: the next one takes its turn.
    last = asyncio.create_task(call.write(message(2)))
    await asyncio.sleep(0)
    call.half_close()
    go_on.set()
    sizes = []
    while (received := await call.read()) is not None:
        sizes.append(len(received.value))
    await last
    assert sizes[0] == sizes[-1] == 1
    assert set(sizes[1:-1]) == {MEBIBYTE}


# -------------------------------------------------------------------- limits


async def test_a_large_answer(wire: Wire) -> None:
    await wire.serve(echo)
    large = message(bytes(20 * MEBIBYTE))
    assert await wire.dial().unary(RPC, large, BytesValue) == large


@pytest.mark.full
@pytest.mark.timeout(60)
async def test_an_answer_of_128_mebibytes(wire: Wire) -> None:
    await wire.serve(echo)
    channel = wire.dial()
    whole = message(bytes(128 * MEBIBYTE - 5))
    assert whole.ByteSize() == 128 * MEBIBYTE
    assert await channel.unary(RPC, whole, BytesValue) == whole
    error = await failure(channel.unary(RPC, message(bytes(128 * MEBIBYTE)), BytesValue))
    assert error.code is StatusCode.RESOURCE_EXHAUSTED


async def test_an_answer_over_the_limit(wire: Wire) -> None:
    await wire.serve(echo)
    channel = wire.dial(receive_limit=MEBIBYTE)
    error = await failure(unary(channel, bytes(MEBIBYTE)))
    assert error.code is StatusCode.RESOURCE_EXHAUSTED
    call = channel.stream(RPC, BytesValue)
    await call.write(message(bytes(MEBIBYTE)))
    assert (await failure(call.read())).code is StatusCode.RESOURCE_EXHAUSTED
    assert number(await unary(channel, 3)) == 3


# -------------------------------------------------------------------- the connection


async def test_no_server_is_unavailable_at_once(wire: Wire) -> None:
    async with asyncio.timeout(5):
        error = await failure(unary(wire.dial()))
        assert error.code is StatusCode.UNAVAILABLE
        call = wire.dial().stream(RPC, BytesValue)
        assert (await failure(call.read())).code is StatusCode.UNAVAILABLE


async def test_wait_for_ready(wire: Wire) -> None:
    channel = wire.dial()
    waiting = asyncio.ensure_future(unary(channel, 5, wait_for_ready=True, timeout=15))
    assert (await failure(unary(channel))).code is StatusCode.UNAVAILABLE
    await wire.serve(echo)
    assert number(await waiting) == 5


async def test_wait_for_ready_waits_no_longer_than_the_timeout(wire: Wire) -> None:
    error = await failure(unary(wire.dial(), wait_for_ready=True, timeout=0.2))
    assert error.code is StatusCode.DEADLINE_EXCEEDED


async def test_a_server_that_restarts_is_found_again(wire: Wire) -> None:
    channel = wire.dial()
    for turn in range(3):
        server = await wire.serve(echo)
        assert number(await unary(channel, turn, wait_for_ready=True, timeout=15)) == turn
        await server.stop(0)
        assert (await failure(unary(channel))).code is StatusCode.UNAVAILABLE


async def test_a_server_that_goes_ends_its_rpcs(wire: Wire) -> None:
    held = Held()
    server = await wire.serve(held)
    task = asyncio.ensure_future(unary(wire.dial()))
    await held.started.wait()
    await server.stop(0)
    assert (await failure(task)).code in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)


async def test_close(wire: Wire) -> None:
    held = Held()
    await wire.serve(held)
    channel = wire.dial()
    call = channel.stream(RPC, BytesValue)
    task = asyncio.ensure_future(unary(channel))
    reader = asyncio.ensure_future(call.read())
    for _ in range(2):  # both are with their handlers, so that none begins while the loop ends
        await held.rpcs.acquire()
    await channel.close()
    assert (await failure(task)).code is StatusCode.CANCELLED
    assert (await failure(reader)).code is StatusCode.CANCELLED
    assert (await failure(unary(channel))).code is StatusCode.CANCELLED
    with pytest.raises(RPCError, match="CANCELLED"):
        channel.stream(RPC, BytesValue)
    await channel.close()


async def test_close_lets_open_rpcs_finish_within_the_grace(wire: Wire) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(stream: Stream) -> None:
        started.set()
        await go_on.wait()
        await echo(stream)

    await wire.serve(slow)
    channel = wire.dial()
    task = asyncio.ensure_future(unary(channel, 4))
    await started.wait()
    closing = asyncio.create_task(channel.close(10))
    await asyncio.sleep(0)
    assert (await failure(unary(channel))).code is StatusCode.CANCELLED
    go_on.set()
    assert number(await task) == 4
    await closing


@pytest.mark.parametrize(
    "form", ["unix:{path}", "unix://{path}", "{host}", "dns:///{host}", "passthrough:///{host}"]
)
async def test_targets_as_go_writes_them(
    wire: Wire, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy is for strangers: nothing listens at this one.
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    listener = LocalListener(wire.path if "path" in form else "127.0.0.1:0")
    await wire.serve(echo, listener=listener)
    target = form.format(path=quote(listener.address), host=listener.address)
    assert number(await unary(wire.dial(target), 9, timeout=10)) == 9
