"""The HTTP exchange on gRPC: one ServeHTTP RPC, its messages read and written by hand.

All that the bridge knows of protobuf, of gRPC's port and of its status codes is here.

**The RPC.** The host streams ServeHTTPRequest messages: the first has ``init``, the facts of the
request, and maybe body bytes; later ones have body bytes alone; the one with ``body_complete`` is
the last. Each other order is the host's fault (row D8) and a HostProtocolError. The plugin streams
ServeHTTPResponse messages: ``init`` in the first, ``flush`` where Go shall pass its buffer on
(without it up to 4 KiB stay), ``body_complete`` in the last. The RPC's status is OK exactly when
the answer is complete.

**By hand.** Counted with callgrind on a small request, a header as a protobuf object costs 12,000
instructions, building a response's headers as objects a third of the whole, and of a large body
nearly all is copies. So headers stay bytes (proto/mm_asgi/protocol/hooks_http_read.proto), are read
and written with what was found kept by their bytes, and body bytes are cut out of their message
once. Field numbers: proto/mm_asgi/protocol/hooks_http.proto; tests compare each form with
protobuf's.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from mm_asgi.bridge.exchange import Abort
from mm_asgi.bridge.request import HTTPRequest
from mm_asgi.bridge.scope import REMEMBERED, assemble_http, sift_name
from mm_asgi.errors import HostProtocolError
from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPResponse
from mm_asgi.protocol.hooks_http_read_pb2 import ServeHTTPRequest
from mm_asgi.wire.port import Encoded, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping

    from mm_asgi.bridge.exchange import Duplex
    from mm_asgi.bridge.handler import HTTPHandler
    from mm_asgi.bridge.request import Header
    from mm_asgi.bridge.response import ResponseHead
    from mm_asgi.bridge.scope import HTTPScope, Mount
    from mm_asgi.protocol.hooks_http_read_pb2 import ServeHTTPRequestInit
    from mm_asgi.wire.port import Stream

__all__ = [
    "BodyMessage",
    "GRPCExchange",
    "RequestParser",
    "encode_field",
    "encode_head",
    "encode_response",
    "header_fields",
    "serve",
]

logger = logging.getLogger("mm_asgi.bridge")


def serve(handler: HTTPHandler, stream: Stream) -> None:
    """Serve one ServeHTTP RPC in a task that the handler's owner holds.

    The app may outlive the RPC: background tasks run after the answer (row R14).
    """
    call = _Call(stream)
    handler.spawn(call.run(handler), call.name)


class _Call:
    """One RPC from its first message to the end of the app's task."""

    __slots__ = ("_exchange", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._exchange: GRPCExchange | None = None

    def name(self) -> str:
        """Return what the log calls the request."""
        return "ServeHTTP" if self._exchange is None else self._exchange.name

    async def run(self, handler: HTTPHandler) -> None:
        """Read the first message, then let the handler serve."""
        stream = self._stream
        try:
            first = await stream.read()
            if first is None:
                # The client's body broke before the host's first read: no client waits for an answer.
                logger.debug("a request stream ended before its first message")
                stream.abort(StatusCode.INVALID_ARGUMENT, "no message")
                return
            if not first.HasField("init"):
                raise HostProtocolError(
                    "ServeHTTP: the host's first message has no init; expected init first; the"
                    " request was refused"
                )
            exchange = self._exchange = GRPCExchange(stream, first)
            await handler.serve(exchange)
        except HostProtocolError as fault:
            # First the end of the RPC: whatever logging does, no peer waits for ever.
            stream.abort(StatusCode.INVALID_ARGUMENT, Abort.BROKEN.value)
            logger.error("%s", fault)
        except BaseException:
            # Whatever this is, a log filter that raises or a cancel: the same.
            stream.abort(StatusCode.INTERNAL, Abort.FAILED.value)
            raise


class GRPCExchange:
    """An ``Exchange`` on a ServeHTTP RPC.

    Args:
        stream: the RPC.
        first: its first message, which has an ``init``.

    Attributes:
        request: the request's facts.
    """

    __slots__ = ("_complete", "_first", "_init", "_scope", "_stream", "request")

    def __init__(self, stream: Stream, first: ServeHTTPRequest) -> None:
        init = self._init = first.init
        self._stream = stream
        self._first: ServeHTTPRequest | None = first
        self._complete = False
        self._scope: dict[str, Any] | None = None
        context = init.plugin_context
        self.request = HTTPRequest(
            init.method,
            init.request_uri,
            init.url,
            init.host,
            init.remote_addr,
            init.proto,
            init.proto_major,
            # 0 says nothing: Go's PluginHTTP passes another plugin's body on without its length
            # (client_rpc.go), and where a client declares 0 no bytes come.
            init.content_length or -1,
            _Headers(init.headers),
            context.session_id,
            context.request_id,
            context.ip_address,
            context.user_agent,
            context.accept_language,
        )

    @property
    def name(self) -> str:
        """What the log calls the request."""
        if self._scope is None:
            return "ServeHTTP"
        return f"{self._scope['method']} {self._scope['path']}"

    def scope(self, mount: Mount, state: Mapping[str, Any]) -> HTTPScope:
        """Build the scope as ``build_http`` does, each header's outcome kept by its bytes.

        Raises:
            HostProtocolError: a header cannot be read.
        """
        underscores = mount.underscores
        headers: list[Header] = []
        telling: dict[bytes, list[bytes]] = {}
        try:
            for data in self._init.headers:
                sift = _kept_sifted if len(data) <= REMEMBERED else _sifted
                pairs, telling_name, values = sift(data, underscores)
                headers += pairs
                if telling_name:
                    telling.setdefault(telling_name, []).extend(values)
        except DecodeError as error:
            raise HostProtocolError(
                f"ServeHTTP: the host's first message has a header that cannot be read ({error});"
                " the request was refused"
            ) from None
        built = assemble_http(self.request, mount, state, headers, telling)
        self._scope = built.scope
        return built

    async def read(self) -> tuple[bytes, bool] | None:
        """Return the body bytes of the next message and whether more follows.

        Raises:
            HostProtocolError: a message that may not come there (row D8).
        """
        message: Any = self._first
        if message is not None:
            self._first = None
        else:
            message = await self._stream.read()
            if message is None:
                return None
            if self._complete:
                raise HostProtocolError(_ODD % "data after body_complete")
            if message.HasField("init"):
                raise HostProtocolError(_ODD % "a second init")
        if message.body_complete:
            self._complete = True
            return message.body_chunk, False
        return message.body_chunk, True

    def write(
        self, head: ResponseHead | None, body: bytes | memoryview, *, more: bool, flush: bool
    ) -> Coroutine[Any, Any, None]:
        """Send one message; with ``more=False`` it ends the RPC with OK."""
        init = encode_head(head) if head is not None else b""
        return self._stream.write(
            encode_response(init, body, complete=not more, flush=flush), last=not more
        )

    def abort(self, why: Abort) -> None:
        """End the RPC with a status that says whose fault it was."""
        broken = why is Abort.BROKEN
        code = StatusCode.INVALID_ARGUMENT if broken else StatusCode.INTERNAL
        self._stream.abort(code, why.value)

    def on_left(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once if the host cancels the RPC before it was ended here."""
        self._stream.on_cancel(callback)

    def upgrade(self) -> Duplex | None:
        """Return None: a ServeHTTP RPC has no connection to hand over."""
        return None


_ODD: Final = "ServeHTTP: the host sent %s; expected body chunks up to body_complete"


# -------------------------------------------------------------------- requests, read

_BODY_CHUNK: Final = b"\x12"  # ServeHTTPRequest.body_chunk = 2
_BODY_COMPLETE: Final = b"\x18\x01"  # .body_complete = 3: true
_KEY: Final = 0x0A  # HTTPHeader.key = 1
_VALUE: Final = 0x12  # .values = 2


class BodyMessage:
    """A ServeHTTPRequest without ``init``: what the exchange needs of protobuf's interface."""

    __slots__ = ("body_chunk", "body_complete")

    init: ServeHTTPRequestInit | None = None

    def __init__(self, body_chunk: bytes, *, complete: bool) -> None:
        self.body_chunk = body_chunk
        self.body_complete = complete

    def HasField(self, name: str) -> bool:
        """Return whether ``init`` is there, which it is not."""
        return False


class RequestParser:
    """What a wire parses ServeHTTP's messages with (a ``port.Parser``)."""

    @staticmethod
    def FromString(data: bytes | bytearray) -> ServeHTTPRequest | BodyMessage:
        """Read a message; one that has body bytes alone is cut by hand, which saves a copy.

        Raises:
            DecodeError: the bytes are no ServeHTTPRequest.
        """
        if data[:1] == _BODY_CHUNK:
            start, end = _span(data, 1)
            complete = data[end:] == _BODY_COMPLETE
            if complete or len(data) == end:
                # A bytearray was put together from several frames and has no other owner.
                body = data[start:end] if type(data) is bytes else memoryview(data)[start:end]
                return BodyMessage(bytes(body), complete=complete)
        return ServeHTTPRequest.FromString(data)  # type: ignore[arg-type]  # a bytearray will do


class _Headers:
    """The headers of an init as raw pairs, read anew by each loop over them."""

    __slots__ = ("_encoded",)

    def __init__(self, encoded: Iterable[bytes]) -> None:
        self._encoded = encoded

    def __iter__(self) -> Iterator[Header]:
        pairs = []
        for data in self._encoded:
            name, values = header_fields(data)
            pairs += [(name, value) for value in values]
        return iter(pairs)


def header_fields(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return the key and the values of an HTTPHeader, all of them UTF-8.

    Raises:
        DecodeError: the bytes are no HTTPHeader, or have a field that it has not.
    """
    position = 0
    key: bytes = b""
    values: list[bytes] = []
    try:
        while position < len(data):
            tag = data[position]
            start, position = _span(data, position + 1)
            field = data[start:position]
            field.decode()
            if tag == _KEY:
                key = field
            elif tag == _VALUE:
                values.append(field)
            else:
                raise DecodeError(f"a header has a field with the tag {tag}")
    except UnicodeDecodeError:
        raise DecodeError("a header is not UTF-8") from None
    return key, values


def _sifted(data: bytes, underscores: bool) -> tuple[list[Header], bytes, list[bytes]]:
    """Return a header's pairs for the scope, and its telling name with the values, if it has one."""
    name, values = header_fields(data)
    kept, telling_name = sift_name(name, underscores)
    pairs = [(kept, value) for value in values] if kept else []
    return pairs, telling_name, values


# Not state: the same answer each time, only sooner. Short ones alone, so that the cache stays small.
_kept_sifted = lru_cache(maxsize=2048)(_sifted)


def _span(data: bytes | bytearray, position: int) -> tuple[int, int]:
    """Return the start and the end of the field whose length stands at ``position``."""
    size = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            break
        octet = data[position]
        position += 1
        size |= (octet & 0x7F) << shift
        if octet < 0x80:
            if position + size > len(data):
                break
            return position, position + size
    raise DecodeError("a field is longer than its message")


# -------------------------------------------------------------------- responses, written

# A field's tag is its number * 8 + 2 for bytes, strings and messages, + 0 for numbers.
_INIT: Final = b"\x0a"  # ServeHTTPResponse.init = 1
_CHUNK: Final = b"\x12"  # .body_chunk = 2
_COMPLETE: Final = b"\x18\x01"  # .body_complete = 3: true
_FLUSH: Final = b"\x20\x01"  # .flush = 4: true
_STATUS: Final = b"\x08"  # ServeHTTPResponseInit.status_code = 1
_HEADER: Final = b"\x12"  # .headers = 2
_FIELD_KEY: Final = b"\x0a"  # HTTPHeader.key = 1
_FIELD_VALUE: Final = b"\x12"  # .values = 2

_JOIN: Final = 4096
"""Bytes of a body up to which a copy is cheaper than a piece of its own; a guess."""

_SHORT_VALUE: Final = 64
"""Bytes of a header's value up to which its wire form is kept."""


def encode_head(head: ResponseHead) -> bytes:
    """Return a ServeHTTPResponse's ``init`` field: the app's headers, Content-Length last."""
    fields = [_STATUS, _varint(head.status)]
    for name, value in head.headers:
        fields.append((_kept_field if len(value) <= _SHORT_VALUE else encode_field)(name, value))
    if head.length is not None:
        fields.append(_kept_length(head.length))
    init = b"".join(fields)
    size = len(init)
    return b"".join((_INIT, _ONE_BYTE[size] if size < 0x80 else _varint(size), init))


def encode_field(name: bytes, value: bytes) -> bytes:
    """Return an HTTPHeader of one value, as an element of ``init.headers``.

    The wire's strings are UTF-8: a value that is not is taken for latin-1 (row R12).
    """
    try:
        value.decode()
    except UnicodeDecodeError:
        value = value.decode("latin-1").encode()
    header = b"".join(
        (_FIELD_KEY, _varint(len(name)), name, _FIELD_VALUE, _varint(len(value)), value)
    )
    return b"".join((_HEADER, _varint(len(header)), header))


def _length_field(size: int) -> bytes:
    return encode_field(b"content-length", b"%d" % size)


_kept_field = lru_cache(maxsize=1024)(encode_field)
_kept_length = lru_cache(maxsize=1024)(_length_field)


def encode_response(
    head: bytes, chunk: bytes | memoryview, *, complete: bool, flush: bool
) -> Encoded:
    """Return a ServeHTTPResponse.

    Args:
        head: what ``encode_head`` made, or nothing.
        chunk: the body bytes; a view of bytes that do not change any more.
        complete: this is the last message.
        flush: the host passes it on at once.
    """
    size = len(chunk)
    tail = (_COMPLETE if complete else b"") + (_FLUSH if flush else b"")
    if size <= _JOIN:
        tag = _CHUNK + (_ONE_BYTE[size] if size < 0x80 else _varint(size)) if size else b""
        whole = b"".join((head, tag, chunk, tail))
        return Encoded(ServeHTTPResponse, (whole,), len(whole))
    head += _CHUNK + _varint(size)
    pieces = (head, chunk, tail) if tail else (head, chunk)
    return Encoded(ServeHTTPResponse, pieces, len(head) + size + len(tail))


def _varint(value: int) -> bytes:
    """Return a number of 0 or more in base 128, the lowest group first."""
    if value < 0x80:
        return _ONE_BYTE[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_ONE_BYTE: Final = tuple(bytes((value,)) for value in range(0x80))
