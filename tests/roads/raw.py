"""Road w: raw messages from the Go host to a plugin process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest, ServeHTTPResponse
from tests.roads.host_road import HostRoad
from tests.roads.messages import RPC, MessageRoad

if TYPE_CHECKING:
    from tests.roads.hosts import RunningHost
    from tests.roads.messages import Messages

__all__ = ["RawRPC", "RawRoad"]


class RawRPC(RPC):
    """A stream that the Go host drives step by step."""

    def __init__(self, host: RunningHost, number: str) -> None:
        super().__init__()
        self._host = host
        self._path = f"/raw/{number}"
        self._closed = False

    async def _do(self, *steps: dict[str, Any]) -> list[str | None]:
        if self._closed:
            return []
        done = await self._host.control(self._path, list(steps))
        for facts in done["messages"]:
            self.got.add(json_format.ParseDict(facts["message"], ServeHTTPResponse()))
        if done["status"]:
            self.got.code, self.got.text = done["status"]["number"], done["status"]["message"]
            assert done["trailers"] is None or "secret" not in str(done["trailers"])
        return [step["error"] for step in done["steps"]]

    async def send(self, *messages: ServeHTTPRequest) -> bool:
        errors = await self._do(*map(_send_step, messages)) if messages else []
        return not any(error and "held back" in error for error in errors)

    async def half_close(self) -> None:
        await self._do({"close_send": True})

    async def receive(self) -> ServeHTTPResponse | None:
        before = len(self.got.messages)
        await self._do({"recv": 1})
        return self.got.messages[before] if len(self.got.messages) > before else None

    async def rest(self) -> Messages:
        await self._do({"recv": "all"})
        assert self.got.code >= 0, "the RPC did not end"
        if not self._closed:
            self._closed = True
            await self._host.control(f"{self._path}/close")
        return self.got

    async def cancel(self) -> None:
        await self._do({"cancel": True})


def _send_step(message: ServeHTTPRequest) -> dict[str, Any]:
    # As bytes: JSON takes no text that is half a character, nor wrong messages.
    return {"send_hex": message.SerializeToString().hex(), "timeout_ms": 500}


class RawRoad(HostRoad, MessageRoad):
    """w: raw messages to a plugin process."""

    kind = "w"

    async def stream(self, *messages: ServeHTTPRequest, window: int | None = None) -> RawRPC:
        assert window is None, "gRPC's own window is what there is"
        opened = await self.host.control("/raw/open", list(map(_send_step, messages)))
        return RawRPC(self.host, opened["id"])
