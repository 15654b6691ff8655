"""The address that a host dials, and the one connection that is taken there.

The host waits 3 s for the address, so that this module imports the standard library alone: what a
connection is made of (plugin_session.py, and all below it) is loaded when the host has it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from mm_asgi.wire.netrpc.mux_link import MuxLink
    from mm_asgi.wire.netrpc.mux_socket import MuxSocket
    from mm_asgi.wire.netrpc.plugin_session import PluginSession
    from mm_asgi.wire.port import Listener

__all__ = ["NetRPCEndpoint"]

log = logging.getLogger("mm_asgi.wire")


class NetRPCEndpoint:
    """The listener of a plugin: takes one host's connection at a time.

    Args:
        make_session: makes the session of a connection that was accepted, on the loop. Only the
            one that becomes ``session`` is told anything.

    Attributes:
        session: the session of the connection that is open, or was last.
        socket: its socket; None with TLS.
    """

    def __init__(self, make_session: Callable[[], PluginSession]) -> None:
        self._make_session = make_session
        self._listening: socket.socket | None = None
        self._server: asyncio.Server | None = None  # with TLS
        self.session: PluginSession | None = None
        self.socket: MuxSocket | None = None

    async def start(self, listener: Listener, *, tls: ssl.SSLContext | None = None) -> None:
        """Listen; return when the host may dial.

        Raises:
            ConfigError: the listener cannot be bound.
        """
        loop = asyncio.get_running_loop()
        opened = listener.open()
        opened.setblocking(False)
        if tls is None:
            self._listening = opened
            loop.add_reader(opened, self._accept, loop, opened)
        elif opened.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(self._connect, sock=opened, ssl=tls)
        else:
            self._server = await loop.create_server(self._connect, sock=opened, ssl=tls)

    def _accept(self, loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
        from mm_asgi.wire.netrpc.mux_socket import MuxSocket

        try:
            accepted = listening.accept()[0]
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # whoever dialled has gone
        except OSError as error:
            log.error("a connection could not be accepted, trying again in 1 s: %s", error)
            loop.remove_reader(listening)
            loop.call_later(1, self._accept_again, loop, listening)
            return
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = self._connect()
        made = MuxSocket(accepted, link)
        if self.session is not None and self.session.link is link:
            self.socket = made

    def _accept_again(self, loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
        if self._listening is listening:
            loop.add_reader(listening, self._accept, loop, listening)

    def _connect(self) -> MuxLink:
        """A connection is accepted. With TLS it may still fail to prove who it is."""
        session = self._make_session()
        session.link.may_begin = lambda link: self._begin(session)
        return session.link

    def _begin(self, session: PluginSession) -> bool:
        if self.session is not None and self.session.link.is_open:
            log.warning("a second connection was refused: the host has one already")
            return False
        self.session = session
        return True

    async def stop(self, grace: float) -> None:
        """Take no more connections, and close the open one; it has ``grace`` seconds to drain."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        if self._server is not None:
            self._server.close()
        session = self.session
        if session is not None:
            session.link.close()
            await asyncio.wait((session.link.closed,), timeout=grace)
            session.link.abort()
