"""How a stop shares its time between requests, the hook and lifespan.shutdown."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from mm_asgi.life import Phase
from mm_asgi.plugin import Plugin
from tests.unit.wired import App, Wired, forever, now, with_hook

if TYPE_CHECKING:
    from mm_asgi.requester import Identity


async def test_a_stop_during_the_startup_ends_both() -> None:
    app = App(forever)
    wired = Wired(Plugin(app))
    starting = await wired.send("OnActivate")
    await app.starting.wait()
    await wired.life.deactivate(0.3)
    answer = await starting.receive()
    assert answer is not None
    assert answer.error.detailed_error == "the plugin is stopping"
    assert (wired.phase(), app.notes) == (Phase.STOPPED, ["startup"])


async def test_a_stop_waits_for_requests_and_refuses_new_ones() -> None:
    app = App()
    wired = Wired(Plugin(app))
    await wired.activate()
    running = await wired.get()
    await app.held.wait()
    stop = asyncio.create_task(wired.life.deactivate(60))
    await asyncio.sleep(0)
    assert await wired.status() == 503
    assert not stop.done()
    app.go_on.set()
    answer = await running.receive()
    assert answer is not None
    assert answer.init.status_code == 200
    await stop
    assert app.notes == ["startup", "shutdown"]


async def test_two_stops_are_one_and_the_shorter_time_counts() -> None:
    app = App()
    wired = Wired(Plugin(app))
    await wired.activate()
    await wired.get()
    await app.held.wait()
    first = asyncio.create_task(wired.life.deactivate(60))
    await asyncio.sleep(0)
    began = now()
    await wired.life.deactivate(0.4)
    await first
    assert now() - began < 0.6
    assert app.notes == ["startup", "shutdown"]


@pytest.mark.parametrize(("seconds", "most"), [(2.3, 0.45), (1.0, 0.45)])
async def test_OnDeactivate_keeps_2_s_below_its_deadline(seconds: float, most: float) -> None:
    app = App()
    wired = Wired(Plugin(app))
    await wired.activate()
    await wired.get()
    await app.held.wait()
    began = now()
    await wired.call("OnDeactivate", seconds)
    assert now() - began < most
    assert app.notes == ["startup", "shutdown"]


async def test_a_hook_that_never_ends_leaves_lifespan_shutdown_its_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hook(context: Identity) -> None:
        await asyncio.Event().wait()

    app = App()
    wired = Wired(with_hook("on_deactivate", hook, app))
    await wired.activate()
    began = now()
    await wired.life.deactivate(0.4)
    assert now() - began < 0.4
    assert app.notes == ["startup", "shutdown"]
    assert "the hook on_deactivate did not end in its time and was cancelled" in caplog.text


async def test_hurry_reaches_the_hook_and_lifespan_shutdown() -> None:
    entered = asyncio.Event()

    async def hook(context: Identity) -> None:
        entered.set()
        await asyncio.Event().wait()

    app = App()
    wired = Wired(with_hook("on_deactivate", hook, app))
    await wired.activate()
    stop = asyncio.create_task(wired.life.deactivate(60))
    await entered.wait()
    began = now()
    wired.life.hurry(0.2)
    wired.life.hurry(30)
    await stop
    assert now() - began < 0.4
    assert app.notes == ["startup", "shutdown"]


async def test_hurry_without_a_stop_does_nothing() -> None:
    wired = Wired(Plugin(App()))
    wired.life.hurry(0)
    assert await wired.activate() is None


async def test_a_hook_that_swallows_its_cancel_holds_up_nothing() -> None:
    released = asyncio.Event()

    async def hook(context: Identity) -> None:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    app = App()
    wired = Wired(with_hook("on_deactivate", hook, app))
    await wired.activate()
    began = now()
    await wired.life.deactivate(0.6)
    assert now() - began < 0.8
    assert (wired.phase(), app.notes) == (Phase.STOPPED, ["startup", "shutdown"])
    released.set()


async def test_hurry_while_a_hook_handles_its_cancel_is_no_error() -> None:
    cancelled = asyncio.Event()

    async def hook(context: Identity) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
            await asyncio.sleep(0.05)

    wired = Wired(with_hook("on_deactivate", hook, App()))
    await wired.activate()
    stop = asyncio.create_task(wired.life.deactivate(0.4))
    await cancelled.wait()
    wired.life.hurry(0)
    await stop
    assert wired.phase() is Phase.STOPPED


async def test_what_is_being_activated_is_deactivated() -> None:
    calls: list[str] = []
    activating = asyncio.Event()

    async def on_activate(context: Identity) -> None:
        activating.set()
        await asyncio.Event().wait()

    async def on_deactivate(context: Identity) -> None:
        calls.append("on_deactivate")

    plugin = Plugin(App())
    plugin.hook(on_activate)
    plugin.hook(on_deactivate)
    wired = Wired(plugin)
    await wired.send("OnActivate")
    await activating.wait()
    await wired.life.deactivate(0.5)
    assert calls == ["on_deactivate"]


async def test_what_was_not_activated_is_not_deactivated() -> None:
    calls: list[str] = []

    async def on_activate(context: Identity) -> None:
        raise LookupError("no database")

    async def on_deactivate(context: Identity) -> None:
        calls.append("on_deactivate")

    app = App()
    plugin = Plugin(app)
    plugin.hook(on_activate)
    plugin.hook(on_deactivate)
    wired = Wired(plugin)
    assert await wired.activate() is not None
    await wired.life.deactivate(1)
    # The lifespan had started, so it is shut down.
    assert (calls, app.notes) == ([], ["startup", "shutdown"])
