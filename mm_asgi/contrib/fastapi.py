"""FastAPI: the user and the host's API as dependencies, and ``/docs`` that works behind the host.

    from mm_asgi.contrib.fastapi import API, CurrentUser

    @app.post("/orders")
    async def order(user: CurrentUser, api: API) -> None:
        await api.create_post(post=Post(user_id=user.id, message=f"{user.username} ordered", ...))

Nothing here is needed to be a plugin: an app that does not ask stays as it is.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from mm_asgi import api as clients
from mm_asgi import types
from mm_asgi.contrib import common, starlette
from mm_asgi.contrib.swagger import docs

__all__ = [
    "API",
    "BlockingAPI",
    "CurrentUser",
    "CurrentUserID",
    "OptionalUser",
    "OptionalUserID",
    "docs",
    "require_permission",
]


# async, all of them: FastAPI would run a plain function in a thread.
async def _user_id(request: Request) -> str:
    return starlette.require_user(request)


async def _optional_user_id(request: Request) -> str | None:
    return common.user_id(request)


async def _user(request: Request) -> types.User:
    return await starlette.get_user(starlette.require_user(request))


async def _optional_user(request: Request) -> types.User | None:
    user_id = common.user_id(request)
    return None if user_id is None else await starlette.get_user(user_id)


async def _api() -> clients.AsyncAPI:
    return common.api()


async def _blocking_api() -> clients.API:
    return common.blocking_api()


CurrentUser = Annotated[types.User, Depends(_user)]
"""The Mattermost user, by one call of the host's API. Without a user the answer is 401, and 503 when
the API does not say who it is; the route is not called then."""

CurrentUserID = Annotated[str, Depends(_user_id)]
"""The Mattermost user's id, without a call; without one the answer is 401."""

OptionalUser = Annotated[types.User | None, Depends(_optional_user)]
"""The Mattermost user as in CurrentUser, or None for an anonymous request."""

OptionalUserID = Annotated[str | None, Depends(_optional_user_id)]
"""The Mattermost user's id, or None for an anonymous request."""

API = Annotated[clients.AsyncAPI, Depends(_api)]
"""The host's API, for ``async def`` routes. Where no plugin runs its calls raise Unavailable."""

BlockingAPI = Annotated[clients.API, Depends(_blocking_api)]
"""The same for ``def`` routes, which run in threads."""


def require_permission(*permissions: str, channel: str = "", team: str = "") -> Any:
    """Return a dependency that lets only users with all these permissions pass.

    ``dependencies=[require_permission("manage_system")]``, or as a parameter, which is the user's
    id: ``user: Annotated[str, require_permission("create_post", channel="channel_id")]``.

    Args:
        permissions: Mattermost's names.
        channel: the path parameter with the id of the channel to ask for; by default the server.
        team: the path parameter with the team's id.

    Raises:
        ValueError: no permission, or both a channel and a team.
        HTTPException: at a request: 401 nobody is logged in, 403 a permission is missing, 503 the
            host's API did not say.
    """
    if not permissions or (channel and team):
        raise ValueError(
            f"require_permission: {len(permissions)} permissions, channel={channel!r},"
            f" team={team!r}; expected at least one permission, and not both channel and team"
        )

    async def check(request: Request) -> str:
        place = {
            f"{kind}_id": _path_parameter(request, name)
            for kind, name in (("channel", channel), ("team", team))
            if name
        }
        return await starlette.require_permission(request, *permissions, **place)

    return Depends(check)


def _path_parameter(request: Request, name: str) -> str:
    """Return a parameter of the path alone: what is checked must be what the route uses."""
    value = request.path_params.get(name)
    if not value:
        raise LookupError(
            f"require_permission: the path {request.scope.get('path')!r} of this route has no"
            f" parameter {name!r}; expected one in the route's path"
        )
    return str(value)
