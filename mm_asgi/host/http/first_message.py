"""A rewritten request as ServeHTTP's first message. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.protocol.hooks_common_pb2 import PluginContext
from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequestInit

if TYPE_CHECKING:
    from mm_asgi.host.http.rules import Context, GoRequest

__all__ = ["init_message"]


def init_message(request: GoRequest, context: Context) -> ServeHTTPRequestInit:
    """Return the first message that the host sends for a rewritten request.

    Raises:
        UnicodeDecodeError: a text of the request is not UTF-8, which protobuf cannot carry.
    """
    return ServeHTTPRequestInit(
        method=request.method,
        url=_utf8(str(request.url)),
        proto=f"HTTP/{request.protocol[0]}.{request.protocol[1]}",
        proto_major=request.protocol[0],
        proto_minor=request.protocol[1],
        host=_utf8(request.host),
        remote_addr=request.remote_addr,
        request_uri=_utf8(request.request_uri),
        content_length=request.content_length,
        headers=[
            HTTPHeader(key=name, values=[_utf8(value) for value in values])
            for name, values in request.header.items()
        ],
        plugin_context=PluginContext(
            session_id=context.session_id,
            request_id=context.request_id,
            ip_address=_utf8(context.ip_address),
            accept_language=_utf8(context.accept_language),
            user_agent=_utf8(context.user_agent),
        ),
    )


def _utf8(text: str) -> str:
    return text.encode("latin-1").decode("utf-8")
