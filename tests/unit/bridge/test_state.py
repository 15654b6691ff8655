"""state.py: the table of what may follow what, and which exceptions only say that a client left."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.bridge.state import (
    DISCONNECTED,
    ENDED,
    REQUEST_TRANSITIONS,
    TRANSITIONS,
    UNSENT,
    RequestState,
    RequestStep,
    ResponseState,
    ResponseStep,
    is_disconnect,
    next_state,
)
from mm_asgi.errors import AppProtocolError, ClientDisconnected

if TYPE_CHECKING:
    from collections.abc import Iterable

PAIRS = list(itertools.product(ResponseState, ResponseStep))
FINAL = ENDED | {ResponseState.LEFT}
# The steps that an app takes by what it sends.
SENDS = [ResponseStep.START, ResponseStep.CHUNK, ResponseStep.LAST]
# The states in which the bridge asks for each step that is no send of the app's.
OPEN = set(ResponseState) - FINAL
ASKED = {
    ResponseStep.RELEASE: {ResponseState.HELD},
    ResponseStep.FAULT: OPEN,
    ResponseStep.CUT: {ResponseState.STREAMING, ResponseState.COMPLETE},
    # The host cancels each stream that was answered (D5); after an abort nothing is reported.
    ResponseStep.LEAVE: {*OPEN, ResponseState.COMPLETE},
    ResponseStep.BREAK: OPEN,
}


@pytest.mark.parametrize(("state", "step"), PAIRS)
def test_each_pair_has_a_target_or_an_error_that_names_both(
    state: ResponseState, step: ResponseStep
) -> None:
    if (state, step) in TRANSITIONS:
        assert next_state(state, step) is TRANSITIONS[state, step]
        return
    with pytest.raises(AppProtocolError) as caught:
        next_state(state, step)
    assert step.value in str(caught.value)
    assert repr(state.value) in str(caught.value)
    assert "expected http.response." in str(caught.value)


def test_what_an_app_may_not_send() -> None:
    """After an end a send is ignored, and no step."""
    missing = {(state, step) for state, step in PAIRS if (state, step) not in TRANSITIONS}
    assert {pair for pair in missing if pair[1] in SENDS} == {
        (ResponseState.WAITING, ResponseStep.CHUNK),
        (ResponseState.WAITING, ResponseStep.LAST),
        (ResponseState.HELD, ResponseStep.START),
        (ResponseState.STREAMING, ResponseStep.START),
        *itertools.product(FINAL, SENDS),
    }


def test_the_error_says_which_event_was_due() -> None:
    with pytest.raises(AppProtocolError, match=r"expected http\.response\.start$"):
        next_state(ResponseState.WAITING, ResponseStep.LAST)
    with pytest.raises(AppProtocolError, match=r"expected http\.response\.body$"):
        next_state(ResponseState.STREAMING, ResponseStep.START)


@pytest.mark.parametrize("state", [state for state in ResponseState if state not in FINAL])
def test_a_client_may_leave_and_an_app_fail_at_any_time(state: ResponseState) -> None:
    assert (state, ResponseStep.LEAVE) in TRANSITIONS
    assert (state, ResponseStep.FAULT) in TRANSITIONS


@pytest.mark.parametrize("step", ASKED)
def test_the_steps_that_no_app_sends_are_where_they_are_asked_for(step: ResponseStep) -> None:
    assert {state for state in ResponseState if (state, step) in TRANSITIONS} == ASKED[step]


def test_an_end_is_final_but_for_a_last_event_that_is_cut() -> None:
    assert ENDED == {ResponseState.COMPLETE, ResponseState.ABORTED}
    assert {pair: target for pair, target in TRANSITIONS.items() if pair[0] in FINAL} == {
        (ResponseState.COMPLETE, ResponseStep.CUT): ResponseState.ABORTED,
        (ResponseState.COMPLETE, ResponseStep.LEAVE): ResponseState.COMPLETE,
    }


def test_no_step_of_either_table_is_decoration() -> None:
    assert {step for _, step in TRANSITIONS} == set(ResponseStep)
    assert {step for _, step in REQUEST_TRANSITIONS} == set(RequestStep)


def test_before_anything_was_sent_a_fault_still_gets_an_answer() -> None:
    assert UNSENT == {ResponseState.WAITING, ResponseState.HELD}
    assert {
        s
        for s in set(ResponseState) - FINAL
        if next_state(s, ResponseStep.FAULT) is ResponseState.COMPLETE
    } == UNSENT
    assert next_state(ResponseState.STREAMING, ResponseStep.FAULT) is ResponseState.ABORTED


def test_every_state_can_be_reached_and_nothing_goes_back() -> None:
    order = {
        ResponseState.WAITING: 0,
        ResponseState.HELD: 1,
        ResponseState.STREAMING: 2,
        **dict.fromkeys(FINAL, 3),
    }
    assert all(order[s] <= order[target] for (s, _), target in TRANSITIONS.items())
    reached = {ResponseState.WAITING}
    for _ in ResponseState:
        reached |= {target for (s, _), target in TRANSITIONS.items() if s in reached}
    assert reached == set(ResponseState)


# ---------------------------------------------------------------- the request


def test_what_the_host_sends_moves_a_body_forward_and_never_out_of_its_end() -> None:
    moves = {(before, after) for (before, _), after in REQUEST_TRANSITIONS.items()}
    assert {(before, after) for before, after in moves if before is not after} == {
        *((RequestState.OPEN, after) for after in set(RequestState) - {RequestState.OPEN}),
        *itertools.product((RequestState.READ, RequestState.FULL), DISCONNECTED),
        # Both are http.disconnect; the later cause is the one that counts at the end.
        (RequestState.GONE, RequestState.STOPPED),
        (RequestState.STOPPED, RequestState.GONE),
    }


@pytest.mark.parametrize("state", RequestState)
def test_a_client_may_leave_at_any_time_and_then_the_app_is_told(state: RequestState) -> None:
    assert REQUEST_TRANSITIONS[state, RequestStep.LEAVE] is RequestState.GONE


def test_only_a_body_that_is_under_way_takes_parts() -> None:
    taking = {RequestStep.PART, RequestStep.LAST, RequestStep.SHORT}
    assert {state for state, step in REQUEST_TRANSITIONS if step in taking} == {RequestState.OPEN}


def test_nothing_is_the_hosts_fault_once_its_body_was_cut_here() -> None:
    faulty = {
        s
        for (s, step), after in REQUEST_TRANSITIONS.items()
        if step is RequestStep.BREAK and after in DISCONNECTED
    }
    assert faulty == {RequestState.OPEN, RequestState.READ}


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
