"""A plugin's connection whose loop stands still: a host without a loop, and threads that stand in.

A test that does not await holds the loop up, so that whatever happens meanwhile is the thread's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

from mm_asgi.wire.netrpc.broker import write_number
from mm_asgi.wire.netrpc.gob_types import BOOL, STRING
from mm_asgi.wire.netrpc.mux_socket import MuxSocket
from mm_asgi.wire.netrpc.plugin_session import PluginSession
from mm_asgi.wire.netrpc.rpc_conversation import CallSide, GobBook
from mm_asgi.wire.netrpc.yamux_session import DataReceived, MuxSession, StreamOpened

from .shapes import REGISTERED

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.wire.netrpc.live_calls import RPCAnswerer
    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall, Outcome
    from mm_asgi.wire.netrpc.yamux_session import MuxEvent
    from mm_asgi.wire.netrpc.yamux_stream import MuxStream


class StillHost:
    """The host's side of a socket pair, as bytes: it waits for nothing that is not there."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        opened.setblocking(False)
        self.session = MuxSession(client=True)
        self.events: list[MuxEvent] = []
        self._unsent = b""

    def send(self) -> None:
        """Send what the session has, as far as the socket takes it; the rest leaves the next time."""
        left = self._unsent + b"".join(self.session.take())
        with contextlib.suppress(BlockingIOError):
            while left:
                left = left[self.socket.send(left) :]
        self._unsent = left

    def read(self) -> list[MuxEvent]:
        """Return what has happened since the last time."""
        found: list[MuxEvent] = []
        with contextlib.suppress(BlockingIOError):
            while data := self.socket.recv(1 << 20):
                found += self.session.receive(data)
        self.events += found
        return found

    def open(self, first: bytes = b"") -> MuxStream:
        """Open a stream, and send so."""
        stream = self.session.open(first)
        self.send()
        return stream

    def bytes_of(self, stream: MuxStream) -> bytes:
        """Return all bytes of a stream so far."""
        self.read()
        return b"".join(
            event.data
            for event in self.events
            if isinstance(event, DataReceived) and event.stream is stream
        )

    def opened(self) -> list[MuxStream]:
        """Return the streams that the plugin has opened so far."""
        self.read()
        return [event.stream for event in self.events if isinstance(event, StreamOpened)]


class StillPlugin:
    """A plugin's session on the other side, begun, with its loop awake until the test holds it."""

    def __init__(self, offers: Callable[[IncomingCall], list[int]] = lambda call: []) -> None:
        ours, theirs = socket.socketpair()
        self.book = GobBook(REGISTERED)
        self.calls: list[tuple[IncomingCall, RPCAnswerer]] = []
        self.lost: list[str] = []
        self.quits = 0
        self.session = PluginSession(
            self.book,
            handle=lambda call, answerer, session: self.calls.append((call, answerer)),
            on_quit=self._quit,
            on_lost=self.lost.append,
            offers=offers,
        )
        self.link = self.session.link
        self.socket = MuxSocket(ours, self.link)
        self.host = StillHost(theirs)
        self.control = Called(self.host, self.host.open(), self.book)
        self.host.open()
        self.host.open()
        self.hooks: Called

    def _quit(self) -> None:
        self.quits += 1

    async def begin(self) -> StillPlugin:
        """Dial the hooks as a host does."""
        number = self.control.call("Dispenser.Dispense", STRING, "hooks")
        [outcome] = await self.control.outcomes()
        assert number == outcome.number
        stream = self.host.open(write_number(outcome.value))
        await self.awake(lambda: self.host.bytes_of(stream) == write_number(outcome.value))
        self.hooks = Called(self.host, stream, self.book, skip=4)
        return self

    async def awake(self, until: Callable[[], bool]) -> None:
        """Let the loop run until something holds."""
        for _ in range(1000):
            if until():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came to that")

    def stand_in(self, turns: int = 1) -> list[bool]:
        """Let a thread stand in, some turns, while the loop is held up here."""
        results: list[bool] = []

        def run() -> None:
            results.extend(self.socket.stand_in() for _ in range(turns))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return results

    async def end(self) -> None:
        """Close both sides."""
        self.link.abort()
        await self.link.closed
        self.host.socket.close()


class Called:
    """Calls of the host on one stream."""

    def __init__(self, host: StillHost, stream: MuxStream, book: GobBook, skip: int = 0) -> None:
        self.host = host
        self.stream = stream
        self._side = CallSide(book)
        self._seen = skip

    def call(self, method: str, kind: Any = BOOL, value: Any = True) -> int:
        """Send a call; return its number."""
        number, data = self._side.call(method, kind, value)
        self.stream.write(data)
        self.host.send()
        return number

    def answers(self) -> list[Outcome]:
        """Return the answers that are here."""
        data = self.host.bytes_of(self.stream)
        fresh, self._seen = data[self._seen :], len(data)
        return list(self._side.receive(fresh)) if fresh else []

    async def outcomes(self) -> list[Outcome]:
        """Return the next answers; the loop is awake."""
        for _ in range(1000):
            if found := self.answers():
                return found
            await asyncio.sleep(0)
        raise AssertionError("no answer")
