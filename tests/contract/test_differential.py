"""The simulated host beside the Go host, seen from the app: the same scope, body and answer.

Generated requests go through both to plugins of their own. What the two hosts are known to do
differently is in docs/how-to/dev.md and left out here; what they send on the wire is compared,
message by message, in tests/unit/host/test_host_differential.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import h11
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.roads import LETTERS, Answer, HTTPRoad, Plan, Site
from tests.unit.host.test_host_differential import BODIES, HEADERS, METHODS, PATHS, QUERIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.roads import Headers

pytestmark = [
    *LETTERS["g"].marks(),
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

Pair = tuple[HTTPRoad, HTTPRoad]
PIECE = 512  # with the head it fits into one read of net/http


@contextlib.asynccontextmanager
async def both(plan: Plan) -> AsyncIterator[Pair]:
    """A road through each of the two hosts."""
    makers = [made for made in (LETTERS[letter].host for letter in "gs") if made is not None]
    hosts = [make(plan) for make in makers]
    try:
        for host in hosts:
            await host.start()
        real, simulated = (HTTPRoad(host, plan.site) for host in hosts)
        yield real, simulated
    finally:
        for host in hosts:
            await host.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=LETTERS["g"].wires)
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """The roads to a plugin on each wire."""
    async with both(Plan(wire=request.param)) as made:
        yield made


LIMIT = 0.6


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["read", "write"])
async def impatient(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Pair]]:
    """Two hosts with a short ReadTimeout or WriteTimeout, and which of them it is."""
    site = Site(
        read_timeout=LIMIT if request.param == "read" else 0.0,
        write_timeout=LIMIT if request.param == "write" else 0.0,
    )
    async with both(Plan(site=site)) as made:
        yield request.param, made


def seen(answer: Answer) -> Any:
    """What app and client saw, without what has to differ: the date, the ids, the ports."""
    headers = sorted(
        (k.lower(), v) for k, v in answer.headers if k.lower() not in ("date", "connection")
    )
    if answer.status != 207:
        return answer.status, headers, answer.body
    scope, body = answer_literal(answer)
    facts = scope["extensions"]["mattermost"]
    assert facts.pop("request_id")
    scope["client"] = scope["client"][0]
    scope["headers"].sort(key=lambda pair: pair[0])  # Go's map of names has no order
    # The answer's length counts the digits of the port.
    return scope, body, [(k, v) for k, v in headers if k != "content-length"]


def answer_literal(answer: Answer) -> Any:
    """The literal that the case ``request`` answered with."""
    answer = Answer(200, answer.headers, answer.body)
    return answer.literal


@settings(max_examples=300, deadline=None)
@given(METHODS, PATHS, QUERIES, HEADERS, BODIES, st.booleans())
async def test_the_app_sees_the_same_and_so_does_the_client(
    pair: Pair, method: str, path: str, query: str, headers: Headers, body: bytes | None, chunked: bool
) -> None:  # fmt: skip
    given_headers = [("X-Case", "request"), *headers]

    async def through(road: HTTPRoad) -> Any:
        length = None if chunked and body is not None else len(body or b"")
        exchange = await road.open(method, f"/x/{path}{query}", given_headers, length=length)
        if body or length is None:
            await exchange.send(body or b"", last=True)
        return seen(await exchange.rest())

    real, simulated = await asyncio.gather(*map(through, pair))
    assert (
        simulated == real or real[0] == simulated[0] == 400
    )  # h11 and net/http word it differently


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.booleans(), st.booleans())
async def test_the_app_sees_the_same_of_a_client_that_leaves_early(
    pair: Pair, pieces: int, cut: bool, chunked: bool
) -> None:
    async def through(road: HTTPRoad) -> Any:
        token = road.token()
        target = f"/events?token={token}"
        length = None if chunked else 10 * PIECE
        exchange = await road.open("POST", target, length=length)
        for sent in range(1, pieces + 1):
            await exchange.send(bytes(PIECE))
            # Each piece arrives before the next one goes, so that both hosts cut alike.
            await road.noted(token, "event", sent)
        await (exchange.cut() if cut else exchange.leave())
        events = await road.noted(token, "event", pieces + 1)
        await exchange.leave()
        return events

    real, simulated = await asyncio.gather(*map(through, pair))
    assert simulated == real
    assert real[-1][0] == "http.disconnect"


async def test_the_app_sees_the_same_of_a_timeout(impatient: tuple[str, Pair]) -> None:
    """A body that stops is a client that left; an answer that comes too late is none."""
    which, pair = impatient

    async def slow_body(road: HTTPRoad) -> Any:
        token = road.token()
        exchange = await road.open("POST", f"/events?token={token}", length=10)
        await exchange.send(b"abc")
        if which == "write":  # there the body may take any time, and the answer may not
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(exchange.head(), LIMIT + 0.2)
            await exchange.send(bytes(7))
            with pytest.raises(h11.RemoteProtocolError):
                await exchange.head()
            await exchange.leave()
            return await road.noted(token, "event", 2)
        answer = await exchange.rest()
        return answer.status, answer.body, await road.noted(token, "event", 2)

    real, simulated = await asyncio.gather(*map(slow_body, pair))
    assert simulated == real
    if which == "read":
        assert real[:2] == (502, b"Bad Gateway\n")
        assert real[2][-1][0] == "http.disconnect"
    else:
        assert [event[0] for event in real] == ["http.request"] * 2
