"""Who may use the page: nobody but a browser that shows it, on this machine's own names. Pure.

The page acts as any user and shows the log. Another site may lead its visitor's browser here in two
ways: by a name of its own that suddenly means 127.0.0.1 (DNS rebinding), which the Host header
tells, and by a request across sites, which Origin, Sec-Fetch-Site and the content type tell.
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
    """Why a request is refused, as a sentence; empty: it is not.

    Args:
        listens: the address or name that the server was told to listen on.
    """
    hosts = header.get("Host", [])
    host = hosts[0] if len(hosts) == 1 else ""
    name = _name(host)
    if not (name in LOOPBACK or name == listens.lower() or _is_address_of(name, listens)):
        return (
            f"the Host header is {host[:100]!r}, and this page answers only to localhost and the"
            " address that mm-asgi dev listens on"
        )
    origins = header.get("Origin", [])
    if any(_netloc(origin) != host for origin in origins):
        return "the request comes from another site's page"
    site = first(header, "Sec-Fetch-Site")
    if site not in ("", "same-origin", "none") and not _is_navigation(method, header):
        return "the request comes from another site's page"
    if method == "POST":
        kind = first(header, "Content-Type").partition(";")[0].strip().lower()
        if kind != "application/json":
            # What a form of another site cannot send.
            return f"the content type is {kind[:100]!r}, expected application/json"
    return ""


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    """Host and port of an origin; nothing for ``null``."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_address_of(name: str, listens: str) -> bool:
    """A number cannot be rebound: all of this machine's are right when it listens on all."""
    if listens not in ANYWHERE:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_navigation(method: str, header: Header) -> bool:
    """A link from elsewhere may lead to the page; what it shows stays its own."""
    return method == "GET" and first(header, "Sec-Fetch-Mode") == "navigate"
