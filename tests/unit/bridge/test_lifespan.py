"""lifespan.py: each way in which an app answers, or does not, in each mode (row L3)."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.bridge import lifespan as bridge_lifespan
from mm_asgi.bridge.lifespan import Lifespan
from mm_asgi.errors import AppProtocolError, StartupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

COMPLETE = {"type": "lifespan.startup.complete"}
STOPPED = {"type": "lifespan.shutdown.complete"}


@asynccontextmanager
async def started(app: App, mode: str = "on") -> AsyncIterator[Lifespan]:
    """A lifespan whose start-up is done; its shutdown is the test's."""
    lifespan = Lifespan(app, mode)
    await lifespan.startup()
    yield lifespan
    await lifespan.shutdown(0.2)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]


async def polite(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
    assert await receive() == {"type": "lifespan.startup"}
    scope["state"]["log"] = ["started"]
    await send(COMPLETE)
    assert await receive() == {"type": "lifespan.shutdown"}
    scope["state"]["log"].append("stopped")
    await send(STOPPED)


async def knows_none(scope: dict[str, Any], receive: Any, send: Any) -> None:
    raise RuntimeError("http only")


async def returns(scope: dict[str, Any], receive: Any, send: Any) -> None:
    return


async def takes_and_raises(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    raise ConnectionError("no database")


async def takes_and_exits(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    sys.exit("no key")


async def takes_and_returns(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()


# ---------------------------------------------------------------- start-up


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_a_polite_app_starts_and_stops(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    async with started(polite, mode) as lifespan:
        state = lifespan.state
        assert state == {"log": ["started"]}
    assert state == {"log": ["started", "stopped"]}
    assert caplog.records == []


async def test_off_asks_nothing() -> None:
    lifespan = Lifespan(knows_none, "off")
    await lifespan.startup()
    await lifespan.shutdown(1)
    assert lifespan.state == {}


@pytest.mark.parametrize("app", [knows_none, returns])
async def test_auto_serves_an_app_that_takes_no_event(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with started(app, "auto"):
        pass
    said = [(record.levelname, record.message) for record in caplog.records]
    assert ("DEBUG", "the app has no lifespan; serving without") in said
    assert errors(caplog) == []


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (knows_none, "the app raised RuntimeError in lifespan.startup"),
        (returns, "the app's lifespan returned without lifespan.startup.complete"),
        (takes_and_raises, "the app raised ConnectionError in lifespan.startup"),
        (takes_and_exits, "the app raised SystemExit in lifespan.startup"),
        (takes_and_returns, "the app's lifespan returned without lifespan.startup.complete"),
    ],
)
async def test_on_fails_for_an_app_that_does_not_complete(app: App, reason: str) -> None:
    lifespan = Lifespan(app, "on")
    with pytest.raises(StartupError) as failed:
        await lifespan.startup()
    assert str(failed.value) == (
        f'lifespan: {reason}; expected lifespan.startup.complete with lifespan = "on"'
    )
    assert (failed.value.__cause__ is None) is ("returned" in reason)
    await lifespan.shutdown(1)


@pytest.mark.parametrize("app", [takes_and_raises, takes_and_exits])
async def test_auto_logs_a_startup_that_raised_and_serves_on(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(app, "auto"):
        pass
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("ERROR", "the app failed in lifespan.startup")
    assert record.exc_info is not None


async def test_auto_warns_of_a_startup_without_an_end(caplog: pytest.LogCaptureFixture) -> None:
    async with started(takes_and_returns, "auto"):
        pass
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.endswith("returned without lifespan.startup.complete; serving without")


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"message": "no database"}, "lifespan.startup failed: no database"),
        ({"message": ""}, "lifespan.startup failed"),
        ({}, "lifespan.startup failed"),
    ],
)
async def test_a_startup_that_says_it_failed(mode: str, event: dict[str, Any], text: str) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", **event})

    lifespan = Lifespan(app, mode)
    with pytest.raises(StartupError) as failed:
        await lifespan.startup()
    assert str(failed.value) == text
    await lifespan.shutdown(1)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"type": "lifspan.startup.complete"}, "'lifspan.startup.complete'"),
        ({"type": "lifespan.shutdown.complete"}, "'lifespan.shutdown.complete'"),
        ({"type": ["lifespan.startup.complete"]}, "['lifespan.startup.complete']"),
        ({}, "None"),
        (None, "None"),
    ],
)
async def test_a_wrong_event_is_told_and_may_be_mended(wrong: Any, named: str) -> None:
    told: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        try:
            await send(wrong)
        except AppProtocolError as exc:
            told.append(str(exc))
        await send(COMPLETE)
        try:
            await send(COMPLETE)
        except AppProtocolError as exc:
            told.append(str(exc))
        await receive()
        await send(STOPPED)

    async with started(app):
        pass
    expected = "expected once lifespan.startup.complete or lifespan.startup.failed"
    assert told == [
        f"lifespan: the app sent {named}; {expected}",
        f"lifespan: the app sent 'lifespan.startup.complete'; {expected}",
    ]


async def test_an_app_may_fail_right_after_its_answer(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(COMPLETE)
        raise ValueError("late")

    async with started(app):
        assert errors(caplog) == ["the app's lifespan ended while the app is served"]


# ---------------------------------------------------------------- while the app is served


async def test_a_lifespan_that_dies_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    die = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(COMPLETE)
        await die.wait()
        raise ValueError("later")

    async with started(app) as lifespan:
        assert errors(caplog) == []
        die.set()
        assert lifespan._task is not None
        await asyncio.wait([lifespan._task])
        assert errors(caplog) == ["the app's lifespan ended while the app is served"]
    # A shutdown has nobody to ask, and nothing to say once more.
    assert len(errors(caplog)) == 1


async def test_a_lifespan_that_is_cancelled_with_its_loop_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with started(polite) as lifespan:
        assert lifespan._task is not None
        lifespan._task.cancel()
        await asyncio.wait([lifespan._task])
    assert errors(caplog) == []


# ---------------------------------------------------------------- shutdown


def stopping(*events: Any, then: BaseException | None = None) -> App:
    """An app that starts, and at the shutdown sends these events and raises."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(COMPLETE)
        await receive()
        for event in events:
            await send(event)
        if then is not None:
            raise then

    return app


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (stopping(STOPPED), []),
        (stopping(), []),
        (stopping(STOPPED, then=ValueError("after")), []),
        (
            stopping({"type": "lifespan.shutdown.failed", "message": "half"}),
            ["lifespan.shutdown failed: half"],
        ),
        (stopping(then=ValueError("at once")), ["the app failed in lifespan.shutdown"]),
        (stopping(then=SystemExit(1)), ["the app failed in lifespan.shutdown"]),
        (stopping(COMPLETE), ["the app failed in lifespan.shutdown"]),
    ],
)
async def test_how_a_shutdown_ends(
    app: App, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with started(app):
        pass
    assert errors(caplog) == said


async def test_a_shutdown_that_takes_too_long_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(COMPLETE)
        await receive()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    await lifespan.shutdown(0.15)
    assert ended == ["cancelled"]
    assert errors(caplog) == ["lifespan.shutdown did not complete in 0.1 s"]


async def test_a_shutdown_ends_although_the_app_swallows_its_cancel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridge_lifespan, "LAST_WAIT", 0.01)
    over = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(COMPLETE)
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    await lifespan.shutdown(0.02)
    assert lifespan._task is not None
    assert not lifespan._task.done()
    over.set()
    await asyncio.wait([lifespan._task])


async def test_an_app_whose_startup_did_not_end_is_cancelled_and_not_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            while True:
                events.append((await receive())["type"])
        finally:
            events.append("ended")

    lifespan = Lifespan(app, "on")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await lifespan.startup()
    await lifespan.shutdown(1)
    assert events == ["lifespan.startup", "ended"]
    assert errors(caplog) == []


async def test_a_cancelled_shutdown_takes_the_app_with_it() -> None:
    asked = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(COMPLETE)
        await receive()
        asked.set()
        await asyncio.Event().wait()

    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    shutdown = asyncio.ensure_future(lifespan.shutdown(3600))
    await asked.wait()
    shutdown.cancel()
    await asyncio.wait([shutdown])
    assert shutdown.cancelled()
    assert lifespan._task is not None
    assert lifespan._task.done()
