"""The acts of a person on the page: become another user, send a message or a slash command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mm_asgi.host.http.headers import cookies
from mm_asgi.host.http.rules import SESSION_COOKIE, Login, find_login
from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.calls.posts import DISMISS
from mm_asgi.host.mattermost.mattermost import request_context
from mm_asgi.host.page.happened import action_of, hook_facts

if TYPE_CHECKING:
    from mm_asgi.host.http.headers import Header
    from mm_asgi.host.mattermost.mattermost import Mattermost

__all__ = ["Refused", "find_user", "login_cookies", "send_text"]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Ids and usernames, without characters that a cookie cannot carry."""

_NOBODY = "nobody"
"""A token that is not valid, which makes requests anonymous."""

_REJECTED = "Post rejected by plugin. "


class Refused(Exception):
    """The page refuses an act; the text is the reason.

    Attributes:
        status: the HTTP status of the answer.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def find_user(header: Header, default: str) -> tuple[str, str]:
    """Return where a request's user comes from, and the user's id, as the gateway finds them.

    The first is ``cookie``, ``default`` or ``nobody``.
    """
    token = next((value for _, value, _ in cookies(header, SESSION_COOKIE)), "")
    if not token:
        return ("default", default) if default else ("nobody", "")
    login = find_login(token)
    return ("nobody", "") if login is None or login.mfa else ("cookie", login.user)


def login_cookies(mm: Mattermost, kind: str, user: str) -> list[str]:
    """Return the Set-Cookie lines that log a browser in or out, as app/login.go sets them.

    Args:
        mm: the server.
        kind: ``user`` logs ``user`` in, ``nobody`` logs out, ``default`` returns to the default user.
        user: a name or an id; it is created if there is none.

    Raises:
        Refused: the name is invalid, or there is no such kind.
    """
    if kind == "user":
        if not _NAME.fullmatch(user):
            raise Refused(
                400, "a user's name has 1 to 64 letters, digits, dots, hyphens, underscores"
            )
        found = mm.users.get(user) or mm.users.find(user.lower())
        user_id = found.id if found is not None else user.lower()
        mm.log_in(user_id)
        return [
            f"{SESSION_COOKIE}=token-{user_id}; Path=/; HttpOnly; SameSite=Lax",
            f"MMUSERID={user_id}; Path=/; SameSite=Lax",
            f"MMCSRF={Login(user_id).csrf}; Path=/; SameSite=Lax",
        ]
    if kind not in ("nobody", "default"):
        raise Refused(400, "expected as: user, nobody or default")
    token = (
        f"{SESSION_COOKIE}={_NOBODY if kind == 'nobody' else ''}; Path=/; HttpOnly; SameSite=Lax"
    )
    return [
        token if kind == "nobody" else f"{token}; Max-Age=0",
        "MMUSERID=; Path=/; SameSite=Lax; Max-Age=0",
        "MMCSRF=; Path=/; SameSite=Lax; Max-Age=0",
    ]


async def send_text(mm: Mattermost, user_id: str, channel: str, text: str) -> dict[str, Any]:
    """Post a text, or run it as a command if it begins with a slash, and return the outcome.

    ``outcome`` is ``posted``, ``answered``, ``rejected`` or ``dismissed`` (by the plugin) or
    ``refused`` (by the server, or after an error of the plugin).

    Raises:
        Refused: there is no such channel, or no text.
    """
    if channel not in mm.channels and mm.channels.find(channel) is None:
        raise Refused(404, "there is no such channel")
    if not text.strip():
        raise Refused(400, "there is no text")
    if not user_id:
        nobody = "nobody is logged in: choose a user first"
        return {"outcome": "refused", "text": nobody, "action": "", "hooks": []}
    mm.log_in(user_id)
    context = request_context()
    facts: dict[str, Any]
    try:
        if text.startswith("/"):
            response = await mm.execute_command(user_id, channel, text, context=context)
            facts = {
                "outcome": "answered",
                "text": response.text,
                "to": "all" if response.response_type == "in_channel" else "you",
                "goto": response.goto_location,
            }
        else:
            post = await mm.post(channel, user_id, text, context=context)
            facts = {"outcome": "posted", "text": post.message, "before": text, "post": post.id}
    except AppError as exc:
        facts = _refusal_facts(exc)
    facts["action"] = context.request_id
    facts["hooks"] = [
        hook_facts(hook) for hook in mm.hook_calls if action_of(hook) == context.request_id
    ]
    return facts


def _refusal_facts(exc: AppError) -> dict[str, Any]:
    if exc.id == DISMISS:
        return {"outcome": "dismissed", "text": ""}
    if exc.id.startswith(_REJECTED):
        return {"outcome": "rejected", "text": exc.id.removeprefix(_REJECTED)}
    details = f" ({exc.detailed_error})" if exc.detailed_error else ""
    return {"outcome": "refused", "text": f"{exc.message}{details}", "id": exc.id}
