"""The fuzzer's short runs, and what longer ones have found."""

from __future__ import annotations

import pytest

from tests.wire.fuzz import fuzz, shortest
from tests.wire.http2 import grammar
from tests.wire.http2.victims import FuzzLoop, Wrong, replay

from .bare import GREETING

SEED = 20_251_121

# A finding: the role, and the program as the fuzzer prints it.
FOUND: dict[str, tuple[str, grammar.Program]] = {}


def test_a_short_run() -> None:
    report = fuzz(2.0, SEED, memory=False)
    assert report.finding is None, (report.seed, report.role, report.program)
    assert report.runs > 20


@pytest.mark.full
@pytest.mark.timeout(120)
def test_a_longer_run() -> None:
    report = fuzz(10.0, SEED + 1_000_000)
    assert report.finding is None, (report.seed, report.role, report.program)
    assert report.looks > 0


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found(name: str) -> None:
    loop = FuzzLoop()
    try:
        loop.run_until_complete(replay(*FOUND[name]))
    finally:
        loop.close()


def test_a_seed_gives_the_same_program() -> None:
    for client in (False, True):
        assert grammar.program(SEED, client=client) == grammar.program(SEED, client=client)
        assert grammar.program(SEED, client=client) != grammar.program(SEED + 1, client=client)


def test_a_finding_is_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred steps the two that it needs."""
    loop = FuzzLoop()
    program: grammar.Program = [("read", GREETING), *[("turn",)] * 60, ("read", b"needed")]
    program += [("turn",)] * 40

    async def wrong(role: str, program: grammar.Program) -> None:
        if ("read", b"needed") in program and ("read", GREETING) in program:
            raise Wrong("as planned")

    monkeypatch.setattr("tests.wire.fuzz.replay", wrong)
    try:
        short = shortest(loop, "server", program, Wrong("as planned"))
    finally:
        loop.close()
    assert short == [("read", GREETING), ("read", b"needed")]
