"""The native wire and grpcio, driven with the same random RPCs, show both sides the same."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, event, given, settings

from mm_asgi.wire.calls import HANDLER_FAILED, TOO_LARGE, TOO_LARGE_SENT, UNPARSABLE
from mm_asgi.wire.port import StatusCode

from .plans import KINDS, LOCAL, RECEIVED, End, HeldRoad, Plan, plans, play
from .servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .plans import Outcome

QUIET = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
async def roads() -> AsyncIterator[tuple[HeldRoad, HeldRoad]]:
    """Native and grpcio."""
    native, grpcio = (HeldRoad(name, SERVERS[name]()) for name in ("native", "grpcio"))
    async with contextlib.AsyncExitStack() as stack:
        for road in (native, grpcio):
            stack.push_async_callback(road.close)
            await road.begin()
        yield native, grpcio


async def same(plan: Plan, roads: tuple[HeldRoad, HeldRoad]) -> Outcome:
    """Drive the plan on both; the outcome."""
    async with asyncio.timeout(5):
        native, grpcio = await asyncio.gather(*(play(plan, road) for road in roads))
    assert native == grpcio
    return native


@settings(QUIET, max_examples=25, derandomize=True, database=None)
@given(plans())
async def test_same_outcome(roads: tuple[HeldRoad, HeldRoad], plan: Plan) -> None:
    await same(plan, roads)


@pytest.mark.full
@pytest.mark.timeout(300)
@settings(QUIET, max_examples=500)
@given(plans())
async def test_same_outcome_at_length(roads: tuple[HeldRoad, HeldRoad], plan: Plan) -> None:
    event(f"{plan.kind} {plan.end.how}")
    await same(plan, roads)


DETAILS = (("grpc-status-details-bin", b"\x08\x05"),)
STATUS = {
    "finish": (StatusCode.OK, ""),
    "abort": (StatusCode.NOT_FOUND, "nicht hier: \u2713 100 %"),
    "raise": (StatusCode.INTERNAL, HANDLER_FAILED),
    "cancel": (StatusCode.CANCELLED, ""),
    "deadline": (StatusCode.DEADLINE_EXCEEDED, ""),
    "unparsable": (StatusCode.INTERNAL, UNPARSABLE),
    "too large": (StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE),
    "too large sent": (StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE_SENT),
}


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (kind, how)
        for kind in KINDS
        for how in STATUS
        # A unary request is the first message already.
        if not (kind.startswith("unary_") and how in RECEIVED)
    ],
)
async def test_each_end_of_each_kind(roads: tuple[HeldRoad, HeldRoad], kind: str, how: str) -> None:
    """What the outcome is, not only that it is the same."""
    one_request = kind.startswith("unary_")
    closing = [("half-close", None)] if one_request else []
    first = ("x-first", "1")
    sent, written = ("send", (b"request",)), ("write", (b"response",))
    steps = [sent, *closing, ("metadata", (first,)), written]
    trailing = DETAILS if how in ("finish", "abort") else ()
    code, text = STATUS[how] if how == "abort" else (StatusCode.OK, "")
    end = End(how, code, text, trailing)
    timeout = 0.3 if how == "deadline" else None
    outcome = await same(Plan(kind, (("x-a", "b"),), timeout, tuple(steps), end), roads)
    received = [] if kind.endswith("_unary") and how != "finish" else [b"response"]
    assert (outcome.client, outcome.status) == (received, STATUS[how])
    initial = [] if kind == "unary_unary" and how in LOCAL else [first]
    assert (outcome.initial, outcome.trailing) == (initial, list(trailing))
    reads = [b"request", *([None] if one_request or how in RECEIVED else []), None]
    assert outcome.handler[2:] == [*reads, how not in ("finish", "abort", "raise")]
