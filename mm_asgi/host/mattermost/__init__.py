"""An in-memory Mattermost behind the plugin's API.

`Mattermost` holds the state and acts for users. `answer` answers one API call of the plugin from that
state, on any wire. `APIServer` serves these answers over gRPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost.answering import METHODS, REQUEST_LIMIT, SERVICE, answer, request_class
from mm_asgi.host.mattermost.app_errors import AppError, GoError, RPCRefused
from mm_asgi.host.mattermost.journal import APICall, Event, HookCall
from mm_asgi.host.mattermost.mattermost import Mattermost

if TYPE_CHECKING:
    from mm_asgi.host.mattermost.service import APIServer

__all__ = [
    "METHODS",
    "REQUEST_LIMIT",
    "SERVICE",
    "APIServer",
    "AppError",
    "APICall",
    "Event",
    "GoError",
    "HookCall",
    "Mattermost",
    "RPCRefused",
    "answer",
    "request_class",
]


def __getattr__(name: str) -> Any:
    # Lazy: it needs grpcio, the other names do not.
    if name == "APIServer":
        from mm_asgi.host.mattermost.service import APIServer

        return APIServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
