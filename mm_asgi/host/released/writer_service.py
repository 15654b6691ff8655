"""The http.ResponseWriter that a plugin calls: http.go's httpResponseWriterRPCServer.

Go serves each call in a goroutine of its own, so that of calls which are sent together the last
one mostly runs first. Here it always does: a plugin that does not wait for its answers is seen.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.host.http.line import WriteLate
from mm_asgi.host.http.writer import WriteRefused
from mm_asgi.wire.netrpc.live_calls import RPCAnswerer
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING
from mm_asgi.wire.netrpc.shapes import gob_type

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.host.http.answer import Answer
    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.wire.netrpc.rpc_conversation import GobBook, IncomingCall

__all__ = ["WriterService"]

HEADER: Final = gob_type("map[string][]string")

UNSENDABLE: Final = range(600, 1000)
"""net/http sends these statuses, uvicorn's h11 side has no line for them."""


class _Refused(Exception):
    """A call ends with an error."""


class WriterService:
    """One request's writer.

    Args:
        book: what the connection's gob streams share.
        answer: the answer to the client.
        log: the host's.
        flush: whether the server has Flush, as since 11.3.
        on_begin: called when the answer begins.

    Attributes:
        owner: what the plugin dials.
        is_hijacked: the plugin has taken the client's connection.
    """

    def __init__(
        self,
        book: GobBook,
        answer: Answer,
        log: HostLog,
        *,
        flush: bool,
        on_begin: Callable[[], None],
    ) -> None:
        self.owner = RPCAnswerer(book, self._take)
        self.is_hijacked = False
        self._answer = answer
        self._log = log
        self._on_begin = on_begin
        self._header: dict[str, list[str]] = {}
        self._is_lost = False
        self._waiting: list[IncomingCall] = []
        self._worker: asyncio.Task[None] | None = None
        self._is_over = False
        self._methods: dict[str, Callable[[Any], Awaitable[None]]] = {
            "Plugin.SyncHeader": self._sync_header,
            "Plugin.WriteHeader": self._write_header,
            "Plugin.Write": self._write,
            "Plugin.HijackResponse": self._hijack,
            "Plugin.HjConnClose": self._close_connection,
        }
        if flush:
            self._methods["Plugin.Flush"] = self._flush

    async def end(self) -> None:
        """The handler returns: serve no more calls."""
        self._is_over = True
        self._waiting.clear()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    def _take(self, call: IncomingCall, answerer: RPCAnswerer) -> None:
        if self._is_over:
            answerer.refuse(call, "http: the handler has returned")
            return
        self._waiting.append(call)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work(), name="writer calls")

    async def _work(self) -> None:
        while self._waiting:
            await self._serve(self._waiting.pop())

    async def _serve(self, call: IncomingCall) -> None:
        if call.method == "Plugin.Header":
            self.owner.reply(call, HEADER, self._header)
            return
        method = self._methods.get(call.method)
        if method is None:
            self.owner.refuse(call, f"rpc: can't find method {call.method}")
            return
        try:
            await method(call.arguments)
        except _Refused as exc:
            self.owner.refuse(call, str(exc))
        else:
            self.owner.reply(call, NOTHING, {})

    # ---------------------------------------------------------------- the methods

    async def _sync_header(self, header: Any) -> None:
        self._header = dict(header or {})

    async def _write_header(self, status: Any) -> None:
        self._refuse_hijacked()
        if not 100 <= status <= 999:
            self._log.host(
                "error",
                f"Plugin tried to write an invalid http status code: {status}. Did not write the"
                " invalid header.",
            )
            raise _Refused("invalid http status code")
        if self._answer.writer.started or 100 <= status < 200:
            return  # superfluous; or an interim response, behind which a 200 comes
        self._begin(status)

    async def _write(self, data: Any) -> None:
        self._refuse_hijacked()
        writer = self._answer.writer
        if not writer.started:
            self._begin(200)
        try:
            writer.write(data or b"")
        except WriteRefused as exc:
            raise self._failed(f"http: {exc}") from None
        await self._pass_on()
        if self._is_lost:
            raise self._failed("write: broken pipe")

    async def _flush(self, _: Any) -> None:
        self._refuse_hijacked()
        if not self._answer.writer.started:
            self._begin(200)
        self._answer.writer.flush()
        await self._pass_on()

    async def _hijack(self, _: Any) -> None:
        self._refuse_hijacked()
        self.is_hijacked = True

    async def _close_connection(self, _: Any) -> None:
        if not self.is_hijacked:
            raise _Refused("connection not hijacked")
        self._answer.cut()

    # ---------------------------------------------------------------- their parts

    def _refuse_hijacked(self) -> None:
        if self.is_hijacked:
            raise _Refused("http: connection has been hijacked")

    def _failed(self, text: str) -> _Refused:
        self._log.host("error", "Error writing response", error=text)
        return _Refused(text)

    def _begin(self, status: int) -> None:
        self._on_begin()
        if status in UNSENDABLE:
            self._log.host(
                "error", f"the simulated host cannot send status {status}, Mattermost would"
            )
            status = 502
        pairs = ((name, value) for name, values in self._header.items() for value in values)
        self._answer.writer.write_header(status, pairs)

    async def _pass_on(self) -> None:
        """Send what is due. Who left is noticed by the first bytes that leave, as by a socket."""
        try:
            if await self._answer.pass_on() and self._answer.is_gone:
                self._is_lost = True
        except WriteLate:
            self._is_lost = True
