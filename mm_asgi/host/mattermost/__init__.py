"""An in-memory Mattermost behind the plugin's API: state goes in and comes out by calls and hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.journal import Call, Event, HookCall
from mm_asgi.host.mattermost.mattermost import Mattermost

if TYPE_CHECKING:
    from mm_asgi.host.mattermost.service import APIServer

__all__ = ["APIServer", "AppError", "Call", "Event", "HookCall", "Mattermost"]


def __getattr__(name: str) -> Any:
    # Lazy: it needs grpcio, which whoever has the Mattermost alone need not have.
    if name == "APIServer":
        from mm_asgi.host.mattermost.service import APIServer

        return APIServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
