"""Tests of an app that is to run as a plugin: without Mattermost, in one process.

    from mm_asgi.testing import WireTransport

    async with WireTransport(app, user="alice") as transport:  # the app started, as by OnActivate
        async with httpx.AsyncClient(transport=transport, base_url=transport.base_url) as client:
            response = await client.get("/hello")  # /plugins/com.example.plugin/hello

With pytest the fixture ``mm`` is such a plugin in a Mattermost in memory (``MM``). ``check_app``
says what an app does wrong under ASGI. ``as_user`` wraps an app for ``httpx.ASGITransport``, where
nothing of the wire is wanted. docs/how-to/test.md compares them.

httpx comes with the extra ``testing``; only WireTransport and MM import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mm_asgi.testing.asgi import Facts, as_user, lifespan
    from mm_asgi.testing.check import Finding, check_app
    from mm_asgi.testing.kit import MM
    from mm_asgi.testing.wire_transport import WireTransport

__all__ = ["MM", "Facts", "Finding", "WireTransport", "as_user", "check_app", "lifespan"]

_HOMES = {
    "MM": "kit",
    "Facts": "asgi",
    "Finding": "check",
    "WireTransport": "wire_transport",
    "as_user": "asgi",
    "check_app": "check",
    "lifespan": "asgi",
}


def __getattr__(name: str) -> Any:
    # Lazy as in mm_asgi itself: what is not used is not loaded.
    import importlib

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
