"""The plugin's life over the memory wire: its phases, and hooks that fail."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.dispatch import app_error
from mm_asgi.errors import ConfigError
from mm_asgi.life import Phase
from mm_asgi.plugin import Plugin
from mm_asgi.wire.port import StatusCode
from tests.unit.wired import App, Wired, forever, with_hook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.requester import Identity

LIFECYCLE = ["OnActivate", "OnDeactivate", "OnConfigurationChange"]


async def test_the_phases_of_a_life() -> None:
    app = App()
    wired = Wired(Plugin(app))
    assert wired.phase() is Phase.NEW
    assert list((await wired.call("Implemented")).hooks) == [*LIFECYCLE, "ServeHTTP"]
    assert wired.phase() is Phase.LOADED
    assert await wired.activate() is None
    assert wired.phase() is Phase.ACTIVE
    await wired.call("OnDeactivate")
    assert wired.phase() is Phase.STOPPED
    assert (wired.loads, app.notes) == (1, ["startup", "shutdown"])


async def test_an_import_failure_is_kept_for_every_OnActivate() -> None:
    def load() -> Plugin:
        raise LookupError("no database")

    wired = Wired(load)
    assert list((await wired.call("Implemented")).hooks) == LIFECYCLE
    for _ in range(2):
        assert (await wired.activate() or "").startswith("LookupError: no database")
    assert (wired.loads, wired.phase()) == (1, Phase.FAILED)
    assert await wired.status() == 503


async def test_OnActivate_without_Implemented_imports_too() -> None:
    wired = Wired(Plugin(App()))
    assert not (await wired.call("OnActivate")).HasField("error")
    assert wired.loads == 1


async def test_a_second_OnActivate_waits_for_the_first_and_starts_nothing() -> None:
    gate = asyncio.Event()

    async def startup() -> None:
        await gate.wait()

    app = App(startup)
    wired = Wired(Plugin(app))
    await wired.call("Implemented")
    first, second = await wired.send("OnActivate"), await wired.send("OnActivate")
    waiting = asyncio.gather(first.receive(), second.receive())
    await app.starting.wait()
    assert wired.phase() is Phase.STARTING
    assert not waiting.done()
    gate.set()
    answers = await waiting
    assert [answer is not None and answer.HasField("error") for answer in answers] == [False] * 2
    assert await wired.activate() is None
    assert app.notes == ["startup"]


async def test_the_startup_goes_on_when_its_caller_leaves() -> None:
    gate = asyncio.Event()

    async def startup() -> None:
        await gate.wait()

    app = App(startup)
    wired = Wired(Plugin(app))
    caller = await wired.send("OnActivate")
    await app.starting.wait()
    caller.cancel()
    gate.set()
    assert await wired.activate() is None
    assert app.notes == ["startup"]


async def test_a_startup_over_the_hook_budget_fails() -> None:
    app = App(forever)
    wired = Wired(Plugin(app), hook_budget=0.05)
    assert await wired.activate() == (
        "lifespan: the app received lifespan.startup and sent neither"
        " lifespan.startup.complete nor lifespan.startup.failed in 0.05 s (setting hook-budget)"
    )
    assert wired.phase() is Phase.FAILED


async def test_after_the_stop_nothing_is_imported_or_started() -> None:
    wired = Wired(Plugin(App()))
    await wired.life.deactivate(1)
    assert list((await wired.call("Implemented")).hooks) == LIFECYCLE
    assert await wired.activate() == "the plugin is stopping"
    assert await wired.status() == 503
    assert wired.loads == 0


async def test_the_first_Implemented_freezes_the_hooks() -> None:
    plugin = Plugin(App())
    await Wired(plugin).call("Implemented")
    with pytest.raises(ConfigError, match="registered after the host asked"):
        with_late_hook(plugin)


def with_late_hook(plugin: Plugin) -> None:
    @plugin.hook
    def on_activate(context: Identity) -> None: ...


async def test_self_starting_starts_at_the_first_request() -> None:
    app = App()
    app.go_on.set()
    wired = Wired(Plugin(app), self_starting=True)
    assert await wired.status() == 200
    assert await wired.status() == 200
    assert app.notes == ["startup"]


# ---------------------------------------------------------------- hooks that fail


def raises(exc: BaseException) -> Callable[[Identity], Awaitable[None]]:
    async def hook(context: Identity) -> None:
        raise exc

    return hook


def raises_in_thread(exc: BaseException) -> Callable[[Identity], None]:
    def hook(context: Identity) -> None:
        raise exc

    return hook


FAULTS = [
    (LookupError("no channel"), "LookupError: no channel"),
    (TimeoutError("of the database"), "TimeoutError: of the database"),
    (SystemExit("no licence"), "SystemExit: no licence"),
    (asyncio.CancelledError(), "CancelledError"),
    (KeyboardInterrupt(), "KeyboardInterrupt"),
]


@pytest.mark.parametrize("make", [raises, raises_in_thread])
@pytest.mark.parametrize(("exc", "shown"), FAULTS)
async def test_whatever_an_activation_hook_raises_is_OnActivates_error(
    make: Callable[[BaseException], Any], exc: BaseException, shown: str
) -> None:
    app = App()
    wired = Wired(with_hook("on_activate", make(exc), app))
    assert shown in (await wired.activate() or "")
    assert wired.phase() is Phase.FAILED
    assert await wired.status() == 503
    await wired.life.deactivate(1)
    assert app.notes == ["startup", "shutdown"]


@pytest.mark.parametrize(("exc", "shown"), FAULTS)
async def test_whatever_a_configuration_hook_raises_fails_the_change_alone(
    exc: BaseException, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    wired = Wired(with_hook("on_configuration_change", raises(exc)))
    assert await wired.activate() is None
    answer = await wired.call("OnConfigurationChange")
    assert shown in answer.error.detailed_error
    failures = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in failures] == (
        ["the hook on_configuration_change failed"] * 2
    )


@pytest.mark.parametrize(("exc", "shown"), FAULTS)
async def test_whatever_a_deactivation_hook_raises_lifespan_shutdown_runs(
    exc: BaseException, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    wired = Wired(with_hook("on_deactivate", raises(exc), app))
    await wired.activate()
    await wired.call("OnDeactivate")
    assert app.notes == ["startup", "shutdown"]
    assert shown in caplog.text


async def test_a_sync_hook_runs_in_a_thread_an_async_one_on_the_loop() -> None:
    threads = []

    def sync(context: Identity) -> None:
        threads.append((context.plugin_id, threading.current_thread()))

    async def on_activate(context: Identity) -> None:
        threads.append((context.plugin_id, threading.current_thread()))

    plugin = with_hook("on_configuration_change", sync)
    plugin.hook(on_activate)
    await Wired(plugin).activate()
    names, (first, second) = zip(*threads, strict=True)
    assert names == ("com.example.demo",) * 2
    assert first is not threading.main_thread()
    assert second is threading.main_thread()


def test_an_error_is_put_where_the_host_keeps_it() -> None:
    error = app_error("OnActivate", "no database")
    assert (error.id, error.where, error.status_code) == (
        "mm_asgi.OnActivate",
        "OnActivate",
        500,
    )
    assert (error.detailed_error, error.message) == ("no database", "no database")


async def test_no_request_waits_for_ever_when_logging_itself_fails() -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise AttributeError("secret")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("app")

    wired = Wired(Plugin(app), lifespan="off")
    await wired.activate()
    bridge = logging.getLogger("mm_asgi.bridge")
    bridge.addFilter(broken)
    try:
        async with asyncio.timeout(5):
            ended = await (await wired.get()).ended()
    finally:
        bridge.removeFilter(broken)
    assert ended == (StatusCode.INTERNAL, "the plugin failed, see its log")


async def test_an_async_hook_behind_a_plain_decorator_runs_on_the_loop() -> None:
    threads = []

    async def inner(context: Identity) -> None:
        threads.append(threading.current_thread())

    plugin = with_hook("on_activate", lambda context: inner(context))
    assert await Wired(plugin).activate() is None
    assert threads == [threading.main_thread()]
