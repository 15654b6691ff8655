"""The app: run it as a plugin (plugin.py), or alone (`uvicorn relay.app:app`)."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from mm_asgi.contrib.starlette import AuthenticationBackend
from relay import activity, pages
from relay.parcels import ParcelEndpoint, latest
from relay.store import Relay

STATIC = Path(__file__).parent / "static"
# Without a key of its own every start has another, and so forgets the sessions.
SECRET = os.environ.get("RELAY_SECRET") or secrets.token_hex()


class State(TypedDict):
    relay: Relay


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    yield {"relay": Relay()}


app = Starlette(
    routes=[
        Route("/", pages.home, name="home"),
        Route("/name", pages.set_name, methods=["POST"], name="set_name"),
        Route("/latest", latest),
        Route("/parcels/{name}", ParcelEndpoint, name="parcel"),
        Route("/activity", activity.events, name="activity"),
        WebSocketRoute("/live", activity.live, name="live"),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ],
    middleware=[
        Middleware(SessionMiddleware, secret_key=SECRET),
        Middleware(AuthenticationMiddleware, backend=AuthenticationBackend()),  # Mattermost's user
    ],
    lifespan=lifespan,
)
