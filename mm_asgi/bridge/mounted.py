"""An app whose paths begin below its prefix: the setting path = "mounted".

ASGI lets ``path`` hold the whole path, ``root_path`` included, and frameworks take the prefix off
themselves. Some do not look at ``root_path``: they route on ``path`` alone, and find nothing. Such an
app gets a scope without the prefix in ``path`` and ``raw_path``; ``root_path`` stays. What mm_asgi
itself does with a path, in its log or with cookies, knows the whole one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["MountedApp", "is_starlette", "path_below"]

logger = logging.getLogger("mm_asgi.bridge")

_DEEPEST = 20
"""Layers of middleware that are looked into."""

WRONG_URLS = (
    'path: the app is a %s, which takes its prefix off the path itself: with path = "mounted" its'
    ' redirects and request.url lack %s; leave the setting at "full"'
)


class MountedApp:
    """Calls an app with paths below its prefix.

    Args:
        app: an ASGI app.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app
        self._has_warned = False

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Call the app; a lifespan's scope has no path, and stays as it is."""
        if root := scope.get("root_path"):
            if not self._has_warned:
                self._has_warned = True
                if kind := is_starlette(self.app):
                    logger.warning(WRONG_URLS, kind, root)
            path, raw_path = path_below(scope, root)
            scope = {**scope, "path": path, "raw_path": raw_path}
        await self.app(scope, receive, send)


def path_below(scope: Mapping[str, Any], root: str) -> tuple[str, bytes]:
    """Return ``path`` and ``raw_path`` without the prefix; at the prefix itself both are ``/``."""
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or quote(path).encode()
    if not path.startswith(root):
        return path, raw
    below = path[len(root) :] or "/"
    return below, _raw_below(raw, root.encode("utf-8", "surrogateescape")) or quote(below).encode()


def _raw_below(raw: bytes, root: bytes) -> bytes:
    """Return what follows the prefix, which the client may have escaped; empty: it is not there."""
    at = 0
    for octet in root:
        escaped = raw[at : at + 3]
        if escaped[:1] == b"%":
            try:
                found, width = int(escaped[1:], 16), 3
            except ValueError:
                found, width = raw[at], 1
        else:
            found, width = (raw[at] if at < len(raw) else -1), 1
        if found != octet:
            return b""
        at += width
    return raw[at:]


def is_starlette(app: object) -> str:
    """Return the class of a Starlette app, FastAPI's too, below middleware; empty: it is none."""
    for _ in range(_DEEPEST):
        if app is None:
            break
        for kind in type(app).__mro__:
            if kind.__name__ == "Starlette" and kind.__module__.startswith("starlette."):
                return type(app).__name__
        app = getattr(app, "app", None)
    return ""
