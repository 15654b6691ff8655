"""A host of ours on the other end of a plugin's session, joined in memory.

The host's side is a real MuxLink, and speaks as go-plugin does: what it calls and answers is in
Go's own values, by the tables.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from mm_asgi.wire.netrpc.gob_types import STRING
from mm_asgi.wire.netrpc.live_calls import RPCAnswerer, RPCCaller
from mm_asgi.wire.netrpc.mux_link import MuxLink
from mm_asgi.wire.netrpc.plugin_session import PluginSession
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING, GobBook
from mm_asgi.wire.netrpc.shapes import gob_type, registered_types
from mm_asgi.wire.netrpc.stream_owner import StreamOwner
from mm_asgi.wire.netrpc.tables import CALLS, HOOKS

from .live_host import own

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall

    Handle = Callable[[IncomingCall, RPCAnswerer, PluginSession], None]
    Served = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

__all__ = ["MemoryHost", "ServedAPI", "Unknown"]


class MemoryEnd:
    """One side's transport: what is written arrives at the other side in a later turn."""

    def __init__(self, link: MuxLink) -> None:
        self.link = link
        self.other: MemoryEnd = self
        self._waiting: deque[bytes] = deque()
        self._is_closing = False

    def write(self, data: Any) -> None:
        if not self._is_closing:
            self._waiting.append(bytes(data))
            asyncio.get_running_loop().call_soon(self._deliver)

    def writelines(self, parts: Iterable[Any]) -> None:
        for part in parts:
            self.write(part)

    def _deliver(self) -> None:
        data = self._waiting.popleft()
        if self.other.link.is_open:
            self.other.link.data_received(data)

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = self.other._is_closing = True
            for end in (self.other, self):
                asyncio.get_running_loop().call_soon(end._lose)

    abort = close

    def _lose(self) -> None:
        if self.link.is_open:
            self.link.connection_lost(None)


def joined(plugin: MuxLink, host: MuxLink) -> None:
    """Connect two links."""
    ends = MemoryEnd(plugin), MemoryEnd(host)
    ends[0].other, ends[1].other = ends[1], ends[0]
    for end in ends:
        end.link.connection_made(end)  # type: ignore[arg-type]


class MemoryHost:
    """A host that has dialled a plugin.

    Args:
        handle: serves the hooks, on the plugin's side.
    """

    def __init__(self, handle: Handle = lambda call, answerer, session: None) -> None:
        self.book = GobBook(registered_types())
        self.quits = 0
        self.lost: list[str] = []
        self.session = PluginSession(
            self.book, handle=handle, on_quit=self._quit, on_lost=self.lost.append
        )
        self.link = MuxLink(client=True)
        self.control = RPCCaller(self.book)
        self._hooks = RPCCaller(self.book)

    def _quit(self) -> None:
        self.quits += 1

    async def begin(self) -> MemoryHost:
        joined(self.session.link, self.link)
        for owner in (self.control, StreamOwner(), StreamOwner()):
            own(self.link, owner)
        number = await self.control.call("Dispenser.Dispense", STRING, "hooks")
        self.link.dial(number, self._hooks)
        return self

    async def hook(self, name: str, values: Any = None) -> Any:
        """Call a hook with Go's arguments; return Go's returns.

        Raises:
            CallRefused: the plugin answered with an error.
        """
        arguments = HOOKS[name][0]
        kind = NOTHING if arguments == "struct {}" else gob_type(arguments)
        return await self._hooks.call(f"Plugin.{name}", kind, {} if values is None else values)

    async def end(self) -> None:
        self.link.close()
        await self.link.closed
        await self.session.link.closed


class Unknown(Exception):
    """The server has no such call."""


class ServedAPI:
    """The host's API: each call by a coroutine that takes Go's arguments and returns its returns."""

    def __init__(self, book: GobBook, link: MuxLink, **calls: Served) -> None:
        self.calls = calls
        self.seen: list[str] = []
        self.answerer = RPCAnswerer(book, self._serve)
        self.number = link.offer(self.answerer)
        self._tasks: set[asyncio.Task[None]] = set()

    def _serve(self, call: IncomingCall, answerer: RPCAnswerer) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(call, answerer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: IncomingCall, answerer: RPCAnswerer) -> None:
        name = call.method.removeprefix("Plugin.")
        self.seen.append(name)
        try:
            if name not in self.calls:
                raise Unknown
            returned = await self.calls[name](call.arguments)
        except Unknown:
            answerer.refuse(call, f"rpc: can't find method {call.method}")
        except Exception as failure:
            answerer.refuse(call, str(failure))
            if isinstance(failure, AssertionError):
                raise
        else:
            answerer.reply(call, gob_type(CALLS[name][1]), returned)
