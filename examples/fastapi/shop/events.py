"""Server-sent events: a clock that ticks, and a feed that is idle until something happens."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from shop.dependencies import CurrentShop
from shop.store import Shop

router = APIRouter(prefix="/events", tags=["events"])


@router.get("/ticks", response_class=EventSourceResponse)
async def ticks(
    count: Annotated[int | None, Query(ge=1)] = None,
    interval: Annotated[float, Query(ge=0)] = 1.0,
) -> AsyncIterator[ServerSentEvent]:
    """One event a tick, for ever or `count` of them; FastAPI's own SSE."""
    for tick in itertools.count(1):
        yield ServerSentEvent(data={"tick": tick}, event="tick", id=str(tick))
        if tick == count:
            return
        await asyncio.sleep(interval)


@router.get("/news", response_class=StreamingResponse)
async def news(shop: CurrentShop) -> StreamingResponse:
    """Orders and watchers as they come; Starlette's plain streaming."""
    return StreamingResponse(
        _news(shop), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )


async def _news(shop: Shop) -> AsyncIterator[str]:
    async for item in shop.watch():
        yield f"event: {item.kind}\ndata: {item.model_dump_json()}\n\n"
