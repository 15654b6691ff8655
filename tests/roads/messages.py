"""What roads m and w share: requests go as ServeHTTP's messages, by the host's own rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mm_asgi.host.http import init_message, read_request, rewrite, route
from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest
from tests.roads.road import HOST, MESSAGE_SIZE, Answer, Exchange, Road, Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequestInit, ServeHTTPResponse

__all__ = ["RPC", "MessageRoad", "Messages", "RPCExchange", "build_init", "has_host"]


def has_host(headers: Sequence[tuple[str, str]]) -> bool:
    """Whether Host is among these headers."""
    return any(name.lower() == "host" for name, _ in headers)


def build_init(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]] = (),
    *,
    length: int | None = 0,
    version: str = "1.1",
    site: Site | None = None,
) -> ServeHTTPRequestInit:
    """What the host makes of a request: stripped, set and rewritten."""
    site = site or Site()
    path, mark, query = site.spelled(target).partition("?")
    pairs = list(headers) if has_host(headers) else [("Host", HOST), *headers]
    if length is None:
        pairs.append(("Transfer-Encoding", "chunked"))
    elif length:
        pairs.append(("Content-Length", str(length)))
    request = read_request(
        {
            "method": method,
            "raw_path": path.encode("latin-1"),
            "query_string": (mark and query).encode("latin-1"),
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in pairs],
            "http_version": version,
            "client": ("192.0.2.1", 5555),
        }
    )
    assert route(request.url, site.rules).kind == "plugin", "the host does not pass this on"
    return init_message(request, rewrite(request, site.rules).context)


@dataclass(slots=True)
class Messages:
    """All that came of one RPC."""

    messages: list[ServeHTTPResponse] = field(default_factory=list)
    code: int = -1
    text: str = ""

    def add(self, message: ServeHTTPResponse) -> None:
        """Take a message, which has to be one that a host understands."""
        assert not self.messages or not message.HasField("init"), "a second init"
        assert len(message.body_chunk) <= MESSAGE_SIZE
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        return b"".join(message.body_chunk for message in self.messages)

    def answer(self) -> Answer:
        """What the host writes of it."""
        answer = Answer(502, [], b"Bad Gateway\n")
        if self.messages:
            init = self.messages[0].init
            headers = [(header.key, value) for header in init.headers for value in header.values]
            answer = Answer(init.status_code, headers, self.body, broken=self.code > 0)
        answer.messages = len(self.messages)
        answer.flushed = sum(message.flush for message in self.messages)
        answer.end = None if self.code < 0 else (self.code, self.text)
        return answer


class RPC(ABC):
    """One ServeHTTP stream from the host's side; ``got`` is what has come so far."""

    def __init__(self) -> None:
        self.got = Messages()

    @abstractmethod
    async def send(self, *messages: ServeHTTPRequest) -> bool:
        """Send messages; False: flow control holds one back."""

    @abstractmethod
    async def half_close(self) -> None:
        """Send no more."""

    @abstractmethod
    async def receive(self) -> ServeHTTPResponse | None:
        """The next message; None: the RPC has ended."""

    @abstractmethod
    async def rest(self) -> Messages:
        """All messages up to the end, those received before too, and the status."""

    @abstractmethod
    async def cancel(self) -> None:
        """Leave."""


class MessageRoad(Road):
    """m and w: what passes are messages."""

    @abstractmethod
    async def stream(self, *messages: ServeHTTPRequest, window: int | None = None) -> RPC:
        """Open a stream and send messages on it.

        ``window``: messages that may wait unread before the plugin's write blocks; m only.
        """

    async def exchange(self, *messages: ServeHTTPRequest) -> Messages:
        """Make one RPC with all its messages."""
        rpc = await self.stream(*messages)
        await rpc.half_close()
        return await rpc.rest()

    async def open(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        length: int | None = 0,
        version: str = "1.1",
        window: int | None = None,
    ) -> Exchange:
        init = build_init(method, target, headers, length=length, version=version, site=self.site)
        first = ServeHTTPRequest(init=init, body_complete=length == 0)
        rpc = await self.stream(first, window=window)
        if length == 0:
            await rpc.half_close()
        return RPCExchange(rpc)


class RPCExchange(Exchange):
    """A request on a stream, sent as the host sends it."""

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc

    async def send(self, data: bytes, *, last: bool = False) -> None:
        starts = range(0, len(data), MESSAGE_SIZE)
        chunks = [data[start : start + MESSAGE_SIZE] for start in starts]
        await self._rpc.send(*(ServeHTTPRequest(body_chunk=chunk) for chunk in chunks))
        if last:
            await self._rpc.send(ServeHTTPRequest(body_complete=True))
            await self._rpc.half_close()

    async def cut(self) -> None:
        await self._rpc.half_close()

    async def head(self) -> Answer:
        if not self._rpc.got.messages:
            assert await self._rpc.receive() is not None
        return self._rpc.got.answer()

    async def piece(self) -> bytes:
        message = await self._rpc.receive()
        return b"" if message is None else bytes(message.body_chunk)

    async def rest(self) -> Answer:
        return (await self._rpc.rest()).answer()

    async def leave(self) -> None:
        await self._rpc.cancel()
