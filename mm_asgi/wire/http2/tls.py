"""TLS under the native wire: what HTTP/2 asks of a context, and a server's handshakes.

RFC 9113 section 9.2. Python's ssl and the loop do the rest. Connections are accepted here and not by
``loop.create_server``, which does not report a handshake that failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

__all__ = ["TLSAcceptor", "demand_http2"]

log = logging.getLogger("mm_asgi.wire")

_RETRY: Final = 1.0
"""Seconds until the next accept after one that failed, as asyncio has it. The usual reason is too many
open files, and passes when connections close."""

_PLAIN: Final = frozenset(
    {
        "HTTP_REQUEST",
        "HTTPS_PROXY_REQUEST",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "WRONG_VERSION_NUMBER",
    }
)
"""OpenSSL's names, in several versions, for first bytes that are not a TLS record."""


def demand_http2(context: ssl.SSLContext) -> None:
    """Change a context so that it keeps to RFC 9113 section 9.2, and offers h2 by ALPN."""
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # Of TLS 1.2's suites (appendix A): ephemeral keys and authenticated encryption.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["h2"])


class TLSAcceptor:
    """Accepts connections, and serves those whose handshake succeeds.

    Args:
        listening: the listening socket, which ``close()`` closes.
        context: a server's context, fit for HTTP/2.
        connect: returns a connection's protocol.
        timeout: seconds that a handshake may take, and a shutdown.
    """

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext,
        connect: Callable[[], asyncio.BaseProtocol],
        timeout: float,
    ) -> None:
        self._listening = listening
        self._context = context
        self._connect = connect
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._fresh: set[socket.socket] = set()  # accepted, and not yet the loop's
        self._tasks: set[asyncio.Task[None]] = set()
        self._run(self._accept())

    def close(self) -> None:
        """Accept no more, and end the handshakes that are under way."""
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait for the end of what ``close()`` has cancelled."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        # A task that was cancelled before its first step has closed nothing.
        for opened in (self._listening, *self._fresh):
            opened.close()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work, name="mm_asgi TLS")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        try:
            while True:
                try:
                    opened, _ = await self._loop.sock_accept(self._listening)
                except OSError as exc:
                    log.warning("no connection could be accepted: %s", exc.strerror or exc)
                    await asyncio.sleep(_RETRY)
                else:
                    self._fresh.add(opened)
                    self._run(self._greet(opened))
        finally:
            self._listening.close()

    async def _greet(self, opened: socket.socket) -> None:
        self._fresh.discard(opened)
        peer = _name(opened)
        try:
            await self._loop.connect_accepted_socket(
                self._connect,
                opened,
                ssl=self._context,
                ssl_handshake_timeout=self._timeout,
                ssl_shutdown_timeout=self._timeout,
            )
        except OSError as exc:
            log.warning("TLS handshake with %s failed: %s", peer, self._reason(exc))

    def _reason(self, exc: OSError) -> str:
        if isinstance(exc, ssl.SSLError):
            return _ssl_reason(exc)
        if isinstance(exc, ConnectionAbortedError):
            return f"it was not done after {self._timeout:g} s"
        return "the peer left in the middle of it"


def _ssl_reason(exc: ssl.SSLError) -> str:
    """Return which side was wrong, with OpenSSL's own words."""
    reason = exc.reason or str(exc)
    if reason in _PLAIN:
        return f"the peer does not speak TLS, which this socket demands ({reason})"
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return f"the peer showed no certificate, which this socket demands ({reason})"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not one that is trusted here: {exc.verify_message}"
    if "ALERT" in reason:
        return f"the peer refused ({reason})"
    return f"the two sides agree on nothing ({reason})"


def _name(opened: socket.socket) -> str:
    """Return the peer's address; on a unix socket it has none."""
    with contextlib.suppress(OSError):
        if isinstance(address := opened.getpeername(), tuple):
            return f"{address[0]}:{address[1]}"
    return "a peer"
