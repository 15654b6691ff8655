"""The access line: one INFO record for each request, on the logger ``mm_asgi.access``."""

from __future__ import annotations

import logging

__all__ = ["log_access"]

_logger = logging.getLogger("mm_asgi.access")


def log_access(
    *,
    method: str,
    path: str,
    status: int,
    sent: int,
    seconds: float,
    client: str | None,
    user_id: str | None,
) -> None:
    """Log a request that was answered.

    Args:
        method: the HTTP method.
        path: the path as the client sent it; its query is cut off, because it may have tokens.
        status: the status code.
        sent: bytes of the body.
        seconds: from the first message of the host to the last one to it.
        client: the client's address; None for a request of another plugin.
        user_id: the logged-in user; None is anonymous.
    """
    if not _logger.isEnabledFor(logging.INFO):
        return
    path = path.partition("?")[0]
    ms = round(seconds * 1000, 1)
    facts = {
        "method": method,
        "path": path,
        "status": status,
        "bytes": sent,
        "ms": ms,
        "client": client,
        "user_id": user_id,
    }
    _logger.info("%s %s %d in %s ms", method, path, status, ms, extra=facts)
