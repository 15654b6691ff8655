"""A simulated Mattermost server: it starts a plugin as the real one does and serves it over HTTP.

    from mm_asgi.host import Host

    async with Host("shop.main:app", plugin_id="shop", user="alice") as host:
        ...  # host.url, host.hook("OnConfigurationChange"), await host.restart()
        await host.mattermost.post("town-square", "alice", "hello")  # the message hooks run

It shares no code with the package that it judges: its gRPC is grpcio's client, its HTTP uvicorn's, its rules
are written after the Go host of tests/gohost. Install it with ``pip install 'mm-asgi[dev]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mm_asgi.host.host import Host
    from mm_asgi.host.mattermost import APICall, AppError, Event, HookCall, Mattermost
    from mm_asgi.host.plugin import HookAnswer, HostError, LogLine

__all__ = [
    "APICall",
    "AppError",
    "Event",
    "HookAnswer",
    "HookCall",
    "Host",
    "HostError",
    "LogLine",
    "Mattermost",
]

_HOMES = {
    "Host": "mm_asgi.host.host",
    **dict.fromkeys(
        ("AppError", "APICall", "Event", "HookCall", "Mattermost"), "mm_asgi.host.mattermost"
    ),
    **dict.fromkeys(("HookAnswer", "HostError", "LogLine"), "mm_asgi.host.plugin"),
}


def __getattr__(name: str) -> Any:
    # Lazy: Host needs grpcio and uvicorn, the other names do not.
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
