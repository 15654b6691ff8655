"""The table of a plugin's life, and walks over it: no order of calls leaves the table."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_asgi import Reject
from mm_asgi.bridge.handler import HTTPHandler
from mm_asgi.life import TRANSITIONS, Life, LifeStep, Phase
from mm_asgi.plugin import Plugin
from mm_asgi.settings import Settings
from mm_asgi.tasks import TaskSet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from mm_asgi.plugin import Loaded

ARROWS = {(before, after) for (before, _), after in TRANSITIONS.items()}
STOPS = {Phase.STOPPING, Phase.STOPPED}


class Lived(Life):
    """A life that keeps each step and each value that its phase ever had."""

    def __init__(self, app: LivedApp, *, self_starting: bool = False, **limits: Any) -> None:
        self.steps: set[tuple[Phase, LifeStep]] = set()
        self.phases: list[Phase] = []
        self.loads = 0
        self.app = app
        self.stopping = asyncio.Event()
        self.tasks = tasks = TaskSet()
        given = Settings(**{"startup_wait": 0.0, **limits})

        def doors(ready: Callable[[], Awaitable[bool]]) -> HTTPHandler:
            return HTTPHandler(given, "demo", spawn=tasks.start, ready=ready)

        super().__init__(
            given, "demo", load=self._load_app, tasks=tasks, doors=doors,
            self_starting=self_starting,
        )  # fmt: skip

    def _load_app(self) -> Loaded:
        self.loads += 1
        if self.app.outcome == "import":
            raise LookupError("no database")
        plugin = Plugin(self.app)
        plugin.hook(self.app.on_activate)
        return plugin.freeze()

    def __setattr__(self, name: str, value: object) -> None:
        if name == "phase":
            assert isinstance(value, Phase)
            self.phases.append(value)
            if value is Phase.STOPPING:
                self.stopping.set()
        super().__setattr__(name, value)

    def _move(self, step: LifeStep) -> None:
        self.steps.add((self.phase, step))
        super()._move(step)

    @property
    def arrows(self) -> set[tuple[Phase, Phase]]:
        return set(itertools.pairwise(self.phases))


class LivedApp:
    """An app whose start-up waits for ``gate`` in on_activate, and then does as ``outcome`` says.

    ``stubborn``: it swallows the cancel of a stop.
    """

    def __init__(self, outcome: str = "well", *, stubborn: bool = False) -> None:
        self.outcome = outcome
        self.stubborn = stubborn
        self.gate = asyncio.Event()
        self.waiting = asyncio.Event()
        self.over = asyncio.Event()
        self.notes: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for name in ("startup", "shutdown"):
            await receive()
            self.notes.append(name)
            await send({"type": f"lifespan.{name}.complete"})

    async def on_activate(self, context: object) -> None:
        self.waiting.set()
        try:
            while not self.gate.is_set():
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    if not self.stubborn:
                        raise
            if self.outcome == "cancelled":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
            if self.outcome == "raises":
                raise LookupError("no database")
        finally:
            self.over.set()


# -------------------------------------------------------------------- the table


def reached(start: Phase) -> set[Phase]:
    found = {start}
    for _ in Phase:
        found |= {after for before, after in ARROWS if before in found}
    return found


def test_every_phase_can_be_reached_and_every_one_ends() -> None:
    assert reached(Phase.NEW) == set(Phase)
    for phase in Phase:
        assert Phase.STOPPED in reached(phase)
    assert reached(Phase.STOPPED) == {Phase.STOPPED}


def test_nothing_goes_back() -> None:
    for before, after in ARROWS:
        assert before is after or before not in reached(after), (before, after)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in STOPS])
def test_a_stop_may_come_in_any_phase(phase: Phase) -> None:
    assert TRANSITIONS[phase, LifeStep.STOP] is Phase.STOPPING


# -------------------------------------------------------------------- each row


async def lives(outcome: str, stop: str, *, stubborn: bool = False) -> Lived:
    """One life whose stop comes ``before``, ``loaded``, ``during`` or ``after`` its start-up."""
    life = Lived(LivedApp(outcome, stubborn=stubborn))
    if stop == "before":
        await life.deactivate(0.1)
        return life
    life.load()
    if stop == "loaded":
        await life.deactivate(0.1)
        return life
    activated = asyncio.create_task(life.activate())
    if stop == "after":
        life.app.gate.set()
        await activated
        await life.deactivate(0.1)
        return life
    await life.app.waiting.wait()
    stopped = asyncio.create_task(life.deactivate(5.0 if stop == "drained" else 0.3))
    if stop == "drained":
        await life.stopping.wait()
        life.app.gate.set()
    await stopped
    life.app.gate.set()
    await life.app.over.wait()
    await activated
    await life.tasks.drain(5)
    return life


LIVES = [
    ("well", "before", False),
    ("well", "loaded", False),
    ("well", "after", False),
    ("raises", "after", False),
    ("import", "after", False),
    ("well", "during", False),
    ("well", "drained", False),
    ("raises", "drained", False),
    ("well", "during", True),
    ("raises", "during", True),
]


async def test_each_row_happens_and_no_other() -> None:
    done: set[tuple[Phase, LifeStep]] = set()
    for outcome, stop, stubborn in LIVES:
        life = await lives(outcome, stop, stubborn=stubborn)
        assert life.phase is Phase.STOPPED, (outcome, stop, stubborn)
        done |= life.steps
    assert done == set(TRANSITIONS)


async def test_a_start_up_that_its_own_code_cancels_has_failed() -> None:
    life = Lived(LivedApp("cancelled"))
    life.app.gate.set()
    assert await life.activate() == "the start-up was cancelled by the app's own code"
    assert life.phase is Phase.FAILED
    assert not await life.ready()


async def test_a_fault_without_a_text_is_a_fault() -> None:
    async def on_activate(context: object) -> None:
        raise Reject("")

    life = Lived(LivedApp())
    life.app.on_activate = on_activate  # type: ignore[method-assign]
    fault = await life.activate()
    assert fault is not None
    assert "Reject" in fault
    assert life.phase is Phase.FAILED


# -------------------------------------------------------------------- walks

ACTS = ("load", "activate", "ready", "hooks", "gate", "hurry", "deactivate", "reconfigure", "turn")


async def act(life: Lived, name: str, running: list[asyncio.Task[Any]]) -> None:
    """Do one thing that a host, a request or the process may do, and wait for nothing."""
    start = asyncio.get_running_loop().create_task
    match name:
        case "load":
            life.load()
        case "activate":
            running.append(start(life.activate()))
        case "ready":
            running.append(start(check_ready(life)))
        case "hooks":
            running.append(start(life.admits_hooks()))
        case "gate":
            life.app.gate.set()
        case "hurry":
            life.hurry(0.1)
        case "deactivate":
            running.append(start(life.deactivate(0.25)))
        case "reconfigure":
            running.append(start(life.reconfigure()))
        case _:
            await asyncio.sleep(0)
    await asyncio.sleep(0)


async def check_ready(life: Lived) -> None:
    if await life.ready():
        assert life.phase is Phase.ACTIVE


async def walk(acts: Iterable[str], outcome: str, *, stubborn: bool, self_starting: bool) -> None:
    life = Lived(LivedApp(outcome, stubborn=stubborn), self_starting=self_starting)
    running: list[asyncio.Task[Any]] = []
    for name in acts:
        await act(life, name, running)
    await life.deactivate(0.25)
    life.app.gate.set()
    await asyncio.gather(*running)
    await life.tasks.drain(5)
    assert life.arrows <= ARROWS
    assert life.phase is Phase.STOPPED
    assert life.loads <= 1
    assert life.app.notes in ([], ["startup"], ["startup", "shutdown"])
    # What became active was shut down, and what was shut down had started.
    if Phase.ACTIVE in life.phases:
        assert outcome == "well"
        assert life.app.notes == ["startup", "shutdown"]
    assert not await life.ready()
    assert not await life.admits_hooks()
    assert await life.activate() is not None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(ACTS), max_size=10),
    st.sampled_from(["well", "raises", "import", "cancelled"]),
    st.booleans(),
    st.booleans(),
)
def test_no_order_of_calls_leaves_the_table(
    acts: list[str], outcome: str, stubborn: bool, self_starting: bool
) -> None:
    asyncio.run(walk(acts, outcome, stubborn=stubborn, self_starting=self_starting))
