"""A FastAPI app as its documentation would have it; nothing here knows mm_asgi."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, Form, HTTPException, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"journal": ["started"]}


app = FastAPI(title="Orders", lifespan=lifespan)


class Order(BaseModel):
    """What a client orders."""

    name: str
    count: int = 1


async def opened(request: Request) -> AsyncIterator[list[str]]:
    request.state.journal.append("opened")
    try:
        yield request.state.journal
    except HTTPException as exc:
        request.state.journal.append(f"saw {exc.status_code}")
        raise
    finally:
        request.state.journal.append("closed")


Journal = Annotated[list[str], Depends(opened)]


@app.get("/journal")
async def journal(request: Request) -> list[str]:
    return list(request.state.journal)


@app.post("/orders", status_code=201)
async def order(order: Order) -> Order:
    return order


@app.post("/form")
async def form(name: Annotated[str, Form()], count: Annotated[int, Form()]) -> dict[str, Any]:
    return {"name": name, "count": count}


@app.post("/files")
async def files(file: UploadFile) -> dict[str, Any]:
    data = await file.read()
    return {
        "name": file.filename,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


@app.get("/later")
async def later(tasks: BackgroundTasks, request: Request) -> dict[str, bool]:
    tasks.add_task(request.state.journal.append, "later")
    return {"ok": True}


@app.get("/depends")
async def depends(journal: Journal) -> list[str]:
    journal.append("used")
    return list(journal)


@app.get("/depends/refused")
async def refused(journal: Journal) -> None:
    raise HTTPException(418, "no coffee")


@app.get("/events")
async def events() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


@app.get("/fail")
async def fail() -> None:
    raise RuntimeError("the secret of fastapi")
