"""The gRPC project's interop cases for a client, as interop-test-descriptions.md says, on any Channel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mm_asgi.wire.port import RPCError, StatusCode

from . import messages
from .service import ECHO_INITIAL, ECHO_TRAILING, SERVICE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.wire.port import Call, Channel, Metadata

    Case = Callable[[Channel], Awaitable[None]]

__all__ = ["CASES", "COMPRESSED"]

LARGE_REQUEST, LARGE_ANSWER = 271_828, 314_159
REQUESTS = (27_182, 8, 1_828, 45_904)
ANSWERS = (31_415, 9, 2_653, 58_979)
WAIT = 30.0  # s, for an RPC that is to end well


def payload(size: int) -> Any:
    return messages.Payload(body=bytes(size))


def asked(*sizes: int, body: int | None = None) -> Any:
    """A request for answers of these sizes."""
    request = messages.StreamingOutputCallRequest(
        response_parameters=[{"size": size} for size in sizes]
    )
    if body is not None:
        request.payload.CopyFrom(payload(body))
    return request


def expect(got: object, wanted: object) -> None:
    if got != wanted:
        raise AssertionError(f"it is {got!r}, expected {wanted!r}")


async def unary(channel: Channel, request: Any, **options: Any) -> Any:
    return await channel.unary(
        SERVICE + "UnaryCall", request, messages.SimpleResponse, timeout=WAIT, **options
    )


def duplex(channel: Channel, *, timeout: float = WAIT, metadata: Metadata = ()) -> Call:
    return channel.stream(
        SERVICE + "FullDuplexCall",
        messages.StreamingOutputCallResponse,
        timeout=timeout,
        metadata=metadata,
    )


async def sizes(call: Call) -> list[int]:
    got = []
    while (response := await call.read()) is not None:
        got.append(len(response.payload.body))
    return got


async def failure(answer: Awaitable[object]) -> RPCError:
    try:
        got = await answer
    except RPCError as error:
        return error
    raise AssertionError(f"it answered {got!r:.60}, expected a status that is not OK")


async def empty_unary(channel: Channel) -> None:
    got = await channel.unary(SERVICE + "EmptyCall", messages.Empty(), messages.Empty, timeout=WAIT)
    expect(got.ByteSize(), 0)


async def large_unary(channel: Channel) -> None:
    request = messages.SimpleRequest(response_size=LARGE_ANSWER, payload=payload(LARGE_REQUEST))
    expect((await unary(channel, request)).payload.body, bytes(LARGE_ANSWER))


async def client_streaming(channel: Channel) -> None:
    call = channel.stream(
        SERVICE + "StreamingInputCall", messages.StreamingInputCallResponse, timeout=WAIT
    )
    for size in REQUESTS:
        await call.write(messages.StreamingInputCallRequest(payload=payload(size)))
    call.half_close()
    got = await call.read()
    assert got is not None
    expect(got.aggregated_payload_size, sum(REQUESTS))
    expect(await call.read(), None)


async def server_streaming(channel: Channel) -> None:
    call = channel.stream(
        SERVICE + "StreamingOutputCall", messages.StreamingOutputCallResponse, timeout=WAIT
    )
    await call.write(asked(*ANSWERS))
    call.half_close()
    expect(await sizes(call), list(ANSWERS))


async def ping_pong(channel: Channel) -> None:
    call = duplex(channel)
    for request, answer in zip(REQUESTS, ANSWERS, strict=True):
        await call.write(asked(answer, body=request))
        got = await call.read()
        assert got is not None
        expect(len(got.payload.body), answer)
    call.half_close()
    expect(await call.read(), None)


async def empty_stream(channel: Channel) -> None:
    call = duplex(channel)
    call.half_close()
    expect(await call.read(), None)


async def timeout_on_sleeping_server(channel: Channel) -> None:
    call = duplex(channel, timeout=0.001)
    await call.write(messages.StreamingOutputCallRequest(payload=payload(27_182)))
    expect((await failure(call.read())).code, StatusCode.DEADLINE_EXCEEDED)


async def cancel_after_begin(channel: Channel) -> None:
    call = channel.stream(
        SERVICE + "StreamingInputCall", messages.StreamingInputCallResponse, timeout=WAIT
    )
    call.cancel()
    expect((await failure(call.read())).code, StatusCode.CANCELLED)


async def cancel_after_first_response(channel: Channel) -> None:
    call = duplex(channel)
    await call.write(asked(ANSWERS[0], body=REQUESTS[0]))
    got = await call.read()
    assert got is not None
    expect(len(got.payload.body), ANSWERS[0])
    call.cancel()
    expect((await failure(call.read())).code, StatusCode.CANCELLED)


async def status_code_and_message(channel: Channel) -> None:
    await _status(channel, "test status message")


async def special_status_message(channel: Channel) -> None:
    await _status(channel, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")


async def _status(channel: Channel, text: str) -> None:
    status = {"code": 2, "message": text}
    error = await failure(unary(channel, messages.SimpleRequest(response_status=status)))
    expect((error.code, error.text), (StatusCode.UNKNOWN, text))
    call = duplex(channel)
    await call.write(messages.StreamingOutputCallRequest(response_status=status))
    call.half_close()
    error = await failure(call.read())
    expect((error.code, error.text), (StatusCode.UNKNOWN, text))


async def unimplemented_method(channel: Channel) -> None:
    await _unimplemented(channel, SERVICE + "UnimplementedCall")


async def unimplemented_service(channel: Channel) -> None:
    await _unimplemented(channel, "/grpc.testing.UnimplementedService/UnimplementedCall")


async def _unimplemented(channel: Channel, path: str) -> None:
    error = await failure(channel.unary(path, messages.Empty(), messages.Empty, timeout=WAIT))
    expect(error.code, StatusCode.UNIMPLEMENTED)


async def custom_metadata(channel: Channel) -> None:
    metadata: list[tuple[str, str | bytes]] = [
        (ECHO_INITIAL, "test_initial_metadata_value"),
        (ECHO_TRAILING, b"\xab\xab\xab"),
    ]
    for path, request, response in (
        (
            "UnaryCall",
            messages.SimpleRequest(response_size=1, payload=payload(1)),
            messages.SimpleResponse,
        ),
        ("FullDuplexCall", asked(1, body=1), messages.StreamingOutputCallResponse),
    ):
        call = channel.stream(SERVICE + path, response, timeout=WAIT, metadata=metadata)
        await call.write(request)
        call.half_close()
        initial = await call.initial_metadata()
        expect(await sizes(call), [1])
        expect([pair for pair in initial if pair[0] == ECHO_INITIAL], metadata[:1])
        trailing = call.trailing_metadata()
        expect([pair for pair in trailing if pair[0] == ECHO_TRAILING], metadata[1:])


# -------------------------------------------------------------------- compressed: the native wire's


async def client_compressed_unary(channel: Channel) -> None:
    request = messages.SimpleRequest(response_size=LARGE_ANSWER, payload=payload(LARGE_REQUEST))
    for claimed, compressed, code in (
        (True, False, StatusCode.INVALID_ARGUMENT),  # the probe: does the server look at all?
        (True, True, None),
        (False, False, None),
    ):
        request.expect_compressed.value = claimed
        call: Any = channel.stream(SERVICE + "UnaryCall", messages.SimpleResponse, timeout=WAIT)
        call.compresses = compressed
        await call.write(request)
        call.half_close()
        if code is not None:
            expect((await failure(call.read())).code, code)
        else:
            expect(await sizes(call), [LARGE_ANSWER])


async def server_compressed_unary(channel: Channel) -> None:
    request = messages.SimpleRequest(response_size=LARGE_ANSWER, payload=payload(LARGE_REQUEST))
    for wanted in (True, False):
        request.response_compressed.value = wanted
        call: Any = channel.stream(SERVICE + "UnaryCall", messages.SimpleResponse, timeout=WAIT)
        call.compresses = False
        await call.write(request)
        call.half_close()
        got = await call.read()
        expect((len(got.payload.body), call.was_compressed), (LARGE_ANSWER, wanted))
        expect(await call.read(), None)


async def client_compressed_streaming(channel: Channel) -> None:
    for claimed, code in ((False, StatusCode.INVALID_ARGUMENT), (True, None)):
        call: Any = channel.stream(
            SERVICE + "StreamingInputCall", messages.StreamingInputCallResponse, timeout=WAIT
        )
        for size, says, compressed in ((27_182, True, claimed), (45_904, False, False)):
            request = messages.StreamingInputCallRequest(payload=payload(size))
            request.expect_compressed.value = says
            call.compresses = compressed
            await call.write(request)
            if code is not None:
                break
        call.half_close()
        if code is not None:
            expect((await failure(call.read())).code, code)
        else:
            expect((await call.read()).aggregated_payload_size, 73_086)
            expect(await call.read(), None)


async def server_compressed_streaming(channel: Channel) -> None:
    call: Any = channel.stream(
        SERVICE + "StreamingOutputCall", messages.StreamingOutputCallResponse, timeout=WAIT
    )
    call.compresses = False
    parameters = [{"size": 31_415, "compressed": {"value": True}},
                  {"size": 92_653, "compressed": {"value": False}}]  # fmt: skip
    await call.write(messages.StreamingOutputCallRequest(response_parameters=parameters))
    call.half_close()
    got = []
    while (response := await call.read()) is not None:
        got.append((len(response.payload.body), call.was_compressed))
    expect(got, [(31_415, True), (92_653, False)])


async def many_at_once(channel: Channel) -> None:
    """None of the document's: all the others together, on one connection."""
    await asyncio.gather(*(case(channel) for case in _PLAIN for _ in range(5)))


_PLAIN: tuple[Case, ...] = (
    empty_unary,
    large_unary,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    timeout_on_sleeping_server,
    cancel_after_begin,
    cancel_after_first_response,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    custom_metadata,
)
CASES: dict[str, Case] = {case.__name__: case for case in (*_PLAIN, many_at_once)}
COMPRESSED: dict[str, Case] = {
    case.__name__: case
    for case in (
        client_compressed_unary,
        server_compressed_unary,
        client_compressed_streaming,
        server_compressed_streaming,
    )
}
