"""What the tests of the request's body share: messages of it, and requests that are not waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest
from tests.roads import build_init

if TYPE_CHECKING:
    from tests.roads import RPC, Exchange, MessageRoad, Road

__all__ = ["CHUNK", "DISCONNECT", "GONE", "KIB", "MIB", "REQUEST", "begin", "chunk", "post"]

KIB = 1024
MIB = KIB * KIB
CHUNK = b"x" * 64 * KIB
REQUEST, DISCONNECT = "http.request", "http.disconnect"
GONE = [DISCONNECT, 0, None]


def chunk(data: bytes = b"", *, last: bool = False) -> ServeHTTPRequest:
    """A message of the body."""
    return ServeHTTPRequest(body_chunk=data, body_complete=last)


async def post(
    road: MessageRoad, target: str, length: int | None, *messages: ServeHTTPRequest
) -> tuple[str, RPC]:
    """A POST as messages of which the first has the init alone; its token and its stream."""
    token = road.token()
    init = build_init("POST", target, [("X-Token", token)], length=length)
    return token, await road.stream(ServeHTTPRequest(init=init), *messages)


async def begin(road: Road, case: str, length: int | None = 0) -> tuple[str, Exchange]:
    """A POST that is not waited for; its token."""
    exchange = await road.begin(case, method="POST", length=length)
    return exchange.token, exchange
