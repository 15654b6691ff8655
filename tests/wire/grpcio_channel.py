"""The port's Channel over grpc.aio: the reference that the native one is compared with.

Messages cross grpcio as bytes: parsing and its failures stay here. grpcio ends a whole RPC when a
task that waits in it is cancelled, so those waits run in tasks of their own, which nobody cancels.

One thing it does worse than the port says: a stream that the server ends while this side writes
may end as INTERNAL here, whatever the server said (grpc/grpc#36066). Unary calls are not affected.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from mm_asgi.tasks import is_cancelled
from mm_asgi.wire.calls import ANSWER_LIMIT, CLOSED, DEADLINE_EXCEEDED, UNPARSABLE
from mm_asgi.wire.port import RPCError, StatusCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from mm_asgi.wire.port import Encoded, Metadata

__all__ = ["GrpcioChannel"]

M = TypeVar("M", bound=Message)


class GrpcioChannel:
    """A ``port.Channel`` over grpc.aio, for the loop that it is made on.

    Args:
        target: as Go writes it: ``host:port``, ``dns:///host:port``, ``unix:/path``,
            ``unix:///path``, ``passthrough:///host:port``.
        receive_limit: bytes of one received message; a larger one ends the RPC with
            RESOURCE_EXHAUSTED.
    """

    def __init__(self, target: str, *, receive_limit: int = ANSWER_LIMIT) -> None:
        if not (core := logging.getLogger("grpc")).level:
            core.setLevel(logging.INFO)  # as in GrpcioServer: at debug it logs what is being freed
        # A scheme of grpc-go's alone: the rest is an address to take as it is.
        address = target.removeprefix("passthrough:///")
        self._channel = grpc.aio.insecure_channel(address, options=_options(receive_limit))
        self._unary: dict[str, Any] = {}
        self._open: set[Any] = set()
        self._closed = False

    async def unary(
        self,
        path: str,
        request: Message,
        response: type[M],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> M:
        """Make a unary RPC; ``port.Channel`` says what the arguments are."""
        self._refuse_when_closed(path)
        start = self._unary.get(path) or self._unary.setdefault(
            path, self._channel.unary_unary(path)
        )
        deadline = None if timeout is None else time.monotonic() + timeout
        call = start(
            request.SerializeToString(),
            timeout=timeout,
            metadata=tuple(metadata) or None,
            wait_for_ready=wait_for_ready,
        )
        try:
            data = await call
        except grpc.aio.AioRpcError as error:
            raise _rpc_error(path, error, deadline) from None
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            # grpcio's way to say that close() has ended the RPC.
            raise RPCError(StatusCode.CANCELLED, CLOSED, path=path) from None
        return _parse(path, response, data)

    def stream(
        self,
        path: str,
        response: type[Message],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> _GrpcioCall:
        """Make an RPC of any kind; the arguments are ``unary()``'s."""
        self._refuse_when_closed(path)
        deadline = None if timeout is None else time.monotonic() + timeout
        call: Any = self._channel.stream_stream(path)(
            timeout=timeout, metadata=tuple(metadata) or None, wait_for_ready=wait_for_ready
        )
        # grpcio cancels an RPC whose object is freed.
        self._open.add(call)
        call.add_done_callback(self._open.discard)
        return _GrpcioCall(path, call, response, deadline)

    async def close(self, grace: float = 0.0) -> None:
        """Refuse new RPCs, give the open ones ``grace`` seconds, then end them as CANCELLED."""
        self._closed = True
        await self._channel.close(grace)

    def _refuse_when_closed(self, path: str) -> None:
        if self._closed:
            raise RPCError(StatusCode.CANCELLED, CLOSED, path=path)


def _options(receive_limit: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", receive_limit),
        ("grpc.max_send_message_length", -1),
        # The core shares connections between channels, also to a server that was replaced.
        ("grpc.use_local_subchannel_pool", 1),
        # The host's API is on this machine: http_proxy is not meant for it.
        ("grpc.enable_http_proxy", 0),
        # The defaults, 1 s to 120 s, are for strangers: a host that restarts is back at once.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]


class _GrpcioCall:
    __slots__ = (
        "_call",
        "_deadline",
        "_end",
        "_half_closed",
        "_path",
        "_read_lock",
        "_reading",
        "_response",
        "_tasks",
        "_trailing",
        "_write_lock",
        "_writing",
    )

    def __init__(
        self, path: str, call: Any, response: type[Message], deadline: float | None
    ) -> None:
        self._path = path
        self._deadline = deadline
        self._call = call
        self._response = response
        # One operation a direction is under way; grpcio takes no more.
        self._read_lock = asyncio.Lock()
        self._reading: asyncio.Task[Any] | None = None
        self._write_lock = asyncio.Lock()
        self._writing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._half_closed = False
        # Set once, by the read that finds the end.
        self._end: RPCError | StatusCode | None = None
        self._trailing: Metadata = ()

    async def write(self, message: Message | Encoded) -> None:
        if self._half_closed:
            raise RuntimeError(f"{self._path}: write() after half_close(); write before it")
        async with self._write_lock:
            if self._writing is not None:  # whoever started it was cancelled
                await asyncio.shield(self._writing)
            data = message.SerializeToString()
            self._writing = self._start(_quiet(self._call.write, data))
            await asyncio.shield(self._writing)
            self._writing = None

    def half_close(self) -> None:
        if not self._half_closed:
            self._half_closed = True
            self._start(self._done_writing())

    async def _done_writing(self) -> None:
        async with self._write_lock:  # after the writes before it
            if self._writing is not None:
                await self._writing
            await _quiet(self._call.done_writing)

    async def read(self) -> Any | None:
        async with self._read_lock:
            if self._end is None:
                if self._reading is None:
                    self._reading = self._start(self._read())
                data = await asyncio.shield(self._reading)
                self._reading = None
                if data is not None:
                    return self._parse(data)
        if isinstance(self._end, RPCError):
            raise self._end
        return None

    async def _read(self) -> bytes | None:
        try:
            data: Any = await self._call.read()
            if data is not grpc.aio.EOF:
                return bytes(data)
            self._end = StatusCode.OK
        except asyncio.CancelledError:
            self._end = RPCError(StatusCode.CANCELLED, "cancelled", path=self._path)
            return None
        except grpc.aio.AioRpcError as error:
            self._end = _rpc_error(self._path, error, self._deadline)
        self._trailing = _pairs(await self._call.trailing_metadata())
        return None

    def _parse(self, data: bytes) -> Message:
        try:
            return _parse(self._path, self._response, data)
        except RPCError as error:
            self._end = error
            self._call.cancel()
            raise

    async def initial_metadata(self) -> Metadata:
        return _pairs(await asyncio.shield(self._start(self._call.initial_metadata())))

    def trailing_metadata(self) -> Metadata:
        return self._trailing

    def cancel(self) -> None:
        self._call.cancel()

    def _start(self, operation: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(operation)
        self._tasks.add(task)  # asyncio itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
        return task


async def _quiet(operation: Callable[..., Awaitable[None]], *arguments: bytes) -> None:
    """Run a write that may find the RPC ended: the reader learns why it did."""
    try:
        await operation(*arguments)
    except (
        grpc.aio.AioRpcError,
        grpc.aio.BaseError,
        asyncio.InvalidStateError,
        asyncio.CancelledError,
    ):
        pass


def _parse(path: str, response: type[M], data: bytes) -> M:
    try:
        return response.FromString(data)
    except DecodeError:
        raise RPCError(StatusCode.INTERNAL, UNPARSABLE, path=path) from None


def _rpc_error(path: str, error: grpc.aio.AioRpcError, deadline: float | None) -> RPCError:
    metadata = _pairs(error.trailing_metadata())
    code = StatusCode(error.code().value[0])
    is_late = deadline is not None and deadline <= time.monotonic()
    if is_late and code in (StatusCode.CANCELLED, StatusCode.INTERNAL):
        # grpc-go's clock rang first, and it resets the stream then (its own client does the same);
        # the code depends on what grpcio has read of the answer by then.
        return RPCError(StatusCode.DEADLINE_EXCEEDED, DEADLINE_EXCEEDED, metadata, path=path)
    return RPCError(code, error.details() or "", metadata, path=path)


def _pairs(metadata: Any) -> Metadata:
    return tuple((name, value) for name, value in metadata or ())
