"""What a thread does while the loop stands still, and that nothing is lost, doubled or out of order.

No test awaits between the loop's last turn and what it says of the thread, so that the loop does
stand still. How the real host takes it is in tests/contract/test_L_still.py.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_asgi.wire.netrpc import live_calls
from mm_asgi.wire.netrpc.broker import write_number
from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.live_calls import RPCCaller
from mm_asgi.wire.netrpc.mux_link import MuxLink
from mm_asgi.wire.netrpc.mux_socket import MuxSocket
from mm_asgi.wire.netrpc.stand_in import StandIn
from mm_asgi.wire.netrpc.stream_owner import StreamOwner
from mm_asgi.wire.netrpc.yamux_frames import INITIAL_WINDOW
from mm_asgi.wire.netrpc.yamux_session import PongReceived

from .live_host import ARGS
from .still_loop import StillHost, StillPlugin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall
    from mm_asgi.wire.netrpc.yamux_stream import MuxStream

interpreted = pytest.mark.skipif(
    not live_calls.__file__.endswith(".py"), reason="the test changes or extends what is compiled"
)


def offers(call: IncomingCall) -> list[int]:
    """The calls of these tests offer the number in B."""
    return [call.arguments["B"]] if call.arguments.get("A") == "offers" else []


@pytest.fixture
async def plugin() -> AsyncIterator[StillPlugin]:
    made = await StillPlugin(offers).begin()
    yield made
    await made.end()


class Kept(StreamOwner):
    """Keeps what it is told, in order. A compiled class cannot be its base: see `interpreted`."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def stream_opened(self, stream: MuxStream) -> None:
        self.stream = stream
        self.told.append("opened")

    def stream_taken(self) -> None:
        self.told.append("taken")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.told.append(data)

    def stream_drained(self) -> None:
        self.told.append("drained")

    def stream_ended(self, *, whole: bool) -> None:
        self.told.append(whole)


# ---------------------------------------------------------------- what cannot wait


async def test_yamux_pings_are_answered(plugin: StillPlugin) -> None:
    value = plugin.host.session.ping()
    plugin.host.send()
    assert plugin.stand_in() == [True]
    assert plugin.host.read() == [PongReceived(value)]


async def test_the_health_check_is_answered_and_quit_waits(plugin: StillPlugin) -> None:
    plugin.control.call("Control.Ping")
    plugin.control.call("Control.Quit")
    plugin.stand_in()
    assert [outcome.error for outcome in plugin.control.answers()] == [None]
    assert plugin.quits == 0
    await plugin.awake(lambda: plugin.quits == 1)
    assert [outcome.error for outcome in await plugin.control.outcomes()] == [None]


async def test_what_a_call_offers_is_dialled_and_its_owner_has_it_later(
    plugin: StillPlugin,
) -> None:
    plugin.hooks.call("Plugin.Hook", ARGS, {"A": "offers", "B": 77})
    plugin.stand_in()
    [dialled] = plugin.host.opened()
    assert plugin.host.bytes_of(dialled) == write_number(77)
    assert plugin.calls == []
    dialled.write(write_number(77))
    plugin.host.send()
    plugin.stand_in()
    await plugin.awake(lambda: len(plugin.calls) == 1)
    pipe = BytePipe(first=b"the first, ")
    plugin.link.dial(77, pipe)
    pipe.write(b"and more")
    await asyncio.wait_for(pipe.wait_taken(), 10)
    assert plugin.host.bytes_of(dialled) == write_number(77) + b"the first, and more"


async def test_what_was_expected_before_is_dialled_too(plugin: StillPlugin) -> None:
    plugin.link.expect(5)
    plugin.stand_in()
    [dialled] = plugin.host.opened()
    assert plugin.host.bytes_of(dialled) == write_number(5)
    plugin.stand_in()
    assert len(plugin.host.opened()) == 1
    plugin.link.expect(5)  # whoever has it later says so again
    plugin.link.dial(5, StreamOwner(), fin=True)


async def test_the_same_offer_twice_is_dialled_once(plugin: StillPlugin) -> None:
    for _ in range(2):
        plugin.hooks.call("Plugin.Hook", ARGS, {"A": "offers", "B": 77})
        plugin.stand_in()
    assert len(plugin.host.opened()) == 1
    plugin.link.dial(77, StreamOwner(), fin=True)


@interpreted
async def test_a_dial_of_the_host_is_acknowledged_and_its_owner_told_later(
    plugin: StillPlugin,
) -> None:
    owner = Kept()
    stream = plugin.host.open(write_number(plugin.link.offer(owner)) + b"with it ")
    plugin.stand_in()
    assert len(plugin.host.bytes_of(stream)) == 4
    stream.write(b"behind it")
    stream.close()
    plugin.host.send()
    plugin.stand_in()
    assert owner.told == []
    await plugin.awake(lambda: True in owner.told)
    assert owner.told == ["opened", "taken", b"with it ", b"behind it", True]


async def test_a_dial_that_nobody_offered_is_reset(
    plugin: StillPlugin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stream = plugin.host.open(write_number(4711))
    plugin.stand_in()
    plugin.host.read()
    assert stream.is_over
    assert caplog.records == []  # the loop may hold the lock of a handler
    await plugin.awake(lambda: bool(caplog.records))
    assert "the host dialled 4711, which is not on offer" in caplog.text


# ---------------------------------------------------------------- what waits


async def test_calls_wait_for_the_loop_in_order(plugin: StillPlugin) -> None:
    for number in range(1, 6):
        plugin.hooks.call("Plugin.Hook", ARGS, {"B": number})
        if number % 2:
            plugin.stand_in()
    assert plugin.calls == []
    await plugin.awake(lambda: len(plugin.calls) == 5)
    assert [call.arguments["B"] for call, _ in plugin.calls] == [1, 2, 3, 4, 5]
    for call, answerer in plugin.calls:
        answerer.reply(call, ARGS, call.arguments)
    await plugin.awake(lambda: len(plugin.hooks.answers()) > 0)


async def test_calls_that_cannot_be_read_end_the_connection_when_the_loop_is_awake(
    plugin: StillPlugin, caplog: pytest.LogCaptureFixture
) -> None:
    plugin.hooks.call("Plugin.Hook", ARGS, {"B": 1})
    plugin.hooks.stream.write(b"\x00\x00")
    plugin.host.send()
    plugin.stand_in()
    assert (plugin.calls, plugin.lost, caplog.records) == ([], [], [])
    await plugin.awake(lambda: bool(plugin.lost))
    assert len(plugin.calls) == 1
    assert "the connection to the host was closed" in caplog.text


@interpreted
async def test_what_waits_is_bounded_by_shut_windows(
    plugin: StillPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_calls, "HELD", 300_000)
    for number in range(1, 8):
        plugin.hooks.call("Plugin.Hook", ARGS, {"A": "x" * 100_000, "B": number})
        plugin.stand_in()
        plugin.host.read()
        plugin.host.send()
    assert plugin.hooks.stream.queued > 0
    assert plugin.hooks.stream.send_window == 0
    for _ in range(100):
        await asyncio.sleep(0)
        plugin.host.read()
        plugin.host.send()
    assert [call.arguments["B"] for call, _ in plugin.calls] == [1, 2, 3, 4, 5, 6, 7]


async def test_what_the_thread_has_read_comes_before_what_the_loop_reads(
    plugin: StillPlugin,
) -> None:
    pipe = BytePipe()
    stream = plugin.host.open(write_number(plugin.link.offer(pipe)))
    await plugin.awake(lambda: pipe.is_taken)
    stream.write(b"first ")
    plugin.host.send()
    plugin.stand_in()
    stream.write(b"second")
    plugin.host.send()
    plugin.socket._readable()  # before the loop has had a turn
    assert pipe.take() == b"first second"


async def test_a_body_is_kept_up_to_its_window(plugin: StillPlugin) -> None:
    pipe = BytePipe()
    stream = plugin.host.open(write_number(plugin.link.offer(pipe)))
    body = bytes(range(256)) * 4096  # four windows
    stream.write(body)
    for _ in range(20):
        plugin.host.send()
        plugin.stand_in()
        plugin.host.read()
    assert stream.queued == len(body) - INITIAL_WINDOW + 4
    found = b""
    for _ in range(1000):
        found += pipe.take() or b""
        await asyncio.sleep(0)
        plugin.host.read()
        plugin.host.send()
    assert found == body


@interpreted
async def test_an_owner_that_fails_in_the_thread_costs_its_stream_alone(
    plugin: StillPlugin, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Kept):
        def received_meanwhile(self, data: bytes) -> None:
            raise ArithmeticError("a fault of ours")

    owner = Broken()
    stream = plugin.host.open(write_number(plugin.link.offer(owner)))
    await plugin.awake(lambda: "taken" in owner.told)
    stream.write(b"x")
    plugin.host.send()
    assert plugin.stand_in() == [True]
    await plugin.awake(lambda: False in owner.told)
    assert "its owner failed" in caplog.text
    value = plugin.host.session.ping()
    plugin.host.send()
    plugin.stand_in()
    assert PongReceived(value) in plugin.host.read()


# ---------------------------------------------------------------- the socket


async def test_what_the_loop_could_not_send_leaves_first(plugin: StillPlugin) -> None:
    pipe = BytePipe()
    number = plugin.link.offer(pipe)
    stream = plugin.host.open(write_number(number))
    await plugin.awake(lambda: pipe.is_taken)
    stream.consume(stream.unread)
    sent = b""
    for letter in b"abcdefgh":  # more than the socket holds, and no more than the window
        sent += bytes([letter]) * 30_000
        pipe.write(bytes([letter]) * 30_000)
        plugin.link._flush()
    assert plugin.socket._kept
    plugin.host.read()  # so that the socket has room again
    sent += b"i" * 10_000
    pipe.write(b"i" * 10_000)
    plugin.link._flush()
    ping = plugin.host.session.ping()
    plugin.host.send()
    for _ in range(100):
        plugin.stand_in()
        plugin.host.read()
        if PongReceived(ping) in plugin.host.events:
            break
    assert plugin.host.bytes_of(stream) == write_number(number) + sent
    assert PongReceived(ping) in plugin.host.events


async def test_the_end_of_the_connection_is_the_loop_s(plugin: StillPlugin) -> None:
    plugin.control.call("Control.Ping")
    plugin.host.socket.shutdown(socket.SHUT_WR)
    assert plugin.stand_in(2) == [True, False]
    assert plugin.lost == []
    await plugin.awake(lambda: bool(plugin.lost))
    assert plugin.stand_in() == [False]


async def test_a_broken_connection_is_the_loop_s(plugin: StillPlugin) -> None:
    plugin.control.call("Control.Ping")
    plugin.host.socket.close()
    assert plugin.stand_in(3)[-1] is False
    assert plugin.lost == []
    await plugin.awake(lambda: bool(plugin.lost))


# ---------------------------------------------------------------- the thread


async def test_the_thread_is_there_while_it_is_needed(plugin: StillPlugin) -> None:
    stand_in = StandIn(lambda: plugin.socket)
    stand_in.switch(needed=True)
    stand_in.switch(needed=True)
    threads = [thread for thread in threading.enumerate() if thread.name == "mm_asgi-stand-in"]
    assert len(threads) == 1
    plugin.host.socket.setblocking(True)
    for _ in range(3):
        value = plugin.host.session.ping()
        plugin.host.send()
        assert plugin.host.session.receive(plugin.host.socket.recv(100)) == [PongReceived(value)]
    stand_in.switch(needed=False)
    stand_in.switch(needed=False)
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_without_a_connection_there_is_nothing_to_do() -> None:
    stand_in = StandIn(lambda: None)
    stand_in.switch(needed=True)
    stand_in.switch(needed=False)
    assert [thread for thread in threading.enumerate() if thread.name == "mm_asgi-stand-in"] == []


# ---------------------------------------------------------------- anyhow in turns

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(0, 2), st.binary(max_size=6)),
        st.tuples(st.just("write"), st.integers(0, 2), st.binary(min_size=1, max_size=40)),
        st.tuples(st.just("close"), st.integers(0, 2), st.just(b"")),
        st.tuples(st.just("reset"), st.integers(0, 2), st.just(b"")),
        st.tuples(st.just("call"), st.integers(0, 2), st.just(b"")),
        st.tuples(st.just("ping"), st.integers(0, 2), st.just(b"")),
    ),
    max_size=25,
)


@interpreted
@given(
    steps=STEPS, readers=st.lists(st.sampled_from("lrt-"), min_size=1, max_size=40), cut=st.data()
)
@settings(max_examples=60, deadline=None)
def test_two_readers_in_turns_are_one(steps: list[Any], readers: list[str], cut: Any) -> None:
    """Whoever reads, the owners are told the same in the same order."""
    alone = asyncio.run(play(steps, "l", [1 << 20]))
    pieces = cut.draw(st.lists(st.integers(1, 60), min_size=1, max_size=20))
    assert asyncio.run(play(steps, readers, pieces)) == alone


async def play(steps: list[Any], readers: Any, pieces: list[int]) -> Any:
    """Send the steps' bytes in pieces, each read by the loop or by the thread; what was told."""
    plugin = await StillPlugin().begin()
    owners = [Kept() for _ in range(3)]
    numbers = [plugin.link.offer(owner) for owner in owners]
    streams: list[MuxStream | None] = [None] * 3
    host = plugin.host
    for step in steps:
        take_step(plugin, numbers, streams, step)
    left = b"".join(host.session.take())
    turn = 0
    while left:
        size = pieces[turn % len(pieces)]
        host.socket.sendall(left[:size])
        left = left[size:]
        reader = readers[turn % len(readers)]
        if reader == "l":
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        elif reader == "r":  # its selector has seen the bytes before the thread has read
            plugin.socket._readable()
        elif reader == "t":
            plugin.stand_in()
        turn += 1
    host.session.ping()
    host.send()
    plugin.control.call("Control.Ping")
    await plugin.control.outcomes()
    told = [joined(owner.told) for owner in owners]
    served = [call.arguments["A"] for call, _ in plugin.calls]
    frames = sorted(map(repr, (event for event in host.events if isinstance(event, PongReceived))))
    await plugin.end()
    return told, served, frames


def take_step(plugin: StillPlugin, numbers: list[int], streams: list[Any], step: Any) -> None:
    """Do one thing on the host's side, where it is allowed."""
    kind, index, data = step
    stream, session = streams[index], plugin.host.session
    if kind == "open" and stream is None:
        streams[index] = session.open(write_number(numbers[index]) + data)
    elif kind == "call":
        called = plugin.hooks._side.call("Plugin.Hook", ARGS, {"A": f"{index}"})[1]
        plugin.hooks.stream.write(called)
    elif kind == "ping":
        session.ping()
    elif stream is not None and not stream.is_over and not stream._wants_fin:
        if kind == "reset":
            stream.reset()
        elif kind == "close":
            stream.close()
        elif kind == "write":
            stream.write(data)


def joined(told: list[Any]) -> list[Any]:
    """Bytes that came in pieces as one: how they are cut is not promised."""
    made: list[Any] = []
    for item in told:
        if isinstance(item, bytes) and made and isinstance(made[-1], bytes):
            made[-1] += item
        else:
            made.append(item)
    return made


# ---------------------------------------------------------------- the loop's own socket


async def test_a_socket_pauses_its_link_and_sends_all_in_order() -> None:
    ours, theirs = socket.socketpair()
    link = MuxLink(client=False)
    made = MuxSocket(ours, link)
    parts = [bytes([n]) * 1000 for n in range(200)] * 4
    made.writelines(parts)
    assert link._is_paused
    made.write(b"the last")
    made.close()
    host = StillHost(theirs)
    host.socket.setblocking(False)
    found = b""
    while not link.closed.done():
        try:
            found += host.socket.recv(1 << 16)
        except BlockingIOError:
            await asyncio.sleep(0)
    while piece := host.socket.recv(1 << 16):
        found += piece
    assert found == b"".join(parts) + b"the last"
    assert not link._is_paused
    theirs.close()


async def test_an_aborted_socket_sends_no_more() -> None:
    ours, theirs = socket.socketpair()
    link = MuxLink(client=False)
    made = MuxSocket(ours, link)
    made.write(b"x" * 1_000_000)
    made.abort()
    made.write(b"y")
    await asyncio.wait_for(link.closed, 10)
    theirs.setblocking(True)
    found = b""
    while piece := theirs.recv(1 << 16):
        found += piece
    assert 0 < len(found) < 1_000_000
    theirs.close()


async def test_a_caller_goes_on_after_the_loop_was_still(plugin: StillPlugin) -> None:
    """Calls of ours that are answered meanwhile have their answers when the loop is awake."""
    caller = RPCCaller(plugin.book)
    answer = caller.call("Plugin.X", ARGS, {})
    plugin.link.dial(9, caller)
    await plugin.awake(lambda: len(plugin.host.opened()) == 1)
    [stream] = plugin.host.opened()
    stream.write(write_number(9))
    stream.close()
    plugin.host.send()
    plugin.stand_in()
    assert not answer.done()
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(answer, 10)
    assert caller.is_taken
