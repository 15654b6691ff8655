"""The facts of one HTTP request, in the form in which a wire brings them: no ASGI, no protobuf."""

from __future__ import annotations

from collections.abc import Iterable  # noqa: TC003 - mypyc reads a dataclass's types at run time
from dataclasses import dataclass

__all__ = ["Header", "HTTPRequest"]

Header = tuple[bytes, bytes]
"""A header's name and one of its values, both as the host wrote them."""


@dataclass(slots=True, eq=False)
class HTTPRequest:
    """What the host says of a request before its body.

    Attributes:
        method: as the client sent it; empty means GET, as in Go's net/http.
        target: the request target of the client's first line, query included; empty when another
            plugin made the request. Bytes that are not UTF-8 are surrogate escapes here and in url.
        url: the path below the plugin's prefix, query included.
        host: the Host header's value, which is not among ``headers``.
        remote_addr: the client's address, ``host:port``; ``@`` or empty when it has none.
        proto: the protocol's name, ``HTTP/1.1``.
        proto_major: the protocol's major version.
        length: bytes of the body as Content-Length declares them; negative when unknown.
        headers: all other headers in the host's order, each value a pair of its own.
        session_id: the session of the user who asks; empty without one.
        request_id: the host's id of the request.
        ip_address: the client's address as the host sees it through its proxies.
        user_agent: the client's User-Agent header.
        accept_language: the client's Accept-Language header.
    """

    method: str
    target: str
    url: str
    host: str
    remote_addr: str
    proto: str
    proto_major: int
    length: int
    headers: Iterable[Header]
    session_id: str
    request_id: str
    ip_address: str
    user_agent: str
    accept_language: str
