"""What a client makes of an answer: each that is malformed, cut off, refused or reset."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.wire.http2 import frames
from mm_asgi.wire.http2.client_rpc import RequestBlocks, timeout_field
from mm_asgi.wire.http2.frames import ErrorCode
from mm_asgi.wire.http2.hpack import Decoder
from mm_asgi.wire.http2.rpc import PREFIX
from mm_asgi.wire.port import RPCError, StatusCode

from .attacked import message
from .bare import RST_STREAM, data
from .scripted import PATH, answer, head, scripted, trailers

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mm_asgi.wire.http2.hpack import Field
    from mm_asgi.wire.port import Call

TEXT: list[Field] = [(b":status", b"200"), (b"content-type", b"text/html")]
ONLY: list[Field] = [(b":status", b"200"), (b"content-type", b"application/grpc"),
                     (b"grpc-status", b"5"), (b"grpc-message", b"no 100%25"), (b"why", b"x")]  # fmt: skip


def http(status: int, *more: Field) -> bytes:
    return head(1, *more, fields=[(b":status", b"%d" % status)], end=True)


def compressed(body: bytes, *, encoding: bytes | None = b"gzip", flag: int = 1) -> bytes:
    more = () if encoding is None else ((b"grpc-encoding", encoding),)
    return head(1, *more) + data(1, PREFIX.pack(flag, len(body)) + body) + trailers(1)


def gzipped(body: bytes) -> bytes:
    return gzip.compress(BytesValue(value=body).SerializeToString())


async def failure(answer: Awaitable[object]) -> RPCError:
    with pytest.raises(RPCError) as caught:
        await answer
    return caught.value


WRONG = {
    "a text": (head(1, fields=TEXT), "UNKNOWN", "HTTP status 200, text/html; expected 200, applic"),
    "400": (http(400), "INTERNAL", "HTTP status 400, no content-type"),
    "401": (http(401), "UNAUTHENTICATED", "HTTP status 401"),
    "403": (http(403), "PERMISSION_DENIED", "HTTP status 403"),
    "404": (http(404), "UNIMPLEMENTED", "HTTP status 404"),
    "429": (http(429), "UNAVAILABLE", "HTTP status 429"),
    "500": (http(500), "UNKNOWN", "HTTP status 500"),
    "502": (http(502), "UNAVAILABLE", "HTTP status 502"),
    "503": (http(503), "UNAVAILABLE", "HTTP status 503"),
    "504": (http(504), "UNAVAILABLE", "HTTP status 504"),
    "404 with a status": (http(404, (b"grpc-status", b"9")), "FAILED_PRECONDITION", ""),
    "no status": (head(1) + data(1, message(b"a"), end=True), "INTERNAL", "ended without a status"),
    "no grpc-status": (head(1) + trailers(1, fields=[(b"a", b"b")]), "UNKNOWN", "no grpc-status"),
    "no grpc-status at all": (head(1, end=True), "UNKNOWN", "no grpc-status"),
    "a status of nobody": (head(1) + trailers(1, fields=[(b"grpc-status", b"99")]), "UNKNOWN", ""),
    "no message": (head(1) + trailers(1), "INTERNAL", "a status and no message"),
    "half a message": (head(1) + data(1, message(b"abc")[:-1]) + trailers(1), "INTERNAL", "middle of a message"),
    "a prefix": (head(1) + data(1, b"\0\0") + trailers(1), "INTERNAL", "middle of a message"),
    "two messages": (head(1) + data(1, message(b"a") * 2) + trailers(1), "INTERNAL", "two messages"),
    "two frames": (head(1) + data(1, message(b"a")) * 2 + trailers(1), "INTERNAL", "two messages"),
    "no BytesValue": (head(1) + data(1, PREFIX.pack(0, 1) + b"\xff"), "INTERNAL", "cannot be parsed"),
    "too much": (head(1) + data(1, PREFIX.pack(0, 2**20 + 1)), "RESOURCE_EXHAUSTED", "larger than"),
    "an upper case name": (head(1, (b"A", b"b")), "INTERNAL", "reset with PROTOCOL_ERROR"),
    "over its length": (head(1, (b"content-length", b"1")) + data(1, b"ab"), "INTERNAL", "PROTOCOL_ERROR"),
    "no encoding": (compressed(b"abc", encoding=None), "INTERNAL", "without an encoding"),
    "an encoding of nobody": (compressed(b"abc", encoding=b"br"), "INTERNAL", "encoding br is not supported"),
    "no gzip": (compressed(b"abc"), "INTERNAL", "not gzip"),
    "half a gzip": (compressed(gzipped(b"abc")[:-3]), "INTERNAL", "cut off"),
    "rubbish after a gzip": (compressed(gzipped(b"abc") + b"rubbish"), "INTERNAL", "not gzip"),
    "a bomb": (compressed(gzipped(bytes(2**20))), "RESOURCE_EXHAUSTED", "larger than"),
    "bombs in a row": (compressed(gzipped(bytes(2**19)) * 3), "RESOURCE_EXHAUSTED", "larger than"),
    "a bomb of bombs": (compressed(gzip.compress(bytes(10**7))), "RESOURCE_EXHAUSTED", "larger than"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["unary", "stream"])
@pytest.mark.parametrize("name", list(WRONG))
async def test_an_answer_that_is_wrong(name: str, kind: str) -> None:
    wrong, code, text = WRONG[name]
    if kind == "stream" and name in ("no message", "two messages", "two frames"):
        code = "OK"  # which a stream may do
    async with scripted(receive_limit=2**20) as server:
        if kind == "unary":
            ending = failure(server.start())
        else:
            ending = failure(_read_all(server.channel.stream(PATH, BytesValue)))
        task = asyncio.ensure_future(ending)
        peer = await server.accept()
        await peer.request()
        await peer.send(wrong)
        error = await task
        assert error.code.name == code, error
        assert text in error.text or code == "OK"
        assert error.path == PATH
        # The connection is as good as before.
        again = server.start()
        number, _ = await peer.request()
        await peer.send(answer(number, b"fine"))
        assert (await again).value == b"fine"


async def _read_all(call: Call) -> None:
    while await call.read() is not None:
        pass
    raise RPCError(StatusCode.OK, "", path=PATH)


async def test_trailers_only() -> None:
    async with scripted() as server:
        task = server.start()
        peer = await server.accept()
        await peer.request()
        await peer.send(head(1, fields=ONLY, end=True))
        error = await failure(task)
        assert (error.code, error.text) == (StatusCode.NOT_FOUND, "no 100%")
        assert error.metadata == (("why", "x"),)


async def test_interim_responses_say_nothing() -> None:
    async with scripted() as server:
        task = server.start()
        peer = await server.accept()
        await peer.request()
        await peer.send(head(1, fields=[(b":status", b"103")]), answer(1, b"final"))
        assert (await task).value == b"final"


async def test_an_answer_byte_by_byte() -> None:
    async with scripted() as server:
        task = server.start()
        peer = await server.accept()
        await peer.request()
        await peer.send(head(1))
        for byte in message(b"slow"):
            await peer.send(data(1, bytes((byte,))))
        await peer.send(trailers(1))
        assert (await task).value == b"slow"


@pytest.mark.parametrize("body", [b"", b"abc", bytes(2**20 - 5)])
async def test_an_answer_in_gzip(body: bytes) -> None:
    async with scripted(receive_limit=2**20) as server:
        task = server.start()
        peer = await server.accept()
        _, fields = await peer.request()
        assert fields[b"grpc-accept-encoding"] == b"identity,gzip"
        assert b"grpc-encoding" not in fields
        await peer.send(compressed(gzipped(body)))
        assert (await task).value == body


async def test_a_request_in_gzip() -> None:
    async with scripted(compression="gzip") as server:
        task = server.start(b"x" * 500)
        peer = await server.accept()
        number, fields = await peer.request()
        assert fields[b"grpc-encoding"] == b"gzip"
        sent = (await peer.find(frames.FrameType.DATA)).payload
        assert sent[0] == 1
        assert gzip.decompress(sent[5:]) == BytesValue(value=b"x" * 500).SerializeToString()
        await peer.send(answer(number, b"plain"))
        assert (await task).value == b"plain"


RESETS: dict[ErrorCode, str] = {
    ErrorCode.NO_ERROR: "INTERNAL",
    ErrorCode.PROTOCOL_ERROR: "INTERNAL",
    ErrorCode.INTERNAL_ERROR: "INTERNAL",
    ErrorCode.FLOW_CONTROL_ERROR: "INTERNAL",
    ErrorCode.SETTINGS_TIMEOUT: "INTERNAL",
    ErrorCode.FRAME_SIZE_ERROR: "INTERNAL",
    ErrorCode.CANCEL: "CANCELLED",
    ErrorCode.COMPRESSION_ERROR: "INTERNAL",
    ErrorCode.CONNECT_ERROR: "INTERNAL",
    ErrorCode.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
    ErrorCode.INADEQUATE_SECURITY: "PERMISSION_DENIED",
}


@pytest.mark.parametrize("code", RESETS)
async def test_a_reset(code: ErrorCode) -> None:
    async with scripted() as server:
        task = server.start()
        peer = await server.accept()
        await peer.request()
        await peer.send(frames.reset(1, code))
        error = await failure(task)
        assert error.code.name == RESETS[code]
        assert code.name in error.text
        assert server.path in error.text


async def test_what_came_before_the_end_is_read_before_it() -> None:
    async with scripted() as server:
        call = server.channel.stream(PATH, BytesValue)
        peer = await server.accept()
        await peer.request()
        late = trailers(1, fields=[(b"grpc-status", b"3")])
        await peer.send(head(1), data(1, message(b"a")), data(1, message(b"b")), late)
        assert (await call.read()).value == b"a"  # type: ignore[union-attr]
        assert (await call.read()).value == b"b"  # type: ignore[union-attr]
        assert (await failure(call.read())).code is StatusCode.INVALID_ARGUMENT
        # The server ended first: it hears that nothing more will be sent.
        assert (await peer.find(RST_STREAM)).code is ErrorCode.NO_ERROR


async def test_a_cancel_is_heard() -> None:
    async with scripted() as server:
        task = server.start()
        peer = await server.accept()
        await peer.request()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await peer.find(RST_STREAM)).code is ErrorCode.CANCEL
        await peer.send(answer(1, b"too late"))
        again = server.start()
        await peer.serve(b"in time")
        assert (await again).value == b"in time"


async def test_a_deadline_is_heard_and_told() -> None:
    async with scripted() as server:
        task = server.start(timeout=0.05)
        peer = await server.accept()
        _, fields = await peer.request()
        assert fields[b"grpc-timeout"][-1:] in b"un"
        assert (await failure(task)).code is StatusCode.DEADLINE_EXCEEDED
        assert (await peer.find(RST_STREAM)).code is ErrorCode.CANCEL


# -------------------------------------------------------------------- pure parts


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (10.0, b"10000m"),
        (9.9999, b"10000m"),
        (1.0004, b"1001m"),
        (1.0, b"1000000u"),
        (0.05, b"50000000n"),
        (1e-9, b"1n"),
        (99_999.5, b"99999500m"),
        (100_000.0, b"100000S"),
        (1e12, b"99999999H"),
    ],
)
def test_timeouts(seconds: float, said: bytes) -> None:
    assert Decoder(1000).decode(timeout_field(seconds)) == [(b"grpc-timeout", said)]


@pytest.mark.parametrize("path", ["", "no/slash", "/ümlaut", "/line\nfeed"])
def test_a_path_that_cannot_be_sent(path: str) -> None:
    with pytest.raises(ValueError, match="expected /package"):
        RequestBlocks("http", "localhost", None).block(path, ())
