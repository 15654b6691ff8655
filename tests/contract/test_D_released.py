"""Rows D2 to D4, R1, R2 and R15 on a released server, where less can be seen; what holds in its place.

Over net/rpc the host says nothing of a client that leaves: its next write fails, and that is all. Of
a body without Content-Length it passes the bytes on, and its end and its breaking off look the same.
"""

from __future__ import annotations

import asyncio
import time

from tests.contract.bodies import GONE, REQUEST, begin
from tests.contract.test_R_response import check_503, until_served
from tests.roads import HTTPRoad, on

GRACE = 0.1


@on("n")
async def test_D2_a_chunked_body_that_breaks_off_looks_whole(road: HTTPRoad) -> None:
    token, exchange = await begin(road, "events", length=None)
    await exchange.send(b"abc")
    await road.journal(token, "event")
    await exchange.cut()
    await road.journal(token, "over")
    events = await road.noted(token, "event")
    assert [kind for kind, _, _ in events] == [REQUEST] * len(events)
    assert sum(size for _, size, _ in events) == 3
    assert [more for _, _, more in events] == [True] * (len(events) - 1) + [False]
    await exchange.leave()


@on("n")
async def test_D3_a_client_that_leaves_is_noticed_by_a_write(road: HTTPRoad) -> None:
    token, exchange = await begin(road, "sends all the while")
    await exchange.piece()
    await road.journal(token, "waits")
    await exchange.leave()
    await road.gate(token)
    assert await road.noted(token, "heard before") == [False]
    await road.journal(token, "heard")


@on("n", settings={"disconnect_grace": GRACE})
async def test_D4_a_stream_that_sends_hears_within_a_second_and_ends(road: HTTPRoad) -> None:
    took = []
    for _ in range(3):  # the best counts: a machine that stalls is no broken promise
        token, exchange = await begin(road, "sends all the while")
        await exchange.piece()
        await road.journal(token, "waits")
        await road.gate(token)
        await exchange.piece()
        began = time.monotonic()
        await exchange.leave()
        notes = await road.journal(token, "heard")
        took.append(next(note.at for note in notes if note.key == "heard") - began)
        (went_on,) = await road.noted(token, "went on")
        assert GRACE <= went_on < 4
        await road.journal(token, "over")
    assert min(took) < 1
    await road.check_quiet()


# Without Flush each of the 50 sends 4 KiB a hundred times a second, and they did not settle in 120 s.
# On r a write is refused so soon that the cancel meets the app in send(), and then it is Python's
# collector that closes Starlette's generator.
@on("n", but="or")
async def test_D4_starlettes_streams_end_when_all_leave_at_once(road: HTTPRoad) -> None:
    begun = [await begin(road, "starlette ticks") for _ in range(50)]
    for _, exchange in begun:
        assert await exchange.piece()
    await asyncio.gather(*[exchange.leave() for _, exchange in begun])
    for token, _ in begun:
        await road.journal(token, "closed")
        await road.journal(token, "over")
    await road.check_quiet()


@on("n")
async def test_D4_an_upload_that_breaks_off_is_heard_at_once(road: HTTPRoad) -> None:
    token, exchange = await begin(road, "events", length=10)
    await exchange.send(b"abc")
    await road.journal(token, "event")
    await exchange.leave()
    await road.journal(token, "over")
    assert (await road.noted(token, "event"))[-1] == GONE


@on("n", but="o")
async def test_R1_an_answer_may_take_longer_than_the_host_waits_for_its_streams(
    road: HTTPRoad,
) -> None:
    """The host gives up what it offers, the answer's writer and the body, after 5 s."""
    ways = [("GET", b""), ("POST", b"x" * 100_000)]
    asked = [await road.begin("thinks", method=way, length=len(body)) for way, body in ways]
    for exchange, (_, body) in zip(asked, ways, strict=True):
        await exchange.send(body)
    for exchange, (_, body) in zip(asked, ways, strict=True):
        answer = await exchange.rest()
        assert (answer.status, answer.body) == (200, body)


@on("n", but="o")
async def test_R2_the_head_comes_before_the_body(road: HTTPRoad) -> None:
    exchange = await road.begin("told_held")
    assert (await exchange.head()).status == 200
    await road.gate(exchange.token)
    assert (await exchange.rest()).body == b"ok"
    await road.check_no_error(exchange.token)


@on("n", settings={"limit_concurrency": 3}, alone=True)
async def test_R15_a_released_server_is_refused_over_the_limit(road: HTTPRoad) -> None:
    await until_served(road)
    held = [await road.begin("starlette ticks") for _ in range(3)]
    for exchange in held:
        assert (await exchange.head()).status == 200
    for _ in range(2):
        check_503(road, await road.ask("hello"))
    assert (await road.host.control("/ping"))["ok"]
    for exchange in held:
        await exchange.leave()
    await until_served(road)
    await road.logged("limit_concurrency: more than 3 requests at once", "warn")
