"""state.py: the table of what may follow what, and which exceptions only say that a client left."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.bridge.state import (
    ENDED,
    TRANSITIONS,
    UNSENT,
    State,
    Step,
    is_disconnect,
    next_state,
)
from mm_asgi.errors import AppProtocolError, ClientDisconnected

if TYPE_CHECKING:
    from collections.abc import Iterable

PAIRS = list(itertools.product(State, Step))
FINAL = ENDED | {State.LEFT}
# The steps that an app takes by what it sends.
SENDS = [Step.START, Step.CHUNK, Step.LAST]
# The steps that the bridge asks for only in the states that have them.
ASKED = {Step.RELEASE: {State.HELD}, Step.BREAK: set(State) - FINAL}


@pytest.mark.parametrize(("state", "step"), PAIRS)
def test_each_pair_has_a_target_or_an_error_that_names_both(state: State, step: Step) -> None:
    if (state, step) in TRANSITIONS:
        assert next_state(state, step) is TRANSITIONS[state, step]
        return
    with pytest.raises(AppProtocolError) as caught:
        next_state(state, step)
    assert step.value in str(caught.value)
    assert repr(state.value) in str(caught.value)
    assert "expected http.response." in str(caught.value)


def test_what_an_app_may_not_send() -> None:
    missing = {(state, step) for state, step in PAIRS if (state, step) not in TRANSITIONS}
    assert {pair for pair in missing if pair[1] in SENDS} == {
        (State.WAITING, Step.CHUNK),
        (State.WAITING, Step.LAST),
        (State.HELD, Step.START),
        (State.STREAMING, Step.START),
    }


def test_the_error_says_which_event_was_due() -> None:
    with pytest.raises(AppProtocolError, match=r"expected http\.response\.start$"):
        next_state(State.WAITING, Step.LAST)
    with pytest.raises(AppProtocolError, match=r"expected http\.response\.body$"):
        next_state(State.STREAMING, Step.START)


@pytest.mark.parametrize("state", State)
def test_a_client_may_leave_and_an_app_fail_at_any_time(state: State) -> None:
    assert (state, Step.LEAVE) in TRANSITIONS
    assert (state, Step.FAULT) in TRANSITIONS


@pytest.mark.parametrize("step", ASKED)
def test_the_steps_of_hold_and_host_are_where_they_are_asked_for(step: Step) -> None:
    assert {state for state in State if (state, step) in TRANSITIONS} == ASKED[step]


def test_an_end_is_final() -> None:
    assert ENDED == {State.COMPLETE, State.ABORTED}
    for (state, _), target in TRANSITIONS.items():
        if state in FINAL:
            assert target is state


def test_before_anything_was_sent_a_fault_still_gets_an_answer() -> None:
    assert UNSENT == {State.WAITING, State.HELD}
    assert {s for s in set(State) - FINAL if next_state(s, Step.FAULT) is State.COMPLETE} == UNSENT
    assert next_state(State.STREAMING, Step.FAULT) is State.ABORTED


def test_every_state_can_be_reached_and_nothing_goes_back() -> None:
    order = {State.WAITING: 0, State.HELD: 1, State.STREAMING: 2, **dict.fromkeys(FINAL, 3)}
    assert all(order[s] <= order[target] for (s, _), target in TRANSITIONS.items())
    reached = {State.WAITING}
    for _ in State:
        reached |= {target for (s, _), target in TRANSITIONS.items() if s in reached}
    assert reached == set(State)


# ---------------------------------------------------------------- is_disconnect (row D4)


class ClientDisconnect(Exception):
    """Starlette's, by its name."""


class RequestAborted(Exception):
    """Django's, by its name."""


def chain(*links: tuple[BaseException, str]) -> BaseException:
    """The last exception, which leads to the one before by ``cause`` or ``context``."""
    before: BaseException | None = None
    for exc, how in links:
        if how == "cause":
            exc.__cause__ = before
        else:
            exc.__context__ = before
        before = exc
    assert before is not None
    return before


GONE = ClientDisconnected("gone")


@pytest.mark.parametrize(
    "failure",
    [
        ClientDisconnected("gone"),
        ClientDisconnect(),
        RequestAborted(),
        chain((GONE, ""), (ValueError(), "cause")),
        chain((GONE, ""), (ValueError(), "context")),
        chain((GONE, ""), (ValueError(), "context"), (OSError(), "cause"), (KeyError(), "context")),
        ExceptionGroup("one", [GONE]),
        ExceptionGroup("all", [GONE, ClientDisconnect(), ExceptionGroup("inner", [GONE])]),
        BaseExceptionGroup("base", [chain((GONE, ""), (SystemExit(), "cause"))]),
        chain((ExceptionGroup("inner", [GONE]), ""), (RuntimeError(), "cause")),
    ],
    ids=repr,
)
def test_only_the_client_left(failure: BaseException) -> None:
    assert is_disconnect(failure)


@pytest.mark.parametrize(
    "failure",
    [
        ValueError(),
        OSError("a file's"),
        ConnectionResetError("the database's"),
        chain((OSError(), ""), (ValueError(), "cause"), (KeyError(), "context")),
        ExceptionGroup("one of two", [GONE, ValueError()]),
        ExceptionGroup("deep", [GONE, ExceptionGroup("inner", [GONE, ValueError()])]),
    ],
    ids=repr,
)
def test_something_else_too(failure: BaseException) -> None:
    assert not is_disconnect(failure)


def test_a_ring_of_causes_has_an_end() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__context__ = second, first
    assert not is_disconnect(first)
    assert not is_disconnect(second)


LINKS = st.lists(st.tuples(st.sampled_from([ValueError, GONE]), st.booleans()), min_size=1)


@given(LINKS)
def test_anywhere_in_a_chain(links: Iterable[tuple[object, bool]]) -> None:
    made = [
        (ClientDisconnected("") if kind is GONE else ValueError(), "cause" if cause else "context")
        for kind, cause in links
    ]
    assert is_disconnect(chain(*made)) == any(
        isinstance(exc, ClientDisconnected) for exc, _ in made
    )
