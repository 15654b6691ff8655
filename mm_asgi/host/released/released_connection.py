"""A connection to a plugin over net/rpc, as go-plugin's client and Mattermost's hooks client make it.

The host dials once and opens control, standard output and standard error; ``Dispense`` gives the
number of the stream on which all hooks are called. Hooks have no deadline. What fails on its way is
an error in the log; the caller goes on with what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from mm_asgi.errors import HostProtocolError
from mm_asgi.host.plugin.plugin_connection import RPCFailed
from mm_asgi.host.released.file_upload import upload_file
from mm_asgi.host.released.go_values import WrongType, check
from mm_asgi.host.released.hook_values import arguments_of, response_of
from mm_asgi.host.released.standard_lines import StandardLines
from mm_asgi.wire.netrpc.gob_types import BOOL, STRING
from mm_asgi.wire.netrpc.live_calls import CallRefused, RPCAnswerer, RPCCaller
from mm_asgi.wire.netrpc.mux_link import MuxLink
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING, GobBook
from mm_asgi.wire.netrpc.shapes import gob_type, registered_types
from mm_asgi.wire.netrpc.tables import HOOKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.wire.netrpc.gob_types import GobType
    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall
    from mm_asgi.wire.netrpc.stream_owner import StreamOwner

__all__ = ["HooksCaller", "ReleasedConnection"]

ACCEPT_TIMEOUT: Final = 5.0
"""Seconds that an offer waits to be dialled; MuxBroker's."""

KEEPALIVE: Final = 30.0
"""Seconds between two pings of yamux."""

PONG_TIMEOUT: Final = 10.0
"""Seconds for the answer; yamux's ConnectionWriteTimeout."""

SHUT_DOWN: Final = "connection is shut down"
"""rpc.ErrShutdown, the answer to every call after the end of a stream."""


class HooksCaller(RPCCaller):
    """The hooks' stream, as strict as Go's: an answer of another type is its end."""

    def __init__(self, book: GobBook) -> None:
        super().__init__(book)
        self.taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def stream_taken(self) -> None:
        """The plugin has acknowledged the dial."""
        super().stream_taken()
        if not self.taken.done():
            self.taken.set_result(None)

    def stream_ended(self, *, whole: bool) -> None:
        """No more answers come."""
        super().stream_ended(whole=whole)
        if not self.taken.done():
            self.taken.set_exception(ConnectionError("the stream ended"))
            self.taken.exception()  # retrieved, since there may be no waiter

    def end(self, error: Exception) -> None:
        """Fail every call, and take no more answers."""
        self._lose(error)


class ReleasedConnection:
    """A connection to one plugin process.

    Args:
        target: the handshake's address, as gRPC names its targets.
        log: the host's.
        serve_api: serves a call of the API: the call, its answerer, this connection.
        deadlines: whether a plugin is given up that dials nothing or answers no ping in time.
        keepalive: seconds between two pings of yamux.

    Attributes:
        book: what all gob streams share.
        link: dials and offers.
    """

    def __init__(
        self,
        target: str,
        log: HostLog,
        serve_api: Callable[[IncomingCall, RPCAnswerer, ReleasedConnection], None],
        *,
        deadlines: bool = True,
        keepalive: float = KEEPALIVE,
    ) -> None:
        self.book = GobBook(registered_types())
        self.link = MuxLink(client=True, on_lost=self._lost)
        self.link.on_pong = self._pong
        self._target = target
        self._log = log
        self._serve_api = serve_api
        self._deadlines = deadlines
        self._keepalive = keepalive
        self._control = RPCCaller(self.book)
        self._hooks = HooksCaller(self.book)
        self._pongs: dict[int, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Dial, open the first three streams, and dial the hooks.

        Raises:
            RPCFailed: the plugin does not answer as one does.
        """
        loop = asyncio.get_running_loop()
        try:
            if self._target.startswith("unix:"):
                path = unquote(self._target.removeprefix("unix:"))
                await loop.create_unix_connection(lambda: self.link, path)
            else:
                host, _, port = self._target.rpartition(":")
                await loop.create_connection(lambda: self.link, host, int(port))
            for owner in (
                self._control,
                StandardLines("plugin_stdout", self._log),
                StandardLines("plugin_stderr", self._log),
            ):
                self._own(owner)
            number = await self._control.call("Dispenser.Dispense", STRING, "hooks")
            self.link.dial(number, self._hooks)
            await self._hooks.taken
        except (OSError, HostProtocolError, CallRefused) as exc:
            raise _failed(str(exc)) from None
        if self._deadlines:
            self.spawn(self._keep_alive(), "yamux keepalive")

    def _own(self, owner: StreamOwner) -> None:
        stream = self.link.session.open()
        stream.owner = owner
        owner.stream_opened(stream)

    def spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        """Run something for as long as the connection is there at most."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---------------------------------------------------------------- yamux's keepalive

    async def _keep_alive(self) -> None:
        while self.link.is_open:
            await asyncio.sleep(self._keepalive)
            answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._pongs[self.link.session.ping()] = answered
            try:
                await asyncio.wait_for(answered, PONG_TIMEOUT)
            except TimeoutError:
                self._log.go_plugin("error", "yamux: keepalive failed: i/o deadline reached")
                self.link.abort()
                return

    def _pong(self, value: int) -> None:
        if (answered := self._pongs.pop(value, None)) is not None and not answered.done():
            answered.set_result(None)

    def _lost(self, why: str) -> None:
        self._log.go_plugin("debug", "yamux: the session is over", err=why)

    # ---------------------------------------------------------------- the broker

    def offer(self, owner: StreamOwner, what: str) -> int:
        """Offer a stream; where nobody dials it in 5 s, the log says ``what``."""
        number = self.link.offer(owner)

        def look() -> None:
            if self.link.withdraw(number):
                self._log.host("error", what, error="timeout waiting for accept")
                owner.stream_ended(whole=False)

        if self._deadlines:
            asyncio.get_running_loop().call_later(ACCEPT_TIMEOUT, look)
        return number

    # ---------------------------------------------------------------- calls

    async def hook(
        self, name: str, request: Message, answer: type[Any], timeout: float | None
    ) -> Any:
        """Call a hook and return its response.

        Raises:
            RPCFailed: the call failed on its way.
        """
        arguments = arguments_of(name, request)
        if name == "OnActivate":
            api = RPCAnswerer(self.book, lambda call, by: self._serve_api(call, by, self))
            failed = "Plugin failed to start, muxBroker couldn't accept the API's connection"
            arguments["APIMuxId"] = self.offer(api, failed)
            driver = RPCAnswerer(self.book, _refuse)
            arguments["DriverMuxId"] = self.offer(driver, failed.replace("API", "driver"))
        if name != "FileWillBeUploaded":
            returned = await self.call_hook(name, arguments, timeout)
            return response_of(name, answer, arguments, returned)
        content: bytes = request.file_content  # type: ignore[attr-defined]
        call = partial(self.call_hook, name, arguments, timeout)
        returned, replacement = await upload_file(self, content, arguments, call)
        response = response_of(name, answer, arguments, returned)
        response.modified_content = replacement
        return response

    async def call_hook(
        self, name: str, arguments: dict[str, Any], timeout: float | None = None
    ) -> Any:
        """Call a hook with Go's own values, and return its returns.

        Raises:
            RPCFailed: the call failed on its way.
        """
        takes, returns = HOOKS[name]
        kind: GobType = NOTHING if takes == "struct {}" else gob_type(takes)
        returned = await self._call(self._hooks, f"Plugin.{name}", kind, arguments, timeout)
        try:
            if returns != "struct {}":
                check(returns, returned)
        except WrongType as exc:
            error = f"reading body gob: {exc}"
            self._hooks.end(ConnectionError(error))
            raise _failed(error) from None
        return returned

    async def ping(self, timeout: float | None = None) -> None:
        """Ping the plugin as the health check does; RPCFailed: it did not answer."""
        await self._call(self._control, "Control.Ping", BOOL, True, timeout)

    async def shutdown(self, timeout: float | None = None) -> None:
        """Ask the process to end; RPCFailed: it did not answer."""
        await self._call(self._control, "Control.Quit", BOOL, True, timeout)

    async def _call(
        self, caller: RPCCaller, method: str, kind: GobType, value: Any, timeout: float | None
    ) -> Any:
        try:
            async with asyncio.timeout(timeout):
                return await caller.call(method, kind, value)
        except TimeoutError:
            raise RPCFailed("DEADLINE_EXCEEDED", 4, f"{method}: no answer in time") from None
        except CallRefused as exc:
            raise _failed(exc.text) from None
        except HostProtocolError as exc:
            raise _failed(f"reading body gob: {exc}") from None
        except ConnectionError:
            raise _failed(SHUT_DOWN) from None

    async def close(self) -> None:
        """Close the connection, and end what runs on it."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.link.is_open:
            self.link.close()
            self.link.abort()
            with contextlib.suppress(ConnectionError):
                await self.link.closed


def _failed(text: str) -> RPCFailed:
    return RPCFailed("UNAVAILABLE", 14, text)


def _refuse(call: IncomingCall, answerer: RPCAnswerer) -> None:
    answerer.refuse(call, f"rpc: can't find method {call.method}")
