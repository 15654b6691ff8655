"""Rows D3 to D5: what the app hears after the body, and when its client leaves.

Not on n: a released server tells nobody that a client has left, but for the next write, which fails.
test_D_released.py has what holds there.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest
from tests.contract.apps.request import CANCELS
from tests.contract.bodies import DISCONNECT, GONE, REQUEST, begin
from tests.roads import (
    MemoryRoad,
    MessageRoad,
    Road,
    build_init,
    on,
)

GRACE = 0.1


# ---------------------------------------------------------------- D3: receive() after the body


@on("m", "w", "g")
async def test_D3_receive_waits_for_the_end_of_the_response(road: Road) -> None:
    token, exchange = await begin(road, "forever")
    assert (await exchange.rest()).body == b"ok"
    assert await road.noted(token, "waits") == [True]
    assert await road.noted(token, "event") == [GONE]
    assert await road.noted(token, "ready", 3) == [DISCONNECT] * 3


@on("m", "w", "g", but="n")
async def test_D3_receive_waits_for_the_client(road: Road) -> None:
    token, exchange = await begin(road, "waits")
    await road.journal(token, "waits")
    assert "left" not in [note.key for note in await road.journal(token)]
    await exchange.leave()
    await road.journal(token, "left")


@on("m", "w", "g", but="n")
async def test_D3_a_ready_event_comes_without_a_turn_of_the_loop(road: Road) -> None:
    token, exchange = await begin(road, "ready")
    await road.journal(token, "waits")
    await exchange.leave()
    await road.journal(token, "over")
    assert await road.noted(token, "ready") == [REQUEST, "waits", DISCONNECT]


@on("m", "w", "g", but="n")
async def test_D3_starlettes_is_disconnected(road: Road) -> None:
    token, exchange = await begin(road, "starlette polls")
    await road.journal(token, "waits")
    await exchange.leave()
    await road.journal(token, "over")
    assert await road.noted(token, "gone") == [False, True]


@on("m", "w", "g")
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


@on("m", "w", "g")
async def test_D3_a_thousand_cancelled_receives_lose_and_leave_nothing(road: Road) -> None:
    token, exchange = await begin(road, "cancels receives", length=None)
    await exchange.send(b"first ")
    assert await road.noted(token, "in the body") == [CANCELS]
    await exchange.send(b"and last", last=True)
    assert (await exchange.rest()).body == b"first and last"
    assert await road.noted(token, "after the body") == [CANCELS]
    assert (await road.noted(token, "left behind"))[0] < 100


@on("m", "w", "g", but="n")
async def test_D3_a_crowd_that_waits_is_told(road: Road) -> None:
    token, exchange = await begin(road, "crowd")
    assert await road.noted(token, "waits") == [50]
    await exchange.leave()
    assert await road.noted(token, "told") == [[DISCONNECT] * 50]


@on("m", "w", "g")
async def test_D3_starlettes_is_disconnected_takes_nothing(road: Road) -> None:
    token, exchange = await begin(road, "starlette asks in the body", length=None)
    await exchange.send(b"first ")
    assert await road.noted(token, "gone") == [[False] * 100]
    await exchange.send(b"and last", last=True)
    assert (await exchange.rest()).body == b"first and last"
    assert await road.noted(token, "gone", 2) == [[False] * 100] * 2


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


@on("m", "w", "g", but="n")
@pytest.mark.parametrize("case", ["waits", "streams"])
async def test_D4_the_app_is_told_within_100_ms(road: Road, case: str) -> None:
    # The best of three: a machine that stalls is no broken promise.
    assert min([await seconds_until_told(road, case) for _ in range(3)]) < 0.1


@on("m", "w", "g", but="n")
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


@on("m", settings={"disconnect_grace": 0.05})
async def test_D4_after_the_grace_a_send_raises(road: Road) -> None:
    token, exchange = await begin(road, "endless")
    await road.journal(token, "waits")
    await exchange.leave()
    assert await road.noted(token, "raised") == ["ClientDisconnected"]
    (went_on,) = await road.noted(token, "went on")
    assert went_on >= 0.05


@on("w", "g", but="n")
async def test_D4_the_grace_is_5_s(road: Road) -> None:
    token, exchange = await begin(road, "endless")
    await road.journal(token, "waits")
    await exchange.leave()
    assert await road.noted(token, "raised") == ["ClientDisconnected"]
    (went_on,) = await road.noted(token, "went on")
    assert 4.9 < went_on < 6


@on("m", "w", "g", but="n")
async def test_D4_an_idle_starlette_stream_ends(road: Road) -> None:
    token, exchange = await begin(road, "starlette events")
    assert (await exchange.head()).status == 200
    assert min([await seconds_until_told(road, "starlette events") for _ in range(3)]) < 0.1
    await exchange.leave()
    await road.journal(token, "left")
    await road.journal(token, "over")


@on("w", "g", but="n")
async def test_D4_many_leave_at_once(road: Road) -> None:
    begun = [await begin(road, "starlette events") for _ in range(50)]
    for _, exchange in begun:
        assert (await exchange.head()).status == 200
    await asyncio.gather(*[exchange.leave() for _, exchange in begun])
    for token, _ in begun:
        await road.journal(token, "over")


@on("m", "w", "g", but="n")
async def test_D4_an_idle_starlette_generator_is_closed(road: Road) -> None:
    took = []
    for _ in range(3):  # the best counts: a machine that stalls is no broken promise
        token, exchange = await begin(road, "starlette idle")
        assert (await exchange.head()).status == 200
        await road.journal(token, "waits")
        began = time.monotonic()
        await exchange.leave()
        notes = await road.journal(token, "closed")
        took.append(next(note.at for note in notes if note.key == "closed") - began)
        await road.journal(token, "over")
    assert min(took) < 0.1
    await road.check_quiet()


@on("m", "w", "g", but="n")
async def test_D4_nothing_that_is_sent_to_nobody_raises(road: Road) -> None:
    token, exchange = await begin(road, "sends to nobody")
    assert (await exchange.head()).status == 200
    await road.journal(token, "waits")
    await exchange.leave()
    await road.journal(token, "sent")
    await road.journal(token, "over")
    assert "raised" not in [note.key for note in await road.journal(token)]
    await road.check_quiet()


@on("w", "g", but="n", settings={"disconnect_grace": GRACE})
async def test_D4_the_grace_is_a_setting(road: Road) -> None:
    token, exchange = await begin(road, "endless")
    await road.journal(token, "waits")
    await exchange.leave()
    assert await road.noted(token, "raised") == ["ClientDisconnected"]
    (went_on,) = await road.noted(token, "went on")
    assert GRACE <= went_on < 4
    await road.check_quiet()


@on("m", "w", "g", but="n", one_wire=True)
@pytest.mark.parametrize("app", ["left_waiting", "left_streaming"])
async def test_D4_the_client_leaves(road: Road, app: str) -> None:
    exchange = await road.begin(app)
    await road.keys(exchange.token, "waits")
    await exchange.leave()
    assert "left" in await road.keys(exchange.token)
    await road.check_no_error(exchange.token)


@on("m")
@pytest.mark.usefixtures("long_hold")
async def test_D4_the_client_leaves_before_a_held_start(road: Road) -> None:
    exchange = await road.begin("left_held")
    await road.keys(exchange.token, "waits")
    await exchange.leave()
    assert "left" in await road.keys(exchange.token)
    assert (await exchange.rest()).messages == 0
    await road.check_no_error(exchange.token)


@on("m", "w", "g", but="n", settings={"disconnect_grace": 0.0}, one_wire=True)
@pytest.mark.parametrize(
    "app", ["told_plain", "told_in_group", "told_as_cause", "told_as_context", "told_and_broken"]
)
async def test_D4_an_app_is_told_by_its_send(road: Road, app: str) -> None:
    exchange = await road.begin(app)
    await road.keys(exchange.token, "waits")
    await exchange.leave()
    assert "over" in await road.keys(exchange.token)
    assert "ClientDisconnected" in await road.noted(exchange.token, "send raised")
    if app == "told_and_broken":  # a fault of its own beside it
        line = await road.logged("the app raised", "error", token=exchange.token)
        assert f"secret-{exchange.token}" in line.fields["exception"]
    else:
        await road.check_no_error(exchange.token)


# ---------------------------------------------------------------- D5: the cancel after the answer


@on("m", "w", "g")
async def test_D5_the_app_goes_on_after_its_answer(road: Road) -> None:
    token, exchange = await begin(road, "works on")
    assert (await exchange.rest()).body == b"ok"
    await exchange.leave()
    await road.journal(token, "answered")
    assert "worked" not in [note.key for note in await road.journal(token)]
    await road.gate(token, "work")
    await road.journal(token, "worked")
    await road.check_quiet()


@on("m", "w")
async def test_D5_a_cancel_right_after_body_complete(road: MessageRoad) -> None:
    for _ in range(20):
        token = road.token()
        init = build_init("GET", "/works%20on", [("X-Token", token)])
        rpc = await road.stream(ServeHTTPRequest(init=init, body_complete=True))
        message = await rpc.receive()
        assert message is not None
        assert message.body_complete
        await rpc.cancel()
        await road.gate(token, "work")
        await road.journal(token, "worked")
    await road.check_quiet()


@on("m", settings={"disconnect_grace": 0.0})
async def test_D5_a_cancel_before_the_rpc_has_ended(road: MemoryRoad) -> None:
    # With a window of 0 write() waits; the host receives and cancels before it returns.
    token = road.token()
    init = build_init("GET", "/late", [("X-Token", token)])
    rpc = await road.stream(ServeHTTPRequest(init=init, body_complete=True), window=0)
    await road.journal(token, "waits")
    message = await rpc.receive()
    assert message is not None
    assert message.body_complete
    await rpc.cancel()
    await road.gate(token, "work")
    await road.journal(token, "over")
    assert await road.noted(token, "worked") == [None]
    await road.check_quiet()


@on("m", "w", "g", one_wire=True)
async def test_D5_the_client_leaves_after_the_answer(road: Road) -> None:
    exchange = await road.begin("left_complete")
    assert (await exchange.rest()).body == b"ok"
    await exchange.leave()
    assert "left" in await road.keys(exchange.token)
    await road.check_no_error(exchange.token)
