"""The PluginAPI gRPC service over the in-memory Mattermost, as the host's API server behaves.

236 unary RPCs. Those of `table.py` are answered from the state; the others are UNIMPLEMENTED, as 36
of them always are on a real server.
"""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from mm_asgi.host.api.errors import AppError, GoError, RPCRefused
from mm_asgi.host.api.journal import Call
from mm_asgi.host.api.table import CALLS, IN_RESPONSE, MUST_BE_SENT, REFUSED_UNSET
from mm_asgi.protocol import api_pb2

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from mm_asgi.host.api.mattermost import Mattermost

__all__ = ["METHODS", "SERVICE", "APIServer"]

_DESCRIPTOR = api_pb2.DESCRIPTOR.services_by_name["PluginAPI"]

SERVICE = f"/{_DESCRIPTOR.full_name}/"
METHODS: Mapping[str, MethodDescriptor] = _DESCRIPTOR.methods_by_name

_OPTIONS = (
    # As the host's: 4 MiB in, which is gRPC's own limit and not raised, and no limit out.
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)


class APIServer:
    """Serves one Mattermost on a loopback port.

    Attributes:
        target: ``127.0.0.1:PORT`` for MATTERMOST_PLUGIN_API_TARGET; empty while it does not run.
    """

    def __init__(self, mattermost: Mattermost) -> None:
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
            # Not None: that is an error in the eyes of grpcio's clients, who log it.
            await server.stop(0.1)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, mattermost: Mattermost) -> None:
        self._mm = mattermost

    def service(self, details: Any) -> Any:
        name = details.method.removeprefix(SERVICE)
        method = METHODS.get(name)
        if method is None or not details.method.startswith(SERVICE):
            return None  # grpcio answers UNIMPLEMENTED
        return grpc.unary_unary_rpc_method_handler(
            self._handler(name, method),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    def _handler(
        self, name: str, method: MethodDescriptor
    ) -> Callable[[Message, Any], Awaitable[Message]]:
        async def handle(request: Message, context: Any) -> Message:
            started = time.monotonic()
            failed: AppError | GoError | RPCRefused | None = None
            response: Message | None = None
            error = ""
            try:
                response = await self._answer(name, method, request)
            except AppError as exc:
                if name in IN_RESPONSE:
                    response = GetMessageClass(method.output_type)(error=exc.to_wire())
                    error = exc.id
                else:
                    failed = exc
            except (GoError, RPCRefused) as exc:
                failed = exc
            self._mm.journal.add(
                Call(
                    name=name,
                    request=request,
                    response=response,
                    code=failed.code.name if failed is not None else "OK",
                    error=failed.details if failed is not None else error,
                    time=self._mm.clock.now(),
                    seconds=time.monotonic() - started,
                )  # fmt: skip
            )
            if failed is not None:
                await context.abort(failed.code, failed.details)
            assert response is not None
            return response

        return handle

    async def _answer(self, name: str, method: MethodDescriptor, request: Message) -> Message:
        call = CALLS.get(name)
        if call is None:
            raise RPCRefused(grpc.StatusCode.UNIMPLEMENTED, f"method {name} not implemented")
        self._check_fields(name, request)
        try:
            fields = call(self._mm, request)
            if inspect.isawaitable(fields):
                fields = await fields
        except (AppError, GoError, RPCRefused):
            raise
        except Exception as exc:
            # Ours: the simulated server is wrong, and lives on.
            self._log("error", "the simulated API failed", call=name, error=repr(exc))
            raise RPCRefused(grpc.StatusCode.INTERNAL, f"{name}: {exc!r}") from exc
        return GetMessageClass(method.output_type)(**(fields or {}))

    def _check_fields(self, name: str, request: Message) -> None:
        field = REFUSED_UNSET.get(name)
        if field is not None and not request.HasField(field):
            raise RPCRefused(grpc.StatusCode.INVALID_ARGUMENT, f"{field} is required")
        field = MUST_BE_SENT.get(name)
        if field is not None and not request.HasField(field):
            text = f"{name}: {field} is not set, and a real server would crash here; always send it"
            self._log("error", text)
            raise RPCRefused(grpc.StatusCode.INTERNAL, text)

    def _log(self, level: str, message: str, **fields: object) -> None:
        if self._mm.log is not None:
            self._mm.log.host(level, message, **fields)
