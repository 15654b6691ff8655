"""A Starlette app as its documentation would have it; nothing here knows mm_asgi."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

BLOCK = bytes(range(256)) * 256  # 64 KiB


async def home(request: Request) -> Response:
    return JSONResponse(
        {
            "home": str(request.url_for("home")),
            "file": str(request.url_for("static", path="hello.txt")),
            "leaf": str(request.url_for("branch:leaf", name="twig")),
            "url": str(request.url),
            "root_path": request.scope["root_path"],
        }
    )


async def away(request: Request) -> Response:
    return RedirectResponse(request.url_for("home"))


async def count(request: Request) -> Response:
    request.session["count"] = request.session.get("count", 0) + 1
    return PlainTextResponse(str(request.session["count"]))


async def upload(request: Request) -> Response:
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return JSONResponse({"size": size, "sha256": digest.hexdigest()})


async def download(request: Request) -> Response:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(int(request.query_params["blocks"])):
            yield BLOCK

    return StreamingResponse(blocks(), media_type="application/octet-stream")


async def fail(request: Request) -> Response:
    raise RuntimeError("the secret of starlette")


async def leaf(request: Request) -> Response:
    return PlainTextResponse(f"{request.path_params['name']} {request.url.path}")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()


class Stamp(BaseHTTPMiddleware):
    """The middleware that runs the app in a task group of its own and wraps receive and send."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-stamp"] = request.url.path
        return response


app = Starlette(
    routes=[
        Route("/", home, name="home"),
        Route("/away", away),
        Route("/count", count),
        Route("/upload", upload, methods=["POST"]),
        Route("/download", download),
        Route("/fail", fail),
        WebSocketRoute("/socket", socket),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "files"), name="static"),
        Mount("/branch", routes=[Route("/{name}", leaf, name="leaf")], name="branch"),
    ],
    middleware=[
        Middleware(Stamp),
        Middleware(SessionMiddleware, secret_key="for tests only"),
        Middleware(GZipMiddleware, minimum_size=100_000),
    ],
)
