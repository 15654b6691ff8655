"""All parcels, each time that something has changed: as server-sent events and over a WebSocket.

In a plugin only the events arrive: Mattermost has no way to hand a WebSocket to it.
"""

import json
from collections.abc import AsyncIterator

from starlette.requests import HTTPConnection, Request
from starlette.responses import StreamingResponse
from starlette.websockets import WebSocket


async def events(request: Request) -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        async for text in _news(request):
            yield f"data: {text}\n\n"

    return StreamingResponse(
        stream(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )


async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in _news(websocket):
        await websocket.send_text(text)


async def _news(connection: HTTPConnection) -> AsyncIterator[str]:
    async for parcels in connection.state.relay.watch():
        yield json.dumps([parcel.facts() for parcel in parcels])
