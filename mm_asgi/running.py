"""The way from code that runs for a plugin, a request's above all, to that plugin's API.

It is a context variable and not an entry of the scope: a request that does not use it costs nothing,
the scope keeps to values that can be printed, and threads that frameworks start for a sync route
get a copy of the context anyway.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mm_asgi.api.api_connection import APIConnection
    from mm_asgi.api.client import Client

__all__ = ["RUNNING", "running_source"]

RUNNING: ContextVar[Client | APIConnection] = ContextVar("mm_asgi.running")
"""The source of API clients for the plugin that runs here.

Set before its requests, hooks and lifespan get their context.
"""


def running_source() -> Client | APIConnection:
    """Return the source for a client; without a plugin, one whose calls raise Unavailable."""
    found = RUNNING.get(None)
    if found is not None:
        return found
    # Lazy: a plugin's process imports this module before its handshake.
    from mm_asgi.api.api_connection import APIConnection

    return APIConnection("")
