"""What a host has to offer a road, and the two that do: the Go host and the simulated one.

A RunningHost has tests.go_host.GoHost's own face, as far as roads need it. ``start`` functions make
one of a Plan, not started; ``Hosts`` keeps the started ones, so that a test run starts each once.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mm_asgi.host import Host
from tests.go_host import GoHost
from tests.net_host import NetHost
from tests.roads.road import APP, DEFAULTS, PLUGIN_ID, ROOT, Site

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Hosts",
    "Plan",
    "RunningHost",
    "SimulatedHost",
    "go_host",
    "net_host",
    "released_host",
    "simulated_host",
]

START_FILE = "start.py"
FOLDER = ROOT / "tests" / "roads" / "plugin"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a road leads to.

    Attributes:
        plugin: ``module:name`` of the app or Plugin.
        settings: of the plugin, beside DEFAULTS; sorted pairs, so that plans can be compared.
        site: the server's settings.
        wire: the setting ``wire``; empty: none is said.
        api: the host serves the PluginAPI too.
    """

    plugin: str = APP
    settings: tuple[tuple[str, object], ...] = ()
    site: Site = Site()
    wire: str = ""
    api: bool = False

    def environ(self) -> dict[str, str]:
        """The plugin's variables."""
        settings = {**DEFAULTS, **dict(self.settings)}
        if self.wire:
            settings["wire"] = self.wire
        return {
            "PLUGIN_TARGET": self.plugin,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            **{f"MM_ASGI_{name.upper()}": str(value) for name, value in settings.items()},
        }


class RunningHost(Protocol):
    """A host with one plugin."""

    address: str

    @property
    def plugin_url(self) -> str:
        """The plugin's root."""

    @property
    def running(self) -> bool:
        """Whether the host's process, or what stands for it, is there."""

    async def start(self) -> object:
        """Start host and plugin."""

    async def stop(self) -> object:
        """Stop as the server does."""

    async def wait_gone(self) -> None:
        """Wait until the plugin's process has ended."""

    async def close(self) -> None:
        """Leave nothing behind; safe to call again."""

    def log_lines(self, source: str | None = None) -> list[dict[str, Any]]:
        """The log, oldest first; ``source`` "plugin": what the plugin wrote to stderr."""

    async def control(self, path: str, body: object = None) -> dict[str, Any]:
        """Ask the control API of tests/gohost/README.md; a host may know a part of it only."""


def go_host(plan: Plan) -> RunningHost:
    """A Go host, not started."""
    site = plan.site
    flags = [
        "-log-level=debug",
        f"-read-timeout={site.read_timeout}s",
        f"-write-timeout={site.write_timeout}s",
    ]
    if site.trusted_proxy:
        flags.append(f"-trusted-proxy-header={site.trusted_proxy}")
    return GoHost(
        FOLDER,
        START_FILE,
        plugin_id=PLUGIN_ID,
        subpath=site.subpath or "/",
        env=plan.environ(),
        flags=flags,
        api="beside" if plan.api else None,
    )


def old_net_host(plan: Plan) -> RunningHost:
    """The same as ``net_host`` with the plugin package of a server that has no Flush."""
    return net_host(plan, flush=False)


def net_host(plan: Plan, *, flush: bool = True) -> RunningHost:
    """A host made of the real plugin package, not started; the API is always served."""
    site = plan.site
    flags = [f"-read-timeout={site.read_timeout}s", f"-write-timeout={site.write_timeout}s"]
    if site.trusted_proxy:
        flags.append(f"-trusted-proxy-header={site.trusted_proxy}")
    return NetHost(
        FOLDER,
        START_FILE,
        plugin_id=PLUGIN_ID,
        subpath=site.subpath or "/",
        env=plan.environ(),
        flags=flags,
        flush=flush,
    )


def simulated_host(plan: Plan) -> RunningHost:
    """A simulated host, not started; it trusts no proxy."""
    return SimulatedHost(plan)


def released_host(plan: Plan) -> RunningHost:
    """A simulated host that plays a released server."""
    return SimulatedHost(plan, released=True)


class SimulatedHost:
    """A ``mm_asgi.host.Host`` with the face of a RunningHost."""

    def __init__(self, plan: Plan, *, released: bool = False) -> None:
        self._host = Host(
            argv=[sys.executable, str(FOLDER / START_FILE)],
            wire="netrpc" if released else "native",
            directory=FOLDER,
            plugin_id=PLUGIN_ID,
            subpath=plan.site.subpath or "/",
            env=plan.environ(),
            log_level="debug",
            read_timeout=plan.site.read_timeout,
            write_timeout=plan.site.write_timeout,
        )
        self.running = False
        self.address = ""  # "127.0.0.1:PORT"

    @property
    def plugin_url(self) -> str:
        """The plugin's root."""
        return self._host.url

    async def start(self) -> None:
        """Start the host and its plugin."""
        await self._host.__aenter__()
        self.address = self._host.address.removeprefix("http://")
        self.running = True

    async def stop(self) -> None:
        """The end of host and plugin."""
        self.running = False
        await self._host.close()

    async def wait_gone(self) -> None:
        """The plugin has gone with the host."""

    async def close(self) -> None:
        """The same as ``stop``; safe to call again."""
        await self.stop()

    def log_lines(self, source: str | None = None) -> list[dict[str, Any]]:
        """The log, in the Go host's form."""
        return [
            {"level": line.level, "message": line.message, "fields": line.fields}
            for line in self._host.log.lines(source)
        ]

    @property
    def implemented(self) -> tuple[str, ...]:
        """The hooks that the plugin lists."""
        return self._host.implemented

    async def control(self, path: str, body: object = None) -> dict[str, Any]:
        """The two requests of the control API that the HTTP roads make."""
        if path == "/ping":
            await self._host.ping()
            return {"ok": True}
        assert path.startswith("/hook/"), path
        name = path.removeprefix("/hook/").partition("?")[0]
        answer = await self._host.hook(name, body if isinstance(body, dict) else None)
        return {
            "listed": answer.listed,
            "code": answer.code,
            "response": None if answer.response is None else answer.json(),
        }


class Hosts:
    """The hosts that run, by the function that makes one and its plan."""

    def __init__(self) -> None:
        self._running: dict[tuple[Callable[[Plan], RunningHost], Plan], RunningHost] = {}

    async def get(self, make: Callable[[Plan], RunningHost], plan: Plan) -> RunningHost:
        """The host of this plan, started if it was not."""
        key = (make, plan)
        if key not in self._running:
            host = make(plan)
            await host.start()
            self._running[key] = host
        return self._running[key]

    async def close(self) -> None:
        """Stop all."""
        for host in self._running.values():
            await end(host)


async def end(host: RunningHost) -> None:
    """Stop a host as the server does, and leave nothing behind."""
    try:
        if host.running:
            await host.stop()
            await host.wait_gone()
    finally:
        await host.close()
