"""Starlette: Mattermost's user as ``request.user``, and the host's API.

    from mm_asgi.contrib.starlette import AuthenticationBackend

    app = Starlette(
        middleware=[Middleware(AuthenticationMiddleware, backend=AuthenticationBackend())]
    )

The functions need no middleware.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette import authentication
from starlette.authentication import AuthCredentials, BaseUser
from starlette.exceptions import HTTPException

from mm_asgi.contrib.common import api, blocking_api, user_id
from mm_asgi.errors import APIError
from mm_asgi.requester import identity

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from mm_asgi import types

__all__ = [
    "AuthenticationBackend",
    "User",
    "api",
    "blocking_api",
    "get_user",
    "require_permission",
    "require_user",
    "user_id",
]

logger = logging.getLogger("mm_asgi.contrib")

NOBODY = "Not logged in to Mattermost."
NO_TOKEN = (
    "Mattermost took the user away from this request: a request by cookie that is not a GET needs"
    " the header X-CSRF-Token with the value of the cookie MMCSRF."
)


class User(BaseUser):
    """``request.user`` of a Mattermost user.

    Attributes:
        id: the user's id in Mattermost.
    """

    def __init__(self, id: str) -> None:
        self.id = id

    @property
    def is_authenticated(self) -> bool:
        """True: a request without a user has Starlette's UnauthenticatedUser."""
        return True

    @property
    def display_name(self) -> str:
        """The id: the name is a call away, ``(await api().get_user(user_id=user.id)).username``."""
        return self.id

    @property
    def identity(self) -> str:
        """The id."""
        return self.id


class AuthenticationBackend(authentication.AuthenticationBackend):
    """The backend for AuthenticationMiddleware: it believes the host, and makes no call.

    ``request.auth.scopes`` has ``authenticated`` when there is a user, and ``plugin`` when another
    plugin, or the server itself, sent the request.
    """

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Return the user of a request; None where there is neither a user nor a plugin."""
        try:
            who = identity(conn.scope)
        except LookupError:  # no host around
            return None
        scopes = ["plugin"] if who.source_plugin_id else []
        if who.user_id is None:
            user = authentication.UnauthenticatedUser()
            return (AuthCredentials(scopes), user) if scopes else None
        return AuthCredentials(["authenticated", *scopes]), User(who.user_id)


def require_user(request: HTTPConnection) -> str:
    """Return the Mattermost user's id.

    Raises:
        HTTPException: 401, and why, when there is none.
    """
    found = user_id(request)
    if found is None:
        unsafe = request.scope.get("method", "GET") != "GET"
        lost = unsafe and not {"MMCSRF", "MMUSERID"}.isdisjoint(request.cookies)
        raise HTTPException(
            401,
            NO_TOKEN if lost else NOBODY,
            # RFC 9110 11.6.1 asks for it; programs log in so, and no browser opens a window.
            headers={"WWW-Authenticate": 'Bearer realm="Mattermost"'},
        )
    return found


async def get_user(user_id: str) -> types.User:
    """Return the Mattermost user with this id, by a call of the host's API.

    Raises:
        HTTPException: 503, the API did not say.
    """
    try:
        return await api().get_user(user_id=user_id)
    except APIError as exc:
        logger.error("the user of a request: %s; the request is refused", exc)
        raise HTTPException(503, "Mattermost could not be asked who you are.") from None


async def require_permission(
    request: HTTPConnection, *permissions: str, channel_id: str = "", team_id: str = ""
) -> str:
    """Return the id of the user, who has all these permissions in the channel, the team or the server.

    Args:
        request: whose user it is.
        permissions: Mattermost's names, such as ``manage_system`` or ``create_post``.
        channel_id: where they are asked for; a team's and the server's count there too.
        team_id: where they are asked for, without ``channel_id``.

    Raises:
        HTTPException: 401 nobody is logged in, 403 a permission is missing, 503 the host's API
            did not say.
    """
    user = require_user(request)
    client = api()
    for permission in permissions:
        facts = {"user_id": user, "permission_id": permission}
        try:
            if channel_id:
                has = await client.has_permission_to_channel(**facts, channel_id=channel_id)
            elif team_id:
                has = await client.has_permission_to_team(**facts, team_id=team_id)
            else:
                has = await client.has_permission_to(**facts)
        except APIError as exc:
            logger.error("permission %s of a user: %s; the request is refused", permission, exc)
            raise HTTPException(503, "Mattermost could not be asked for permissions.") from None
        if not has:
            raise HTTPException(403, f"This needs Mattermost's permission {permission}.")
    return user
