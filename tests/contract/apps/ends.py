"""Hostile cases: each way in which an app may end before its answer does (rows R8 to R11)."""

from __future__ import annotations

import asyncio
import sys

from tests.contract.apps.failures import (
    HELD,
    STREAMING,
    WAITING,
    Unprintable,
    broke,
    failed,
    raised,
    returned,
)
from tests.contract.apps.registry import Call, Outcome, row

HELD_TASKS: set[asyncio.Task[None]] = set()


@row(failed(raised("RuntimeError", WAITING), secret=True))
@row(
    Outcome(
        method="HEAD",
        status=500,
        body=b"",
        headers={"content-length": "21"},
        messages=1,
        log=raised("RuntimeError", WAITING),
        secret=True,
    )
)
async def raises(call: Call) -> None:
    raise RuntimeError(call.secret)


@row(failed(raised("RuntimeError", HELD), secret=True))
async def raises_held(call: Call) -> None:
    await call.start(200, (b"x-a", b"1"))
    raise RuntimeError(call.secret)


@row(
    broke(
        raised("RuntimeError", STREAMING),
        b"some",
        headers={"content-length": None},
        secret=True,
    )
)
async def raises_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    raise RuntimeError(call.secret)


@row(
    broke(
        raised("RuntimeError", STREAMING),
        b"some",
        cut=True,
        headers={"content-length": "10"},
        secret=True,
    )
)
async def raises_late_declared(call: Call) -> None:
    await call.start(200, (b"content-length", b"10"))
    await call.body(b"some", more=True)
    raise RuntimeError(call.secret)


@row(Outcome(messages=1, log=raised("RuntimeError", "complete"), secret=True))
async def raises_after_the_end(call: Call) -> None:
    await call.start()
    await call.body()
    raise RuntimeError(call.secret)


@row(broke(returned(STREAMING), b"some", headers={"content-length": None}))
async def returns_unfinished(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)


@row(broke(returned(STREAMING), b"some", cut=True, headers={"content-length": "10"}))
async def returns_unfinished_declared(call: Call) -> None:
    await call.start(200, (b"content-length", b"10"))
    await call.body(b"some", more=True)


@row(failed(returned(WAITING)))
async def returns_nothing(call: Call) -> None:
    pass


@row(failed(returned(HELD)))
async def returns_held(call: Call) -> None:
    await call.start()


@row(failed(raised("SystemExit", WAITING), secret=True))
async def exits(call: Call) -> None:
    sys.exit(call.secret)


@row(broke(raised("SystemExit", STREAMING), b"some", secret=True))
async def exits_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    sys.exit(call.secret)


@row(failed(raised("KeyboardInterrupt", WAITING), secret=True))
async def interrupts(call: Call) -> None:
    raise KeyboardInterrupt(call.secret)


@row(broke(raised("KeyboardInterrupt", STREAMING), b"some", secret=True))
async def interrupts_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    raise KeyboardInterrupt(call.secret)


@row(failed(raised("CancelledError", WAITING), secret=True))
async def cancels(call: Call) -> None:
    raise asyncio.CancelledError(call.secret)


@row(broke(raised("CancelledError", STREAMING), b"some", secret=True))
async def cancels_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    raise asyncio.CancelledError(call.secret)


@row(failed(raised("CancelledError", WAITING)))
async def cancels_itself(call: Call) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@row(failed(raised("GeneratorExit", WAITING), secret=True))
async def raises_generator_exit(call: Call) -> None:
    raise GeneratorExit(call.secret)


@row(failed(raised("Unprintable", WAITING)))
async def raises_unprintable(call: Call) -> None:
    raise Unprintable


@row(broke(raised("Unprintable", STREAMING), b"some"))
async def raises_unprintable_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    raise Unprintable


@row(failed(raised("BaseExceptionGroup", WAITING), secret=True))
async def raises_group(call: Call) -> None:
    raise BaseExceptionGroup("two", [SystemExit(call.secret), ValueError("two")])


# asyncio lets SystemExit out of any task and stops the loop: on road m that is the test's own.
@row(Outcome(but="m", log="a task of the app raised SystemExit; the plugin goes on", secret=True))
async def exits_in_a_task(call: Call) -> None:
    async def leave() -> None:
        sys.exit(call.secret)

    task = asyncio.create_task(leave())
    HELD_TASKS.add(task)
    await asyncio.wait([task])
    await call.start()
    await call.body()
