"""A plugin's side of the API for tests: grpcio's own client, and the wire contract's table."""

from __future__ import annotations

import csv
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from mm_asgi.host.mattermost import APIServer, Mattermost
from mm_asgi.host.plugin.log import HostLog
from mm_asgi.protocol import api_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TABLE = Path(__file__).resolve().parents[4] / "proto" / "tables" / "api.tsv"
METHODS = api_pb2.DESCRIPTOR.services_by_name["PluginAPI"].methods_by_name
SERVICE = "/mattermost.pluginapi.v1.PluginAPI/"


@cache
def contract() -> dict[str, dict[str, str]]:
    """api.tsv: RPC name to its row."""
    with TABLE.open() as file:
        return {row["rpc"]: row for row in csv.DictReader(file, delimiter="\t")}


@dataclass(frozen=True)
class Failure:
    """How a call failed: ``status`` or ``response``, the gRPC status, the AppError's id."""

    channel: str
    code: str
    id: str


class Client:
    """Calls by name: ``await client.GetUser(user_id="alice")`` is the response, errors and all."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        method = METHODS[name]
        request = GetMessageClass(method.input_type)
        call: Any = self._channel.unary_unary(
            SERVICE + name,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return lambda **fields: call(request(**fields), timeout=10)

    async def failure(self, name: str, /, **fields: Any) -> Failure | None:
        """How the call fails; None: it does not."""
        try:
            response = await getattr(self, name)(**fields)
        except grpc.aio.AioRpcError as exc:
            return Failure("status", exc.code().name, (exc.details() or "").partition(": ")[0])
        if "error" in response.DESCRIPTOR.fields_by_name and response.HasField("error"):
            return Failure("response", str(response.error.status_code), response.error.id)
        return None


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[Mattermost, Client]]:
    """A Mattermost, and a client of its API over a real connection."""
    mattermost = Mattermost("com.example.demo", log=HostLog(), **options)
    server = APIServer(mattermost)
    await server.start()
    limits = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
    try:
        async with grpc.aio.insecure_channel(server.target, options=limits) as channel:
            yield mattermost, Client(channel)
    finally:
        await mattermost.hooks.close()
        await server.stop()
