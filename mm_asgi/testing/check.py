"""check_app: what an app does wrong under ASGI, found by running it as a plugin.

A fixed table of requests goes through the engine; what is wrong with the app's answers is what the
bridge, the lifespan and the watchdog say of it: there are no second checks that could disagree.
Nothing here imports httpx.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.errors import StartupError
from mm_asgi.host.http import Rules
from mm_asgi.observe.watchdog import Watchdog
from mm_asgi.plugin import as_plugin
from mm_asgi.settings import Settings
from mm_asgi.testing.check_findings import Finding, Findings
from mm_asgi.testing.check_probe import PROBES, Probed, run_probe
from mm_asgi.testing.engine import PLUGIN_ID, Engine

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Finding", "check_app"]

GRACE = 0.5
"""Seconds that an app has to notice that its client left; disconnect-grace has 5 in production."""

STOP = 2.0
"""Seconds for drain and lifespan.shutdown."""


async def check_app(
    app_or_plugin: object,
    *,
    paths: Iterable[str] = ("/",),
    settings: Settings | None = None,
    timeout: float = 10.0,
) -> list[Finding]:
    """Run an app through a fixed table of requests and say what it does wrong under ASGI.

    Start-up, GET, HEAD and POST of each path, clients that leave in the middle of a request and of
    its answer, shutdown. A fault of the app is a finding and never an exception; a good app has
    none. It takes about a second, and ``timeout`` more for each thing that does not end.

    Args:
        app_or_plugin: an ASGI app or an ``mm_asgi.Plugin``; hooks are not called.
        paths: below the plugin's prefix, with a query if one is wanted.
        settings: the plugin's; its time limits are replaced.
        timeout: seconds for the start-up, and for the beginning of each answer.

    Raises:
        ConfigError: ``app_or_plugin`` is neither.
    """
    found = Findings()
    plugin = as_plugin(app_or_plugin, "app_or_plugin")
    given = settings if settings is not None else Settings()
    given = dataclasses.replace(given, hook_budget=timeout, disconnect_grace=GRACE, drain=STOP)
    watched = _Watched(plugin.app, found) if plugin.app is not None else None
    engine = Engine(plugin, settings=given, app=watched)
    tasks_before = asyncio.all_tasks()
    loop = asyncio.get_running_loop()
    watchdog = Watchdog(loop, warn=given.blocked_warn, kill=0, on_orphan=_nothing, cleanup=_nothing)
    with _Listener(found):
        watchdog.start()
        try:
            await _run(engine, watched, found, tuple(paths), timeout)
        finally:
            watchdog.stop()
    for task in asyncio.all_tasks() - tasks_before:
        if task.get_name() == "mm_asgi":
            continue  # a request that swallows its cancel, which the drain has named
        found.add(
            "L4",
            f"the app left the task {task.get_name()!r} running after its shutdown; expected it to"
            " cancel what it started, or to wait for it",
        )
    return found.findings


async def _run(
    engine: Engine,
    watched: _Watched | None,
    found: Findings,
    paths: tuple[str, ...],
    timeout: float,
) -> None:
    found.probe = "startup"
    try:
        await engine.enter()
    except StartupError as exc:
        found.refused(exc)
        return
    rules = Rules(plugin_id=PLUGIN_ID)
    try:
        for path in paths if watched is not None else ():
            for probe in PROBES:
                assert watched is not None
                found.probe = f"{probe.name} {path}"
                watched.probed = Probed()
                await run_probe(engine, rules, probe, path, found, watched.probed, timeout)
    finally:
        found.probe = "shutdown"
        await engine.leave()


def _nothing() -> None:
    pass


class _Watched:
    """The app, with each fault that a ``send()`` raises noted, also where the app catches it."""

    def __init__(self, app: Any, found: Findings) -> None:
        self.probed = Probed()
        self._app = app
        self._found = found

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        probed = self.probed

        async def hear() -> Any:
            event = await receive()
            if event["type"] == "http.request" and not event.get("more_body", False):
                probed.read_all = True
            return event

        async def say(event: Any) -> None:
            try:
                await send(event)
            except Exception as exc:
                self._found.refused(exc)
                raise

        await self._app(scope, hear, say)


class _Listener(logging.Handler):
    """Takes what the package logs while the app is checked."""

    def __init__(self, found: Findings) -> None:
        super().__init__(logging.WARNING)
        self._found = found
        self._logger = logging.getLogger("mm_asgi")

    def __enter__(self) -> None:
        self._logger.addHandler(self)

    def __exit__(self, *exc_info: object) -> None:
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what a line says, unless it is known."""
        self._found.logged(record)
