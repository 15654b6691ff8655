"""A plugin that tells what it has seen of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi import Plugin, Reject
from tests.contract.apps import catalog

if TYPE_CHECKING:
    from mm_asgi import types
    from mm_asgi.requester import Identity

plugin = Plugin(catalog.app)


@plugin.hook
async def user_will_log_in(context: Identity, user: types.User) -> None:
    seen = [user.username, user.email, user.password, user.auth_data, user.mfa_secret]
    raise Reject(", ".join(map(repr, seen)))
