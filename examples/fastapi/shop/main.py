"""The app: run it as a plugin (plugin.py), or alone (`uvicorn shop.main:app`)."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from mm_asgi.contrib.fastapi import API, OptionalUserID, docs
from mm_asgi.errors import APIError
from shop import events, files, orders
from shop.dependencies import CurrentShop
from shop.store import Shop

logger = logging.getLogger("shop")

STATIC = Path(__file__).parent / "static"


class State(TypedDict):
    shop: Shop


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    app.state.started = datetime.now(UTC)
    yield {"shop": Shop()}


# ReDoc is off because FastAPI's page loads it from the internet.
app = FastAPI(title="Shop", version="0.1.0", lifespan=lifespan, redoc_url=None)
docs(app)  # instead of FastAPI's page: works offline, and "Try it out" as the logged-in user
app.include_router(orders.router)
app.include_router(files.router)
app.include_router(events.router)
app.mount("/static", StaticFiles(directory=STATIC), name="static")


class Status(BaseModel):
    started: datetime
    orders: int
    watchers: int


class User(BaseModel):
    id: str | None
    username: str | None = None


@app.get("/", include_in_schema=False)
async def index() -> FileResponse:
    return FileResponse(STATIC / "index.html")


@app.get("/status")
async def status(request: Request, shop: CurrentShop) -> Status:
    return Status(
        started=request.app.state.started, orders=len(shop.orders), watchers=shop.watchers
    )


@app.get("/me")
async def me(user: OptionalUserID, api: API) -> User:
    """Who asks; the name is Mattermost's, and null where its API cannot be asked."""
    if user is None:
        return User(id=None)
    try:
        found = await api.get_user(user_id=user)
    except APIError as error:  # no Mattermost around (uvicorn, tests), or it has no such user
        logger.warning("the user's name: %s", error)
        return User(id=user)
    return User(id=user, username=found.username)
