"""Whose request the running code serves, for log lines: one context variable, one frozen fact."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, NamedTuple

__all__ = ["LOG_CONTEXT", "LogContext"]


class LogContext(NamedTuple):
    """The two ids that every log line of a request carries; ``user_id`` None is anonymous."""

    request_id: str
    user_id: str | None = None


LOG_CONTEXT: Final[ContextVar[LogContext | None]] = ContextVar("mm_asgi_log_context", default=None)
"""Set it in the request's own context (``asyncio.Task(context=...)``, ``Context.run``), so that
nothing has to reset it; tasks and threads that copy the context inherit it."""
