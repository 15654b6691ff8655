"""The app behind the simulated host's tests; it waits for the test and never for the clock."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MEGABYTE = bytes(range(256)) * 4096


class Shop:
    """What the requests share."""

    def __init__(self) -> None:
        self.go = asyncio.Semaphore(0)
        self.left = asyncio.Event()
        self.entered = asyncio.Event()


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # From outside, without a request.
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, shop.go.release)
    yield
    if os.environ.get("SHOP_HANGS"):
        await asyncio.Event().wait()


shop = Shop()
app = FastAPI(lifespan=lifespan)


@app.get("/hello")
async def hello(request: Request) -> dict[str, Any]:
    identity = request.scope["extensions"]["mattermost"]
    return {
        "pid": os.getpid(),
        "root_path": request.scope["root_path"],
        "user": identity["user_id"],
    }


@app.get("/events")
async def events() -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        try:
            for number in range(1000):
                yield f"data: {number}\n\n"
                await shop.go.acquire()
        finally:
            shop.left.set()

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.post("/go")
async def go() -> None:
    shop.go.release()


@app.get("/left")
async def left() -> str:
    await shop.left.wait()
    return "left"


@app.post("/slow")
async def slow() -> int:
    """Answers only when told: a request that is under way."""
    shop.entered.set()
    await shop.go.acquire()
    return os.getpid()


@app.get("/entered")
async def entered() -> None:
    await shop.entered.wait()


@app.put("/body")
async def body(request: Request) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return {"sha256": digest.hexdigest(), "size": size}


@app.get("/body/{megabytes}")
async def download(megabytes: int) -> StreamingResponse:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(megabytes):
            yield MEGABYTE

    return StreamingResponse(stream(), media_type="application/octet-stream")


@app.post("/refuse")
async def refuse() -> Response:
    return Response("too large", 413)


@app.post("/print")
async def print_a_lot(megabytes: int) -> str:
    for _ in range(megabytes):
        print("x" * (1 << 20))  # noqa: T201 - what this test is about
    return "printed"


@app.post("/crash")
async def crash() -> None:
    os._exit(7)


@app.get("/who")
async def who(mattermost_user_id: Annotated[str | None, Header()] = None) -> str | None:
    return mattermost_user_id
