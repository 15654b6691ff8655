"""One gRPC connection to a plugin, with grpcio's blocking client, as the host uses it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from mm_asgi.protocol import (
    empty_pb2,
    goplugin_pb2,
    health_pb2,
    hooks_http_pb2,
    hooks_lifecycle_pb2,
)
from tests.roads.process.bell import WAIT
from tests.roads.road import PLUGIN_ID, Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

    from tests.roads.road import Headers

__all__ = ["Peer", "Request"]

SERVICE = "/mattermost.pluginapi.v1.PluginHooks/"
SHUTDOWN = "/plugin.GRPCController/Shutdown"
STDIO = "/plugin.GRPCStdio/StreamStdio"
BROKER = "/plugin.GRPCBroker/StartStream"
HEALTH = "/grpc.health.v1.Health/Check"


@dataclass(slots=True)
class Request:
    """A ServeHTTP stream that is under way. Its deadline is a test's bound."""

    call: Any
    status: int = 0
    headers: Headers = field(default_factory=list)
    complete: bool = False

    def read(self) -> bytes | None:
        """The next body chunk; None at the end."""
        try:
            message = next(self.call, None)
        except grpc.RpcError:
            return None
        if message is None:
            return None
        if message.HasField("init"):
            self.status = message.init.status_code or 200
            self.headers = [(h.key, value) for h in message.init.headers for value in h.values]
        self.complete = message.body_complete
        return bytes(message.body_chunk)

    def answer(self) -> Answer:
        """Read to the end."""
        body = b"".join(iter(self.read, None))
        assert self.complete, f"the response was cut: {self.call.code()} {self.call.details()}"
        return Answer(self.status, self.headers, body)

    def leave(self) -> None:
        """What a browser does that closes its tab."""
        self.call.cancel()


class Peer:
    """A connection to the address of a handshake; over TLS with ``credentials``."""

    def __init__(
        self, handshake: Sequence[str], credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        core, app, network, address, protocol = handshake[:5]
        assert (core, app, protocol) == ("1", "1", "grpc"), handshake
        target = f"unix:{address}" if network == "unix" else address
        # A channel of its own: grpcio shares connections between channels with equal options.
        options: list[tuple[str, int | str]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            # What go-plugin's client expects the certificate to say, whatever it dials.
            options.append(("grpc.ssl_target_name_override", "localhost"))
            self._channel = grpc.secure_channel(target, credentials, options)
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()
        self._channel.close()

    def send(
        self, path: str, request: Message, answer: type[Message], timeout: float = WAIT
    ) -> Any:
        """Begin a unary call; a future."""
        call: Any = self._channel.unary_unary(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call.future(request, timeout=timeout, wait_for_ready=False)

    def send_hook(self, name: str, timeout: float = WAIT) -> Any:
        """Begin a call of a lifecycle hook; a future."""
        request = getattr(hooks_lifecycle_pb2, f"{name}Request")()
        answer = getattr(hooks_lifecycle_pb2, f"{name}Response")
        return self.send(SERVICE + name, request, answer, timeout)

    def hook(self, name: str, timeout: float = WAIT) -> Any:
        return self.send_hook(name, timeout).result()

    def implemented(self) -> list[str]:
        return list(self.hook("Implemented").hooks)

    def activate(self) -> str | None:
        """OnActivate; its error as the host shows it, which drops the message."""
        answer = self.hook("OnActivate")
        return answer.error.detailed_error if answer.HasField("error") else None

    def is_healthy(self) -> bool:
        request = health_pb2.HealthCheckRequest(service="plugin")
        answer = self.send(HEALTH, request, health_pb2.HealthCheckResponse).result()
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def shutdown(self) -> float:
        """The controller's Shutdown; the seconds until it was answered."""
        began = time.monotonic()
        self.send(SHUTDOWN, goplugin_pb2.Empty(), goplugin_pb2.Empty).result()
        return time.monotonic() - began

    def hold_open(self) -> tuple[Any, Any]:
        """The streams of stdio and broker, which the host opens right after it has dialled."""
        stdio = self._channel.unary_stream(
            STDIO,
            request_serializer=empty_pb2.Empty.SerializeToString,
            response_deserializer=goplugin_pb2.StdioData.FromString,
        )
        broker = self._channel.stream_stream(
            BROKER,
            request_serializer=goplugin_pb2.ConnInfo.SerializeToString,
            response_deserializer=goplugin_pb2.ConnInfo.FromString,
        )
        # The host never half-closes the broker's stream: nothing comes until the end.
        silence: Any = iter(self._closed.wait, True)
        return stdio(empty_pb2.Empty()), broker(silence)

    def open(
        self, path: str = "/", headers: dict[str, str] | None = None, timeout: float = WAIT
    ) -> Request:
        """Begin a GET request; the path is below the plugin's."""
        init = hooks_http_pb2.ServeHTTPRequestInit(
            method="GET",
            url=path,
            request_uri=f"/plugins/{PLUGIN_ID}{path}",
            proto="HTTP/1.1",
            proto_major=1,
            proto_minor=1,
            host="chat.example.com",
            remote_addr="203.0.113.5:41000",
            content_length=0,
        )
        init.plugin_context.request_id = "request-1"
        for name, value in (headers or {}).items():
            init.headers.add(key=name, values=[value])
        call = self._channel.stream_stream(
            SERVICE + "ServeHTTP",
            request_serializer=hooks_http_pb2.ServeHTTPRequest.SerializeToString,
            response_deserializer=hooks_http_pb2.ServeHTTPResponse.FromString,
        )
        message = hooks_http_pb2.ServeHTTPRequest(init=init, body_complete=True)
        requests: Iterator[hooks_http_pb2.ServeHTTPRequest] = iter((message,))
        return Request(call(requests, timeout=timeout))

    def get(self, path: str = "/", headers: dict[str, str] | None = None) -> Answer:
        return self.open(path, headers).answer()
