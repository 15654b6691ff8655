"""Swagger UI for a FastAPI app: from the app's own server, and with Mattermost's CSRF token.

FastAPI's page loads Swagger UI from a CDN and takes no function, which the token needs. The assets
are those of the package fastapi-offline; why is in docs/decisions.
"""

from __future__ import annotations

import importlib.util
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi.encoders import jsonable_encoder
from fastapi.openapi.docs import get_swagger_ui_oauth2_redirect_html, swagger_ui_default_parameters
from starlette.responses import FileResponse, HTMLResponse
from starlette.routing import Route

from mm_asgi.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["docs"]

SCRIPT = Path(__file__).with_name("docs.js")
# No script in the page itself, for servers with a Content-Security-Policy; and an icon, so that
# the browser does not ask Mattermost for one.
PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="{base}/swagger-ui.css">
  <script src="{base}/swagger-ui-bundle.js" defer></script>
  <script src="{base}/docs.js" defer></script>
</head>
<body>
  <div id="swagger-ui" data-options="{options}"></div>
</body>
</html>
"""


def docs(app: FastAPI, path: str | None = None, *, assets: str | Path | None = None) -> None:
    """Serve Swagger UI at ``path`` so that "Try it out" is the logged-in user's, without a CDN.

    It takes the place of FastAPI's own page, and its ``swagger_ui_parameters`` and
    ``swagger_ui_init_oauth`` hold. Below ``path`` are its files.

    Args:
        app: the app; its ``openapi_url`` is on.
        path: by default the app's ``docs_url``, or ``/docs`` where that is off.
        assets: a folder with ``swagger-ui-bundle.js`` and ``swagger-ui.css``, such as
            swagger-ui-dist's; by default those of fastapi-offline.

    Raises:
        ConfigError: there are no assets, or the app has no schema.
    """
    if app.openapi_url is None:
        raise ConfigError("docs: the app has openapi_url=None; expected one, for the page shows it")
    folder = _installed() if assets is None else Path(assets)
    files = [folder / "swagger-ui-bundle.js", folder / "swagger-ui.css", SCRIPT]
    for file in files:
        if not file.is_file():
            raise ConfigError(f"docs: {file} is no file; expected Swagger UI's")
    path = "/" + (path or app.docs_url or "/docs").strip("/")
    below = path.rstrip("/")  # Mattermost mends a double slash by a redirect
    redirect = app.swagger_ui_oauth2_redirect_url
    # Before the app's own routes: FastAPI's page is among them, and a mount at "/" takes all.
    app.router.routes[:0] = [
        Route(path, _page(app, path), name="swagger_ui_html", include_in_schema=False),
        *(Route(f"{below}/{file.name}", _file(file), include_in_schema=False) for file in files),
        *([Route(redirect, _redirect, include_in_schema=False)] if redirect else []),
    ]


def _installed() -> Path:
    found = importlib.util.find_spec("fastapi_offline")  # not imported: its files are all we want
    if found is None or found.origin is None:
        raise ConfigError(
            "docs: fastapi-offline, which brings Swagger UI, is not installed;"
            " pip install 'mm-asgi[fastapi]', or give the folder of swagger-ui-dist as assets"
        )
    return Path(found.origin).with_name("static")


def _page(app: FastAPI, path: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> HTMLResponse:
        root = quote(request.scope.get("root_path", "").rstrip("/"))
        redirect = app.swagger_ui_oauth2_redirect_url
        options = {
            **swagger_ui_default_parameters,
            **(app.swagger_ui_parameters or {}),
            "url": f"{root}{app.openapi_url}",
            **({"oauth2RedirectUrl": root + redirect} if redirect else {}),
            "initOAuth": app.swagger_ui_init_oauth,
        }
        return HTMLResponse(
            PAGE.format(
                title=escape(f"{app.title} - Swagger UI"),
                base=escape(root + path.rstrip("/")),
                options=escape(json.dumps(jsonable_encoder(options))),
            )
        )

    return page


def _file(file: Path) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> FileResponse:
        return FileResponse(file)

    return answer


async def _redirect(request: Request) -> HTMLResponse:
    return get_swagger_ui_oauth2_redirect_html()
