"""contrib.starlette with Starlette as released, behind as_user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from mm_asgi.contrib.starlette import (
    AuthenticationBackend,
    api,
    blocking_api,
    require_permission,
    require_user,
    user_id,
)
from tests.unit.contrib.served import client, mattermost_api

if TYPE_CHECKING:
    from starlette.requests import Request


async def who(request: Request) -> JSONResponse:
    user = request.user
    return JSONResponse(
        {
            "id": getattr(user, "id", None),
            "authenticated": user.is_authenticated,
            "name": user.display_name,
            "scopes": request.auth.scopes,
            "user_id": user_id(request),
        }
    )


@requires("authenticated")
async def users_only(request: Request) -> JSONResponse:
    return JSONResponse(request.user.identity)


@requires("plugin")
async def plugins_only(request: Request) -> JSONResponse:
    return JSONResponse("in")


async def required(request: Request) -> JSONResponse:
    return JSONResponse(require_user(request))


async def name(request: Request) -> JSONResponse:
    here = await api().get_user(user_id=request.user.id)
    there = await run_in_threadpool(lambda: blocking_api().get_user(user_id=request.user.id))
    return JSONResponse([here.username, there.username])


async def manage(request: Request) -> JSONResponse:
    return JSONResponse(await require_permission(request, "manage_team", team_id="t"))


app = Starlette(
    routes=[
        Route(f"/{function.__name__}", function, methods=["GET", "POST"])
        for function in (who, users_only, plugins_only, required, name, manage)
    ],
    middleware=[Middleware(AuthenticationMiddleware, backend=AuthenticationBackend())],
)


async def test_a_user() -> None:
    async with client(app) as alice:
        assert (await alice.get("who")).json() == {
            "id": "alice",
            "authenticated": True,
            "name": "alice",
            "scopes": ["authenticated"],
            "user_id": "alice",
        }
        assert (await alice.get("users_only")).json() == "alice"
        assert (await alice.get("required")).json() == "alice"
        assert (await alice.get("plugins_only")).status_code == 403


NOBODY: dict[str, Any] = {
    "id": None,
    "authenticated": False,
    "name": "",
    "scopes": [],
    "user_id": None,
}


async def test_nobody() -> None:
    async with client(app, None) as nobody:
        claim = {"Mattermost-User-Id": "mallory"}
        assert (await nobody.get("who", headers=claim)).json() == NOBODY
        assert (await nobody.get("users_only")).status_code == 403
        assert (await nobody.get("required")).status_code == 401


async def test_another_plugin() -> None:
    async with client(app, None, source_plugin_id="com.example.other") as plugin:
        assert (await plugin.get("who")).json() == NOBODY | {"scopes": ["plugin"]}
        assert (await plugin.get("plugins_only")).json() == "in"
    async with client(app, "alice", source_plugin_id="com.example.other") as plugin:
        assert (await plugin.get("who")).json()["scopes"] == ["authenticated", "plugin"]


async def test_under_another_server_a_header_is_no_proof() -> None:
    transport = httpx.ASGITransport(app)
    claim = {"Mattermost-User-Id": "mallory"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as anybody:
        assert (await anybody.get("/who", headers=claim)).json() == NOBODY
        assert (await anybody.get("/required", headers=claim)).status_code == 401


async def test_the_api_is_there_for_coroutines_and_threads() -> None:
    async with mattermost_api() as (_, connected), client(app, api=connected) as alice:
        assert (await alice.get("name")).json() == ["alice", "alice"]


@pytest.mark.parametrize(("user", "status"), [("alice", 403), ("sysadmin", 200), (None, 401)])
async def test_permissions(user: str | None, status: int) -> None:
    async with mattermost_api() as (_, connected), client(app, user, api=connected) as asking:
        assert (await asking.get("manage")).status_code == status
