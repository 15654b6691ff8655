"""The PluginAPI gRPC service over the in-memory Mattermost, as the host's API server behaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from mm_asgi.host.mattermost.answering import METHODS, REQUEST_LIMIT, SERVICE, answer, request_class
from mm_asgi.host.mattermost.app_errors import AppError, GoError, RPCRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from mm_asgi.host.mattermost.server_state import ServerState

__all__ = ["METHODS", "SERVICE", "APIServer"]

_OPTIONS = (
    ("grpc.max_receive_message_length", REQUEST_LIMIT),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)


class APIServer:
    """Serve one Mattermost's API on a loopback port.

    Attributes:
        target: ``127.0.0.1:PORT`` for MATTERMOST_PLUGIN_API_TARGET; empty while it does not run.
    """

    def __init__(self, mattermost: ServerState) -> None:
        self.target = ""
        self._mm = mattermost
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen and serve."""
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((_Handlers(self._mm),))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def stop(self) -> None:
        """End every call and stop; safe to call again."""
        server, self._server = self._server, None
        self.target = ""
        if server is not None:
            # Not None: grpcio's clients would log an error.
            await server.stop(0.1)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, mattermost: ServerState) -> None:
        self._mm = mattermost

    def service(self, details: Any) -> Any:
        name = details.method.removeprefix(SERVICE)
        if name not in METHODS or not details.method.startswith(SERVICE):
            return None  # grpcio answers UNIMPLEMENTED
        return grpc.unary_unary_rpc_method_handler(
            self._handler(name),
            request_deserializer=request_class(name).FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    def _handler(self, name: str) -> Callable[[Message, Any], Awaitable[Message]]:
        async def handle(request: Message, context: Any) -> Message:
            try:
                return await answer(self._mm, name, request)
            except (AppError, GoError, RPCRefused) as exc:
                failed = exc
            await context.abort(grpc.StatusCode[failed.code], failed.details)
            raise AssertionError("abort() raises")

        return handle
