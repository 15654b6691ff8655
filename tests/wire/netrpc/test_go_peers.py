"""The cores against HashiCorp's yamux and Go's net/rpc, over a socket."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.gob_types import ANY, BYTES, INT, STRING, SliceOf, StructOf
from mm_asgi.wire.netrpc.gob_values import Registered
from mm_asgi.wire.netrpc.live_calls import RPCAnswerer, RPCCaller
from mm_asgi.wire.netrpc.rpc_conversation import AnswerSide, CallSide, GobBook
from mm_asgi.wire.netrpc.yamux_frames import INITIAL_WINDOW
from mm_asgi.wire.netrpc.yamux_session import (
    DataReceived,
    StreamDrained,
    StreamFinished,
    StreamReset,
)
from tests.wire.tools import go_missing_reason, tool

from .live_host import PathListener, Running
from .mux_pair import Side
from .shapes import REGISTERED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mm_asgi.wire.netrpc.plugin_session import PluginSession
    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall
    from mm_asgi.wire.netrpc.yamux_stream import MuxStream

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(180),  # the first test builds gopeer
    pytest.mark.skipif(go_missing_reason() is not None, reason=str(go_missing_reason())),
]


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen()
        sock.settimeout(30)
        yield sock


def accept(listener: socket.socket) -> socket.socket:
    conn, _ = listener.accept()
    conn.settimeout(30)
    return conn


class Peer:
    """One yamux session on a socket, whose owner echoes what Go opens."""

    def __init__(self, conn: socket.socket, *, client: bool, backlog: int = 120) -> None:
        self.conn = conn
        self.side = Side(client=client, backlog=backlog)
        self.side.consumes = False
        self.own: set[int] = set()
        self.echoed = 0

    def run(self, until: Callable[[], bool]) -> None:
        """Until then, or until the connection ends."""
        while not until():
            try:
                self.flush()
                data = self.conn.recv(65536)
            except ConnectionError:
                return
            if not data:
                return
            for event in self.side.receive(data):
                self.note(event)

    def flush(self) -> None:
        self.conn.sendall(self.side.take())

    def note(self, event: object) -> None:
        match event:
            case DataReceived(stream, data):
                if stream.id in self.own:
                    stream.consume(len(data))
                else:
                    stream.write(data)  # the window is given back once the echo has left
                    if not stream.queued:
                        stream.consume(stream.unread)
            case StreamDrained(stream) if stream.id not in self.own:
                stream.consume(stream.unread)
            case StreamFinished(stream) if stream.id not in self.own:
                self.echoed += 1
                stream.close()
            case _:
                pass


@pytest.mark.parametrize("go", ["client", "server"])
def test_streams_of_both_sides_with_hashicorp_s_yamux(listener: socket.socket, go: str) -> None:
    """Go opens 40 streams of up to 900,000 bytes, this side 300; some are reset half way."""
    with subprocess.Popen(
        [tool("gopeer"), "yamux", go, listener.getsockname()], stdout=subprocess.PIPE
    ) as process:
        conn = accept(listener)
        peer = Peer(conn, client=go == "server")
        chooser = random.Random(7)
        sent: dict[int, str] = {}
        resets: list[MuxStream] = []
        for index in range(300):
            payload = chooser.randbytes(chooser.choice([0, 3, 4, 5000, INITIAL_WINDOW, 400_000]))
            stream = peer.side.open(payload[:7])
            peer.own.add(stream.id)
            stream.write(payload[7:])
            if index % 10 == 9:
                resets.append(stream)
            else:
                stream.close()
                sent[stream.id] = hashlib.sha256(payload).hexdigest()
        peer.run(lambda: len(peer.side.ended) > 50)
        for stream in resets:
            stream.reset()
        peer.run(lambda: peer.echoed == 40 and sent.keys() <= peer.side.ended.keys())
        assert {i: hashlib.sha256(peer.side.received[i]).hexdigest() for i in sent} == sent
        assert {peer.side.ended[i] for i in sent} == {"finished"}
        last = peer.side.open(b"end\n", fin=True)
        peer.own.add(last.id)
        peer.run(lambda: last.id in peer.side.ended)
        peer.run(lambda: False)  # it pings, says what it saw, and ends
        assert process.stdout is not None
        report = json.loads(process.stdout.read())
        conn.close()
    assert report.pop("broken") <= len(resets)
    assert report.pop("echoed") >= 270
    assert report == {"same": 40, "wrong": 0, "open": 0, "session": "alive"}
    assert not peer.side.session.streams.keys() - {last.id}


def test_go_accepts_more_streams_than_its_backlog_when_they_are_queued(
    listener: socket.socket,
) -> None:
    """All 1,000 in one write; Go resets the 257th that nobody has accepted."""
    with subprocess.Popen(
        [tool("gopeer"), "yamux", "client", listener.getsockname()], stdout=subprocess.PIPE
    ) as process:
        conn = accept(listener)
        peer = Peer(conn, client=False)
        streams = [peer.side.open(b"hello", fin=True) for _ in range(1000)]
        peer.own |= {stream.id for stream in streams}
        peer.run(lambda: len(peer.own & peer.side.ended.keys()) == 1000)
        assert {peer.side.ended[stream.id] for stream in streams} == {"finished"}
        assert {bytes(peer.side.received[stream.id]) for stream in streams} == {b"hello"}
        peer.run(lambda: peer.echoed == 40)
        last = peer.side.open(b"end\n", fin=True)
        peer.own.add(last.id)
        peer.run(lambda: False)
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["session"] == "alive"
        conn.close()


def test_a_byte_over_go_s_window_ends_the_session(listener: socket.socket) -> None:
    """The one thing never to be sent: Go's end says why the core is so strict about it."""
    with subprocess.Popen(
        [tool("gopeer"), "yamux", "client", listener.getsockname()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # of each stream that ended with the session
    ) as process:
        conn = accept(listener)
        peer = Peer(conn, client=False)
        stream = peer.side.open(b"over")
        stream.send_window += 1_000_000
        stream.write(bytes(INITIAL_WINDOW - 3))
        peer.run(lambda: False)
        peer.side.note(peer.side.session.lose())
        assert StreamReset(stream) in peer.side.events
        assert process.stdout is not None
        assert "receive window exceeded" in json.loads(process.stdout.read())["session"]
        conn.close()


# ---------------------------------------------------------------- net/rpc

ARGS = StructOf("Args", [("Text", STRING), ("Count", INT), ("Note", ANY)])
REPLY = StructOf("Reply", [("Text", STRING), ("List", SliceOf(INT)), ("Note", ANY)])


def test_calls_of_both_sides_with_go_s_net_rpc(listener: socket.socket) -> None:
    book = GobBook(REGISTERED)
    with subprocess.Popen(
        [tool("gopeer"), "rpc", listener.getsockname()], stdout=subprocess.PIPE
    ) as process:
        first, second = accept(listener), accept(listener)
        call_go(first, CallSide(book))
        answer_go(second, AnswerSide(book))
        first.close()
        assert process.stdout is not None
        found = json.loads(process.stdout.read())
    assert found == {
        "texts": ["hello"] * 8,
        "errors": ["failed: why", "rpc: can't find method Plugin.Missing"],
    }


def call_go(conn: socket.socket, caller: CallSide) -> None:
    note = Registered(
        "*main.Note", {"Id": "x", "Props": {"deep": [1, Registered("main.Inner", {})]}}
    )
    expected: dict[int, tuple[Any, str | None]] = {}
    for index in range(50):
        number, data = caller.call(
            "Served.Echo", ARGS, {"Text": f"call {index}", "Count": index, "Note": note}
        )
        value = {"Text": f"call {index}", "Note": note}
        expected[number] = ({**value, "List": [0] * index} if index else value), None
        conn.sendall(data)
    for method, error in (
        ("Served.Fail", "failed: why"),
        ("Served.Missing", "rpc: can't find method Served.Missing"),
        ("Missing.Echo", "rpc: can't find service Missing.Echo"),
    ):
        number, data = caller.call(method, ARGS, {"Text": "why"})
        expected[number] = None, error
        conn.sendall(data)
    found = {}
    while caller.pending:
        for outcome in caller.receive(conn.recv(65536)):
            found[outcome.number] = outcome.value, outcome.error
    assert found == expected


def answer_go(conn: socket.socket, answerer: AnswerSide) -> None:
    held = []
    with conn:
        while data := conn.recv(65536):
            for call in answerer.receive(data):
                if call.method == "Plugin.Echo":
                    held.append(call)
                    if len(held) == 8:  # all at once, and in another order than they came
                        for echoed in reversed(held):
                            conn.sendall(answerer.reply(echoed, REPLY, echo(echoed.arguments)))
                elif call.method == "Plugin.Fail":
                    conn.sendall(answerer.refuse(call, f"failed: {call.arguments['Text']}"))
                else:
                    conn.sendall(answerer.refuse(call, f"rpc: can't find method {call.method}"))


def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    note = arguments["Note"]
    assert note.name == "*main.Note"
    assert note.value["Props"] == {"list": [note.value.get("Status", 0), "x"]}
    return {"Text": arguments["Text"], "List": [7] * arguments.get("Count", 0), "Note": note}


# ---------------------------------------------------------------- go-plugin


async def test_a_plugin_s_session_with_go_plugin_s_client(tmp_path: Path) -> None:
    """200 bodies at once, each read and answered through two streams of go-plugin's broker."""
    running = Running(PathListener(tmp_path / "s"))
    tasks: set[asyncio.Task[None]] = set()

    def handle(call: IncomingCall, answerer: RPCAnswerer, session: PluginSession) -> None:
        if call.method == "Plugin.Count":
            task = asyncio.ensure_future(count(call, answerer, session))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        else:
            answerer.refuse(call, f"rpc: can't find method {call.method}")

    running.handle = handle
    await running.endpoint.start(running.listener)
    process = await asyncio.create_subprocess_exec(
        tool("gopeer"), "session", running.listener.address, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert json.loads(out) == {"good": "200", "missing": "rpc: can't find method Plugin.Missing"}
    assert "the connection is gone" in await running.lost.get()
    assert running.quits == 1
    assert not tasks
    assert not running.session.link.session.streams
    await running.endpoint.stop(1)


async def count(call: IncomingCall, answerer: RPCAnswerer, session: PluginSession) -> None:
    writer, body = RPCCaller(session.book), BytePipe()
    begun = writer.call("Plugin.Write", BYTES, b"begin")
    session.link.dial(call.arguments["Response"], writer)
    session.link.dial(call.arguments["Request"], body)
    await begun
    words = 0
    while data := await body.read():
        words += data.count(b" ")
    body.close()
    await writer.call("Plugin.Write", BYTES, b"%d words" % words)
    await writer.call("Plugin.Write", BYTES, b"end")
    writer.close()
    answerer.reply(call, INT, words)
