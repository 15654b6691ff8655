"""A plugin that runs in this process, on the caller's loop, behind the wire of production.

The host's side, which a Mattermost server is in production, is played here: over the native wire's
own Channel it asks Implemented, activates, makes the hooks' calls and ServeHTTP's streams, and
answers the plugin's API calls from a Mattermost in memory. Between the two is a unix socket.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
from typing import TYPE_CHECKING, Any

from google.protobuf.message_factory import GetMessageClass

from mm_asgi.errors import ConfigError, StartupError
from mm_asgi.goplugin.environ import Environment
from mm_asgi.goplugin.listener import make_listener
from mm_asgi.goplugin.services import Services
from mm_asgi.grpc_hooks import SERVICE, methods
from mm_asgi.host import mattermost as host_api
from mm_asgi.host.mattermost import AppError, GoError, Mattermost, RPCRefused
from mm_asgi.host.plugin import HookAnswer, error_of
from mm_asgi.loading import as_asgi
from mm_asgi.plugin import as_plugin
from mm_asgi.protocol import hooks_pb2
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
from mm_asgi.testing.watch import Watch
from mm_asgi.wire.calls import unary
from mm_asgi.wire.http2.channel import NativeChannel
from mm_asgi.wire.http2.server import NativeServer
from mm_asgi.wire.port import Method, RPCError, StatusCode

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mm_asgi.wire.port import Call, Listener, Stream

__all__ = ["DRAIN", "PLUGIN_ID", "Engine"]

logger = logging.getLogger("mm_asgi.testing")

PLUGIN_ID = "com.example.plugin"

DRAIN = 1.0
"""Seconds that a plugin has, at the end of a test, for what its clients have left: a test that wants
the end of a background task waits for it by ``settled()``, and the others need not wait long."""

HOOK_TIMEOUT = 30.0  # s, the host's deadline of every unary hook
LARGEST = 2**31 - 1  # bytes of one message, as go-plugin's client has it
_METHODS = hooks_pb2.DESCRIPTOR.services_by_name["PluginHooks"].methods_by_name
_ENVIRONMENT = Environment(
    plugin_id="",
    log_level=None,
    api_target=None,
    protocol_versions=(),
    min_port=0,
    max_port=0,
    socket_dir=None,
    socket_group=None,
    temporary_dir=None,
    client_certificate=None,
    multiplex=False,
)


class Engine:
    """One plugin, from its activation to its end; the first `enter` starts it.

    Args:
        target: an ASGI app or a Plugin; neither is changed, and may be run again.
        plugin_id: the id that it runs under.
        settings: the plugin's; those of the process (network, loop, logs) do not apply. None: the
            defaults, but for a drain of DRAIN seconds.
        mattermost: the server that answers its API calls; None: a new one.
        app: served in place of the plugin's own, such as one around it.

    Attributes:
        address: of the wire, as MATTERMOST_PLUGIN_API_TARGET would have it; empty: not running.
        implemented: the hooks that the plugin listed.
        watch: around the plugin's app; None when it has none.
    """

    def __init__(
        self,
        target: object,
        *,
        plugin_id: str = PLUGIN_ID,
        settings: Settings | None = None,
        mattermost: Mattermost | None = None,
        app: Any = None,
    ) -> None:
        self._plugin = as_plugin(target, "app_or_plugin")
        self.plugin_id = plugin_id
        self.settings = settings if settings is not None else Settings(drain=DRAIN)
        self.mattermost = mattermost if mattermost is not None else Mattermost(plugin_id)
        self.watch: Watch | None = None
        if self._plugin.app is not None:
            app = self._plugin.app if app is None else app
            self.watch = Watch(as_asgi(app, self.settings.interface, self.settings.path))
        self.address = ""
        self.implemented: frozenset[str] = frozenset()
        self._users = 0
        # One run's.
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: Listener | None = None
        self._server: NativeServer | None = None
        self._services: Services | None = None
        self._channel: NativeChannel | None = None

    # ---------------------------------------------------------------- life

    async def enter(self) -> None:
        """Begin to use the plugin; the first use starts it.

        Raises:
            StartupError: it did not start; the app's exception is the cause.
            ConfigError: the Plugin object runs in another place already.
        """
        async with self._lock:
            if self._channel is None:
                self._refuse_a_second_run()
            self._users += 1
            if self._channel is None:
                try:
                    await self._start()
                except BaseException:
                    self._users -= 1
                    await self._close()
                    raise

    def _refuse_a_second_run(self) -> None:
        # A connection whose loop is closed is of a run that was not left: it is over all the same.
        if self._plugin.is_frozen and self._plugin.connection.is_used:
            raise ConfigError(
                "app_or_plugin: this Plugin object runs in another place already, and both would"
                " share its way to the API; leave that one first, or make a Plugin for each"
            )

    async def leave(self) -> None:
        """End a use of the plugin; the end of the last one stops it."""
        async with self._lock:
            self._users -= 1
            if self._users == 0 and self._channel is not None:
                await self._stop()

    @property
    def channel(self) -> NativeChannel:
        """The host's side of the wire."""
        if self._channel is None:
            raise RuntimeError("the plugin does not run; use its transport in async with")
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "the plugin runs on another event loop than this call; start and use it on the"
                " same one, with pytest-asyncio by fixtures and tests of one loop_scope"
            )
        return self._channel

    async def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Both before the first await, for `_refuse_a_second_run`.
        self._plugin.connection.use(lambda: NativeChannel(self.address), self.settings.api_timeout)
        # The watched app instead of the plugin's own, for this run alone.
        loaded = dataclasses.replace(self._plugin.freeze(), app=self.watch)
        serving = Serving(self.settings, self.plugin_id, load=lambda: loaded)
        self._services = Services(on_shutdown=lambda: None)
        self._listener = make_listener("unix", _ENVIRONMENT)
        self._server = NativeServer()
        await self._server.start(
            self._listener,
            {**self._services.methods(), **methods(serving), **_api_methods(self.mattermost)},
        )
        self.address = f"unix:{self._listener.address}"
        self._channel = NativeChannel(self.address, receive_limit=LARGEST, idle=None)
        answer = await self._call("Implemented", _request("Implemented"))
        self.implemented = frozenset(answer.hooks)
        self.mattermost.hooks.caller = self.hook
        answer = await self._call("OnActivate", _request("OnActivate"))
        if answer.HasField("error"):
            cause = self.watch.lifespan_failure if self.watch is not None else None
            raise StartupError(f"OnActivate: {answer.error.detailed_error}") from cause

    async def _stop(self) -> None:
        try:
            await self._call("OnDeactivate", _request("OnDeactivate"))
        except RPCError as exc:
            logger.error("OnDeactivate failed: %s", exc)
        finally:
            await self._close()

    async def _close(self) -> None:
        await self.mattermost.hooks.close()
        self.mattermost.plugin_commands.clear()
        channel, self._channel = self._channel, None
        await self._plugin.connection.close()
        self._plugin.thaw()
        if channel is not None:
            await channel.close()
        if self._services is not None:
            self._services.stop()
        if self._server is not None:
            await self._server.stop(0.1)
        if self._listener is not None:
            self._listener.close()
        self.address = ""

    # ---------------------------------------------------------------- what the host does

    def serve_http(self, response: type[Message]) -> Call:
        """Open a ServeHTTP stream."""
        return self.channel.stream(SERVICE + "ServeHTTP", response)

    async def hook(self, name: str, request: Message) -> HookAnswer:
        """Call a hook by its RPC's name, if the plugin lists it."""
        if name not in self.implemented:
            return HookAnswer(listed=False, called=False)
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            response = await self._call(name, request)
        except RPCError as exc:
            return HookAnswer(
                listed=True,
                called=True,
                code=exc.code.name,
                message=exc.text,
                seconds=loop.time() - started,
            )
        return HookAnswer(
            listed=True,
            called=True,
            response=response,
            error=error_of(response),
            seconds=loop.time() - started,
        )

    async def _call(self, name: str, request: Message) -> Any:
        response = GetMessageClass(_METHODS[name].output_type)
        return await self.channel.unary(SERVICE + name, request, response, timeout=HOOK_TIMEOUT)


def _request(name: str) -> Message:
    return GetMessageClass(_METHODS[name].input_type)()


def _api_methods(mattermost: Mattermost) -> dict[str, Method]:
    """Return the PluginAPI's methods; the plugin's own socket serves them, which saves a second one."""
    return {
        host_api.SERVICE + name: Method(
            unary(functools.partial(_answer_api, mattermost, name)),
            host_api.request_class(name),
            host_api.REQUEST_LIMIT,
        )
        for name in host_api.METHODS
    }


async def _answer_api(
    mattermost: Mattermost, name: str, request: Message, stream: Stream
) -> Message | None:
    try:
        return await host_api.answer(mattermost, name, request)
    except (AppError, GoError, RPCRefused) as exc:
        stream.abort(StatusCode[exc.code], exc.details)
        return None
