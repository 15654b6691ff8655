"""The net/rpc wire on asyncio: a host of ours on the other end of a socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.errors import HostProtocolError
from mm_asgi.goplugin.auto_mtls import mutual_tls
from mm_asgi.wire.netrpc import dials, mux_link
from mm_asgi.wire.netrpc.broker import write_number
from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.gob_types import BOOL, INT, STRING
from mm_asgi.wire.netrpc.live_calls import CallRefused, RPCAnswerer, RPCCaller
from mm_asgi.wire.netrpc.mux_link import MuxLink
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING, AnswerSide, GobBook
from mm_asgi.wire.netrpc.stream_owner import StreamOwner
from mm_asgi.wire.netrpc.yamux_frames import HEADER, INITIAL_WINDOW, PING, SYN

from ..tls_peer import client_context, host_identity
from .live_host import ARGS, PathListener, Running, own

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mm_asgi.wire.netrpc.plugin_session import PluginSession
    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall

ONE_MIB = 1024 * 1024
# What a published wheel holds is compiled: its classes take no subclass, its constants no other value.
interpreted = pytest.mark.skipif(
    not mux_link.__file__.endswith(".py"), reason="the test changes what is compiled"
)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    made = Running(PathListener(tmp_path / "s"))
    await made.endpoint.start(made.listener)
    await made.begin()
    yield made
    made.host.close()
    await made.endpoint.stop(1)
    await made.host.closed


# ---------------------------------------------------------------- control and hooks


async def test_ping_and_quit(running: Running) -> None:
    assert await running.control.call("Control.Ping", BOOL, True) == {}
    assert running.quits == 0
    assert await running.control.call("Control.Quit", BOOL, True) == {}
    assert running.quits == 1


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("Control.Other", "rpc: can't find method Control.Other"),
        ("Other.Ping", "rpc: can't find service Other.Ping"),
        ("Ping", "rpc: service/method request ill-formed: Ping"),
    ],
)
async def test_what_control_has_not_is_refused_as_in_go(
    running: Running, method: str, text: str
) -> None:
    with pytest.raises(CallRefused) as caught:
        await running.control.call(method, BOOL, True)
    assert caught.value.text == text
    assert caught.value.is_unknown == text.startswith("rpc: can't")


async def test_another_plugin_is_refused(running: Running) -> None:
    with pytest.raises(CallRefused, match="unknown plugin type: other"):
        await running.control.call("Dispenser.Dispense", STRING, "other")


async def test_hooks_are_answered(running: Running) -> None:
    assert await running.hooks.call("Plugin.Hook", ARGS, {"A": "x", "B": 3}) == {"A": "x", "B": 3}
    assert running.hooks.is_taken
    assert [call.method for call in running.calls] == ["Plugin.Hook"]


async def test_hooks_may_be_answered_later_and_in_any_order(running: Running) -> None:
    held: list[tuple[IncomingCall, RPCAnswerer]] = []
    running.handle = lambda call, answerer, session: held.append((call, answerer))
    calls = [running.hooks.call("Plugin.Hook", ARGS, {"B": n}) for n in range(1, 6)]
    await running.control.call("Control.Ping", BOOL, True)
    assert len(held) == 5
    for call, answerer in reversed(held):
        answerer.reply(call, ARGS, call.arguments)
    assert await asyncio.gather(*calls) == [{"B": n} for n in range(1, 6)]


async def test_a_wrong_reply_can_be_refused_and_the_hooks_go_on(running: Running) -> None:
    def wrong(call: IncomingCall, answerer: RPCAnswerer, session: PluginSession) -> None:
        with pytest.raises(TypeError, match=r"Args\.B: expected int"):
            answerer.reply(call, ARGS, {"B": "3"})
        answerer.refuse(call, "no")

    running.handle = wrong
    with pytest.raises(CallRefused, match=r"Plugin\.Hook: no"):
        await running.hooks.call("Plugin.Hook", ARGS, {})
    running.handle = running.echo
    assert await running.hooks.call("Plugin.Hook", ARGS, {"A": "on"}) == {"A": "on"}


async def test_a_wrong_call_sends_nothing(running: Running) -> None:
    with pytest.raises(ValueError, match="has no field 'C'"):
        running.hooks.call("Plugin.Hook", ARGS, {"C": 1})
    assert await running.hooks.call("Plugin.Hook", ARGS, {}) == {}


async def test_a_cancelled_call_is_dropped(running: Running) -> None:
    first = running.hooks.call("Plugin.Hook", ARGS, {"A": "first"})
    first.cancel()
    assert await running.hooks.call("Plugin.Hook", ARGS, {"A": "second"}) == {"A": "second"}


async def test_an_unreadable_stream_of_hooks_ends_the_connection(running: Running) -> None:
    """A host that believed in hooks that are gone would never start the plugin anew."""
    await running.hooks.call("Plugin.Hook", ARGS, {})
    assert running.hooks.stream is not None
    running.hooks.stream.write(b"\x00")
    assert "gob: a message of 0 bytes" in await running.lost.get()
    await running.host_lost.get()


# ---------------------------------------------------------------- the broker


async def test_the_first_call_leaves_with_the_dial(running: Running) -> None:
    served: list[IncomingCall] = []

    def answer(call: IncomingCall, answerer: RPCAnswerer) -> None:
        served.append(call)
        answerer.reply(call, NOTHING, {})

    number = running.host.offer(RPCAnswerer(running.book, answer))
    writer = RPCCaller(running.book)
    first = writer.call("Plugin.SyncHeader", ARGS, {"A": "early"})
    stream = running.session.link.dial(number, writer)
    assert running.session.link.session.output_size == 12 + 4 + len_of(writer, first)
    assert not writer.is_taken
    assert await first == {}
    assert writer.is_taken
    assert await writer.call("Plugin.Write", ARGS, {"A": "late"}) == {}
    assert [call.arguments["A"] for call in served] == ["early", "late"]
    writer.close()
    await running.control.call("Control.Ping", BOOL, True)
    assert stream.is_over


def len_of(writer: RPCCaller, first: asyncio.Future[Any]) -> int:
    """The bytes of the call that left with the dial."""
    assert writer.stream is not None
    return INITIAL_WINDOW - writer.stream.send_window - 4


async def test_first_calls_that_do_not_fit_a_frame_follow_it(running: Running) -> None:
    def answer(call: IncomingCall, answerer: RPCAnswerer) -> None:
        answerer.reply(call, INT, len(call.arguments["A"]))

    number = running.host.offer(RPCAnswerer(running.book, answer))
    writer = RPCCaller(running.book)
    sizes = [10, 190_000, 20_000, 500_000]
    calls = [writer.call("Plugin.X", ARGS, {"A": "x" * size}) for size in sizes]
    running.session.link.dial(number, writer)
    assert await asyncio.gather(*calls) == sizes


async def test_a_dial_that_nobody_offered_is_refused_at_once(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caller = RPCCaller(running.book)
    answer = caller.call("Plugin.X", ARGS, {})
    running.session.link.dial(4711, caller)
    with pytest.raises(ConnectionError, match=r"Plugin\.X: the host ended the stream"):
        await answer
    assert not caller.is_taken
    assert "was not acknowledged" not in caplog.text  # not by the broker's clock
    with pytest.raises(ConnectionError, match="the stream to the host is over"):
        await caller.call("Plugin.X", ARGS, {})


@interpreted
async def test_a_dial_without_acknowledgement_ends_after_the_broker_s_time(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dials, "DIAL_TIMEOUT", 0.05)
    silent = StreamOwner()
    running.host._greet = lambda: silent  # takes the bytes, and says nothing
    pipe = BytePipe()
    running.session.link.dial(5, pipe)
    with pytest.raises(ConnectionError, match="did not take up the stream"):
        await pipe.wait_taken()
    assert "the dial of 5 was not acknowledged in 0.05 s" in caplog.text
    assert await running.hooks.call("Plugin.Hook", ARGS, {}) == {}
    later = RPCCaller(running.book)
    answer = later.call("Plugin.X", ARGS, {})
    running.session.link.dial(6, later)  # the clock is set anew
    with pytest.raises(ConnectionError):
        await answer


@interpreted
async def test_a_wrong_acknowledgement_ends_the_stream_alone(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    class Liar(StreamOwner):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            assert self.stream is not None
            self.stream.write(write_number(9))

    liar = Liar()
    running.host._greet = lambda: liar
    pipe = BytePipe()
    running.session.link.dial(5, pipe)
    with pytest.raises(ConnectionError):
        await pipe.wait_taken()
    assert "the dial of 5 was acknowledged as 9" in caplog.text
    assert await running.hooks.call("Plugin.Hook", ARGS, {}) == {}


async def test_an_offer_can_be_withdrawn(running: Running) -> None:
    pipe = BytePipe()
    number = running.session.link.offer(pipe)
    assert running.session.link.withdraw(number)
    assert not running.session.link.withdraw(number)
    other = BytePipe()
    running.host.dial(number, other)
    with pytest.raises(ConnectionError):
        await other.wait_taken()


async def test_whoever_offers_may_call_at_once(running: Running) -> None:
    """Its first call is on its way before the dial came, and follows the acknowledgement."""
    caller = RPCCaller(running.book)
    answer = caller.call("Plugin.X", ARGS, {"A": "mine"})
    theirs = RPCAnswerer(running.book, lambda call, made: made.reply(call, STRING, call.method))
    running.host.dial(running.session.link.offer(caller), theirs)
    assert await answer == "Plugin.X"


async def test_a_number_in_single_bytes(running: Running) -> None:
    pipe = BytePipe()
    number = running.session.link.offer(pipe)
    other = BytePipe()
    own(running.host, other)
    for byte in write_number(number) + b"rest":
        other.write(bytes((byte,)))
        await running.control.call("Control.Ping", BOOL, True)
    assert await other.read() == write_number(number)
    await pipe.wait_taken()
    assert await pipe.read() == b"rest"


# ---------------------------------------------------------------- pipes


async def pipes(running: Running) -> tuple[BytePipe, BytePipe]:
    """The two ends of a stream: the plugin's and the host's."""
    mine, theirs = BytePipe(), BytePipe()
    running.host.dial(running.session.link.offer(mine), theirs)
    await theirs.wait_taken()
    await mine.wait_taken()
    return mine, theirs


async def test_a_pipe_carries_bytes_to_its_end(running: Running) -> None:
    mine, theirs = await pipes(running)
    theirs.write(b"question")
    theirs.close()
    assert await mine.read() == b"question"
    assert await mine.read() == b""
    mine.write(b"answer")
    mine.close()
    assert await theirs.read() == b"answer"
    assert [await theirs.read(), await theirs.read()] == [b"", b""]


async def test_a_reader_that_does_not_read_stops_the_writer(running: Running) -> None:
    mine, theirs = await pipes(running)
    theirs.write(bytes(ONE_MIB))
    drained = asyncio.ensure_future(theirs.drain())
    await running.control.call("Control.Ping", BOOL, True)
    assert not drained.done()
    assert mine.stream is not None
    assert mine.stream.unread == INITIAL_WINDOW - 4  # the broker's number is credited with more
    size = 0
    while size < ONE_MIB:
        size += len(await mine.read())
    await drained
    assert size == ONE_MIB
    assert mine.take() is None


async def test_a_reset_is_an_error_on_both_sides(running: Running) -> None:
    mine, theirs = await pipes(running)
    theirs.write(b"before")
    await running.control.call("Control.Ping", BOOL, True)
    theirs.reset()
    assert await mine.read() == b"before"
    with pytest.raises(ConnectionResetError):
        await mine.read()
    with pytest.raises(ConnectionResetError):
        await theirs.read()
    with pytest.raises(ConnectionResetError):
        await mine.drain()
    mine.write(b"nobody reads")


async def test_a_reader_waits_and_one_at_a_time(running: Running) -> None:
    mine, theirs = await pipes(running)
    waiting = asyncio.ensure_future(mine.read())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task reads"):
        await mine.read()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    theirs.write(b"x")
    assert await mine.read() == b"x"
    theirs.write(bytes(ONE_MIB))
    draining = asyncio.ensure_future(theirs.drain())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task waits"):
        await theirs.drain()
    theirs.reset()
    with pytest.raises(ConnectionResetError):
        await draining


async def test_what_is_discarded_is_credited_and_ends(running: Running) -> None:
    mine, theirs = await pipes(running)
    theirs.write(bytes(ONE_MIB))
    theirs.close()
    mine.discard()
    await theirs.drain()
    assert await theirs.read() == b""
    await running.control.call("Control.Ping", BOOL, True)
    assert theirs.stream is not None
    assert theirs.stream.is_over


async def test_a_body_that_nobody_reads_is_taken_up_and_ended(running: Running) -> None:
    theirs = BytePipe()
    running.session.link.dial(running.host.offer(theirs), StreamOwner(), fin=True)
    await theirs.wait_taken()
    assert await theirs.read() == b""


async def test_a_pipe_cannot_be_written_before_it_is_open() -> None:
    with pytest.raises(RuntimeError, match="not open yet"):
        BytePipe().write(b"x")


# ---------------------------------------------------------------- the connection


async def test_a_lost_connection_fails_what_is_under_way(running: Running) -> None:
    running.handle = lambda call, answerer, session: None
    hook = running.hooks.call("Plugin.Hook", ARGS, {})
    mine, theirs = await pipes(running)
    offered = BytePipe()
    number = running.session.link.offer(offered)
    running.host.abort()
    assert "the connection is gone" in await running.lost.get()
    for ended in (mine.read(), theirs.read()):
        with pytest.raises(ConnectionError):
            await ended
    with pytest.raises(ConnectionError):
        await hook
    with pytest.raises(ConnectionError, match="the session has ended"):
        running.session.link.dial(number, BytePipe())
    assert running.lost.empty()


async def test_a_second_connection_is_refused_and_a_later_one_taken(running: Running) -> None:
    second = await running.dial()
    await second.closed
    assert await running.hooks.call("Plugin.Hook", ARGS, {}) == {}
    running.host.close()
    await running.host.closed
    await running.lost.get()
    await running.session.link.closed
    running.control, running.hooks = RPCCaller(running.book), RPCCaller(running.book)
    await running.begin()
    assert await running.hooks.call("Plugin.Hook", ARGS, {}) == {}


async def test_a_broken_session_is_said_and_ended(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    running.host._transport.write(b"\x09" * 12)
    assert "a frame of version 9" in await running.lost.get()
    await running.host.closed


@interpreted
async def test_an_owner_that_fails_ends_its_stream_alone(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(StreamOwner):
        def data_received(self, data: bytes) -> None:
            raise KeyError("ours")

        def stream_ended(self, *, whole: bool) -> None:
            raise KeyError("again")

    with caplog.at_level(logging.ERROR):
        theirs = BytePipe()
        running.host.dial(running.session.link.offer(Broken()), theirs)
        theirs.write(b"x")
        with pytest.raises(ConnectionResetError):
            await theirs.read()
    assert "its owner failed; the stream was reset" in caplog.text
    assert "its owner failed at the end" in caplog.text
    assert await running.hooks.call("Plugin.Hook", ARGS, {}) == {}


@interpreted
async def test_unreadable_answers_fail_the_calls_of_their_stream(running: Running) -> None:
    class Nonsense(StreamOwner):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            assert self.stream is not None
            self.stream.write(b"\x00")

    caller = RPCCaller(running.book)
    answer = caller.call("Plugin.X", ARGS, {})
    running.session.link.dial(running.host.offer(Nonsense()), caller)
    with pytest.raises(HostProtocolError, match="a message of 0 bytes"):
        await answer
    assert await running.hooks.call("Plugin.Hook", ARGS, {}) == {}


async def test_a_host_that_asks_and_does_not_read_is_read_no_more(running: Running) -> None:
    """Or its pings would fill the memory with answers."""
    link = running.session.link
    link.pause_writing()
    ping = HEADER.pack(0, PING, SYN, 0, 7) * 5000
    for _ in range(100):
        link.data_received(ping)
        if not link._reads:
            break
    assert link.session.output_size < 2 * ONE_MIB
    assert not link._transport.is_reading()
    link.resume_writing()
    assert link._transport.is_reading()
    assert await running.control.call("Control.Ping", BOOL, True) == {}


async def test_many_calls_and_streams_leave_nothing(running: Running) -> None:
    async def one(index: int) -> None:
        mine, theirs = BytePipe(), BytePipe()
        running.host.dial(running.session.link.offer(mine), theirs)
        theirs.write(b"%d" % index)
        theirs.close()
        assert await mine.read() == b"%d" % index
        mine.close()
        assert await theirs.read() == b""
        assert await running.hooks.call("Plugin.Hook", ARGS, {"B": index + 1}) == {"B": index + 1}

    await asyncio.gather(*(one(index) for index in range(500)))
    await running.control.call("Control.Ping", BOOL, True)
    assert len(running.session.link.session.streams) == 4
    assert len(running.host.session.streams) == 4
    assert len(running.session.link._dials) == 0
    assert len(running.host._dials) == 0


@interpreted
async def test_large_bytes_are_sent_from_where_they_lie_and_small_ones_joined() -> None:
    class Written:
        def __init__(self) -> None:
            self.parts: list[bytes] = []
            self.write = self.parts.append

    caller = RPCCaller(GobBook({}))
    stream: Any = Written()
    caller.stream = stream
    large, small = [b"l" * 40_000, b"m" * 40_000], [b"s" * 100, b"t" * 100]
    caller.send_bytes("Plugin.Write", large, lambda value, error: None)
    assert [part for part in stream.parts if part in large] == large
    assert all(any(part is sent for sent in stream.parts) for part in large)
    whole = b"".join(stream.parts)
    caller.send_bytes("Plugin.Write", small, lambda value, error: None)
    assert len(stream.parts) == 4
    answerer = AnswerSide(GobBook({}))
    written = [call.arguments for call in answerer.receive(whole + stream.parts[3])]
    assert written == [b"".join(large), b"".join(small)]


# ---------------------------------------------------------------- other sockets


class PortListener(PathListener):
    """A port of the loopback interface."""

    network = "tcp"

    def open(self) -> socket.socket:
        opened = socket.create_server(("127.0.0.1", 0))
        self.address = opened.getsockname()[1]
        return opened


async def ping(link: MuxLink, book: GobBook) -> None:
    control = RPCCaller(book)
    own(link, control)
    assert await control.call("Control.Ping", BOOL, True) == {}
    link.close()
    await link.closed


async def test_a_port(tmp_path: Path) -> None:
    listener = PortListener(tmp_path)
    running = Running(listener)
    await running.endpoint.start(listener)
    _, link = await asyncio.get_running_loop().create_connection(
        lambda: MuxLink(client=True), "127.0.0.1", int(listener.address)
    )
    await ping(link, running.book)
    await running.endpoint.stop(1)


async def test_auto_mtls(tmp_path: Path) -> None:
    """As on gRPC, the host's certificate is the only one that is let in; there is no ALPN."""
    host = host_identity()
    ours = mutual_tls(host.certificate.decode())
    running = Running(PathListener(tmp_path / "s"))
    await running.endpoint.start(running.listener, tls=ours.context)
    context = client_context(ours.certificate, host, alpn=())
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(
        lambda: MuxLink(client=True),
        running.listener.address,
        ssl=context,
        server_hostname="localhost",
    )
    await ping(link, running.book)
    await running.session.link.closed
    first = running.session
    stranger = client_context(ours.certificate, host_identity(), alpn=())
    lost: asyncio.Queue[str] = asyncio.Queue()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await loop.create_unix_connection(
            lambda: MuxLink(client=True, on_lost=lost.put_nowait),
            running.listener.address,
            ssl=stranger,
            server_hostname="localhost",
        )
        await lost.get()
    assert running.session is first
    # And it has not taken the host's place.
    _, link = await loop.create_unix_connection(
        lambda: MuxLink(client=True),
        running.listener.address,
        ssl=context,
        server_hostname="localhost",
    )
    await ping(link, running.book)
    await running.endpoint.stop(1)
