"""What the apps share: types, a plain answer, a lifespan that does nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def answer(send: Send, text: object, status: int = 200) -> None:
    """A whole plain answer."""
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": str(text).encode()})


async def lifespan(
    receive: Receive, send: Send, say: Callable[[str], object] = lambda _: None
) -> None:
    """Both events answered; ``say`` hears of each before its answer."""
    for name in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{name}"
        say(name)
        await send({"type": f"lifespan.{name}.complete"})


def route(scope: Scope) -> str:
    """The path below the plugin's, without its slash."""
    path: str = scope["path"]
    return path.removeprefix(scope["root_path"]).lstrip("/")
