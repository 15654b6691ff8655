"""The set of a plugin's tasks: nothing lost, everything drained in time."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import TYPE_CHECKING

from mm_asgi.tasks import CANCEL_WAIT, DRAINED, TaskSet

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

FACT: contextvars.ContextVar[str] = contextvars.ContextVar("fact")


async def never(sink: Callable[[asyncio.CancelledError], object] = lambda _: None) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as exc:
        sink(exc)
        raise


async def swallow(until: asyncio.Event) -> None:
    """Goes on through every cancel until the test is over."""
    while not until.is_set():
        try:
            await until.wait()
        except asyncio.CancelledError:
            continue


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_task_is_held_until_it_is_done() -> None:
    tasks, gate = TaskSet(), asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    task = tasks.start(wait(), "waiter")
    assert (len(tasks), task.get_name()) == (1, "waiter")
    gate.set()
    await task
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_what_nobody_caught_is_logged_with_the_tasks_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise LookupError("no such order")

    tasks = TaskSet()
    await asyncio.wait([tasks.start(fail(), "payer")])
    await asyncio.sleep(0)
    (record,) = caplog.records
    assert record.getMessage() == "the task payer failed"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no such order"


async def test_a_cancelled_task_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    tasks = TaskSet()
    task = tasks.start(never())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert caplog.records == []
    assert len(tasks) == 0


async def test_a_drain_that_cancels_before_the_first_step_leaves_nothing() -> None:
    tasks = TaskSet()
    tasks.start(never())
    await tasks.drain(0)
    assert len(tasks) == 0


async def test_each_task_has_a_copy_of_the_context_that_was_taken() -> None:
    seen = []

    async def look(value: str) -> None:
        seen.append(FACT.get("none"))
        FACT.set(value)

    tasks = TaskSet()
    FACT.set("from the caller")
    await tasks.start(look("first"))
    tasks.use_context()
    FACT.set("later")
    await tasks.start(look("second"))
    await tasks.start(look("third"))
    assert seen == ["none", "from the caller", "from the caller"]


async def test_a_drain_of_nothing_takes_no_time() -> None:
    began = now()
    await TaskSet().drain(60)
    assert now() - began < 0.1


async def test_a_drain_waits_for_tasks_and_for_those_that_they_start() -> None:
    tasks, gate, done = TaskSet(), asyncio.Event(), []

    async def child() -> None:
        await asyncio.sleep(0)
        done.append("child")

    async def parent() -> None:
        await gate.wait()
        tasks.start(child())
        done.append("parent")

    tasks.start(parent())
    drain = asyncio.create_task(tasks.drain(60))
    await asyncio.sleep(0)
    assert not drain.done()
    gate.set()
    await drain
    assert done == ["parent", "child"]


async def test_a_drain_cancels_and_names_what_takes_too_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = TaskSet()
    reasons: list[asyncio.CancelledError] = []
    for name in ("GET /slow", "GET /slower"):
        tasks.start(never(reasons.append), name)
    began = now()
    await tasks.drain(CANCEL_WAIT + 0.05)
    assert now() - began < CANCEL_WAIT + 0.05
    assert [reason.args for reason in reasons] == [(DRAINED,)] * 2
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "drain: 2 tasks were still running and are cancelled: GET /slow, GET /slower"
    )


async def test_a_drain_names_twenty_at_the_most(caplog: pytest.LogCaptureFixture) -> None:
    tasks = TaskSet()
    for number in range(30):
        tasks.start(never(), f"task {number}")
    await tasks.drain(0)
    text = caplog.records[0].getMessage()
    assert text.startswith("drain: 30 tasks")
    assert text.count("task ") == 20


async def test_a_drain_names_who_swallows_the_cancel_and_does_not_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks, over = TaskSet(), asyncio.Event()
    task = tasks.start(swallow(over), "GET /stubborn")
    tasks.start(never(), "GET /polite")
    await asyncio.sleep(0)
    began = now()
    await tasks.drain(CANCEL_WAIT + 0.05)
    assert now() - began < CANCEL_WAIT + 0.2
    assert not task.done()
    over.set()
    await task
    (text,) = [text for text in caplog.messages if "run on" in text]
    assert text.startswith("drain: 1 tasks were cancelled and run on: GET /stubborn; ")


async def test_a_running_drain_can_be_shortened_and_not_prolonged() -> None:
    tasks = TaskSet()
    tasks.start(never())
    drain = asyncio.create_task(tasks.drain(60))
    await asyncio.sleep(0)
    began = now()
    tasks.drain_by(CANCEL_WAIT + 0.05)
    tasks.drain_by(50)
    await drain
    assert now() - began < CANCEL_WAIT + 0.2
