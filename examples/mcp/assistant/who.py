"""Only Mattermost users may ask, and a session belongs to the one who opened it."""

from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mm_asgi import identity

NOBODY = "Send 'Authorization: Bearer TOKEN' with a personal access token of Mattermost.\n"


class MattermostUser:
    """Middleware: 401 for who is not logged in, else the user for the MCP library."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            user_id = identity(scope).user_id
            if user_id is None:
                await PlainTextResponse(NOBODY, 401)(scope, receive, send)
                return
            # The library compares it with that of the request which opened the session: another
            # user's session id is answered as one that does not exist.
            token = AccessToken(token="", client_id="mattermost", scopes=[], subject=user_id)
            scope["user"] = AuthenticatedUser(token)
        await self.app(scope, receive, send)


def user_of(request: Any) -> str:
    """The user of the request that carried a tool's call."""
    user_id = identity(request.scope).user_id
    if user_id is None:
        raise LookupError("the request has no user; is MattermostUser among the app's middleware?")
    return user_id
