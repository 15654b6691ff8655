"""The request that the running code serves, for log lines: one context variable."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, NamedTuple

__all__ = ["LOG_CONTEXT", "LogContext"]


class LogContext(NamedTuple):
    """The two ids on each log line of a request.

    Attributes:
        request_id: the request's id.
        user_id: the logged-in user's id; None: the request is anonymous.
    """

    request_id: str
    user_id: str | None = None


LOG_CONTEXT: Final[ContextVar[LogContext | None]] = ContextVar("mm_asgi_log_context", default=None)
"""Set it in the request's own context (``asyncio.Task(context=...)``, ``Context.run``), so that it
need not be reset. Tasks and threads that copy the context inherit it."""
