"""http.py: whatever an app, a client and a host do in whatever order, one cycle keeps its laws."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.bridge import http as bridge_http
from mm_asgi.bridge.exchange import CHUNK_SIZE, Abort
from mm_asgi.bridge.http import Holds, HTTPCycle
from mm_asgi.bridge.serve_http import GRPCExchange
from mm_asgi.bridge.state import (
    ENDED,
    REQUEST_TRANSITIONS,
    TRANSITIONS,
    RequestState,
    RequestStep,
    ResponseState,
    ResponseStep,
)
from mm_asgi.errors import AppProtocolError, ClientDisconnected
from mm_asgi.protocol.hooks_http_pb2 import (
    ServeHTTPRequest,
    ServeHTTPRequestInit,
    ServeHTTPResponse,
)
from mm_asgi.protocol.hooks_http_read_pb2 import ServeHTTPRequest as ReadRequest
from mm_asgi.wire.port import StatusCode
from tests.wire.memory import MemoryStream

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from mm_asgi.wire.port import Metadata

    Event = dict[str, Any]

DISCONNECT = {"type": "http.disconnect"}


@pytest.fixture(autouse=True)
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start is held until a test lets it go, and nobody waits for a client who left."""
    monkeypatch.setattr(bridge_http, "HOLD", 3600.0)
    monkeypatch.setattr(bridge_http, "LEFT_PAUSE", 0.0)


class CountedStream(MemoryStream):
    """Counts how often the RPC was ended."""

    ends = 0

    def finish(self, metadata: Metadata = ()) -> None:
        self.ends += 1
        super().finish(metadata)

    def abort(self, code: StatusCode, text: str, metadata: Metadata = ()) -> None:
        self.ends += 1
        super().abort(code, text, metadata)


def spawn(coroutine: Coroutine[Any, Any, None]) -> object:
    return asyncio.ensure_future(coroutine)


def message(body: bytes = b"", *, last: bool = False) -> ServeHTTPRequest:
    """A message of a request's body."""
    return ServeHTTPRequest(body_chunk=body, body_complete=last)


def read(sent: ServeHTTPRequest) -> ReadRequest:
    """A first message as a wire gives it to the bridge."""
    return ReadRequest.FromString(sent.SerializeToString())


def opened(
    *,
    length: int = -1,
    method: str = "POST",
    first: ServeHTTPRequest | None = None,
    window: int | None = None,
) -> tuple[HTTPCycle, CountedStream]:
    """A cycle whose first message has the init, and its stream."""
    stream = CountedStream() if window is None else CountedStream(window=window)
    begin = ServeHTTPRequest()
    begin.CopyFrom(first or message())
    begin.init.CopyFrom(ServeHTTPRequestInit(method=method, content_length=length))
    return HTTPCycle(GRPCExchange(stream, read(begin)), grace=3600.0, holds=Holds(spawn)), stream


# ---------------------------------------------------------------- the response: a random walk

START: Event = {"type": "http.response.start", "status": 200, "headers": []}
DECLARED: Event = {**START, "headers": [(b"content-length", b"5")]}
EVENT_STREAM: Event = {**START, "headers": [(b"content-type", b"text/event-stream")]}
WRONG: list[Any] = [
    {},
    None,
    {"type": "http.response.trailers"},
    {"type": "websocket.send"},
    {"type": "http.response.start"},
    {**START, "status": "200"},
    {**START, "status": 101},
    {**START, "headers": [(b"a\r\n", b"b")]},
    {**START, "headers": [(b"content-length", b"+5")]},
    {**START, "trailers": True},
    {"type": "http.response.body", "body": "text"},
]


def body(data: bytes, *, more: bool) -> Event:
    return {"type": "http.response.body", "body": data, "more_body": more}


EVENTS = st.one_of(
    st.just(START),
    st.just(DECLARED),
    st.just(EVENT_STREAM),
    st.builds(body, st.sampled_from([b"", b"ab", b"cde", b"x" * 70_000]), more=st.booleans()),
    st.sampled_from(WRONG),
)
STEPS = st.lists(
    st.one_of(EVENTS, st.sampled_from(["leave", "release", "stopping"])), min_size=1, max_size=12
)
FAILURES = st.sampled_from([None, ValueError("app"), ClientDisconnected("gone"), SystemExit(1)])


def check_messages(stream: CountedStream) -> None:
    """One init, the first; nothing after the end; chunks as the host takes them."""
    sent = stream.peer.messages
    assert [one.HasField("init") for one in sent] == [number == 0 for number in range(len(sent))]
    assert all(not one.body_complete for one in sent[:-1])
    assert all(one.flush != one.body_complete for one in sent if len(one.body_chunk) < 64 * 1024)
    assert all(len(one.body_chunk) <= 64 * 1024 for one in sent)
    assert stream.ends <= 1


async def send(cycle: HTTPCycle, stream: CountedStream, event: Any) -> None:
    """An event of the app's; a refused one has done nothing."""
    state, count = cycle.state, len(stream.peer.messages)
    try:
        await cycle.send(event)
    except AppProtocolError as exc:
        assert state not in ENDED
        # Only what was promised to the client, and cannot be kept, ends the response (row R5).
        if state is ResponseState.STREAMING and "Content-Length" in str(exc) and event in BODIES:
            assert cycle.state in ENDED
        else:
            assert (cycle.state, len(stream.peer.messages)) == (state, count)
    else:
        if state in ENDED or state is ResponseState.LEFT:
            assert (cycle.state, len(stream.peer.messages)) == (state, count)


class _Bodies:
    def __contains__(self, event: object) -> bool:
        return isinstance(event, dict) and event.get("type") == "http.response.body"


BODIES = _Bodies()


async def walk(steps: Iterable[Any], failure: BaseException | None, method: str) -> None:
    cycle, stream = opened(method=method, first=message(last=True))
    seen = [cycle.state]
    for step in steps:
        if step == "leave":
            stream.peer.cancel()
        elif step == "release":
            await cycle.release()  # what the timer does
        elif step == "stopping":
            cycle.drain()
        else:
            await send(cycle, stream, step)
        check_messages(stream)
        seen.append(cycle.state)
    await cycle.settle(failure)
    check_messages(stream)
    seen.append(cycle.state)
    await check_end(cycle, stream)
    for before, after in zip(seen, seen[1:], strict=False):
        assert before is after or reachable(before, after)


def reachable(before: ResponseState, after: ResponseState) -> bool:
    return any(target is after for (state, _), target in TRANSITIONS.items() if state is before)


async def check_end(cycle: HTTPCycle, stream: CountedStream) -> None:
    """The RPC has ended, in the way that the state says."""
    async with asyncio.timeout(5):
        code, _ = await stream.peer.ended()
    sent = stream.peer.messages
    complete = bool(sent) and sent[-1].body_complete
    assert cycle.state in ENDED or cycle.state is ResponseState.LEFT
    if cycle.state is ResponseState.LEFT:
        assert (code, complete, stream.ends) == (StatusCode.CANCELLED, False, 0)
        return
    assert complete is (cycle.state is ResponseState.COMPLETE)
    if cycle.state is ResponseState.ABORTED:
        assert code is StatusCode.INTERNAL
    assert stream.ends == 1
    async with asyncio.timeout(5):
        assert await cycle.receive() in (DISCONNECT, {**REQUEST_END})


REQUEST_END: Event = {"type": "http.request", "body": b"", "more_body": False}


@given(STEPS, FAILURES, st.sampled_from(["GET", "HEAD"]))
def test_a_walk_of_the_response(
    steps: list[Any], failure: BaseException | None, method: str
) -> None:
    asyncio.run(walk(steps, failure, method))


@given(st.lists(st.binary(max_size=200), max_size=8), st.booleans())
def test_what_was_taken_is_what_leaves(chunks: list[bytes], early: bool) -> None:
    async def answer() -> None:
        cycle, stream = opened(first=message(last=True))
        await cycle.send(START)
        if early:
            await cycle.release()
        for chunk in chunks:
            await cycle.send(body(chunk, more=True))
        await cycle.send(body(b"", more=False))
        await cycle.settle(None)
        check_messages(stream)
        assert b"".join(one.body_chunk for one in stream.peer.messages) == b"".join(chunks)
        assert await stream.peer.ended() == (StatusCode.OK, "")

    asyncio.run(answer())


# ---------------------------------------------------------------- R1 to R3: an event's messages


def flags(message: ServeHTTPResponse) -> tuple[bool, int, bool, bool]:
    """init there, bytes, flush, body_complete."""
    return (
        message.HasField("init"),
        len(message.body_chunk),
        message.flush,
        message.body_complete,
    )


@pytest.mark.parametrize(
    ("with_head", "size", "more", "expected"),
    [
        (True, 0, False, [(True, 0, False, True)]),
        (True, 5, False, [(True, 5, False, True)]),
        (True, 0, True, [(True, 0, True, False)]),
        (True, 5, True, [(True, 5, True, False)]),
        (False, 5, True, [(False, 5, True, False)]),
        (False, 0, True, []),
        (False, 0, False, [(False, 0, False, True)]),
        (True, CHUNK_SIZE, False, [(True, CHUNK_SIZE, False, True)]),
        (
            True,
            CHUNK_SIZE + 1,
            False,
            [(True, CHUNK_SIZE, False, False), (False, 1, False, True)],
        ),
        (
            False,
            2 * CHUNK_SIZE,
            True,
            [(False, CHUNK_SIZE, False, False), (False, CHUNK_SIZE, True, False)],
        ),
    ],
)
async def test_messages_of_one_event(
    with_head: bool, size: int, more: bool, expected: list[tuple[bool, int, bool, bool]]
) -> None:
    cycle, stream = opened(first=message(last=True))
    await cycle.send(START)
    if not with_head:
        await cycle.release()
    before = len(stream.peer.messages)
    await cycle.send(body(bytes(size), more=more))
    assert [flags(one) for one in stream.peer.messages[before:]] == expected


async def test_an_empty_event_after_a_long_one_is_no_message() -> None:
    cycle, stream = opened(first=message(last=True))
    await cycle.send(START)
    await cycle.send(body(BIG, more=True))
    before = len(stream.peer.messages)
    await cycle.send(body(b"", more=True))
    assert len(stream.peer.messages) == before


NAMES = st.sampled_from(
    [b"x-a", b"X-B", b"Set-Cookie", b"Content-Type", b"Connection", b"content-length", b"bad name"]
)
PAIRS = st.tuples(NAMES | st.binary(max_size=8), st.binary(max_size=12) | st.just(b"5"))
ANY_BODIES: st.SearchStrategy[list[Any]] = st.lists(
    st.binary(max_size=40)
    | st.integers(CHUNK_SIZE - 2, 2 * CHUNK_SIZE + 2).map(bytes)
    | st.binary(max_size=20).map(bytearray)
    | st.binary(max_size=20).map(lambda data: memoryview(data)),
    min_size=1,
    max_size=4,
)


@given(
    status=st.integers(190, 1010),
    pairs=st.lists(PAIRS, max_size=5),
    bodies=ANY_BODIES,
    method=st.sampled_from(["GET", "HEAD"]),
)
def test_any_answer_is_refused_or_whole(
    status: int, pairs: list[tuple[bytes, bytes]], bodies: list[Any], method: str
) -> None:
    asyncio.run(answer_of_any_kind({**START, "status": status, "headers": pairs}, bodies, method))


async def answer_of_any_kind(start: Event, bodies: list[Any], method: str) -> None:
    cycle, stream = opened(method=method, first=message(last=True))
    try:
        await cycle.send(start)
    except AppProtocolError:
        return
    sent = stream.peer.messages
    events: list[list[ServeHTTPResponse]] = []
    fault = ""
    for index, data in enumerate(bodies):
        before = len(sent)
        try:
            await cycle.send(body(data, more=index + 1 < len(bodies)))
        except AppProtocolError as exc:
            fault = str(exc)
            break
        events.append(sent[before:])
    if fault:
        assert "Content-Length declares" in fault
        return
    for one in sent:
        assert ServeHTTPResponse.FromString(one.SerializeToString()) == one
        assert len(one.body_chunk) <= CHUNK_SIZE
    has_body = method != "HEAD" and start["status"] not in (204, 304)
    whole = b"".join(bytes(data) for data in bodies) if has_body else b""
    assert b"".join(one.body_chunk for one in sent) == whole
    assert [one.HasField("init") for one in sent] == [True] + [False] * (len(sent) - 1)
    assert [one.body_complete for one in sent] == [False] * (len(sent) - 1) + [True]
    for event in events[:-1]:  # nothing of an event stays in the host's buffer
        assert [one.flush for one in event] == [False] * (len(event) - 1) + [True] * bool(event)
    assert not any(one.flush for one in events[-1])


# ---------------------------------------------------------------- the tables, pair by pair

BIG = b"x" * 300_000
"""A body of several writes, of which a window of 1 lets one leave."""


class Subject:
    """A cycle with all that is needed to bring it into any state and to any step."""

    def __init__(self, *, first: ServeHTTPRequest, length: int = -1) -> None:
        self.cycle, self.stream = opened(first=first, length=length, window=1)
        self.writing: asyncio.Task[None] | None = None

    async def send_big(self, *, more: bool) -> None:
        """Send an event that stops in its middle."""
        self.writing = asyncio.create_task(self.cycle.send(body(BIG, more=more)))
        await asyncio.sleep(0)

    async def look(self) -> None:
        """Call receive() and do not wait."""
        await cancelled(self.cycle, may_be_ready=True)

    async def end(self) -> None:
        self.stream.peer.cancel()
        if self.writing is not None:
            await asyncio.wait({self.writing})


async def reach_response(subject: Subject, state: ResponseState, step: ResponseStep) -> None:
    cycle = subject.cycle
    if state is ResponseState.WAITING:
        return
    await cycle.send(START)
    if state is ResponseState.STREAMING and step is ResponseStep.CUT:
        await subject.send_big(more=True)
    elif state is ResponseState.STREAMING:
        await cycle.release()
    elif state is ResponseState.COMPLETE:
        await subject.send_big(more=False)


async def take_response(subject: Subject, step: ResponseStep) -> None:
    cycle, peer = subject.cycle, subject.stream.peer
    match step:
        case ResponseStep.START:
            await cycle.send(START)
        case ResponseStep.CHUNK | ResponseStep.LAST:
            last = step is ResponseStep.LAST
            subject.writing = asyncio.create_task(cycle.send(body(b"x", more=not last)))
            await asyncio.sleep(0)
        case ResponseStep.RELEASE:
            await cycle.release()
        case ResponseStep.FAULT:
            subject.writing = asyncio.create_task(cycle.settle(ValueError("app")))
            await asyncio.sleep(0)
        case ResponseStep.CUT:
            assert subject.writing is not None
            subject.writing.cancel()
            await asyncio.wait({subject.writing})
        case ResponseStep.LEAVE:
            peer.cancel()
        case ResponseStep.BREAK:
            await cycle.receive()
            peer.send(ServeHTTPRequest(init=ServeHTTPRequestInit(method="GET")))
            assert await cycle.receive() == DISCONNECT


@pytest.mark.parametrize(("state", "step"), TRANSITIONS)
async def test_each_pair_of_the_responses_table_happens(
    state: ResponseState, step: ResponseStep
) -> None:
    subject = Subject(first=message())
    await reach_response(subject, state, step)
    assert subject.cycle.state is state
    await take_response(subject, step)
    assert subject.cycle.state is TRANSITIONS[state, step]
    await subject.end()


async def reach_request(subject: Subject, state: RequestState) -> None:
    cycle, peer = subject.cycle, subject.stream.peer
    await cycle.send(EVENT_STREAM)
    match state:
        case RequestState.READ:
            peer.send(message(b"12345", last=True))
            await received(cycle)
        case RequestState.FULL:
            peer.send(message(b"1234567"))
            assert (await received(cycle))[0] == b"12345"
        case RequestState.GONE:
            peer.send(message(b"1", last=True))
            assert await received(cycle) == (b"", DISCONNECT)
        case RequestState.STOPPED:
            cycle.drain()


async def take_request(subject: Subject, state: RequestState, step: RequestStep) -> None:
    cycle, peer = subject.cycle, subject.stream.peer
    sent = {
        RequestStep.PART: message(b"123"),
        RequestStep.LAST: message(b"12345", last=True),
        RequestStep.LONG: message(b"123456"),
        RequestStep.SHORT: message(b"1", last=True),
        RequestStep.BREAK: ServeHTTPRequest(init=ServeHTTPRequestInit(method="GET")),
    }
    if step in sent:
        peer.send(sent[step])
    elif step is RequestStep.END:
        peer.half_close()
    elif step is RequestStep.LEAVE:
        peer.cancel()
    else:
        assert step is RequestStep.STOP
        cycle.drain()
    if state is RequestState.OPEN:
        await subject.look()  # the first message, which is empty
    await subject.look()


@pytest.mark.parametrize(("state", "step"), REQUEST_TRANSITIONS)
async def test_each_pair_of_the_requests_table_happens(
    state: RequestState, step: RequestStep
) -> None:
    subject = Subject(first=message(), length=5)
    await reach_request(subject, state)
    assert subject.cycle.request is state
    reads = subject.stream.peer.reads
    await take_request(subject, state, step)
    assert subject.cycle.request is REQUEST_TRANSITIONS[state, step]
    if state is RequestState.FULL and step in (RequestStep.LONG, RequestStep.BREAK):
        assert subject.stream.peer.reads > reads  # it was read, and dropped
    await subject.end()


async def test_a_host_that_goes_on_after_the_cut_is_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cycle, stream = opened(first=message(b"abc", last=True), length=2)
    assert await received(cycle) == (b"ab", {**REQUEST_END, "body": b"ab"})
    caplog.clear()
    stream.peer.send(message(b"d"))
    await cancelled(cycle)
    assert (cycle.request, cycle.state) == (RequestState.FULL, ResponseState.WAITING)
    assert caplog.records == []
    await cycle.send(START)
    await cycle.send(body(b"ok", more=False))
    assert await stream.peer.ended() == (StatusCode.OK, "")


# ---------------------------------------------------------------- the request

CUTS = st.tuples(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=10))


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes in pieces, some of them empty."""
    edges = sorted(min(cut, len(data)) for cut in cuts)
    return [data[a:b] for a, b in zip([0, *edges], [*edges, len(data)], strict=True)]


async def received(cycle: HTTPCycle) -> tuple[bytes, Event]:
    """The body up to its end, and the event that was its end."""
    got = b""
    while True:
        event = await cycle.receive()
        got += event.get("body", b"")
        if not event.get("more_body"):
            return got, event


@given(CUTS, st.booleans(), st.booleans(), st.booleans())
def test_a_body_cut_anywhere_arrives_identical(
    given_body: tuple[bytes, list[int]], declared: bool, with_init: bool, empty_end: bool
) -> None:
    data, cuts = given_body
    pieces = [message(piece) for piece in cut(data, cuts)]
    if empty_end:
        pieces.append(message())
    pieces[-1].body_complete = True

    async def request() -> None:
        first = pieces.pop(0) if with_init else None
        cycle, stream = opened(first=first, length=len(data) if declared else -1)
        for piece in pieces:
            stream.peer.send(piece)
        stream.peer.half_close()
        got, last = await received(cycle)
        assert (got, last["type"], last["more_body"]) == (data, "http.request", False)
        assert cycle.request is RequestState.READ
        assert stream.peer.reads == len(pieces)

    asyncio.run(request())


@given(CUTS, st.booleans())
def test_a_body_without_its_end_is_a_disconnect(
    given_body: tuple[bytes, list[int]], declared: bool
) -> None:
    data, cuts = given_body

    async def request() -> None:
        cycle, stream = opened(length=len(data) if declared else -1)
        for piece in cut(data, cuts):
            stream.peer.send(message(piece))
        stream.peer.half_close()
        assert await received(cycle) == (data, DISCONNECT)
        assert cycle.request is RequestState.GONE
        for _ in range(3):
            assert await cycle.receive() == DISCONNECT

    asyncio.run(request())


@given(st.binary(min_size=1, max_size=500), st.integers(1, 500), st.lists(st.integers(0, 500)))
def test_a_body_is_cut_at_its_length(data: bytes, length: int, cuts: list[int]) -> None:
    async def request() -> None:
        cycle, stream = opened(length=length)
        pieces = [message(piece) for piece in cut(data, cuts)]
        pieces[-1].body_complete = True
        for piece in pieces:
            stream.peer.send(piece)
        stream.peer.half_close()
        got, last = await received(cycle)
        if len(data) < length:
            assert last == DISCONNECT
            assert data.startswith(got)
        else:
            assert (got, last["type"]) == (data[:length], "http.request")

    asyncio.run(request())


@pytest.mark.parametrize("length", [-1, 0])
async def test_without_a_length_any_body_is_taken(length: int) -> None:
    # 0 is proto3's "not said" too: Go's own requests between plugins come so, with a body.
    cycle, stream = opened(length=length)
    stream.peer.send(message(b"abc"))
    stream.peer.send(message(b"d", last=True))
    got, last = await received(cycle)
    assert (got, last["type"]) == (b"abcd", "http.request")


# ---------------------------------------------------------------- the host's faults (row D8)


async def broken(cycle: HTTPCycle, stream: CountedStream, odd: ServeHTTPRequest) -> None:
    """The odd message ends the request; the app is told, and its sends go nowhere."""
    stream.peer.send(odd)
    while await cycle.receive() != DISCONNECT:
        pass
    assert cycle.state is ResponseState.ABORTED
    code, text = await stream.peer.ended()
    assert (code, text) == (StatusCode.INVALID_ARGUMENT, Abort.BROKEN.value)
    count = len(stream.peer.messages)
    await cycle.send(START)
    await cycle.send(body(b"late", more=False))
    await cycle.settle(None)
    assert (stream.ends, len(stream.peer.messages)) == (1, count)


@pytest.mark.parametrize(
    "state", [ResponseState.WAITING, ResponseState.HELD, ResponseState.STREAMING]
)
@pytest.mark.parametrize("at_end", [True, False])
async def test_an_odd_message_in_each_state(state: ResponseState, at_end: bool) -> None:
    cycle, stream = opened(first=message(b"x", last=at_end))
    if state is not ResponseState.WAITING:
        await cycle.send(START)
    if state is ResponseState.STREAMING:
        await cycle.send(body(b"some", more=True))
    assert cycle.state is state
    await broken(cycle, stream, ServeHTTPRequest(init=ServeHTTPRequestInit(method="GET")))


async def test_a_parallel_receive_does_not_swallow_data_after_the_end() -> None:
    cycle, stream = opened(first=message())
    await cycle.receive()
    waiting = [asyncio.ensure_future(cycle.receive()) for _ in range(3)]
    await asyncio.sleep(0)
    stream.peer.send(message(b"all", last=True))
    stream.peer.send(message(b"odd"))
    events = await asyncio.gather(*waiting)
    assert [event.get("body") for event in events] == [b"all", None, None]
    assert cycle.state is ResponseState.ABORTED
    await cycle.settle(None)


async def test_odd_data_after_the_answer_harms_nobody() -> None:
    cycle, stream = opened(first=message(last=True))
    await cycle.receive()
    await cycle.send(START)
    await cycle.send(body(b"ok", more=False))
    stream.peer.send(message(b"odd"))
    assert await cycle.receive() == DISCONNECT
    assert (cycle.state, stream.ends) == (ResponseState.COMPLETE, 1)


# ---------------------------------------------------------------- receive() and those who wait


async def test_cancelled_receives_leave_nobody_waiting() -> None:
    cycle, stream = opened(first=message())
    await cycle.receive()
    for _ in range(1000):
        await cancelled(cycle)
    assert not stream._inbox._waiters
    stream.peer.send(message(b"whole", last=True))
    stream.peer.half_close()
    assert (await received(cycle))[0] == b"whole"
    for _ in range(1000):
        await cancelled(cycle)
    assert not stream._inbox._waiters
    assert cycle._over is not None
    assert not cycle._over._waiters
    stream.peer.cancel()
    assert await cycle.receive() == DISCONNECT


async def cancelled(cycle: HTTPCycle, *, may_be_ready: bool = False) -> None:
    """A receive() that waits for nothing and is cancelled."""
    task = asyncio.ensure_future(cycle.receive())
    await asyncio.sleep(0)
    if may_be_ready and task.done():
        return
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_all_who_wait_are_told_at_once() -> None:
    cycle, stream = opened(first=message(last=True))
    stream.peer.half_close()
    await cycle.receive()
    waiting = [asyncio.ensure_future(cycle.receive()) for _ in range(10)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    stream.peer.cancel()
    assert await asyncio.gather(*waiting) == [DISCONNECT] * 10


async def test_a_send_cancelled_after_the_client_left_is_the_clients_doing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A task group does so: receive() tells the disconnect first, and the sender is cancelled.
    stream = MemoryStream(window=1)
    begin = ServeHTTPRequest(init=ServeHTTPRequestInit(method="GET"), body_complete=True)
    cycle = HTTPCycle(GRPCExchange(stream, read(begin)), grace=3600.0, holds=Holds(spawn))
    await cycle.send(START)
    sending = asyncio.create_task(cycle.send(body(b"x" * 300_000, more=True)))
    await asyncio.sleep(0)
    stream.peer.cancel()
    sending.cancel()
    await asyncio.wait({sending})
    assert sending.cancelled()
    await cycle.settle(ClientDisconnected("gone"))
    assert cycle.state is ResponseState.LEFT
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_an_event_stream_that_begins_during_the_drain_is_told_too() -> None:
    cycle, stream = opened(method="GET", first=message(last=True))
    stream.peer.half_close()
    assert (await cycle.receive())["type"] == "http.request"
    waiting = asyncio.create_task(cycle.receive())
    cycle.drain()
    await asyncio.sleep(0)
    assert not waiting.done()
    await cycle.send(EVENT_STREAM)
    async with asyncio.timeout(5):
        assert await waiting == DISCONNECT
    await cycle.send(body(b"data: bye", more=True))
    await cycle.settle(None)
    assert await stream.peer.ended() == (StatusCode.OK, "")
    assert b"".join(one.body_chunk for one in stream.peer.messages) == b"data: bye"


async def test_a_cancel_that_gets_out_after_the_client_left_is_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cycle, stream = opened()
    await cycle.send(START)
    await cycle.send(body(b"x", more=True))
    stream.peer.cancel()
    await cycle.settle(asyncio.CancelledError("Cancelled via cancel scope"))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_cancel_that_gets_out_before_is_one(caplog: pytest.LogCaptureFixture) -> None:
    cycle, _ = opened()
    await cycle.send(START)
    await cycle.send(body(b"x", more=True))
    await cycle.settle(asyncio.CancelledError("Cancelled via cancel scope"))
    assert "the app raised CancelledError" in caplog.text
