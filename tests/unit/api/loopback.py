"""A PluginAPI of grpcio's own on a unix socket: it keeps what arrives and answers as it is told."""

from __future__ import annotations

import contextlib
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import Message

from mm_asgi.protocol import api_pb2, api_released_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

SERVICES = (
    api_pb2.DESCRIPTOR.services_by_name["PluginAPI"],
    api_released_pb2.DESCRIPTOR.services_by_name["ReleasedAPI"],
)


@dataclass(frozen=True)
class Status:
    """An answer that is a gRPC status."""

    code: grpc.StatusCode
    text: str = ""


class Loopback:
    """The server; ``answers`` are given in turn, then ``answer`` for ever.

    An answer is a message, its bytes, a Status, or a function of the request's bytes that gives
    one of these.
    """

    def __init__(self, folder: str) -> None:
        self.target = f"unix:{Path(folder, 'api.sock')}"
        self.received: list[tuple[str, bytes]] = []
        self.metadata: dict[str, Any] = {}
        self.remaining: float | None = None
        self.answers: deque[Any] = deque()
        self.answer: Any = b""
        self._stubs: dict[str, Any] = {}
        self._channel: grpc.Channel | None = None

    def last(self) -> bytes:
        """The bytes of the newest request."""
        return self.received[-1][1]

    def start(self, executor: ThreadPoolExecutor) -> grpc.Server:
        """Listen; serves each call in a thread of ``executor``."""
        server = grpc.server(
            executor,
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    service.full_name,
                    {rpc.name: self._handler(rpc.name) for rpc in service.methods},
                )
                for service in SERVICES
            )
        )
        server.add_insecure_port(self.target)
        server.start()
        return server

    def ask(self, name: str, request: Message) -> None:
        """Make a call as grpcio makes it, for comparison."""
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.target)
        if name not in self._stubs:
            [service] = [one for one in SERVICES if name in one.methods_by_name]
            self._stubs[name] = self._channel.unary_unary(f"/{service.full_name}/{name}")
        self._stubs[name](request.SerializeToString())

    def close(self) -> None:
        """End the channel of ``ask()``."""
        if self._channel is not None:
            self._channel.close()

    def _handler(self, name: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        def serve(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.received.append((name, request))
            self.remaining = context.time_remaining()
            answer = self.answers.popleft() if self.answers else self.answer
            if callable(answer) and not isinstance(answer, Message):
                answer = answer(request)
            if isinstance(answer, Status):
                context.abort(answer.code, answer.text)
            return answer.SerializeToString() if isinstance(answer, Message) else answer

        return grpc.unary_unary_rpc_method_handler(serve)


@contextlib.contextmanager
def loopback() -> Iterator[Loopback]:
    """A running server."""
    from concurrent.futures import ThreadPoolExecutor

    # Not pytest's tmp_path: a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="mm") as folder, ThreadPoolExecutor(8) as executor:
        made = Loopback(folder)
        server = made.start(executor)
        try:
            yield made
        finally:
            made.close()
            server.stop(0).wait()
