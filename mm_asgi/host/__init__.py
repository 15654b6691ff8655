"""The host's side, simulated: it starts a plugin as Mattermost does and serves it over HTTP.

    from mm_asgi.host import Host

    async with Host("shop.main:app", plugin_id="shop", user="alice") as host:
        ...  # host.url, host.hook("OnConfigurationChange"), await host.restart()
        await host.mattermost.post("town-square", "alice", "hello")  # the message hooks run

It shares no code with what it judges: its gRPC is grpcio's client, its HTTP uvicorn's, its rules
are written after the Go host of tests/gohost. Install it with ``pip install 'mm-asgi[dev]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost import AppError, Call, Event, HookCall, Mattermost
from mm_asgi.host.plugin.hook_answer import HookAnswer
from mm_asgi.host.plugin.host_error import HostError
from mm_asgi.host.plugin.stderr import LogLine

if TYPE_CHECKING:
    from mm_asgi.host.host import Host

__all__ = [
    "AppError",
    "Call",
    "Event",
    "HookAnswer",
    "HookCall",
    "Host",
    "HostError",
    "LogLine",
    "Mattermost",
]


def __getattr__(name: str) -> Any:
    # Lazy: it needs grpcio and uvicorn, which the test kit's Mattermost does without.
    if name == "Host":
        from mm_asgi.host.host import Host

        return Host
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
