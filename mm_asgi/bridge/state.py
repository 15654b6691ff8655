"""The states of a response, and the table of what moves them: all there is to know about order.

A step that the table does not have is the app's fault, and the error names both. docs/behaviour.md
draws the table.
"""

from __future__ import annotations

import enum

from mm_asgi.errors import AppProtocolError, ClientDisconnected

__all__ = ["ENDED", "TRANSITIONS", "UNSENT", "State", "Step", "is_disconnect", "next_state"]


class State(enum.Enum):
    """Where the response is."""

    __hash__ = object.__hash__  # Enum's own, over the name, costs a tenth of a small request

    WAITING = "waiting for http.response.start"
    HELD = "start held, nothing sent"
    STREAMING = "start sent"
    COMPLETE = "complete"
    ABORTED = "aborted"
    LEFT = "client left"


class Step(enum.Enum):
    """What can happen to a response."""

    __hash__ = object.__hash__

    START = "http.response.start"
    CHUNK = "http.response.body with more_body=True"
    LAST = "http.response.body"
    RELEASE = "the hold is over"
    FAULT = "the app failed"
    LEAVE = "the client left"
    BREAK = "the host broke the stream"


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.WAITING, Step.START): State.HELD,
    (State.WAITING, Step.FAULT): State.COMPLETE,  # a 500 (R8, R10)
    (State.WAITING, Step.LEAVE): State.LEFT,
    (State.WAITING, Step.BREAK): State.ABORTED,  # D8
    (State.HELD, Step.CHUNK): State.STREAMING,
    (State.HELD, Step.LAST): State.COMPLETE,
    (State.HELD, Step.RELEASE): State.STREAMING,
    (State.HELD, Step.FAULT): State.COMPLETE,  # a 500 (R8, R10)
    (State.HELD, Step.LEAVE): State.LEFT,
    (State.HELD, Step.BREAK): State.ABORTED,
    (State.STREAMING, Step.CHUNK): State.STREAMING,
    (State.STREAMING, Step.LAST): State.COMPLETE,
    (State.STREAMING, Step.FAULT): State.ABORTED,  # R9
    (State.STREAMING, Step.LEAVE): State.LEFT,
    (State.STREAMING, Step.BREAK): State.ABORTED,
    # A send after the end is ignored (the ASGI specification's word).
    (State.COMPLETE, Step.START): State.COMPLETE,
    (State.COMPLETE, Step.CHUNK): State.COMPLETE,
    (State.COMPLETE, Step.LAST): State.COMPLETE,
    (State.COMPLETE, Step.FAULT): State.COMPLETE,
    (State.COMPLETE, Step.LEAVE): State.COMPLETE,  # the host cancels each answered stream (D5)
    (State.ABORTED, Step.START): State.ABORTED,
    (State.ABORTED, Step.CHUNK): State.ABORTED,
    (State.ABORTED, Step.LAST): State.ABORTED,
    (State.ABORTED, Step.FAULT): State.ABORTED,
    (State.ABORTED, Step.LEAVE): State.ABORTED,
    (State.LEFT, Step.START): State.LEFT,
    (State.LEFT, Step.CHUNK): State.LEFT,
    (State.LEFT, Step.LAST): State.LEFT,
    (State.LEFT, Step.FAULT): State.LEFT,
    (State.LEFT, Step.LEAVE): State.LEFT,
}

UNSENT = frozenset({State.WAITING, State.HELD})
ENDED = frozenset({State.COMPLETE, State.ABORTED})

# What the frameworks raise for a body that ends in http.disconnect (Starlette, Django), told
# apart by name, since nothing here imports a framework.
_FRAMEWORK_DISCONNECTS = frozenset({"ClientDisconnect", "RequestAborted"})


def next_state(state: State, step: Step) -> State:
    """The state after ``step``.

    Raises:
        AppProtocolError: nothing in the table leads there.
    """
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        expected = Step.START if state is State.WAITING else Step.LAST
        raise AppProtocolError(
            f"http.response: the app sent {step.value} while the response was {state.value!r};"
            f" expected {expected.value}"
        ) from None


def is_disconnect(failure: BaseException) -> bool:
    """Whether an exception only says that the client left (row D4).

    ClientDisconnected anywhere in the chain of causes and contexts; of a group every member. The
    frameworks have exceptions of their own for a body that ends in http.disconnect, told apart by
    name, since nothing here imports a framework.
    """
    seen: set[int] = set()
    todo: list[BaseException | None] = [failure]
    while todo:
        exc = todo.pop()
        if exc is None or id(exc) in seen:
            continue
        seen.add(id(exc))
        if isinstance(exc, ClientDisconnected) or type(exc).__name__ in _FRAMEWORK_DISCONNECTS:
            return True
        if isinstance(exc, BaseExceptionGroup) and all(map(is_disconnect, exc.exceptions)):
            return True
        todo += (exc.__cause__, exc.__context__)
    return False
