"""The page's access rule: only a browser that shows the page itself, under this machine's names. Pure.

The page acts as any user and shows the log. Another site can make its visitor's browser send requests
here in two ways. DNS rebinding lets a name of its own mean 127.0.0.1; the Host header shows that. A
request across sites is seen by Origin, Sec-Fetch-Site and the content type.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mm_asgi.host.http.headers import first

if TYPE_CHECKING:
    from mm_asgi.host.http.headers import Header

__all__ = ["refusal"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")
ANYWHERE = ("", "0.0.0.0", "::")


def refusal(method: str, header: Header, listens: str) -> str:
    """Return the reason why a request is refused, as a sentence; empty if it is accepted.

    Args:
        method: the request's.
        header: the request's.
        listens: the address or name that the server listens on.
    """
    hosts = header.get("Host", [])
    host = hosts[0] if len(hosts) == 1 else ""
    name = _name_in(host)
    if not (name in LOOPBACK or name == listens.lower() or _is_address_of(name, listens)):
        return (
            f"the Host header is {host[:100]!r}, and this page answers only to localhost and the"
            " address that mm-asgi dev listens on"
        )
    origins = header.get("Origin", [])
    if any(_netloc_of(origin) != host for origin in origins):
        return "the request comes from another site's page"
    site = first(header, "Sec-Fetch-Site")
    if site not in ("", "same-origin", "none") and not _is_navigation(method, header):
        return "the request comes from another site's page"
    if method == "POST":
        kind = first(header, "Content-Type").partition(";")[0].strip().lower()
        if kind != "application/json":
            # A form of another site cannot send this type.
            return f"the content type is {kind[:100]!r}, expected application/json"
    return ""


def _name_in(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc_of(origin: str) -> str:
    """Return host and port of an origin; empty for ``null``."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_address_of(name: str, listens: str) -> bool:
    """Return whether the name is an address and the server listens on all. Addresses cannot be rebound."""
    if listens not in ANYWHERE:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_navigation(method: str, header: Header) -> bool:
    """Return whether a link led here; a link from another site may, since it cannot read the page."""
    return method == "GET" and first(header, "Sec-Fetch-Mode") == "navigate"
