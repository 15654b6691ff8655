"""Go's net/http, and what Mattermost does to a request before a plugin gets it.

    request = read_request(scope)            # net/http's Request of a server's ASGI scope
    way = route(request.url, rules)          # a plugin, a public file, a redirect or nothing
    rewritten = rewrite(request, rules)      # strips and sets headers, finds the session
    init = init_message(request, rewritten.context)

This face is pure and needs no more than protobuf. The parts that serve a connection (`gateway.py`
puts them together) stand in their own modules.
"""

from mm_asgi.host.http.first_message import init_message
from mm_asgi.host.http.rules import (
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

__all__ = [
    "USER_ID",
    "Context",
    "Login",
    "GoRequest",
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
