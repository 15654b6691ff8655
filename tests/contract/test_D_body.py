"""Rows D1 to D8 by name: the request's body, and a client or a host that leaves."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest
from mm_asgi.wire.port import StatusCode
from tests.contract.roads import (
    GoRoad,
    HTTPRoad,
    MemoryRoad,
    MemoryRPC,
    MessageRoad,
    RawRoad,
    Road,
    build_init,
    roads,
)

if TYPE_CHECKING:
    from tests.contract.roads import RPC, Exchange

pytestmark = pytest.mark.asyncio(loop_scope="session")

KIB = 1024
CHUNK = b"x" * 64 * KIB
MIB = KIB * KIB
REQUEST, DISCONNECT = "http.request", "http.disconnect"
GONE = [DISCONNECT, 0, None]
BROKEN = "the request stream broke the ServeHTTP contract"


def chunk(data: bytes = b"", *, last: bool = False) -> ServeHTTPRequest:
    """A message of the body."""
    return ServeHTTPRequest(body_chunk=data, body_complete=last)


async def post(
    road: MessageRoad, target: str, length: int | None, *messages: ServeHTTPRequest
) -> tuple[str, RPC]:
    """A POST as messages of which the first has the init alone; its token and its stream."""
    token = road.token()
    init = build_init("POST", target, [("X-Token", token)], length=length)
    return token, await road.stream(ServeHTTPRequest(init=init), *messages)


async def begin(road: Road, case: str, **more: Any) -> tuple[str, Exchange]:
    """A request that is not waited for; its token."""
    token = road.token()
    headers = [("X-Token", token), ("X-Case", case)]
    return token, await road.open("POST", "/", headers, **more)


# ---------------------------------------------------------------- D1: streaming


@roads("m")
async def test_D1_one_read_is_outstanding(road: MemoryRoad) -> None:
    token, rpc = await post(road, "/slow?gates=3", None, *[chunk(CHUNK)] * 50)
    assert isinstance(rpc, MemoryRPC)
    await rpc.send(chunk(last=True))
    await rpc.half_close()
    await road.journal(token, "waits")
    peer = rpc.peer
    assert (peer.reads, peer.fetched) == (1, 2)
    for number in range(3):
        await road.gate(token, f"read {number}")
        await road.journal(token, "event", number + 1)
        assert (peer.reads, peer.fetched) == (number + 1, number + 2)
    await road.gate(token, "all")
    assert (await rpc.rest()).body == b"%d" % (50 * len(CHUNK))


@roads("w", "g")
async def test_D1_a_slow_app_slows_the_client(road: Road) -> None:
    if isinstance(road, MessageRoad):
        token, rpc = await post(road, "/slow?gates=0", None)
        sent = await pushed(lambda: rpc.send(chunk(CHUNK)))
        await road.gate(token, "all")
        await rpc.send(chunk(last=True))
        await rpc.half_close()
        answer = (await rpc.rest()).answer()
    else:
        token = road.token()
        exchange = await road.open("POST", f"/slow?gates=0&token={token}", length=None)
        sent = await pushed(lambda: within(0.5, exchange.send(CHUNK)))
        await road.gate(token, "all")
        await exchange.send(b"", last=True)
        answer = await exchange.rest()
    assert answer.body == b"%d" % (sent * len(CHUNK))


async def within(seconds: float, sending: Any) -> bool:
    """Whether the bytes were taken in this time; they go on all the same."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(sending, seconds)
        return True
    return False


async def pushed(push: Any) -> int:
    """How many chunks went before one was held back: what the buffers on the way take."""
    for number in range(1, 513):
        if not await push():
            return number
    raise AssertionError("32 MiB went to an app that reads nothing")


@roads("w", "g")
async def test_D1_memory_is_flat(road: Road) -> None:
    size = 64 * MIB
    token, exchange = await begin(road, "digest", length=size)
    for number in range(64):
        await exchange.send(CHUNK * 16, last=number == 63)
    assert (await exchange.rest()).body.startswith(b"%d " % size)
    (grown,) = await road.noted(token, "grown")
    assert grown < 16 * KIB


@roads("m", "w", "g")
@pytest.mark.parametrize("length", [0, 1, 64 * KIB, 64 * KIB + 1, 300_000])
@pytest.mark.parametrize("declared", [True, False])
async def test_D1_a_body_arrives_whole(road: Road, length: int, declared: bool) -> None:
    body = bytes(range(256)) * 2000
    exchange = (await begin(road, "echo", length=length if declared else None))[1]
    if length or not declared:
        await exchange.send(body[:length], last=True)
    assert (await exchange.rest()).body == body[:length]


@roads("m", "w")
async def test_D1_events_are_the_hosts_messages(road: MessageRoad) -> None:
    messages = [chunk(b"abc"), chunk(), chunk(b"d"), chunk(b"ef", last=True)]
    token, rpc = await post(road, "/events", None, *messages)
    assert (await rpc.rest()).body == REQUEST.encode()
    assert await road.noted(token, "event") == [
        [REQUEST, 0, True],
        [REQUEST, 3, True],
        [REQUEST, 0, True],
        [REQUEST, 1, True],
        [REQUEST, 2, False],
    ]


# ---------------------------------------------------------------- D2, D6: a body that is cut


async def check_cut(road: Road, token: str) -> None:
    """The app heard of the bytes and then of a disconnect, and of no end."""
    *requests, last = await road.noted(token, "event")
    await road.journal(token, "over")
    assert last == GONE
    assert sum(size for _, size, _ in requests) == 3
    assert all(more for _, _, more in requests)


@roads("m", "w", "g")
@pytest.mark.parametrize("length", [10, None])
async def test_D2_a_cut_body_is_a_disconnect(road: Road, length: int | None) -> None:
    token, exchange = await begin(road, "events", length=length)
    await exchange.send(b"abc")
    await road.journal(token, "event")
    await exchange.cut()
    await road.journal(token, "over")
    await check_cut(road, token)
    await exchange.leave()


@roads("m", "w")
async def test_D2_the_answer_still_leaves(road: MessageRoad) -> None:
    token, rpc = await post(road, "/events", None, chunk(b"abc"))
    await rpc.half_close()
    got = await rpc.rest()
    assert (got.code, got.body) == (0, DISCONNECT.encode())
    await check_cut(road, token)


@roads("m", "w")
@pytest.mark.parametrize("rest", [[chunk(b"abc", last=True)], [chunk(b"abc"), chunk(last=True)]])
async def test_D6_a_body_shorter_than_its_length_is_cut(
    road: MessageRoad, rest: list[ServeHTTPRequest]
) -> None:
    token, rpc = await post(road, "/events", 10, *rest)
    got = await rpc.rest()
    assert (got.code, got.body) == (0, DISCONNECT.encode())
    events = await road.noted(token, "event")
    assert events[-1] == GONE
    assert all(more for _, _, more in events[:-1])


@roads("m", "w")
@pytest.mark.parametrize(
    "rest",
    [
        [chunk(b"abcdefgh", last=True)],
        [chunk(b"abcdefgh"), chunk(b"i"), chunk(last=True)],
        [chunk(b"abc"), chunk(b"defgh", last=True)],
        [chunk(b"abcde"), chunk(b"f", last=True)],
        [chunk(b"abcde"), chunk(b"f"), chunk(b"g")],
    ],
)
async def test_D6_a_body_longer_than_its_length_is_cut_and_logged(
    road: MessageRoad, rest: list[ServeHTTPRequest]
) -> None:
    _, rpc = await post(road, "/echo", 5, *rest)
    got = await rpc.rest()
    assert (got.code, got.body) == (0, b"abcde")
    await road.logged("the host sent more than Content-Length's 5 bytes", "warn")


@roads("m", "w")
async def test_D6_the_rest_of_a_long_body_is_no_fault(road: MessageRoad) -> None:
    token, rpc = await post(road, "/forever", 5, chunk(b"abcdefgh"), chunk(b"i"), chunk(last=True))
    assert (await rpc.rest()).body == b"ok"
    await road.journal(token, "over")
    await road.logged("the host sent more than Content-Length's 5 bytes", "warn")


@roads("m", "w")
async def test_D6_a_length_of_0_is_a_length_that_the_host_does_not_tell(road: MessageRoad) -> None:
    _, rpc = await post(road, "/echo", 0, chunk(b"abc"), chunk(b"def", last=True))
    assert (await rpc.rest()).body == b"abcdef"
    await check_quiet(road)


@roads("w")
async def test_D6_another_plugins_body_comes_without_its_length(road: GoRoad) -> None:
    body = base64.b64encode(b"x" * 100_000).decode()
    answer = await road.inter_plugin("/echo", method="POST", body_base64=body)
    assert (answer.status, answer.body) == (200, b"x" * 100_000)
    await check_quiet(road)


# ---------------------------------------------------------------- D3: receive() after the body


@roads("m", "w", "g")
async def test_D3_receive_waits_for_the_end_of_the_response(road: Road) -> None:
    token, exchange = await begin(road, "forever")
    assert (await exchange.rest()).body == b"ok"
    assert await road.noted(token, "waits") == [True]
    assert await road.noted(token, "event") == [GONE]
    assert await road.noted(token, "ready", 3) == [DISCONNECT] * 3


@roads("m", "w", "g")
async def test_D3_receive_waits_for_the_client(road: Road) -> None:
    token, exchange = await begin(road, "waits")
    await road.journal(token, "waits")
    assert "left" not in [note.key for note in await road.journal(token)]
    await exchange.leave()
    await road.journal(token, "left")


@roads("m", "w", "g")
async def test_D3_a_ready_event_comes_without_a_turn_of_the_loop(road: Road) -> None:
    token, exchange = await begin(road, "ready")
    await road.journal(token, "waits")
    await exchange.leave()
    await road.journal(token, "over")
    assert await road.noted(token, "ready") == [REQUEST, "waits", DISCONNECT]


@roads("m", "w", "g")
async def test_D3_starlettes_is_disconnected(road: Road) -> None:
    token, exchange = await begin(road, "starlette polls")
    await road.journal(token, "waits")
    await exchange.leave()
    await road.journal(token, "over")
    assert await road.noted(token, "gone") == [False, True]


@roads("m", "w", "g")
async def test_D3_parallel_and_cancelled_receives_lose_nothing(road: Road) -> None:
    exchange = (await begin(road, "parallel", length=None))[1]
    numbers = [b"%04d" % number for number in range(200)]
    for number in numbers:
        await exchange.send(number)
    await exchange.send(b"", last=True)
    body = (await exchange.rest()).body
    if road.kind == "g":  # net/http may read several of them at once
        assert sorted(body.replace(b" ", b"")) == sorted(b"".join(numbers))
    else:
        assert body == b" ".join(numbers)


# ---------------------------------------------------------------- D4: the client leaves


async def seconds_until_told(road: Road, case: str) -> float:
    """From the moment when the client leaves to the app's http.disconnect."""
    token, exchange = await begin(road, case)
    await road.journal(token, "waits")
    began = time.monotonic()
    await exchange.leave()
    notes = await road.journal(token, "left")
    await road.journal(token, "over")
    return next(note.at for note in notes if note.key == "left") - began


@roads("m", "w", "g")
@pytest.mark.parametrize("case", ["waits", "streams"])
async def test_D4_the_app_is_told_within_100_ms(road: Road, case: str) -> None:
    # The best of three: a machine that stalls is no broken promise.
    assert min([await seconds_until_told(road, case) for _ in range(3)]) < 0.1


@roads("m", "w", "g")
async def test_D4_a_send_to_nobody_takes_20_ms_and_does_nothing(road: Road) -> None:
    token, exchange = await begin(road, "streams")
    await road.journal(token, "waits")
    await exchange.leave()
    (took,) = await road.noted(token, "five sends")
    assert took > 0.09  # uvloop counts whole milliseconds
    await road.journal(token, "over")
    assert "raised" not in [note.key for note in await road.journal(token)]
    if isinstance(road, MessageRoad):
        assert b"nobody" not in (await exchange.rest()).body


@roads("m")
async def test_D4_after_the_grace_a_send_raises(road: Road) -> None:
    async with MemoryRoad(disconnect_grace=0.05) as own:
        token, exchange = await begin(own, "endless")
        await own.journal(token, "waits")
        await exchange.leave()
        assert await own.noted(token, "raised") == ["ClientDisconnected"]
        (went_on,) = await own.noted(token, "went on")
        assert went_on >= 0.05


@roads("w", "g")
async def test_D4_the_grace_is_5_s(road: Road) -> None:
    token, exchange = await begin(road, "endless")
    await road.journal(token, "waits")
    await exchange.leave()
    assert await road.noted(token, "raised") == ["ClientDisconnected"]
    (went_on,) = await road.noted(token, "went on")
    assert 4.9 < went_on < 6


@roads("m", "w", "g")
async def test_D4_an_idle_starlette_stream_ends(road: Road) -> None:
    token, exchange = await begin(road, "starlette events")
    assert await exchange.head() == 200
    assert min([await seconds_until_told(road, "starlette events") for _ in range(3)]) < 0.1
    await exchange.leave()
    await road.journal(token, "left")
    await road.journal(token, "over")


@roads("w", "g")
async def test_D4_many_leave_at_once(road: Road) -> None:
    begun = [await begin(road, "starlette events") for _ in range(50)]
    for _, exchange in begun:
        assert await exchange.head() == 200
    await asyncio.gather(*[exchange.leave() for _, exchange in begun])
    for token, _ in begun:
        await road.journal(token, "over")


# ---------------------------------------------------------------- D5: the cancel after the answer


async def check_quiet(road: Road) -> None:
    """Nothing was logged but debug lines and the access line."""
    assert {line.level for line in await road.lines()} <= {"debug", "info"}


@roads("m", "w", "g")
async def test_D5_the_app_goes_on_after_its_answer(road: Road) -> None:
    token, exchange = await begin(road, "background")
    assert (await exchange.rest()).body == b"ok"
    await exchange.leave()
    await road.journal(token, "answered")
    assert "worked" not in [note.key for note in await road.journal(token)]
    await road.gate(token, "work")
    await road.journal(token, "worked")
    await check_quiet(road)


@roads("m", "w")
async def test_D5_a_cancel_right_after_body_complete(road: MessageRoad) -> None:
    for _ in range(20):
        token = road.token()
        init = build_init("GET", "/background", [("X-Token", token)])
        rpc = await road.stream(ServeHTTPRequest(init=init, body_complete=True))
        message = await rpc.receive()
        assert message is not None
        assert message.body_complete
        await rpc.cancel()
        await road.gate(token, "work")
        await road.journal(token, "worked")
    await check_quiet(road)


@roads("m")
async def test_D5_a_cancel_before_the_rpc_has_ended(road: Road) -> None:
    # With a window of 0 write() waits; the host receives and cancels before it returns.
    async with MemoryRoad(disconnect_grace=0.0) as own:
        token = own.token()
        init = build_init("GET", "/late", [("X-Token", token)])
        rpc = await own.stream(ServeHTTPRequest(init=init, body_complete=True), window=0)
        await own.journal(token, "waits")
        message = await rpc.receive()
        assert message is not None
        assert message.body_complete
        await rpc.cancel()
        await own.gate(token, "work")
        await own.journal(token, "over")
        assert await own.noted(token, "worked") == [None]
        await check_quiet(own)


# ---------------------------------------------------------------- D7: an answer during the upload


async def check_not_cancelled(road: Road, token: str) -> None:
    await road.gate(token, "go on")
    await road.journal(token, "went on")
    assert await road.noted(token, "later") == [DISCONNECT]
    await check_quiet(road)


@roads("m", "w")
async def test_D7_the_rpc_ends_while_the_host_still_sends(road: MessageRoad) -> None:
    token, rpc = await post(road, "/early", 64 * MIB)
    if isinstance(road, RawRoad):
        await pushed(lambda: rpc.send(chunk(CHUNK)))  # the sender is blocked now
    else:
        await rpc.send(*[chunk(CHUNK)] * 100)
    await road.gate(token, "answer")
    got = await rpc.rest()
    assert (got.code, got.answer().status, got.body) == (0, 413, b"too large")
    await rpc.send(chunk(CHUNK))
    await check_not_cancelled(road, token)


@roads("g", simulated=False)  # it asks the Go host what is open
async def test_D7_the_host_lets_go_of_the_upload(road: HTTPRoad) -> None:
    token, exchange = await begin(road, "early", length=64 * MIB)
    upload = asyncio.create_task(upload_all(exchange))
    await road.journal(token, "waits")
    await road.gate(token, "answer")
    answer = await exchange.rest()
    assert (answer.status, answer.body, answer.broken) == (413, b"too large", False)
    await upload
    await check_not_cancelled(road, token)
    await all_closed(road)


async def upload_all(exchange: Exchange) -> None:
    """Upload until the host refuses the rest and closes the connection."""
    with contextlib.suppress(ConnectionError):
        for _ in range(1024):
            await exchange.send(CHUNK)


async def all_closed(road: GoRoad) -> None:
    """Wait until the host holds no request any more."""
    for _ in range(1000):
        if not (await road.host.stats())["open"]:
            return
    raise AssertionError("the host still holds a request")


# ---------------------------------------------------------------- D8: odd streams


@roads("m", "w")
async def test_D8_no_message_at_all(road: MessageRoad) -> None:
    got = await road.exchange()
    assert (got.code, got.text, got.messages) == (3, "no message", [])
    await road.logged("a request stream ended before its first message", "debug")
    await check_quiet(road)


@roads("m", "w")
@pytest.mark.parametrize("first", [chunk(b"x"), chunk(last=True), chunk()])
async def test_D8_no_init(road: MessageRoad, first: ServeHTTPRequest) -> None:
    got = await road.exchange(first)
    assert (got.code, got.text, got.messages) == (StatusCode.INVALID_ARGUMENT, BROKEN, [])
    await road.logged("the host's first message has no init", "error")
    assert not [line for line in await road.lines() if line.message.startswith("POST")]


@roads("m", "w")
@pytest.mark.parametrize("after", [[], [chunk(b"abc")]])
async def test_D8_a_second_init(road: MessageRoad, after: list[ServeHTTPRequest]) -> None:
    second = ServeHTTPRequest(init=build_init("GET", "/scope"))
    token, rpc = await post(road, "/events", None, *after, second)
    got = await rpc.rest()
    assert (got.code, got.text, got.messages) == (StatusCode.INVALID_ARGUMENT, BROKEN, [])
    await road.journal(token, "over")
    assert (await road.noted(token, "event"))[-1] == GONE
    await road.logged("the host sent a second init", "error")


@roads("m", "w")
@pytest.mark.parametrize(
    "odd", [chunk(b"x"), chunk(last=True), ServeHTTPRequest(init=build_init("GET", "/scope"))]
)
async def test_D8_data_after_the_end(road: MessageRoad, odd: ServeHTTPRequest) -> None:
    token, rpc = await post(road, "/events?on=1", None, chunk(b"abc", last=True), odd)
    got = await rpc.rest()
    assert (got.code, got.text, got.messages) == (StatusCode.INVALID_ARGUMENT, BROKEN, [])
    await road.journal(token, "over")
    assert await road.noted(token, "event") == [[REQUEST, 0, True], [REQUEST, 3, False], GONE]
    await road.logged("the host sent data after body_complete", "error")


@roads("m", "w")
async def test_D8_data_that_nobody_receives_is_no_fault(road: MessageRoad) -> None:
    _, rpc = await post(road, "/echo", None, chunk(b"abc", last=True), chunk(b"x"))
    got = await rpc.rest()
    assert (got.code, got.body) == (0, b"abc")
    await check_quiet(road)
