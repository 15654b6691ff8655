"""The gRPC connection to a plugin: grpcio's client, with its traps avoided.

When the server ends an RPC while a message is on its way, grpcio's asyncio client loses the status:
`write()` overwrites it with INTERNAL, and `read()` gives up before it has returned the messages
that arrived (grpc/grpc#36066; 46 to 95 % of such calls, grpcio 1.85.1). This module therefore reads
by the call's iterator, which looks at the status only after the last message, and writes below
`write()`, where a refused message changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError, Message

from mm_asgi.host.plugin.hook_answer import show_grpc_error
from mm_asgi.host.plugin.plugin_connection import HostWire, RPCFailed
from mm_asgi.host.plugin.stderr import LogLine
from mm_asgi.protocol import empty_pb2, goplugin_pb2, health_pb2
from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest, ServeHTTPResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mm_asgi.host.plugin.log import HostLog

__all__ = ["GRPC_HOST", "HTTPStream", "HostConnection"]

HOOKS = "/mattermost.pluginapi.v1.PluginHooks/"

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    # Each plugin process gets its own connection, even when a later one has the same socket path.
    ("grpc.use_local_subchannel_pool", 1),
)


def _failed(code: grpc.StatusCode, details: str | None) -> RPCFailed:
    return RPCFailed(code.name, int(code.value[0]), details)


@contextlib.contextmanager
def _raise_rpc_failed() -> Any:
    """Turn grpcio's errors, and its CancelledError for a local cancel, into RPCFailed."""
    try:
        yield
    except grpc.aio.AioRpcError as exc:
        raise _failed(exc.code(), exc.details()) from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise _failed(grpc.StatusCode.CANCELLED, "cancelled by the host") from None


class HostConnection:
    """One channel to the handshake's address, on which go-plugin's own streams stay open."""

    def __init__(self, target: str, log: HostLog) -> None:
        self._log = log
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._held: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Open broker and stdio, as go-plugin does right after dialling."""
        self._held = [
            asyncio.create_task(
                self._hold_stream(self._read_broker), name="GRPCBroker/StartStream"
            ),
            asyncio.create_task(self._hold_stream(self._read_stdio), name="GRPCStdio/StreamStdio"),
        ]

    async def _hold_stream(self, stream: Callable[[], Awaitable[None]]) -> None:
        try:
            with _raise_rpc_failed():
                await stream()
        except RPCFailed as exc:
            # A plugin without these services fails in the same way; go-plugin tolerates it.
            self._log.go_plugin("debug", "received EOF, stopping recv loop", err=str(exc))

    async def _read_broker(self) -> None:
        call: grpc.aio.StreamStreamCall[bytes, bytes]
        call = self._channel.stream_stream("/plugin.GRPCBroker/StartStream")()
        async for _ in call:
            pass  # the plugin offers further connections, and Mattermost takes none

    async def _read_stdio(self) -> None:
        open_stream = self._channel.unary_stream(
            "/plugin.GRPCStdio/StreamStdio",
            request_serializer=empty_pb2.Empty.SerializeToString,
            response_deserializer=goplugin_pb2.StdioData.FromString,
        )
        async for data in open_stream(empty_pb2.Empty()):
            source = "plugin_stderr" if data.channel == data.STDERR else "plugin_stdout"
            message = data.data.decode("utf-8", "replace").rstrip("\n")
            self._log.add(LogLine(source=source, level="info", message=message))

    async def hook(
        self, name: str, request: Message, answer: type[Any], timeout: float | None
    ) -> Any:
        """Call a hook by its RPC's name; see `unary`."""
        return await self.unary(HOOKS + name, request, answer, timeout)

    async def unary(
        self, path: str, request: Message, answer: type[Any], timeout: float | None
    ) -> Any:
        """Call a unary RPC and return its response.

        Args:
            path: the RPC's, as ``/package.Service/Method``.
            request: its request.
            answer: the class of its response.
            timeout: seconds; None: no deadline.

        Raises:
            RPCFailed: the status is not OK.
        """
        call = self._channel.unary_unary(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        with _raise_rpc_failed():
            return await call(request, timeout=timeout)

    async def ping(self, timeout: float | None = None) -> None:
        """Ping the plugin as go-plugin does: Check("plugin"), whatever it answers.

        Raises:
            RPCFailed: the plugin did not answer.
        """
        await self.unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest(service="plugin"),
            health_pb2.HealthCheckResponse,
            timeout,
        )

    async def shutdown(self, timeout: float | None = None) -> None:
        """Ask the process to end. A real host waits for the answer without a deadline.

        Raises:
            RPCFailed: the plugin did not answer.
        """
        await self.unary(
            "/plugin.GRPCController/Shutdown", goplugin_pb2.Empty(), goplugin_pb2.Empty, timeout
        )

    def serve_http(self) -> HTTPStream:
        """Open a ServeHTTP stream."""
        return HTTPStream(self._channel.stream_stream(HOOKS + "ServeHTTP")())

    async def close(self) -> None:
        """Cancel the open streams and close the connection."""
        for task in self._held:
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)
        await self._channel.close()


class HTTPStream:
    """The host's side of one ServeHTTP stream."""

    def __init__(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        self._call = call

    @property
    def over(self) -> bool:
        """Whether the RPC has ended. There may still be messages to read."""
        return self._call.done()

    async def opened(self) -> None:
        """Wait until the connection has the stream.

        Raises:
            RPCFailed: there is no connection.
        """
        with _raise_rpc_failed():
            await self._call.wait_for_connection()

    async def write(self, message: ServeHTTPRequest) -> bool:
        """Send a message under flow control.

        Returns:
            bool: False when the RPC has ended and the message was not sent.
        """
        inner: Any = self._call
        if self._call.done():
            return False
        try:
            # Not write(), for the reason in the module's docstring.
            await inner._cython_call.send_serialized_message(message.SerializeToString())
        except grpc.aio.InternalError:
            return False
        return True

    async def half_close(self) -> None:
        """Tell the plugin that no message follows."""
        with contextlib.suppress(grpc.aio.InternalError):
            await self._call.done_writing()

    async def answers(self) -> AsyncIterator[ServeHTTPResponse]:
        """Yield the plugin's messages.

        Raises:
            RPCFailed: after the last message, when the status is not OK.
        """
        messages = aiter(self._call)
        while True:
            with _raise_rpc_failed():
                try:
                    data = await anext(messages)
                except StopAsyncIteration:
                    return
            try:
                yield ServeHTTPResponse.FromString(data)
            except DecodeError as exc:
                self.cancel()
                raise _failed(grpc.StatusCode.INTERNAL, f"failed to unmarshal: {exc}") from None

    def cancel(self) -> None:
        """End the RPC from this side, if it has not ended yet."""
        self._call.cancel()


GRPC_HOST = HostWire(
    protocol="grpc",
    connect=HostConnection,
    has_deadlines=True,
    forgives=False,
    lost_call="gRPC {} call failed",
    show_error=show_grpc_error,
    gone_status=503,
)
"""The unreleased branch's client."""
