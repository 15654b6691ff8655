"""What the tests of the scope share: an init as it is wanted, and the scope that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequest
from tests.roads import Site, build_init

if TYPE_CHECKING:
    from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequestInit
    from tests.roads import MessageRoad

__all__ = ["AT_ROOT", "SECRET", "SETTINGS", "SITE", "made", "scope_of", "values"]

SECRET = "TOPSECRET"
SITE = "chat.example.com"
# A second plugin, all of whose settings differ, at a site without a subpath behind a proxy. Not on
# s: the simulated host trusts no proxy.
AT_ROOT = Site(subpath="", trusted_proxy="X-Forwarded-For")
SETTINGS = {
    "underscore_headers": True,
    "site_url": f"https://{SITE}",
    "root_path": "/proxy/demo",
}


async def scope_of(road: MessageRoad, init: ServeHTTPRequestInit) -> dict[str, Any]:
    """The scope that an init makes, whatever is in it."""
    init.headers.append(HTTPHeader(key="X-Case", values=["scope"]))
    got = await road.exchange(ServeHTTPRequest(init=init, body_complete=True))
    scope: dict[str, Any] = got.answer().literal
    return scope


def made(target: str = "/scope", **changes: Any) -> ServeHTTPRequestInit:
    """The host's init for a GET, with fields that are changed afterwards."""
    init = build_init("GET", target)
    for name, value in changes.items():
        setattr(init, name, value)
    return init


def values(scope: dict[str, Any], name: bytes) -> list[bytes]:
    """A header's values in their order."""
    return [value for key, value in scope["headers"] if key == name]
