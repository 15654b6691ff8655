"""Plain ASGI without a framework: hello, a body up, a body down, events. Routed by the path's end,
for a plugin's path has its prefix and a proxied one has none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

HELLO = b"Hello, world!"
CHUNK = bytes(64 * 1024)
EVENT = b"data: %08d\n\n"
EVENT_SIZE = len(EVENT % 0)
PERIOD = 1.0
"""Seconds from one event to the next."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError(f"this app has no {scope['type']}")
    await ROUTES[scope["path"].rpartition("/")[2]](scope, receive, send)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, 200, HELLO)


async def up(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and forget it; 500 when it is not as long as was announced."""
    size, more = 0, True
    while more:
        event = await receive()
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    expected = int(dict(scope["headers"])[b"content-length"])
    await answer(send, 200 if size == expected else 500, b"%d" % size)


async def down(scope: Scope, receive: Receive, send: Send) -> None:
    left = _number(scope, "bytes")
    await start(send, 200, b"application/octet-stream", b"%d" % left)
    while left > len(CHUNK):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        left -= len(CHUNK)
    await send({"type": "http.response.body", "body": CHUNK[:left]})


async def events(scope: Scope, receive: Receive, send: Send) -> None:
    """An event at once, then one each PERIOD."""
    count = _number(scope, "count")
    await start(send, 200, b"text/event-stream")
    for number in range(count):
        if number:
            await asyncio.sleep(PERIOD)
        more = number + 1 < count
        await send({"type": "http.response.body", "body": EVENT % number, "more_body": more})


async def answer(send: Send, status: int, body: bytes) -> None:
    await start(send, status, b"text/plain", b"%d" % len(body))
    await send({"type": "http.response.body", "body": body})


async def start(send: Send, status: int, kind: bytes, length: bytes | None = None) -> None:
    headers = [(b"content-type", kind)]
    if length is not None:
        headers.append((b"content-length", length))
    await send({"type": "http.response.start", "status": status, "headers": headers})


def _number(scope: Scope, name: str) -> int:
    return int(parse_qs(scope["query_string"].decode())[name][0])


ROUTES = {"hello": hello, "up": up, "down": down, "events": events}
