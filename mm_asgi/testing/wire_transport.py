"""WireTransport: httpx through the real wire, in one process."""

from __future__ import annotations

from typing import Any, ClassVar

import httpx

from mm_asgi.testing.wire import BodyStream, WireTransportBase

__all__ = ["WireTransport"]


class _HTTPXStream(BodyStream, httpx.AsyncByteStream):
    pass


class WireTransport(WireTransportBase, httpx.AsyncBaseTransport):
    """A transport for ``httpx.AsyncClient``: the app gets each request as a plugin does.

        async with WireTransport(app, user="alice") as transport:
            async with httpx.AsyncClient(transport=transport, base_url=transport.base_url) as client:
                response = await client.get("/hello")

    The app starts as by OnActivate and stops as by OnDeactivate; between lies gRPC on a unix
    socket, served by the code that serves it in production. Request and response bodies stream
    with backpressure, each event as it is sent; httpx's timeouts count. Paths may be given with
    or without the plugin's prefix. What the host strips and sets (session cookie, identity, the
    CSRF rule, access_token) is stripped and set. A body that the app breaks off raises
    ``httpx.RemoteProtocolError``.

    Args:
        app_or_plugin: an ASGI or WSGI app, or an ``mm_asgi.Plugin``. It is not changed.
        user: the id of who is logged in when a request brings no token of its own: with a cookie
            ``MMAUTHTOKEN=token-USER``, or a Bearer ``token-USER``, it is USER's. None: nobody.
        plugin_id: the id that the host runs the plugin under.
        subpath: the site's, such as ``/chat``.
        settings: the plugin's; those of the process do not apply.
        mattermost: who answers the plugin's API calls; None: a new one.
        raise_app_exceptions: raise what gets out of the app: instead of its answer while nothing
            of it has left or it is a 5xx, else where the body breaks off. False: the answer that
            a client of the host would get.
        strict_csrf: the server's ExperimentalStrictCSRFEnforcement.
        client: the address that the app sees.

    Raises:
        StartupError: at the start: the app did not start.
        ConfigError: ``app_or_plugin`` is none.
    """

    library: ClassVar[Any] = httpx
    stream_class: ClassVar[type[BodyStream]] = _HTTPXStream
