"""Rows D1, D2 and D6 to D8: the body of a request, and streams that break the contract."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import Any

import pytest

from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest
from mm_asgi.wire.port import StatusCode
from tests.contract.bodies import CHUNK, DISCONNECT, GONE, KIB, MIB, REQUEST, begin, chunk, post
from tests.roads import (
    Exchange,
    HTTPRoad,
    MemoryRoad,
    MemoryRPC,
    MessageRoad,
    RawRoad,
    Road,
    build_init,
    on,
)
from tests.roads.h2c import H2CRequest

BROKEN = "the request stream broke the ServeHTTP contract"


# ---------------------------------------------------------------- D1: streaming


@on("m")
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


@on("w", "g")
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


@on("w", "g")
async def test_D1_memory_is_flat(road: Road) -> None:
    size = 64 * MIB
    token, exchange = await begin(road, "digest", length=size)
    for number in range(64):
        await exchange.send(CHUNK * 16, last=number == 63)
    assert (await exchange.rest()).body.startswith(b"%d " % size)
    (grown,) = await road.noted(token, "grown")
    assert grown < 16 * KIB


@on("m", "w", "g")
@pytest.mark.parametrize("length", [0, 1, 64 * KIB, 64 * KIB + 1, 300_000])
@pytest.mark.parametrize("declared", [True, False])
async def test_D1_a_body_arrives_whole(road: Road, length: int, declared: bool) -> None:
    body = bytes(range(256)) * 2000
    exchange = (await begin(road, "echo", length=length if declared else None))[1]
    if length or not declared:
        await exchange.send(body[:length], last=True)
    assert (await exchange.rest()).body == body[:length]


@on("m", "w")
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


# ---------------------------------------------------------------- D2: a body that is cut


async def check_cut(road: Road, token: str) -> None:
    """The app heard of the bytes and then of a disconnect, and of no end."""
    *requests, last = await road.noted(token, "event")
    await road.journal(token, "over")
    assert last == GONE
    assert sum(size for _, size, _ in requests) == 3
    assert all(more for _, _, more in requests)


@on("m", "w", "g")
async def test_D2_a_cut_body_is_a_disconnect(road: Road) -> None:
    await cut_after_three(road, 10)


# Over net/rpc the end of a body whose length nobody knows looks as its breaking off does.
@on("m", "w", "g", but="n")
async def test_D2_a_cut_chunked_body_is_a_disconnect(road: Road) -> None:
    await cut_after_three(road, None)


async def cut_after_three(road: Road, length: int | None) -> None:
    """Of the body three bytes come."""
    token, exchange = await begin(road, "events", length=length)
    await exchange.send(b"abc")
    await road.journal(token, "event")
    await exchange.cut()
    await road.journal(token, "over")
    await check_cut(road, token)
    await exchange.leave()


@on("m", "w")
async def test_D2_the_answer_still_leaves(road: MessageRoad) -> None:
    token, rpc = await post(road, "/events", None, chunk(b"abc"))
    await rpc.half_close()
    got = await rpc.rest()
    assert (got.code, got.body) == (0, DISCONNECT.encode())
    await check_cut(road, token)


@on("m", "w", "g", but="n")
async def test_D2_starlettes_exception_is_no_error(road: Road) -> None:
    token, exchange = await begin(road, "starlette reads", length=None)
    await exchange.send(b"abc")
    await road.journal(token, "waits")
    await cut(road, token, exchange)


# On s a body that is malformed from its first byte may never reach the plugin: uvicorn, which has
# read it together with the head, answers 400 by itself.
@on("m", "w", "g", but="sn")
async def test_D2_a_body_that_is_cut_before_its_first_byte(road: Road) -> None:
    await cut(road, *await begin(road, "starlette reads", length=None))


async def cut(road: Road, token: str, exchange: Exchange) -> None:
    """The body ends in the middle: Starlette raises, and that is no error."""
    await exchange.cut()
    assert await road.noted(token, "raised") == ["ClientDisconnect"]
    await road.journal(token, "over")
    await exchange.leave()
    await road.check_quiet()


# ---------------------------------------------------------------- D6: a body and its length


@on("m", "w")
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


@on("m", "w")
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


@on("m", "w")
async def test_D6_the_rest_of_a_long_body_is_no_fault(road: MessageRoad) -> None:
    token, rpc = await post(road, "/forever", 5, chunk(b"abcdefgh"), chunk(b"i"), chunk(last=True))
    assert (await rpc.rest()).body == b"ok"
    await road.journal(token, "over")
    await road.logged("the host sent more than Content-Length's 5 bytes", "warn")


@on("m", "w")
async def test_D6_a_length_of_0_is_a_length_that_the_host_does_not_tell(road: MessageRoad) -> None:
    _, rpc = await post(road, "/echo", 0, chunk(b"abc"), chunk(b"def", last=True))
    assert (await rpc.rest()).body == b"abcdef"
    await road.check_quiet()


@on("w")
async def test_D6_another_plugins_body_comes_without_its_length(road: RawRoad) -> None:
    body = base64.b64encode(b"x" * 100_000).decode()
    answer = await road.inter_plugin("/echo", method="POST", body_base64=body)
    assert (answer.status, answer.body) == (200, b"x" * 100_000)
    await road.check_quiet()


@on("m", "w")
async def test_D6_a_length_of_0_says_nothing(road: MessageRoad) -> None:
    # Another plugin's request comes so: with a body, and without its length.
    init = build_init("POST", "/echo")
    got = await road.exchange(
        ServeHTTPRequest(init=init), ServeHTTPRequest(body_chunk=b"abc", body_complete=True)
    )
    assert (got.code, got.body) == (0, b"abc")
    await road.check_quiet()


# ---------------------------------------------------------------- D7: an answer during the upload


async def check_not_cancelled(road: Road, token: str) -> None:
    await road.gate(token, "go on")
    await road.journal(token, "went on")
    assert await road.noted(token, "later") == [DISCONNECT]
    await road.check_quiet()


@on("m", "w")
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


@on("g", but="s")  # it asks the Go host what is open
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


async def all_closed(road: HTTPRoad) -> None:
    """Wait until the host holds no request any more."""
    for _ in range(1000):
        if not (await road.host.stats())["open"]:
            return
    raise AssertionError("the host still holds a request")


# The simulated host speaks HTTP/1.1 alone; without Flush a small answer waits for the end.
@on("g", but="so")
async def test_D7_over_http_2_an_early_answer_leaves_during_the_upload(road: HTTPRoad) -> None:
    token = road.token()
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": road.site.spelled("/"),
        ":authority": "chat.example.com",
        "x-case": "early stream",
        "x-token": token,
    }
    client = await H2CRequest.open(road.host.address, list(headers.items()))
    client.send(b"x" * 1000)
    assert await client.receive() == (b"early", False)
    await road.gate(token, "end")
    # The app and the RPC are done while the client still holds its upload open.
    assert await road.noted(token, "later") == [DISCONNECT]
    await road.journal(token, "over")
    client.send(b"x" * 1000)  # wakes the host's sender, which finds the RPC ended
    assert await client.rest() == b" end"
    await client.close()
    await road.check_quiet()


# ---------------------------------------------------------------- D8: odd streams


async def check_serves(road: Road) -> None:
    """The next request is answered."""
    assert (await road.http("POST", "/echo", body=b"next")).body == b"next"


@on("m", "w")
async def test_D8_no_message_at_all(road: MessageRoad) -> None:
    got = await road.exchange()
    assert (got.code, got.text, got.messages) == (3, "no message", [])
    await road.logged("a request stream ended before its first message", "debug")
    await road.check_quiet()


@on("m", "w")
@pytest.mark.parametrize("first", [chunk(b"x"), chunk(last=True), chunk()])
async def test_D8_no_init(road: MessageRoad, first: ServeHTTPRequest) -> None:
    got = await road.exchange(first)
    assert (got.code, got.text, got.messages) == (StatusCode.INVALID_ARGUMENT, BROKEN, [])
    await road.logged("the host's first message has no init", "error")
    assert not [line for line in await road.lines() if line.message.startswith("POST")]


@on("m", "w")
@pytest.mark.parametrize("after", [[], [chunk(b"abc")]])
async def test_D8_a_second_init(road: MessageRoad, after: list[ServeHTTPRequest]) -> None:
    second = ServeHTTPRequest(init=build_init("GET", "/scope"))
    token, rpc = await post(road, "/events", None, *after, second)
    got = await rpc.rest()
    assert (got.code, got.text, got.messages) == (StatusCode.INVALID_ARGUMENT, BROKEN, [])
    await road.journal(token, "over")
    assert (await road.noted(token, "event"))[-1] == GONE
    await road.logged("the host sent a second init", "error")


@on("m", "w")
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


@on("m", "w")
async def test_D8_data_that_nobody_receives_is_no_fault(road: MessageRoad) -> None:
    _, rpc = await post(road, "/echo", None, chunk(b"abc", last=True), chunk(b"x"))
    got = await rpc.rest()
    assert (got.code, got.body) == (0, b"abc")
    await road.check_quiet()


@on("m", "w")
async def test_D8_after_many_odd_streams_the_next_request_is_served(road: MessageRoad) -> None:
    for _ in range(50):
        assert (await road.exchange()).code == 3
        assert (await road.exchange(ServeHTTPRequest(body_complete=True))).code == 3
    road.expected.add("the host's first message has no init")
    await check_serves(road)


@on("m", "w")
async def test_D8_a_stream_that_is_cancelled_before_its_first_message(road: MessageRoad) -> None:
    rpc = await road.stream()
    await rpc.cancel()
    await check_serves(road)
    await road.check_quiet()


@on("m", "w")
@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("begun", ["", "1"])
async def test_D8_in_each_state_the_app_is_told(
    road: MessageRoad, complete: bool, begun: str
) -> None:
    token = road.token()
    init = build_init("POST", f"/broken?begun={begun}", [("X-Token", token)], length=None)
    rpc = await road.stream(ServeHTTPRequest(init=init, body_chunk=b"x", body_complete=complete))
    if begun:
        message = await rpc.receive()
        assert message is not None
        assert message.body_chunk == b"some"
    await road.journal(token, "event")
    await rpc.send(ServeHTTPRequest(init=init))
    got = await rpc.rest()
    assert (got.code, got.text) == (3, BROKEN)
    assert got.body == (b"some" if begun else b"")
    assert (await road.noted(token, "event"))[-1][0] == DISCONNECT
    await road.journal(token, "over")
    assert "raised" not in [note.key for note in await road.journal(token)]
    state = "start sent" if begun else "waiting for http.response.start"
    line = await road.logged("ServeHTTP: the host sent", "error")
    assert repr(state) in line.message
    await check_serves(road)
