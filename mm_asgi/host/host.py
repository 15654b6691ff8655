"""The simulated host: one plugin process behind an HTTP address, as Mattermost would keep it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mm_asgi.errors import ConfigError
from mm_asgi.host.gateway import Gateway
from mm_asgi.host.host_wires import play
from mm_asgi.host.http.http_server import HTTPServer
from mm_asgi.host.http.rules import Rules
from mm_asgi.host.mattermost.mattermost import Mattermost
from mm_asgi.host.page.app import PATH, Page
from mm_asgi.host.plugin.gate import Gate
from mm_asgi.host.plugin.health import INTERVAL
from mm_asgi.host.plugin.hook_client import HOOK_TIMEOUT, HookAnswer
from mm_asgi.host.plugin.host_error import HostError
from mm_asgi.host.plugin.log import HostLog
from mm_asgi.host.plugin.plugin_life import PluginLife
from mm_asgi.host.plugin.process import API_TARGET
from mm_asgi.host.plugin.running_plugin import RunningPlugin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from google.protobuf.message import Message

    from mm_asgi.host.plugin.process import Fate
    from mm_asgi.host.plugin.stderr import LogLine

__all__ = ["Host"]


class Host:
    """A simulated Mattermost server around one plugin.

        async with Host("shop.main:app", plugin_id="shop") as host:
            print(host.url)  # http://127.0.0.1:PORT/plugins/shop

    Args:
        target: the argument of ``mm-asgi serve``. Without it and ``argv`` plugin.py is started.
        argv: the plugin's whole command line, instead of ``target``.
        directory: the plugin's working directory; ``public/`` below it is served by the host.
        python: the interpreter for ``target`` and plugin.py.
        plugin_id: MATTERMOST_PLUGIN_ID and the route.
        user: the user of requests without a token (``token-USER``, as a Bearer or in the cookie
            MMAUTHTOKEN, logs USER in); empty: such requests are anonymous.
        host, port: the address to listen on; port 0 is any free one.
        subpath: the site's subpath, such as ``/mm``.
        env: variables for the plugin on top of this process' own; an empty value unsets one.
        log_level: MATTERMOST_LOG_LEVEL.
        api_target: MATTERMOST_PLUGIN_API_TARGET; without it the plugin gets the API of
            `mattermost`, the one in memory; empty: none.
        wire: the server that is played: ``native``, the branch with gRPC, or ``netrpc``, a released
            one. That one gives the plugin neither its id nor the level nor a target for the API,
            runs ``argv`` in its own working directory, and without ``target`` and ``argv`` what
            plugin.json names as the executable.
        flush: whether a released server has Flush, as since 11.3.
        lacks: the API's calls that a released server does not have, such as ``PluginHTTPStream``.
        deadlines: whether a released server gives up what the plugin does not dial in 5 s, and the
            connection when a ping is not answered in 10 s; off for a debugger.
        start_timeout: seconds for the handshake; None: the server's own, 10 or on net/rpc 3.
        hook_timeout: seconds for each hook, OnActivate and both Implemented included.
        health_interval: seconds between two health checks; 0: none.
        read_timeout, write_timeout: seconds; the server's ReadTimeout and WriteTimeout, 0 is none.
        patience: seconds that a restart gives the old plugin's OnDeactivate.
        page: serve the host's page at ``/_mm/``, whose visitors may act as any user.
        keep_failed: stay up when the plugin does not start: every request then gets a 503 with
            the reason, and `restart` may heal it.
        on_log: called with each line of the log.

    Attributes:
        log: the lines that a server's log would have.
        mattermost: the state behind the plugin's API: users, channels, posts and so on. A restart
            of the plugin does not reset it.
        seconds: the duration of each step of the last start and stop, failed ones included:
            ``handshake``, ``implemented`` (both calls, so with the app's import), ``activate``,
            ``deactivate``, ``shutdown`` (from Shutdown to the process' end).
        start_timeout, hook_timeout, health_interval: may be changed; the first two count from the
            next start on, the third from the next round of health checks.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        argv: Sequence[str] | None = None,
        directory: Path | str = ".",
        python: Path | str = sys.executable,
        plugin_id: str = "com.example.demo",
        user: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        subpath: str = "/",
        env: Mapping[str, str] | None = None,
        log_level: str | None = None,
        api_target: str | None = None,
        wire: str = "native",
        flush: bool = True,
        lacks: Collection[str] = (),
        deadlines: bool = True,
        strict_csrf: bool = False,
        trusted_proxy_headers: Sequence[str] = (),
        start_timeout: float | None = None,
        hook_timeout: float = HOOK_TIMEOUT,
        health_interval: float = INTERVAL,
        read_timeout: float = 300.0,
        write_timeout: float = 300.0,
        patience: float = 30.0,
        page: bool = False,
        keep_failed: bool = False,
        on_log: Callable[[LogLine], None] | None = None,
    ) -> None:
        self.log = HostLog(on_log)
        self._directory = Path(directory).absolute()
        self.mattermost = _make_mattermost(plugin_id, self._directory, self.log)
        served = self.mattermost if api_target is None else None
        self._played = play(wire, served, flush=flush, lacks=lacks, deadlines=deadlines)
        self._command = self._played.command(target, argv, str(python), self._directory)
        given = {"log_level": log_level, "api_target": api_target, "extra": env}
        self._environ = self._played.environ(plugin_id, **given)
        self._rules = _make_rules(plugin_id, subpath, user, strict_csrf, trusted_proxy_headers)
        self.read_timeout, self.write_timeout = read_timeout, write_timeout
        self._address = (host, port)
        self.start_timeout = start_timeout or self._played.start_timeout
        self.hook_timeout, self.health_interval = hook_timeout, health_interval
        self._keep_failed, self._gate = keep_failed, Gate()
        self._life = PluginLife(plugin_id, self._launch, self._gate, self.log, patience)
        self.seconds: dict[str, float] = {}
        self._api = self._played.api_server(served)
        self._gateway, self._page = self._build_site(host, page=page)
        self._server: HTTPServer | None = None

    def _build_site(self, host: str, *, page: bool) -> tuple[Gateway, Page | None]:
        public, log_in = self._directory / "public", self.mattermost.log_in
        way = (self._rules, self._gate, self.log, public, log_in, self._played.exchange)
        shown = (self.mattermost, self.log, self._gate, self._rules, host)
        return Gateway(*way), Page(*shown) if page else None

    # ---------------------------------------------------------------- life

    async def __aenter__(self) -> Self:
        self._server = HTTPServer(
            self._app(),
            *self._address,
            read_timeout=self.read_timeout,
            write_timeout=self.write_timeout,
        )
        try:
            await self._start_api()
            self._life.watch(lambda: self.health_interval)
            await self._life.start()
        except HostError:
            if not self._keep_failed:
                await self.close()
                raise
        except BaseException:
            await self.close()
            raise
        return self

    def _app(self) -> Any:
        return self._gateway if self._page is None else self._page.before(self._gateway)

    async def _start_api(self) -> None:
        """Serve the plugin's API calls, and raise its hooks when `mattermost` changes."""
        self.mattermost.site_url = self.address + self._rules.subpath.rstrip("/")
        self.mattermost.hooks.caller = self._raise_hook
        if self._rules.user:
            self.mattermost.log_in(self._rules.user)
        if self._api is not None:
            await self._api.start()
            self._environ[API_TARGET] = self._environ.get(API_TARGET) or self._api.target

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def restart(self) -> None:
        """Replace the plugin's process while requests wait; none of them fails.

        As Mattermost does: the old one is deactivated and gone before the new one starts, since
        it may hold locks. HostError: the new one did not start; requests get a 503 with the
        reason until a restart succeeds.
        """
        await self._life.restart()

    async def check_health(self) -> bool:
        """Run one round of the health checks now.

        Returns:
            bool: False when the plugin failed. It was then restarted or, after the third failure in
            an hour, deactivated (see health.py). Requests get a 404 until it runs again.
        """
        return await self._life.check_health()

    async def _launch(self) -> RunningPlugin:
        self.seconds.clear()
        # The last process' commands went with it.
        self.mattermost.plugin_commands.clear()
        argv, directory = self._command.line(self.mattermost.manifest)
        return await RunningPlugin.start(
            argv,
            directory=directory,
            environ=self._environ,
            timeout=self.start_timeout,
            hook_timeout=self.hook_timeout,
            seconds=self.seconds,
            log=self.log,
            wire=self._played.wire,
        )

    async def deactivate(self) -> Fate | None:
        """Stop the plugin as when an admin disables it; requests get a 503 from now on.

        The order is OnDeactivate (30 s at most), Shutdown, 2 s for the end, SIGKILL.

        Returns:
            Fate | None: how the process ended; None when there was no process.
        """
        return await self._life.deactivate(self.hook_timeout)

    async def close(self) -> None:
        """End the plugin and the gateway, within 2 s; safe to call again."""
        self._gate.fail("the simulated host is being stopped")
        self._gateway.cancel()
        if self._page is not None:
            self._page.close()
        await self._life.stop_changes()
        server, self._server = self._server, None
        ends = [self._life.end_quickly()]
        if server is not None:
            ends.append(server.stop())
        try:
            await asyncio.gather(*ends)
        finally:
            # Only now: OnDeactivate is a plugin's last moment to use the API.
            await self.mattermost.hooks.close()
            if self._api is not None:
                await self._api.stop()
            self.log.close()

    # ---------------------------------------------------------------- for callers

    @property
    def address(self) -> str:
        """The host's root: ``http://127.0.0.1:PORT``."""
        assert self._server is not None, "the host is not running"
        name = self._address[0]
        return f"http://{f'[{name}]' if ':' in name else name}:{self._server.port}"

    @property
    def url(self) -> str:
        """The plugin's root: ``http://127.0.0.1:PORT/plugins/ID``."""
        return self.address + self._rules.prefix

    @property
    def page_url(self) -> str:
        """The host's page, if there is one: ``http://127.0.0.1:PORT/_mm/``."""
        return self.address + PATH if self._page is not None else ""

    @property
    def pid(self) -> int:
        """The id of the plugin's process; 0 while there is none."""
        return self._life.plugin.process.pid if self._life.plugin is not None else 0

    @property
    def running(self) -> bool:
        """Whether requests reach a plugin now. They wait while it is replaced."""
        return self._gate.plugin is not None

    @property
    def failure(self) -> str:
        """The reason that requests get while there is no plugin; empty while it runs."""
        return self._gate.failure

    @property
    def implemented(self) -> tuple[str, ...]:
        """The hooks that the plugin's first Implemented listed."""
        return self._life.plugin.hooks.names if self._life.plugin is not None else ()

    async def hook(
        self,
        name: str,
        request: Message | Mapping[str, Any] | str | None = None,
        *,
        timeout: float | None = None,
        force: bool = False,
    ) -> HookAnswer:
        """Call any unary hook by its RPC's name, if Implemented lists it.

        Args:
            name: such as ``MessageWillBePosted``.
            request: its message, or protojson for it as a dict or as text.
            timeout: seconds; None: `hook_timeout`.
            force: call it although it is not listed.
        """
        return await self._running().hooks.call(name, request, timeout=timeout, force=force)

    async def plugin_ended(self) -> None:
        """Wait until the plugin's process ends by itself; `failure` then has the reason."""
        await self._life.ended.wait()

    async def ping(self, timeout: float | None = None) -> None:
        """Ping the plugin as the health check does.

        Raises:
            RPCFailed: the plugin did not answer.
            ConfigError: no plugin is running.
        """
        await self._running().connection.ping(timeout)

    async def _raise_hook(self, name: str, request: Message) -> HookAnswer:
        """Call a hook that `mattermost` raises, if the plugin is active."""
        plugin = self._life.plugin
        if plugin is None or plugin.stopping:
            return HookAnswer(listed=False, called=False)
        return await plugin.hooks.call(name, request)

    def _running(self) -> RunningPlugin:
        if self._life.plugin is None:
            raise ConfigError("host: no plugin is running; start it with restart()")
        return self._life.plugin


def _make_rules(
    plugin_id: str, subpath: str, user: str, strict_csrf: bool, proxy_headers: Sequence[str]
) -> Rules:
    return Rules(
        plugin_id=plugin_id,
        subpath="/" + subpath.strip("/"),
        user=user,
        strict_csrf=strict_csrf,
        trusted_proxy_headers=tuple(proxy_headers),
    )


def _make_mattermost(plugin_id: str, directory: Path, log: HostLog) -> Mattermost:
    manifest = _read_manifest(directory)
    return Mattermost(plugin_id, manifest=manifest, bundle_path=directory, log=log)


def _read_manifest(directory: Path) -> dict[str, Any]:
    """Return the plugin's plugin.json, or {} if it is missing or unreadable."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((directory / "plugin.json").read_text("utf-8"))
        if isinstance(found, dict):
            return found
    return {}
