"""Random RPCs, step by step, so that nothing in their outcome is left to timing.

A Plan says what both sides do. ``play()`` drives it on a road: each message is received before the
next step, so the client and the handler see the same on every wire, or a wire has a fault.
"""

from __future__ import annotations

import asyncio
import queue
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.wrappers_pb2 import BytesValue
from hypothesis import strategies as st

from mm_asgi.wire.port import Method, StatusCode

from .roads import LIMIT, GrpcRoad, message

if TYPE_CHECKING:
    from mm_asgi.wire.port import Metadata, Server, Stream

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
PATH = "/test.Wire/Held"
# Of one message, both ways. The bodies below have up to 8 bytes around them.
MOST = 250_000
UNPARSABLE = b"\xff"
# Ends of which the handler is told by on_cancel.
RECEIVED = ("unparsable", "too large")
TOLD = (*RECEIVED, "cancel", "deadline", "too large sent")
# Ends that the client makes by itself.
LOCAL = ("cancel", "deadline")


@dataclass(frozen=True)
class End:
    """How an RPC ends.

    Attributes:
        how: finish, abort, raise, or one of TOLD.
        code, text: of an abort.
        trailing: metadata of a finish or an abort.
        unread: what the client sends and the handler never reads.
        unwaited: what the handler writes without waiting before it finishes.
    """

    how: str
    code: StatusCode = StatusCode.OK
    text: str = ""
    trailing: Metadata = ()
    unread: tuple[bytes, ...] = ()
    unwaited: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Plan:
    """An RPC: its steps are ``send``, ``half-close``, ``write`` and ``metadata``.

    A send and a write have the values of messages that are under way at once.
    """

    kind: str
    metadata: Metadata
    timeout: float | None
    steps: tuple[tuple[str, Any], ...]
    end: End

    @property
    def one_request(self) -> bool:
        return self.kind.startswith("unary_")

    @property
    def one_response(self) -> bool:
        return self.kind.endswith("_unary")


# Strategies

SIZES = st.sampled_from((0, 1, 5, 1000, 16_371, 16_384, 65_530, 65_536, 200_000, MOST - 8))
BODIES = st.builds(lambda size, byte: bytes([byte]) * size, SIZES, st.integers(0, 255))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
CODES = st.sampled_from([code for code in StatusCode if code])
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)
PAIRS = st.one_of(
    st.tuples(st.sampled_from(("x-a", "x-b.c_d", "x-0")), VALUES),
    st.tuples(st.sampled_from(("x-a-bin", "grpc-status-details-bin")), st.binary(max_size=40)),
)
METADATA: st.SearchStrategy[Metadata] = st.lists(PAIRS, max_size=4).map(tuple)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any Plan whose outcome no timing decides."""
    kind = draw(st.sampled_from(KINDS))
    steps, closed = _steps(draw, kind)
    return Plan(
        kind,
        draw(METADATA),
        draw(st.sampled_from((None, 60.0))),
        steps,
        draw(_ends(kind, closed)),
    )


def _steps(draw: st.DrawFn, kind: str) -> tuple[tuple[tuple[str, Any], ...], bool]:
    """Steps, and whether the client has half-closed in them."""
    closed = kind.startswith("unary_")
    steps: list[tuple[str, Any]] = []
    if closed:
        steps += [("send", (draw(BODIES),)), ("half-close", None)]
    for _ in range(draw(st.integers(0, 5))):
        names = ["metadata"]
        if not closed:
            names += ["send", "half-close"]
        if not (kind.endswith("_unary") and "write" in dict(steps)):
            names.append("write")
        name = draw(st.sampled_from(names))
        closed = closed or name == "half-close"
        most = 1 if name == "write" and kind.endswith("_unary") else 4
        bodies = st.lists(BODIES, min_size=1, max_size=most).map(tuple)
        values = {"metadata": METADATA, "half-close": st.none()}
        steps.append((name, draw(values.get(name, bodies))))
    return tuple(steps), closed


def _ends(kind: str, closed: bool) -> st.SearchStrategy[End]:
    bodies = st.lists(BODIES, max_size=3).map(tuple)
    unread = st.just(()) if closed else bodies
    unwaited = st.just(()) if kind.endswith("_unary") else bodies
    ends = [
        st.builds(End, st.just("finish"), trailing=METADATA, unread=unread, unwaited=unwaited),
        st.builds(End, st.just("abort"), CODES, TEXTS, METADATA, unread),
        st.builds(End, st.just("raise"), unread=unread),
        st.builds(End, st.just("cancel"), unread=unread),
        st.just(End("too large sent")),
    ]
    if not closed:
        ends += [st.just(End("unparsable")), st.just(End("too large"))]
    return st.one_of(ends)


# Both sides


@dataclass
class Outcome:
    """What the two sides saw."""

    handler: list[Any] = field(default_factory=list)
    client: list[Any] = field(default_factory=list)
    status: tuple[StatusCode, str] | None = None
    initial: list[tuple[str, str | bytes]] = field(default_factory=list)
    trailing: list[tuple[str, str | bytes]] = field(default_factory=list)


class HeldRoad(GrpcRoad):
    """A road whose handler lasts until the test sets the Future that comes with its stream."""

    def __init__(self, name: str, server: Server) -> None:
        super().__init__(name, server)
        self.held: asyncio.Queue[tuple[Stream, asyncio.Future[None]]] = asyncio.Queue()

    async def begin(self) -> None:
        """Start the server and the client's channel."""
        await self.serve(
            {
                PATH: Method(self._hold, BytesValue, MOST, MOST),
                # grpcio's core has one limit for all methods, with a text of its own.
                "/test.Wire/Large": Method(self._hold, BytesValue, LIMIT),
            }
        )

    async def _hold(self, stream: Stream) -> None:
        release: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held.put_nowait((stream, release))
        await release


class Client:
    """One RPC of any kind by grpcio's sync client; what blocks runs in a thread."""

    def __init__(self, channel: grpc.Channel, plan: Plan) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._one_response = plan.one_response
        self._taken = False
        make: Any = getattr(channel, plan.kind)(PATH, None, BytesValue.FromString)
        begin = make.future if plan.one_response else make
        requests: Any = iter(self._requests.get, None)
        if plan.one_request:
            requests = _encoded(plan.steps[0][1][0])
        self.call: Any = begin(requests, timeout=plan.timeout, metadata=plan.metadata)

    def send(self, data: bytes | None) -> None:
        """Send what is encoded already; None half-closes."""
        self._requests.put(data)

    def receive(self) -> bytes | None:
        """The next response's value; None at the end."""
        try:
            if not self._one_response:
                return bytes(next(self.call).value)
            if self._taken:
                return None
            self._taken = True
            response = self.call.result()
            return None if response is None else bytes(response.value)
        except (StopIteration, grpc.RpcError, grpc.FutureCancelledError):
            return None

    def close(self) -> None:
        """End the RPC and the thread that sends."""
        self.call.cancel()
        self._requests.put(None)


async def play(plan: Plan, road: HeldRoad) -> Outcome:
    """Drive the plan; what both sides saw."""
    client = Client(road.channel, plan)
    outcome = Outcome()
    stream, release = await road.held.get()
    try:
        left = asyncio.Event()
        stream.on_cancel(left.set)
        outcome.handler += [stream.method, _facts(stream)]
        for name, value in plan.steps:
            await _step(name, value, plan, client, stream, outcome)
        writers = await _end(plan.end, client, stream, release)
        if plan.end.how in RECEIVED:
            # A wire may fetch no more than what is asked for.
            outcome.handler.append(await stream.read())
        if plan.end.how in TOLD:
            await left.wait()
        while (value := await asyncio.to_thread(client.receive)) is not None:
            outcome.client.append(value)
        await asyncio.to_thread(_record_end, client, outcome)
        if plan.end.how in LOCAL:
            outcome.status = outcome.status and (outcome.status[0], "")  # its text is the client's
            if plan.kind == "unary_unary":
                outcome.initial = []  # it may or may not have come
        await asyncio.gather(*writers)
        await _try_again(stream)
        outcome.handler += [await stream.read(), left.is_set()]
    finally:
        if not release.done():
            release.set_result(None)
        client.close()
    return outcome


async def _step(
    name: str, value: Any, plan: Plan, client: Client, stream: Stream, outcome: Outcome
) -> None:
    if name == "metadata":
        stream.send_metadata(value)
        if plan.kind != "unary_unary":  # grpcio's client gives it with the end only
            await asyncio.to_thread(client.call.initial_metadata)
    elif name == "write":
        writers = [asyncio.create_task(stream.write(message(body))) for body in value]
        if not plan.one_response:
            outcome.client += [await asyncio.to_thread(client.receive) for _ in value]
        await asyncio.gather(*writers)
    elif name == "send":
        if not plan.one_request:
            for body in value:
                client.send(_encoded(body))
        outcome.handler += [(await _read(stream)).value for _ in value]
    else:
        if not plan.one_request:
            client.send(None)
        outcome.handler.append(await stream.read())


async def _read(stream: Stream) -> Any:
    received = await stream.read()
    assert received is not None, "the stream ended before the messages that were sent"
    return received


async def _end(
    end: End, client: Client, stream: Stream, release: asyncio.Future[None]
) -> list[asyncio.Task[None]]:
    """End the RPC; the writers that are still under way."""
    for value in end.unread:
        client.send(_encoded(value))
    writers = [asyncio.create_task(stream.write(message(value))) for value in end.unwaited]
    await asyncio.sleep(0)
    match end.how:
        case "finish":
            stream.finish(end.trailing)
        case "abort":
            stream.abort(end.code, end.text, end.trailing)
        case "raise":
            release.set_exception(ValueError("secret"))
        case "cancel":
            client.call.cancel()
        case "unparsable":
            client.send(UNPARSABLE)
        case "too large":
            client.send(_encoded(bytes(MOST)))
        case "too large sent":
            await stream.write(message(bytes(MOST)))
    return writers


async def _try_again(stream: Stream) -> None:
    """All that does nothing after the end."""
    stream.send_metadata([("x-late", "1")])
    await stream.write(message(b"late"))
    stream.abort(StatusCode.DATA_LOSS, "late", [("x-late", "1")])
    stream.finish([("x-late", "1")])


def _record_end(client: Client, outcome: Outcome) -> None:
    call = client.call
    outcome.status = StatusCode(call.code().value[0]), call.details()
    outcome.initial = _in_names_order(call.initial_metadata())
    outcome.trailing = _in_names_order(call.trailing_metadata())


def _in_names_order(metadata: Any) -> list[tuple[str, str | bytes]]:
    """gRPC promises the order of one name's values only."""
    return sorted(((name, value) for name, value in metadata or ()), key=lambda pair: pair[0])


def _facts(stream: Stream) -> tuple[Any, ...]:
    """Metadata and deadline as the handler sees them; the clocks differ by a little."""
    deadline = stream.deadline
    left = None if deadline is None else deadline - asyncio.get_running_loop().time()
    return dict(stream.metadata), left if left is None else 50 < left < 61


def _encoded(value: bytes) -> bytes:
    return message(value).SerializeToString()
