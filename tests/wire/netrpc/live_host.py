"""A plugin's endpoint on a socket of its own, and a host of ours that has dialled it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from mm_asgi.wire.netrpc.endpoint import NetRPCEndpoint
from mm_asgi.wire.netrpc.gob_types import INT, STRING, StructOf
from mm_asgi.wire.netrpc.live_calls import RPCAnswerer, RPCCaller
from mm_asgi.wire.netrpc.mux_link import MuxLink
from mm_asgi.wire.netrpc.plugin_session import PluginSession
from mm_asgi.wire.netrpc.rpc_conversation import GobBook
from mm_asgi.wire.netrpc.stream_owner import StreamOwner

from .shapes import REGISTERED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall

ARGS = StructOf("Args", [("A", STRING), ("B", INT)])


class PathListener:
    """A unix socket in the test's folder."""

    network = "unix"

    def __init__(self, path: Path) -> None:
        self.address = str(path)

    def candidates(self) -> list[str]:
        return [self.address]

    def bound(self, address: str) -> None:
        pass

    def open(self) -> Any:
        opened = socket.socket(socket.AF_UNIX)
        opened.bind(self.address)
        opened.listen()
        return opened

    def close(self) -> None:
        pass


class Running:
    """A plugin's endpoint, and a host that has dialled it."""

    def __init__(self, listener: PathListener) -> None:
        self.listener = listener
        self.book = GobBook(REGISTERED)
        self.calls: list[IncomingCall] = []
        self.handle: Callable[[IncomingCall, RPCAnswerer, PluginSession], None] = self.echo
        self.quits = 0
        self.lost: asyncio.Queue[str] = asyncio.Queue()
        self.endpoint = NetRPCEndpoint(self.make_session)
        self.host_lost: asyncio.Queue[str] = asyncio.Queue()
        self.control = RPCCaller(self.book)
        self.hooks = RPCCaller(self.book)
        self.host: MuxLink = None  # type: ignore[assignment]

    def make_session(self) -> PluginSession:
        return PluginSession(
            self.book,
            handle=lambda call, answerer, session: self.handle(call, answerer, session),
            on_quit=self.quit,
            on_lost=self.lost.put_nowait,
        )

    def quit(self) -> None:
        self.quits += 1

    def echo(self, call: IncomingCall, answerer: RPCAnswerer, session: PluginSession) -> None:
        self.calls.append(call)
        answerer.reply(call, ARGS, call.arguments)

    @property
    def session(self) -> PluginSession:
        assert self.endpoint.session is not None
        return self.endpoint.session

    async def dial(self) -> MuxLink:
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(
            lambda: MuxLink(client=True, on_lost=self.host_lost.put_nowait), self.listener.address
        )
        return link

    async def begin(self) -> None:
        self.host = await self.dial()
        for owner in (self.control, StreamOwner(), StreamOwner()):
            own(self.host, owner)
        number = await self.control.call("Dispenser.Dispense", STRING, "hooks")
        self.host.dial(number, self.hooks)


def own(link: MuxLink, owner: StreamOwner, first: bytes = b"") -> None:
    """Open a stream that is not the broker's."""
    stream = link.session.open(first)
    stream.owner = owner
    owner.stream_opened(stream)
