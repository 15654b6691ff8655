"""The interface of every wire: a Server that hands out Streams, a Channel that opens Calls.

No wire's own names leave ``wire/``. A Stream is one RPC seen by the side that serves it, a Call is
one seen by the side that made it. All four kinds of RPC look the same here: a unary one is a stream
of one message each way, which is what it is on the wire too.

Inbox is the receiving half that all wires share: it makes ``read()`` safe to cancel and safe to
call from several tasks at once, which the ASGI ``receive()`` above it needs (contract row D3).
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from google.protobuf.message import Message

    M = TypeVar("M", bound=Message)

__all__ = [
    "Call",
    "Channel",
    "Encoded",
    "Inbox",
    "Listener",
    "Metadata",
    "Method",
    "Parser",
    "RPCError",
    "Server",
    "StatusCode",
    "Stream",
]

Metadata = Sequence[tuple[str, str | bytes]]
"""Pairs in order; names in lower case, a name that ends in ``-bin`` has bytes, all others str."""


class StatusCode(enum.IntEnum):
    """gRPC's status codes, by the numbers of the gRPC protocol document."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RPCError(Exception):
    """An RPC that this side made ended with a status that is not OK.

    Attributes:
        code: the status.
        text: the other side's or the wire's words for it.
        metadata: the trailing metadata; details are its ``grpc-status-details-bin``.
        path: the RPC's path, empty when the wire does not know it.
    """

    def __init__(
        self, code: StatusCode, text: str, metadata: Metadata = (), *, path: str = ""
    ) -> None:
        super().__init__(f"{path or 'RPC'}: {code.name}: {text}")
        self.code = code
        self.text = text
        self.metadata = metadata
        self.path = path


class Encoded:
    """A message that is encoded already, in pieces that a wire sends as they are.

    For big bodies, which protobuf's own encoding would copy twice.

    Attributes:
        kind: the message's class.
        pieces: bytes-like objects, which must not change until the write has returned.
        size: bytes of all pieces.
    """

    __slots__ = ("kind", "pieces", "size")

    def __init__(
        self, kind: type[Message], pieces: Sequence[bytes | memoryview], size: int
    ) -> None:
        self.kind = kind
        self.pieces = pieces
        self.size = size

    def SerializeToString(self) -> bytes:
        """Return the whole message, copied, for a wire that takes no pieces."""
        return b"".join(self.pieces)

    def decoded(self) -> Message:
        """Return the message itself."""
        return self.kind.FromString(self.SerializeToString())


class Stream(Protocol):
    """One RPC, for its handler, which ends it by ``finish()`` or ``abort()``."""

    @property
    def method(self) -> str:
        """The RPC's path, ``/package.Service/Name``."""

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The request's metadata; names are lower case, ``-bin`` values are bytes.

        Of a name that was sent twice the last value counts.
        """

    @property
    def deadline(self) -> float | None:
        """When the peer gives up, on the running loop's clock (seconds); None: never."""

    async def read(self) -> Any | None:
        """Return the next message, or None for ever after the peer half-closed or the RPC ended.

        A message that is already here is returned without yielding to the loop. A cancelled
        read loses nothing; several readers get different messages. At most one message is
        fetched ahead of the reader, so a slow reader slows the peer.
        """

    def send_metadata(self, metadata: Metadata) -> None:
        """Send the initial metadata, ahead of the first message; do nothing after that."""

    async def write(self, message: Message | Encoded, *, last: bool = False) -> None:
        """Send a message; return when the wire can take another one (backpressure).

        Messages leave in the order of the calls, also when the waiting caller is cancelled.
        Once the RPC has ended a write does nothing. A message over the method's send_limit ends
        the RPC with RESOURCE_EXHAUSTED, as one over receive_limit does.

        Args:
            message: the message.
            last: whether to end the RPC with OK after it, as ``finish()`` would.
        """

    def finish(self, metadata: Metadata = ()) -> None:
        """End the RPC with status OK, after the messages written so far. Later calls do nothing.

        ``metadata`` is sent as trailing metadata.
        """

    def abort(self, code: StatusCode, text: str, metadata: Metadata = ()) -> None:
        """End the RPC with a status that is not OK; ``text`` is for the peer to see.

        Messages that still wait to leave are dropped, and their writers return. Details of the
        status go as ``grpc-status-details-bin`` in ``metadata``.
        """

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the peer leaves before the RPC was ended here.

        A lost connection, a deadline that passed and a message that the wire refused (too large,
        or it cannot be parsed) count as leaving. If it has happened already, the callback is called
        at once. A second callback replaces the first. The handler itself is not cancelled.
        """


class Parser(Protocol):
    """Parses a received message: a message class, or an object with the same method."""

    def FromString(self, data: bytes, /) -> Any:
        """Parse a whole message, bytes or bytearray.

        Raises:
            google.protobuf.message.DecodeError: it cannot be parsed.
        """


@dataclass(frozen=True, slots=True)
class Method:
    """How a wire treats one RPC.

    Attributes:
        handler: called for each RPC. If it returns an awaitable, this is awaited in a task of its
            own. The RPC lasts until ``finish()``, ``abort()`` or the peer's cancel, not until
            the handler returns.
        request: parses a received message.
        receive_limit: bytes of one received message; a larger one ends the RPC with
            RESOURCE_EXHAUSTED.
        send_limit: bytes of one sent message, likewise; None: any.
    """

    handler: Callable[[Stream], Awaitable[None] | None]
    request: Parser
    receive_limit: int
    send_limit: int | None = None


class Listener(Protocol):
    """The address that the host will dial. It is chosen before, and apart from, the server."""

    @property
    def network(self) -> str:
        """``unix`` or ``tcp``, as the handshake spells it."""

    @property
    def address(self) -> str:
        """The server's address, a socket path or ``127.0.0.1:port``; known once bound."""

    def candidates(self) -> Iterable[str]:
        """Return the addresses to try in order, for a wire that binds by itself.

        A port 0 stands for any free one.
        """

    def bound(self, address: str) -> None:
        """Set the mode and group of the socket file that a wire has bound, and note the address."""

    def open(self) -> socket.socket:
        """Return a listening socket at the first address that can be bound; the caller closes it.

        Raises:
            ConfigError: none can be bound.
        """

    def close(self) -> None:
        """Remove the listener's files. Safe to call again."""


class Server(Protocol):
    """A gRPC server on the running loop."""

    async def start(
        self,
        listener: Listener,
        methods: Mapping[str, Method],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Serve ``methods``, by RPC path, on the listener; an unknown path is UNIMPLEMENTED.

        Args:
            listener: the address.
            methods: how to treat each RPC, by its path.
            tls: a server's context, which is made fit for HTTP/2; None: plain text.

        Raises:
            ConfigError: the listener cannot be bound, or the wire cannot do TLS.
        """

    async def stop(self, grace: float) -> None:
        """Refuse new RPCs, give the running ones ``grace`` seconds, then cancel them."""


class Call(Protocol):
    """One RPC that this side made. It ends by the peer's status, by ``cancel()`` or its deadline."""

    async def write(self, message: Message | Encoded) -> None:
        """Send a message; return when the wire can take another one (backpressure).

        Once the RPC has ended a write does nothing, and ``read()`` raises the reason.
        """

    def half_close(self) -> None:
        """End this side: no more messages will be written."""

    async def read(self) -> Any | None:
        """Return the next message, or None for ever after the RPC ended with OK.

        Raises:
            RPCError: it ended with another status; the same error at each further read.
        """

    async def initial_metadata(self) -> Metadata:
        """Return the metadata that the peer sent ahead of its first message.

        It is empty when the RPC ended without.
        """

    def trailing_metadata(self) -> Metadata:
        """Return the metadata that the peer sent with the status; empty until the RPC has ended."""

    def cancel(self) -> None:
        """End the RPC as CANCELLED. Does nothing once it has ended."""


class Channel(Protocol):
    """RPCs to one gRPC server, over a connection that is made when it is needed, and made again.

    All methods are for the loop that the Channel was made on.
    """

    async def unary(
        self,
        path: str,
        request: Message,
        response: type[M],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> M:
        """Make a unary RPC.

        Args:
            path: ``/package.Service/Name``.
            request: the message to send.
            response: the class of the answer.
            timeout: seconds after which it ends DEADLINE_EXCEEDED here and there; None: never.
            metadata: sent with the request.
            wait_for_ready: wait for a connection as long as the timeout allows, instead of ending
                with UNAVAILABLE when one cannot be made at once.

        Raises:
            RPCError: any status but OK.
        """

    def stream(
        self,
        path: str,
        response: type[Message],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> Call:
        """Make an RPC of any kind; the arguments are ``unary()``'s."""

    async def close(self, grace: float = 0.0) -> None:
        """Refuse new RPCs, give the open ones ``grace`` seconds, then end them as CANCELLED."""


class Inbox:
    """Messages that arrived and were not read yet, and the readers that wait for one."""

    __slots__ = ("_ended", "_messages", "_waiters")

    def __init__(self) -> None:
        self._messages: deque[Any] = deque()
        self._waiters: deque[asyncio.Future[None]] | None = None  # few RPCs ever wait
        self._ended = False

    def put(self, message: Any) -> None:
        """Add a message and wake a reader; after ``end()``, drop it."""
        if not self._ended:
            self._messages.append(message)
            if self._waiters:
                self._wake_one()

    def end(self, *, drop: bool = False) -> None:
        """Note that no more will come, and wake all readers.

        Args:
            drop: whether to forget the messages that were not read yet.
        """
        self._ended = True
        if drop:
            self._messages.clear()
        while self._waiters:
            self._wake_one()

    @property
    def wants(self) -> bool:
        """Whether a wire that fetches on demand should fetch: no message is here, nor the end."""
        return not self._messages and not self._ended

    def take(self) -> Any | None:
        """Return the next message if it is here already, else None."""
        return self._messages.popleft() if self._messages else None

    async def get(self) -> Any | None:
        """Return the next message, without yielding if it is here; None after the end."""
        while not self._messages:
            if self._ended:
                return None
            waiter = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = deque()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                # Cancelled after it was woken: the message is still here, so wake the next one.
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)
                raise
        return self._messages.popleft()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
