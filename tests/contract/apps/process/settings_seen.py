"""A plugin that keeps what ``plugin.config`` was at each moment of its life (row S7)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mm_asgi import Plugin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SEEN: list[list[Any]] = []


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[..., Any]
) -> None:
    if scope["type"] == "lifespan":
        await receive()
        SEEN[:] = [["lifespan.startup", plugin.config]]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["method"] == "POST":
        await plugin.api.save_plugin_config(config={"Greeting": "bye"})
    body = json.dumps([*SEEN, ["a request", plugin.config]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


plugin = Plugin(app)


@plugin.hook
async def on_configuration_change(context: object) -> None:
    SEEN.append(["on_configuration_change", plugin.config])


@plugin.hook
async def on_activate(context: object) -> None:
    SEEN.append(["on_activate", plugin.config])
