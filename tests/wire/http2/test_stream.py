"""The table of states: every pair is walked, and the docs draw it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from mm_asgi.wire.http2 import frames, hpack
from mm_asgi.wire.http2.frames import ErrorCode, StreamFault
from mm_asgi.wire.http2.limits import Limits
from mm_asgi.wire.http2.stream import (
    NEXT,
    REFUSALS,
    TRANSITIONS,
    StreamState,
    StreamStep,
)

from .bare import HEADERS, REQUEST, RESPONSE, RST_STREAM, Bare, Recorder, data, request

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "http2.md"
IDLE, OPEN, LOCAL, REMOTE, CLOSED = StreamState
TRAILERS = hpack.encode([(b"x", b"y")])


def in_state(state: StreamState) -> tuple[Bare, Recorder]:
    """A server's stream, brought there by frames."""
    bare = Bare()
    bare.give(request(1, end=state is REMOTE))
    stream = bare.streams[1]
    if state is LOCAL:
        stream.send_headers(hpack.encode(RESPONSE), end=True)
    elif state is CLOSED:
        bare.give(frames.reset(1, 8))
    elif state is IDLE:
        stream = Recorder(bare.connection, 3)
    bare.taken()
    assert stream.state is state
    return bare, stream


@pytest.mark.parametrize(("state", "step"), list(itertools.product(StreamState, StreamStep)))
def test_a_step_of_the_table(state: StreamState, step: StreamStep) -> None:
    bare, stream = in_state(state)
    expected = TRANSITIONS.get((state, step))
    assert NEXT[state][step] is expected
    if expected is not None:
        stream.move(step)
        assert stream.state is expected
        assert (stream.id in bare.connection.streams) == (expected is not CLOSED and stream.id == 1)
    elif (state, step) in REFUSALS:
        with pytest.raises(StreamFault) as error:
            stream.move(step)
        assert error.value.code is ErrorCode.STREAM_CLOSED
        assert step.name in error.value.text
        assert state.name in error.value.text
    else:
        # Nobody can ask for it: the connection keeps no object for streams that are idle or
        # closed, and END comes after a frame that was allowed.
        with pytest.raises(KeyError):
            stream.move(step)
        assert (
            state in (IDLE, CLOSED)
            or step.name.startswith("SEND")
            or step is StreamStep.RECEIVE_END
        )
    assert stream.state is (expected if expected is not None else state)


SENT = {
    StreamStep.RECEIVE_HEADERS: frames.headers(1, TRAILERS, end=True),
    StreamStep.RECEIVE_DATA: data(1, b"x"),
    StreamStep.RECEIVE_END: data(1, b"", end=True),
    StreamStep.RECEIVE_RESET: frames.reset(1, 8),
}


@pytest.mark.parametrize(("state", "step"), list(itertools.product([OPEN, LOCAL, REMOTE], SENT)))
def test_what_a_peer_sends_in_each_state(state: StreamState, step: StreamStep) -> None:
    bare, stream = in_state(state)
    bare.give(SENT[step])
    assert bare.connection.fault is None
    if (state, step) in TRANSITIONS:
        ends = {OPEN: REMOTE, LOCAL: CLOSED}[state] if step is StreamStep.RECEIVE_HEADERS else None
        assert stream.state is (ends or TRANSITIONS[state, step])
    else:
        assert [(f.kind, f.code) for f in bare.taken()] == [(RST_STREAM, ErrorCode.STREAM_CLOSED)]
        assert stream.closed == [ErrorCode.STREAM_CLOSED]
    assert (1 in bare.connection.streams) == (stream.state is not CLOSED)


@pytest.mark.parametrize("state", [OPEN, REMOTE])
def test_what_this_side_sends(state: StreamState) -> None:
    bare, stream = in_state(state)
    stream.send_headers(hpack.encode(RESPONSE))
    assert stream.state is TRANSITIONS[state, StreamStep.SEND_HEADERS]
    stream.send_data((b"x",), 1)
    assert stream.state is TRANSITIONS[state, StreamStep.SEND_DATA]
    stream.send_end()
    assert stream.state is TRANSITIONS[state, StreamStep.SEND_END]
    assert [f.kind for f in bare.taken()] == [HEADERS, 0, 0]


def test_a_reset_of_a_closed_stream_does_nothing() -> None:
    bare, stream = in_state(CLOSED)
    stream.reset(ErrorCode.CANCEL)
    assert bare.taken() == []


def test_a_clients_stream_opens_with_its_request() -> None:
    bare = Bare(client=True)
    stream = Recorder(bare.connection)
    assert stream.state is IDLE
    bare.connection.open_stream(stream, hpack.encode(REQUEST))
    assert (stream.id, stream.state) == (1, OPEN)


# ---------------------------------------------------------------- the docs


def drawn() -> str:
    """The table, as the page has it."""
    lines = ["| | " + " | ".join(state.name for state in StreamState) + " |",
             "|---" * (len(StreamState) + 1) + "|"]  # fmt: skip
    for step in StreamStep:
        cells = []
        for state in StreamState:
            following = TRANSITIONS.get((state, step))
            refusal = REFUSALS.get((state, step))
            cells.append(following.name if following is not None else
                         f"*{refusal.name}*" if refusal is not None else "")  # fmt: skip
        lines.append(f"| {step.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def test_the_page_draws_the_table() -> None:
    assert drawn() in PAGE.read_text("utf-8"), drawn()


def test_the_page_says_the_limits() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    limits = Limits()
    for name, words in {
        "streams": "streams open at once", "frame_size": "a frame |",
        "header_list": "a header list", "stream_window": "bytes of one stream",
        "resets": "requests taken back", "resets_back": "requests taken back",
        "idle_frames": "frames in a row", "idle_back": "frames in a row",
        "window_changes": "windows of streams", "window_changes_back": "windows of streams",
        "preface": "time until preface", "stall": "time in which",
    }.items():  # fmt: skip
        (row,) = [row for row in rows if words in row]
        assert (
            re.search(rf"\b{getattr(limits, name):,g}\b", row)
            or f"{getattr(limits, name):,}" in row
        )
