"""Go's net/http, and what Mattermost does to a request before a plugin gets it.

    request = read_request(scope)            # net/http's Request of a server's ASGI scope
    way = route(request.url, rules)          # a plugin, a public file, a redirect or nothing
    rewritten = rewrite(request, rules)      # strips and sets headers, finds the login
    init = init_message(request, rewritten.context)

This face is pure. The parts that serve a connection stand in their own modules, and `gateway.py` puts
them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.http.rules import (
    PLUGIN_ID,
    USER_ID,
    Context,
    GoRequest,
    Login,
    Rewritten,
    Route,
    Rules,
    identify_by_form,
    read_request,
    rewrite,
    route,
    strip,
    vouch,
)

if TYPE_CHECKING:
    from mm_asgi.host.http.first_message import init_message

__all__ = [
    "PLUGIN_ID",
    "USER_ID",
    "Context",
    "GoRequest",
    "Login",
    "Rewritten",
    "Route",
    "Rules",
    "identify_by_form",
    "init_message",
    "read_request",
    "rewrite",
    "route",
    "strip",
    "vouch",
]


def __getattr__(name: str) -> Any:
    # Lazy: it needs protobuf's messages, the rules do not.
    if name == "init_message":
        from mm_asgi.host.http.first_message import init_message

        return init_message
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
