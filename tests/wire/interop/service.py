"""grpc.testing.TestService on any wire, as the gRPC project's interop-test-descriptions.md says.

What it says of compression is kept by the native wire alone, when its server compresses.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from mm_asgi.wire.http2.call import ServerCall
from mm_asgi.wire.port import Method, StatusCode

from . import messages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.wire.port import Metadata, Stream

    Handler = Callable[[Stream], Awaitable[None]]

__all__ = ["SERVICE", "methods"]

SERVICE = "/grpc.testing.TestService/"
LIMIT = 16 * 2**20

ECHO_INITIAL = "x-grpc-test-echo-initial"
ECHO_TRAILING = "x-grpc-test-echo-trailing-bin"


def methods(*, compress: bool = False) -> dict[str, Method]:
    """What is served, by RPC path; UnimplementedCall is not.

    Args:
        compress: compress what the client does not ask for one way or the other.
    """
    rows: list[tuple[str, Handler, Any]] = [
        ("EmptyCall", empty_call, messages.Empty),
        ("UnaryCall", unary_call, messages.SimpleRequest),
        ("CacheableUnaryCall", unary_call, messages.SimpleRequest),
        ("StreamingOutputCall", streaming_output_call, messages.StreamingOutputCallRequest),
        ("StreamingInputCall", streaming_input_call, messages.StreamingInputCallRequest),
        ("FullDuplexCall", full_duplex_call, messages.StreamingOutputCallRequest),
        ("HalfDuplexCall", half_duplex_call, messages.StreamingOutputCallRequest),
    ]
    return {
        SERVICE + name: Method(_ending(handler, compress), kind, LIMIT)
        for name, handler, kind in rows
    }


class Ended(Exception):
    """The RPC is to end with a status that is not OK."""

    def __init__(self, code: StatusCode, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


def _ending(handler: Handler, compress: bool) -> Handler:
    """Around each handler: the metadata that is echoed, and the end."""

    async def run(stream: Stream) -> None:
        _compress(stream, compress)
        if ECHO_INITIAL in stream.metadata:
            stream.send_metadata([(ECHO_INITIAL, stream.metadata[ECHO_INITIAL])])
        trailing: Metadata = [
            (name, value) for name, value in stream.metadata.items() if name == ECHO_TRAILING
        ]
        try:
            await handler(stream)
        except Ended as end:
            stream.abort(end.code, end.text, trailing)
        else:
            stream.finish(trailing)

    return run


async def empty_call(stream: Stream) -> None:
    """One empty message for another."""
    await _only_request(stream)
    await stream.write(messages.Empty())


async def unary_call(stream: Stream) -> None:
    """A payload of the size asked for."""
    request = await _only_request(stream)
    _check_compressed(stream, request)
    _check_status(request)
    if request.HasField("response_compressed"):
        _compress(stream, request.response_compressed.value)
    await stream.write(messages.SimpleResponse(payload=_payload(request.response_size)))


async def streaming_output_call(stream: Stream) -> None:
    """One request, the responses that it lists."""
    request = await _only_request(stream)
    _check_status(request)
    await _respond(stream, request)


async def streaming_input_call(stream: Stream) -> None:
    """How many bytes came."""
    size = 0
    while (request := await stream.read()) is not None:
        _check_compressed(stream, request)
        size += len(request.payload.body)
    await stream.write(messages.StreamingInputCallResponse(aggregated_payload_size=size))


async def full_duplex_call(stream: Stream) -> None:
    """Each request's responses when it comes."""
    while (request := await stream.read()) is not None:
        _check_status(request)
        await _respond(stream, request)


async def half_duplex_call(stream: Stream) -> None:
    """All requests' responses after the last request."""
    requests = []
    while (request := await stream.read()) is not None:
        requests.append(request)
    for request in requests:
        _check_status(request)
        await _respond(stream, request)


def _compress(stream: Stream, wanted: bool) -> None:
    """Of the wires only the native one can be told."""
    if isinstance(stream, ServerCall):
        stream.compresses = wanted


def _check_compressed(stream: Stream, request: Any) -> None:
    """Refuse a message that did not come as it says."""
    if isinstance(stream, ServerCall) and request.HasField("expect_compressed"):
        expected = request.expect_compressed.value
        if stream.was_compressed != expected:
            text = f"the message says compressed: {expected}, and it came the other way"
            raise Ended(StatusCode.INVALID_ARGUMENT, text)


async def _only_request(stream: Stream) -> Any:
    request = await stream.read()
    if request is None:
        raise Ended(StatusCode.INTERNAL, "the request has no message, expected one")
    return request


def _check_status(request: Any) -> None:
    """End the RPC with the status that a request asks for."""
    if request.HasField("response_status") and (code := request.response_status.code):
        known = code in StatusCode.__members__.values()
        raise Ended(
            StatusCode(code) if known else StatusCode.UNKNOWN, request.response_status.message
        )


async def _respond(stream: Stream, request: Any) -> None:
    left = asyncio.Event()
    stream.on_cancel(left.set)
    for parameters in request.response_parameters:
        if parameters.interval_us > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(parameters.interval_us / 1e6):
                    await left.wait()
        if left.is_set():
            return
        payload = _payload(parameters.size)
        if parameters.HasField("compressed"):
            _compress(stream, parameters.compressed.value)
        await stream.write(messages.StreamingOutputCallResponse(payload=payload))


def _payload(size: int) -> Any:
    if not 0 <= size <= LIMIT:
        text = f"the request asks for {size} bytes, expected 0 to {LIMIT}"
        raise Ended(StatusCode.INVALID_ARGUMENT, text)
    return messages.Payload(body=bytes(size))
