"""The table of apps_response.py, row by row, on each road."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.contract.apps_response import OUTCOMES, Outcome
from tests.contract.response_roads import Answer, Exchange, Road, Roads
from tests.go_host import go_missing_reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

REASON = go_missing_reason()
FULL = [pytest.mark.full, pytest.mark.skipif(bool(REASON), reason=str(REASON))]
MARKS = {"m": [], "w": FULL, "g": FULL, "s": [pytest.mark.full]}
ROWS = [
    pytest.param(kind, name, id=f"{kind}-{name}", marks=marks)
    for kind, marks in MARKS.items()
    for name, outcome in OUTCOMES.items()
    if kind in outcome.roads
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def roads() -> AsyncIterator[Roads]:
    made = Roads()
    yield made
    await made.close()


@pytest.mark.parametrize(("kind", "name"), ROWS)
async def test_outcome(roads: Roads, kind: str, name: str) -> None:
    await hold(await roads.get(kind), name)


async def hold(road: Road, name: str) -> None:
    """Ask one app of the table and look at all that came of it."""
    outcome = OUTCOMES[name]
    exchange = await road.open(name.partition(" ")[0], method=outcome.method)
    answer = await exchange.rest()
    check_answer(answer, outcome, road.kind)
    assert f"secret-{exchange.mark}" not in answer.text()
    await check_log(road, exchange, outcome)
    # Whatever it was: the next request is served.
    assert (await road.ask("hello")).body == b"hello"


def check_answer(answer: Answer, outcome: Outcome, kind: str) -> None:
    assert answer.status == outcome.status
    assert answer.body == outcome.body
    for header, value in outcome.headers.items():
        # What a body without a length gets of net/http is not the app's.
        if (kind, header) != ("g", "transfer-encoding"):
            assert answer.header(header) == value, header
    if kind == "g":
        assert answer.broken is outcome.cut
        return
    assert answer.end == ((0, "") if outcome.end is None else (13, outcome.end))
    if outcome.messages is not None:
        assert answer.messages == outcome.messages
    if outcome.status == 500:
        assert answer.header("content-type") == "text/plain; charset=utf-8"


async def check_log(road: Road, exchange: Exchange, outcome: Outcome) -> None:
    notes = await road.notes(exchange.mark)
    assert tuple(n.removeprefix("send raised ") for n in notes if "raised" in n) == outcome.saw
    if outcome.log is None:
        return
    secret = f"secret-{exchange.mark}"
    if "a task of the app" in outcome.log:  # not in the request's context
        line = await road.logged(secret, level="error")
        road.expected.add(line.request_id)
    else:
        line = await road.logged(outcome.log, level="error", mark=exchange.mark)
        assert [o for o in road.errors() if o.request_id == line.request_id] == [line]
    assert line.message == outcome.log
    if outcome.secret:
        assert secret in line.fields["exception"]
