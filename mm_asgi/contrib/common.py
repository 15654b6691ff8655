"""Functions that are the same for every framework, whose modules have them under their own name."""

from __future__ import annotations

from typing import Any

from mm_asgi.api import API, AsyncAPI
from mm_asgi.requester import identity
from mm_asgi.running import running_source

__all__ = ["api", "blocking_api", "user_id"]


def user_id(request: Any) -> str | None:
    """Return the Mattermost user's id; None: not logged in, or no host around (plain uvicorn).

    Args:
        request: with an ASGI ``scope``, or with a WSGI ``environ`` as ``contrib.wsgi`` makes it.
    """
    scope = getattr(request, "scope", None) or getattr(request, "environ", {}).get("asgi.scope", {})
    try:
        return identity(scope).user_id
    except LookupError:
        return None


def api() -> AsyncAPI:
    """Return the host's API, for ``await``, in a request, hook or lifespan of a plugin.

    Elsewhere its calls raise ``errors.Unavailable``; ``mm_asgi.testing.as_user`` takes one to use.
    """
    return AsyncAPI(running_source())


def blocking_api() -> API:
    """Return the host's API for functions that are not async, which run in threads."""
    return API(running_source())
