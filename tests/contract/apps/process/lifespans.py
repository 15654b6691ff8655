"""Each way that an app can treat the lifespan protocol, well or badly (rows L1, L3)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.contract.apps.process.process_bell import hold_here, ring
from tests.contract.apps.process.process_parts import answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.contract.apps.process.process_parts import Receive, Scope, Send

    Lifespan = Callable[[Receive, Send], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]


def serving(lifespan: Lifespan) -> App:
    """An app with this lifespan that answers every request."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        else:
            ring("hello")
            await answer(send, scope["state"].get("greeting", "no state"))

    return app


async def without(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http", "this app knows http only"
    await answer(send, "served")


@serving
async def silent(receive: Receive, send: Send) -> None:
    """Returns without a look at its events."""


@serving
async def raises(receive: Receive, send: Send) -> None:
    await receive()
    raise LookupError("no database")


@serving
async def refuses(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the database is closed"})


@serving
async def returns(receive: Receive, send: Send) -> None:
    await receive()


@serving
async def mistypes(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.completed"})


@serving
async def exits(receive: Receive, send: Send) -> None:
    await receive()
    sys.exit("cannot go on")


@serving
async def waits(receive: Receive, send: Send) -> None:
    """Starts up when the test says so, then shuts down."""
    await receive()
    await hold_here("startup")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    ring("shutdown")
    await send({"type": "lifespan.shutdown.complete"})


@serving
async def dies(receive: Receive, send: Send) -> None:
    """Starts, and fails later, outside of any event."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    raise LookupError("the poller failed")


@serving
async def hangs(receive: Receive, send: Send) -> None:
    """Does not come to the end of its shutdown."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await hold_here("shutdown")


async def stateful(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        scope["state"]["greeting"] = "from the lifespan"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await answer(send, scope["state"]["greeting"])
