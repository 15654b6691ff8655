"""The plugin's state as the page names it: the table against what the gate went through."""

import itertools

import pytest

from mm_asgi.host.page.page_state import TABLE, GateStep, PageState


def expected(steps: tuple[GateStep, ...]) -> PageState:
    """The state as a person would name it who has seen all steps."""
    if steps[-1] is GateStep.OPENED:
        return PageState.RUNNING
    if steps[-1] is GateStep.REFUSED:
        return PageState.FAILED
    return PageState.STARTING if set(steps) == {GateStep.HELD} else PageState.RESTARTING


def test_every_pair_of_state_and_step_has_its_row() -> None:
    assert set(TABLE) == set(itertools.product(PageState, GateStep))


@pytest.mark.parametrize("steps", list(itertools.product(GateStep, repeat=4)))
def test_the_state_follows_the_gate(steps: tuple[GateStep, ...]) -> None:
    state = PageState.STARTING
    for count, step in enumerate(steps, 1):
        state = TABLE[state, step]
        assert state is expected(steps[:count])
