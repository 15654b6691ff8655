"""Tests of an app that is to run as a plugin: without Mattermost, without a socket.

    import httpx
    from mm_asgi.testing import as_user

    transport = httpx.ASGITransport(as_user(app, "alice"))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get("/hello")  # the app sees /plugins/com.example.plugin/hello

Nothing here imports httpx or pytest: bring the client that you test with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mm_asgi.testing.asgi import Facts, as_user, lifespan

__all__ = ["Facts", "as_user", "lifespan"]


def __getattr__(name: str) -> Any:
    # Lazy as in mm_asgi itself: what is not used is not loaded.
    import importlib

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(".asgi", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
