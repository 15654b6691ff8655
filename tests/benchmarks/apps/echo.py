"""A plugin for a walk: an app that reads a short body and answers, and one hook."""

from __future__ import annotations

from typing import Any

from mm_asgi import Plugin

__all__ = ["app", "plugin"]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Echo the body; the host's length stands for Content-Length, as with most small apps."""
    if scope["type"] != "http":
        raise RuntimeError(f"this app has no {scope['type']}")
    event = await receive()
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": event["body"]})


plugin = Plugin(app)


@plugin.hook
async def message_will_be_posted(context: object, post: object) -> None:
    """Let the post pass."""
