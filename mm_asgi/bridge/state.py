"""The states of a response and of a request, and the tables of what moves them.

Whatever decides what may follow what stands in these two tables. A cycle holds one state of each
kind and changes it only by looking up (state, step) here; a pair that a table does not have cannot
happen, but for the sends of an app that breaks ASGI, which are an AppProtocolError that names both.

**The response** waits for its start, holds it for the first body event (R1), streams, and ends in
one of three ways: COMPLETE, ABORTED (the host sees that it was cut) or LEFT (the client is gone).
The state moves before the write: COMPLETE means that the last event was accepted, not that it has
left. So a client may still leave after it (the host cancels each stream that was answered, D5), and
a send that is cancelled in the middle of its event still cuts the answer. An app's sends after an
end are ignored and no step: a late send is no fault in ASGI.

**The request** is OPEN until its body's last part, then READ. A body over its Content-Length is
FULL: its rest is dropped (D6). GONE and STOPPED are disconnects: the app gets http.disconnect, for
a client that left or a body that was cut (D2, D4, D6, D8), or because the plugin stops (L4). The
end of the response ends ``receive()`` too and stands in the first table alone. What still arrives
after a disconnect or after the response's end is dropped, and no step.

docs/behaviour.md draws both tables from this file.
"""

from __future__ import annotations

import enum

from mm_asgi.errors import AppProtocolError, ClientDisconnected

__all__ = [
    "DISCONNECTED",
    "ENDED",
    "REQUEST_TRANSITIONS",
    "TRANSITIONS",
    "UNSENT",
    "RequestState",
    "RequestStep",
    "ResponseState",
    "ResponseStep",
    "is_disconnect",
    "next_state",
]


class ResponseState(enum.Enum):
    """Where the response is."""

    __hash__ = object.__hash__  # Enum's own, over the name, costs a tenth of a small request

    WAITING = "waiting for http.response.start"
    HELD = "start held, nothing sent"
    STREAMING = "start sent"
    COMPLETE = "complete"
    ABORTED = "aborted"
    LEFT = "client left"


class ResponseStep(enum.Enum):
    """What can happen to a response."""

    __hash__ = object.__hash__

    START = "http.response.start"
    CHUNK = "http.response.body with more_body=True"
    LAST = "http.response.body"
    RELEASE = "the hold is over"
    FAULT = "the app failed"
    CUT = "the app cancelled a send in the middle of its event"
    LEAVE = "the client left"
    BREAK = "the host broke the stream"


class RequestState(enum.Enum):
    """Where the request's body is."""

    __hash__ = object.__hash__

    OPEN = "body under way"
    READ = "body read to its end"
    FULL = "body as long as its Content-Length"
    GONE = "disconnected: the client left, or the body was cut"
    STOPPED = "disconnected: the plugin stops"


class RequestStep(enum.Enum):
    """What can happen to a request."""

    __hash__ = object.__hash__

    PART = "a part, more follows"
    LAST = "the last part"
    LONG = "a part beyond Content-Length"
    SHORT = "the last part, short of Content-Length"
    END = "the stream ended"
    BREAK = "the host broke the stream"
    LEAVE = "the client left"
    STOP = "the plugin stops"


TRANSITIONS: dict[tuple[ResponseState, ResponseStep], ResponseState] = {
    (ResponseState.WAITING, ResponseStep.START): ResponseState.HELD,
    (ResponseState.WAITING, ResponseStep.FAULT): ResponseState.COMPLETE,  # a 500 (R8, R10)
    (ResponseState.WAITING, ResponseStep.LEAVE): ResponseState.LEFT,
    (ResponseState.WAITING, ResponseStep.BREAK): ResponseState.ABORTED,  # D8
    (ResponseState.HELD, ResponseStep.CHUNK): ResponseState.STREAMING,
    (ResponseState.HELD, ResponseStep.LAST): ResponseState.COMPLETE,
    (ResponseState.HELD, ResponseStep.RELEASE): ResponseState.STREAMING,
    (ResponseState.HELD, ResponseStep.FAULT): ResponseState.COMPLETE,  # a 500 (R8, R10)
    (ResponseState.HELD, ResponseStep.LEAVE): ResponseState.LEFT,
    (ResponseState.HELD, ResponseStep.BREAK): ResponseState.ABORTED,
    (ResponseState.STREAMING, ResponseStep.CHUNK): ResponseState.STREAMING,
    (ResponseState.STREAMING, ResponseStep.LAST): ResponseState.COMPLETE,
    (ResponseState.STREAMING, ResponseStep.FAULT): ResponseState.ABORTED,  # R9
    (ResponseState.STREAMING, ResponseStep.CUT): ResponseState.ABORTED,
    (ResponseState.STREAMING, ResponseStep.LEAVE): ResponseState.LEFT,
    (ResponseState.STREAMING, ResponseStep.BREAK): ResponseState.ABORTED,
    (ResponseState.COMPLETE, ResponseStep.CUT): ResponseState.ABORTED,  # its last event
    (ResponseState.COMPLETE, ResponseStep.LEAVE): ResponseState.COMPLETE,  # D5
}

REQUEST_TRANSITIONS: dict[tuple[RequestState, RequestStep], RequestState] = {
    (RequestState.OPEN, RequestStep.PART): RequestState.OPEN,
    (RequestState.OPEN, RequestStep.LAST): RequestState.READ,
    (RequestState.OPEN, RequestStep.LONG): RequestState.FULL,  # D6
    (RequestState.OPEN, RequestStep.SHORT): RequestState.GONE,  # D6
    (RequestState.OPEN, RequestStep.END): RequestState.GONE,  # D2
    (RequestState.OPEN, RequestStep.BREAK): RequestState.GONE,  # D8
    (RequestState.OPEN, RequestStep.LEAVE): RequestState.GONE,  # D4
    (RequestState.OPEN, RequestStep.STOP): RequestState.STOPPED,  # L4
    (RequestState.READ, RequestStep.END): RequestState.READ,
    (RequestState.READ, RequestStep.BREAK): RequestState.GONE,  # D8
    (RequestState.READ, RequestStep.LEAVE): RequestState.GONE,
    (RequestState.READ, RequestStep.STOP): RequestState.STOPPED,
    # The host cannot know where the app's body was cut: nothing that follows is its fault.
    (RequestState.FULL, RequestStep.LONG): RequestState.FULL,
    (RequestState.FULL, RequestStep.END): RequestState.FULL,
    (RequestState.FULL, RequestStep.BREAK): RequestState.FULL,
    (RequestState.FULL, RequestStep.LEAVE): RequestState.GONE,
    (RequestState.FULL, RequestStep.STOP): RequestState.STOPPED,
    # A body that was cut still gets its answer, during which the client may leave.
    (RequestState.GONE, RequestStep.LEAVE): RequestState.GONE,
    (RequestState.GONE, RequestStep.STOP): RequestState.STOPPED,
    (RequestState.STOPPED, RequestStep.LEAVE): RequestState.GONE,
}

UNSENT = frozenset({ResponseState.WAITING, ResponseState.HELD})
ENDED = frozenset({ResponseState.COMPLETE, ResponseState.ABORTED})
DISCONNECTED = frozenset({RequestState.GONE, RequestState.STOPPED})

# What the frameworks raise for a body that ends in http.disconnect (Starlette, Django), recognized
# by name, since nothing here imports a framework.
_FRAMEWORK_DISCONNECTS = frozenset({"ClientDisconnect", "RequestAborted"})


def next_state(state: ResponseState, step: ResponseStep) -> ResponseState:
    """Return the response's state after ``step``.

    Raises:
        AppProtocolError: the table does not have the pair.
    """
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        expected = ResponseStep.START if state is ResponseState.WAITING else ResponseStep.LAST
        raise AppProtocolError(
            f"http.response: the app sent {step.value} while the response was {state.value!r};"
            f" expected {expected.value}"
        ) from None


def is_disconnect(failure: BaseException) -> bool:
    """Return whether an exception only says that the client left (row D4).

    ClientDisconnected counts anywhere in the chain of causes and contexts; of a group every member
    has to be a disconnect. The frameworks' own exceptions for it are recognized by their names.
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
