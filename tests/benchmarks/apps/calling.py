"""A plugin that calls the host's API again and again, and answers with what that took."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from mm_asgi import Plugin
from tests.benchmarks.api_client import calls
from tests.benchmarks.apps import raw

if TYPE_CHECKING:
    from collections.abc import Awaitable


async def app(scope: raw.Scope, receive: raw.Receive, send: raw.Send) -> None:
    """calls?workers=N&seconds=S; another path is a fault."""
    if scope["type"] != "http" or not scope["path"].endswith("/calls"):
        raise RuntimeError(f"this app has no {scope['type']} {scope.get('path')}")
    query = parse_qs(scope["query_string"].decode())

    def call() -> Awaitable[Any]:
        return plugin.api.get_user(user_id="alice")

    figures = await calls(call, int(query["workers"][0]), float(query["seconds"][0]))
    await raw.answer(send, 200, json.dumps(figures).encode())


plugin = Plugin(app)
