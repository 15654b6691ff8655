"""A host's http.ResponseWriter in memory, which serves its calls as Go does: in any order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mm_asgi.bridge.response import ResponseHead
from mm_asgi.netrpc.http_exchange import HTTPCalls, NetRPCExchange
from mm_asgi.wire.netrpc.live_calls import CallRefused, RPCAnswerer
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING
from mm_asgi.wire.netrpc.shapes import gob_type
from tests.wire.netrpc.memory_host import MemoryHost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.wire.netrpc.mux_link import MuxLink
    from mm_asgi.wire.netrpc.rpc_conversation import GobBook, IncomingCall

    Serve = Callable[[NetRPCExchange], Awaitable[None]]

__all__ = ["GoWriter", "Requested", "head"]

HEADERS = gob_type("map[string][]string")
URL = b"/plugins/com.example.demo/x"


class GoWriter:
    """The writer of one request.

    Of calls that are on their way together the last one is served first.

    Attributes:
        number: what the writer is offered on.
        calls: what was served, in that order.
        most: as many calls as were ever on their way at once.
        may_answer: cleared, calls wait.
        refused: the errors of calls, by name.
        own: the headers that the host has set itself.
    """

    def __init__(self, book: GobBook, link: MuxLink) -> None:
        self.number = link.offer(RPCAnswerer(book, self._take))
        self.calls: list[tuple[str, Any]] = []
        self.most = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.refused: dict[str, str] = {}
        self.own: dict[str, list[str]] = {}
        self.has_calls = asyncio.Event()
        self._served = asyncio.Event()
        self._waiting: list[IncomingCall] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    @property
    def written(self) -> list[bytes]:
        return [value for name, value in self.calls if name == "Write"]

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait for what the calls will show."""
        while not seen():
            self._served.clear()
            await self._served.wait()

    def _take(self, call: IncomingCall, answerer: RPCAnswerer) -> None:
        self._waiting.append(call)
        self.most = max(self.most, len(self._waiting))
        self.has_calls.set()
        if len(self._waiting) == 1:
            task = asyncio.get_running_loop().create_task(self._serve(answerer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, answerer: RPCAnswerer) -> None:
        for _ in range(5):  # turns in which calls that do not wait for each other come together
            await asyncio.sleep(0)
        await self.may_answer.wait()
        self.has_calls.clear()
        waiting, self._waiting = self._waiting, []
        for call in reversed(waiting):
            name = call.method.removeprefix("Plugin.")
            self.calls.append((name, call.arguments))
            if name in self.refused:
                answerer.refuse(call, self.refused[name])
            elif name == "Header":
                answerer.reply(call, HEADERS, self.own)
            else:
                answerer.reply(call, NOTHING, {})
        self._served.set()


class Requested:
    """A host that asks a plugin for answers, which the test itself writes."""

    def __init__(self) -> None:
        self.host: MemoryHost
        self.tasks: set[asyncio.Task[Any]] = set()
        self.serve: Serve

    async def begin(self, *, pads_events: bool = True) -> Requested:
        calls = HTTPCalls(self, pads_events=pads_events)  # type: ignore[arg-type]
        self.host = await MemoryHost(calls.serve).begin()
        return self

    def spawn(self, work: Any, name: Any) -> None:
        """Run a request, as HTTPHandler does."""
        self.tasks.add(asyncio.get_running_loop().create_task(work))

    def writer(self) -> GoWriter:
        return GoWriter(self.host.book, self.host.link)

    async def ask(self, writer: GoWriter, serve: Serve, body: int = 0, **request: Any) -> str:
        """Call ServeHTTP; return its error, empty where it has none."""
        self.serve = serve
        arguments = {
            "ResponseWriterStream": writer.number,
            "RequestBodyStream": body,
            "Request": {"Method": "GET", "URL": URL, "RequestURI": URL.decode(), **request},
        }
        try:
            await self.host.hook("ServeHTTP", arguments)
        except CallRefused as refused:
            return refused.text
        return ""

    async def end(self) -> None:
        for _ in range(2):
            await self.host.control.call("Control.Ping", NOTHING, {})
        streams = len(self.host.session.link.session.streams)
        await self.host.end()
        assert streams == 4  # control, two that are silent, hooks
        assert all(task.done() for task in self.tasks)


def head(
    status: int = 200, *headers: tuple[bytes, bytes], length: int | None = None
) -> ResponseHead:
    """Return a checked head."""
    return ResponseHead(status, list(headers), length, bodiless=False, head_request=False)
