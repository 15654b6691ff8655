"""uvicorn as the gateway's HTTP server, on the caller's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from mm_asgi.errors import ConfigError
from mm_asgi.host.http.line import Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HTTPServer"]


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the caller handles Ctrl-C."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HTTPServer:
    """An HTTP server that listens at once and serves in a task.

    Args:
        app: the ASGI app.
        host, port: the address to listen on.
        read_timeout, write_timeout: net/http's, in seconds; 0: none.

    Raises:
        ConfigError: the address is taken or not this machine's.
    """

    def __init__(
        self, app: Any, host: str, port: int, *, read_timeout: float, write_timeout: float
    ) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        protocol = partial(Protocol, read_timeout=read_timeout, write_timeout=write_timeout)
        self._server = _Server(
            uvicorn.Config(
                app,
                # h11 hands on the request's target as it was sent, absolute form and all, and
                # takes any method; httptools takes both apart.
                http=cast("Any", protocol),
                ws="none",
                lifespan="off",
                interface="asgi3",
                proxy_headers=False,
                server_header=False,
                date_header=False,
                access_log=False,
                log_config=None,
                # uvicorn would complain about answers that we cut on purpose.
                log_level="critical",
                timeout_keep_alive=60,  # net/http's IdleTimeout in Mattermost
                timeout_graceful_shutdown=1,
                h11_max_incomplete_event_size=1 << 20,  # net/http's DefaultMaxHeaderBytes
            )
        )
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="uvicorn")

    async def stop(self) -> None:
        """Stop accepting connections, close the idle ones and cut the others."""
        self._server.should_exit = True
        if not self._server.started:
            await asyncio.sleep(0)  # the task's first step
        await asyncio.gather(self._task, return_exceptions=True)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: asyncio sets TCP_NODELAY only then, and without that each answer
    # waits 40 ms for the client's delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as exc:
        listener.close()
        raise ConfigError(
            f"port: {port} on {host} cannot be bound ({exc.strerror});"
            " choose another one, or 0 for any free one"
        ) from exc
    return listener
