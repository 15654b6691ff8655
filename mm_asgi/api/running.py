"""The way from code that runs for a plugin, a request's above all, to that plugin's API.

A context variable and not an entry of the scope: nothing is done for a request that does not ask,
the scope keeps to values that can be printed, and threads that frameworks start for a sync route
get a copy of the context anyway.
"""

from __future__ import annotations

from contextvars import ContextVar

from mm_asgi.api.connection import Connection

__all__ = ["RUNNING", "running_connection"]

RUNNING: ContextVar[Connection] = ContextVar("mm_asgi.running")
"""The connection of the plugin that runs here; set before its requests and hooks get their context."""


def running_connection() -> Connection:
    """The running plugin's connection; where no plugin runs, one whose calls raise Unavailable."""
    found = RUNNING.get(None)
    return Connection("") if found is None else found
