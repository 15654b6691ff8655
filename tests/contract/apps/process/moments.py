"""A plugin that stops in the middle of one thing, which PROCESS_MOMENT names, until the test lets it go on.

The moment "handshake" is start.py's, and the moment "call" the host's, which holds the call.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from mm_asgi import Plugin
from tests.contract.apps.process.process_bell import hold, hold_here, ring
from tests.contract.apps.process.process_parts import answer, route

if TYPE_CHECKING:
    from tests.contract.apps.process.process_parts import Receive, Scope, Send

MOMENT = os.environ.get("PROCESS_MOMENT", "")
PIECE = bytes(range(256)) * 1000

if MOMENT == "import":
    hold(MOMENT)
    ring(f"{MOMENT} goes on")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        if MOMENT == "OnActivate":
            await stop_here()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await ROUTES[route(scope)](receive, send)


async def stop_here() -> None:
    await hold_here(MOMENT)
    ring(f"{MOMENT} goes on")


async def hello(receive: Receive, send: Send) -> None:
    await answer(send, "hello")


async def body(receive: Receive, send: Send) -> None:
    """Stop behind the body's first piece; answer with the hash of all of it."""
    event = await receive()
    digest = hashlib.sha256(event["body"])
    await stop_here()
    while event["more_body"]:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        digest.update(event["body"])
    await answer(send, digest.hexdigest())


async def half(receive: Receive, send: Send) -> None:
    """Stop between the two pieces of an answer."""
    headers = [(b"content-length", str(2 * len(PIECE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await stop_here()
    await send({"type": "http.response.body", "body": PIECE})


async def call(receive: Receive, send: Send) -> None:
    await answer(send, (await plugin.api.get_user(user_id="alice")).username)


plugin = Plugin(app)
ROUTES = {"": hello, "body": body, "answer": half, "call": call}
