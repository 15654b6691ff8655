"""What an ASGI cycle needs of any wire that brings HTTP requests.

An exchange is one request and its answer. The cycle (http.py) decides what the app may do and when
something leaves; the exchange decides how it travels. Everything between them is in this file.

**The request comes first, whole but for its body.** ``request`` has the facts and ``scope()`` makes
the ASGI scope of them. A wire that has nothing better calls ``build_http``; one that can read its
own headers faster may put the scope together itself, and the cycle does not see which.

**The body is pulled.** What the app has not read waits at the host, but for a bounded rest. On gRPC a
part is a message, and one is fetched ahead of ``read()``; on net/rpc a part is the bytes that are
here, and the stream's window is the bound. ``(part, True)`` may be empty; ``(part, False)`` is the
last part, which a request without a body has too. None before the last part says that the body was
cut; None after it says nothing more.

**The response is pushed.** A call of ``write()`` carries the head, or body bytes, or both, and at
most CHUNK_SIZE bytes. The head comes with the first call and the call with ``more=False`` is the
last one. So nearly every answer is a single call with head and whole body, which a wire with one
message can send as one message. A wire with a call of its own for each part (net/rpc: SyncHeader,
WriteHeader, Write, Flush) queues these calls and makes each when the one before it was answered.

**A write is whole.** It leaves, in the order of the calls, also when the task that waits for it is
cancelled; otherwise the cycle could not say whether an event left. A wire that needs several
steps for one write therefore keeps them where the caller's cancel does not reach: in a queue, or in
a task of their own.

**Who ends an exchange.** The last ``write()``, or ``abort()``; after either nothing more leaves and
both do nothing. An aborted exchange must never look complete where the wire can say so: gRPC has a
status. A wire without one turns an abort before the head into an answer with status 500, and after
the head it just stops. If ``HTTPHandler.serve()`` raises, who called it aborts with Abort.FAILED,
so that no client waits for ever.

**The client may leave.** ``on_left`` reports it, once, and only until the exchange was ended here:
the host cancels a gRPC stream also after a complete answer. A wire that learns of a client's
departure only when a write fails (net/rpc) reports it then; such a write returns as any other.

**The host may break the contract.** ``read()`` and ``scope()`` raise HostProtocolError for what no
host should send. The cycle ends the request by ``abort(Abort.BROKEN)``, or ignores the error when
the request is over anyway.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Protocol

from mm_asgi.errors import PLUGIN_FAILED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mm_asgi.bridge.request import HTTPRequest
    from mm_asgi.bridge.response import ResponseHead
    from mm_asgi.bridge.scope import HTTPScope, Mount

__all__ = ["CHUNK_SIZE", "Abort", "Duplex", "Exchange"]

CHUNK_SIZE = 64 * 1024
"""Bytes of one write's body at the most: what the host's own side uses."""


class Abort(enum.Enum):
    """Why an exchange ends without a complete answer.

    The value is all that the host may see of a failure: a fixed text, so that no exception's own
    text, which may hold a user's data, leaves the plugin (row R9).
    """

    FAILED_LATE = "the app failed after its response had begun"
    TOO_SHORT = "the app's response is shorter than its Content-Length"
    CUT = "the app's response was cut"
    FAILED = PLUGIN_FAILED
    BROKEN = "the request stream broke the ServeHTTP contract"


class Duplex(Protocol):
    """A connection that an exchange handed over: bytes both ways, and no HTTP on it any more."""

    async def read(self) -> bytes:
        """Return the next bytes; empty when the peer sends no more."""

    async def write(self, data: bytes) -> None:
        """Send bytes; return when the connection takes more (backpressure).

        Raises:
            OSError: the connection is lost.
        """

    def close(self) -> None:
        """Close the connection. Safe to call again."""


class Exchange(Protocol):
    """One HTTP request and its answer on some wire."""

    @property
    def request(self) -> HTTPRequest:
        """The request's facts."""

    def scope(self, mount: Mount, state: Mapping[str, Any]) -> HTTPScope:
        """Build the request's ASGI scope, as ``build_http(self.request, mount, state)`` does.

        Raises:
            HostProtocolError: the request's head cannot be read.
        """

    async def read(self) -> tuple[bytes, bool] | None:
        """Return the next part of the body and whether more follows, or None at an end.

        A part that is here already is returned without a turn of the loop. A cancelled call loses
        nothing, and of several callers each gets parts of its own.

        Raises:
            HostProtocolError: the host sent what it may not.
        """

    def write(
        self, head: ResponseHead | None, body: bytes | memoryview, *, more: bool, flush: bool
    ) -> Awaitable[None]:
        """Send a part of the response; return when the wire takes another one (backpressure).

        Args:
            head: what the response begins with, in the first call alone.
            body: at most CHUNK_SIZE bytes, which do not change any more.
            more: False ends the exchange: the response is complete.
            flush: the host passes it on to the client at once.
        """

    def abort(self, why: Abort) -> None:
        """End the exchange without a complete answer."""

    def on_left(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once if the client leaves before the exchange was ended here.

        Called at once if that has happened already. A second callback replaces the first.
        """

    def upgrade(self) -> Duplex | None:
        """Take over the connection for another protocol; None where the wire cannot."""
