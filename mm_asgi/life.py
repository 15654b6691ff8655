"""A plugin's life, from its import to its end.

Theory. A host does not start a plugin in one step. It asks which hooks the plugin has
(Implemented), tells it to start (OnActivate) and to stop (OnDeactivate); requests and other hooks
may arrive before, between and after these. So a life is a machine of seven phases, and this file is
all that moves it: `Life._move` is the only assignment of `phase`, and it looks the step up in
TRANSITIONS. A step that the table lacks is a fault of this file, never of the host: what the host
may do at any time (ask for the hooks again, activate twice, stop before the start) is decided here
before a step is taken.

Three rules explain the rest.

Load, start and stop happen once each. Who comes second waits for the first: a second OnActivate
waits for the same start-up and gets the same answer, a second stop waits for the same stop and can
only shorten it. The start-up and the stop are tasks of their own, so that a caller who leaves
takes neither with it.

A fault is kept, not raised. What failed in the import must not end Implemented, because the host
shows its admin the error of OnActivate alone. So ``load`` keeps the fault, ``activate`` returns it,
and the phase FAILED only says that there is one.

A stop overtakes everything. It may come in any phase, also while the app starts; the start-up then
ends in the phase STOPPING or STOPPED, where its outcome changes nothing any more. The stop has one
end in time, which ``hurry`` can only bring nearer, and shares what is left: most of it goes to the
requests that still run, half of the rest to the hook on_deactivate, and the last to
lifespan.shutdown, which has its turn whatever the others do.

A request waits for the start-up in ``ready`` and nowhere else. docs/behaviour.md draws the table.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from typing import TYPE_CHECKING, Any, Protocol

from mm_asgi.bridge.lifespan import LAST_WAIT, Lifespan
from mm_asgi.errors import MMASGIError
from mm_asgi.hooks import Reject
from mm_asgi.importer import last_line
from mm_asgi.requester import Identity
from mm_asgi.running import RUNNING
from mm_asgi.tasks import is_cancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from mm_asgi.plugin import Handler, Loaded
    from mm_asgi.settings import Settings
    from mm_asgi.tasks import TaskSet

__all__ = ["TRANSITIONS", "Doors", "Life", "LifeStep", "Phase"]

logger = logging.getLogger("mm_asgi.life")

LIFESPAN_SHARE = 0.25  # of a stop's time that lifespan.shutdown has at the least


class Phase(enum.Enum):
    """Where the plugin's life is."""

    NEW = "nothing is imported"
    LOADED = "the app is imported, or its import has failed"
    STARTING = "the app starts"
    ACTIVE = "requests go to the app"
    FAILED = "the start-up has failed"
    STOPPING = "running requests end, then the app"
    STOPPED = "over"


class LifeStep(enum.Enum):
    """What moves the plugin's life."""

    LOAD = "the app is imported"
    START = "the start-up begins"
    SUCCEED = "the start-up succeeds"
    FAIL = "the start-up fails"
    STOP = "the stop begins"
    END = "the stop is over"


TRANSITIONS: dict[tuple[Phase, LifeStep], Phase] = {
    (Phase.NEW, LifeStep.LOAD): Phase.LOADED,
    (Phase.NEW, LifeStep.STOP): Phase.STOPPING,
    (Phase.LOADED, LifeStep.START): Phase.STARTING,
    (Phase.LOADED, LifeStep.STOP): Phase.STOPPING,
    (Phase.STARTING, LifeStep.SUCCEED): Phase.ACTIVE,
    (Phase.STARTING, LifeStep.FAIL): Phase.FAILED,
    (Phase.STARTING, LifeStep.STOP): Phase.STOPPING,
    (Phase.ACTIVE, LifeStep.STOP): Phase.STOPPING,
    (Phase.FAILED, LifeStep.STOP): Phase.STOPPING,
    (Phase.STOPPING, LifeStep.END): Phase.STOPPED,
    # A start-up that the stop has overtaken.
    (Phase.STOPPING, LifeStep.SUCCEED): Phase.STOPPING,
    (Phase.STOPPING, LifeStep.FAIL): Phase.STOPPING,
    (Phase.STOPPED, LifeStep.SUCCEED): Phase.STOPPED,
    (Phase.STOPPED, LifeStep.FAIL): Phase.STOPPED,
}


class Doors(Protocol):
    """The HTTP side as a life sees it: it opens with the app, and shuts with the stop.

    Attributes:
        app: the ASGI app that requests go to.
        state: the state that the app's lifespan has set.
    """

    app: Any
    state: dict[str, Any]

    def use_site_url(self, url: str | None) -> None:
        """Use the site's URL as the host says it; None: the host does not say."""

    def drain(self) -> None:
        """Take no more requests, and end event streams."""


class Life:
    """One plugin's life.

    Args:
        settings: the plugin's.
        plugin_id: the id that the host runs this plugin under.
        load: imports the target and returns what it has; called at most once.
        tasks: holds the start-up and everything that a stop has to drain.
        doors: makes the HTTP side; its argument waits until the app may be called (`ready`).
        self_starting: start at the first request or hook, for servers that never call OnActivate.

    Attributes:
        phase: where this life is.
        identity: the context of lifecycle hooks.
        doors: the HTTP side.
        loaded: the plugin, once it is imported.
        hooks: its hooks by function name; empty until then.
    """

    def __init__(
        self,
        settings: Settings,
        plugin_id: str,
        *,
        load: Callable[[], Loaded],
        tasks: TaskSet,
        doors: Callable[[Callable[[], Awaitable[bool]]], Doors],
        self_starting: bool = False,
    ) -> None:
        self.phase = Phase.NEW
        self.identity = Identity(plugin_id=plugin_id)
        self.doors = doors(self.ready)
        self.loaded: Loaded | None = None
        self.hooks: Mapping[str, Handler] = {}
        self._settings = settings
        self._load = load
        self._tasks = tasks
        self._self_starting = self_starting
        self._fault: str | None = None
        self._lifespan: Lifespan | None = None
        self._settled = asyncio.Event()
        # The stop: its task, when its time ends, and the limit of the step that runs.
        self._stopping: asyncio.Task[None] | None = None
        self._stop_at = 0.0
        self._limit: asyncio.Timeout | None = None

    def _may(self, step: LifeStep) -> bool:
        return (self.phase, step) in TRANSITIONS

    def _move(self, step: LifeStep) -> None:
        self.phase = TRANSITIONS[self.phase, step]

    # ---------------------------------------------------------------- the start

    def load(self) -> None:
        """Import the app and freeze its hooks, once; keep a failure for OnActivate (row L1)."""
        if not self._may(LifeStep.LOAD):
            return
        self._move(LifeStep.LOAD)
        try:
            self.loaded = self._load()
            self.hooks = self.loaded.hooks
            self._tasks.use_context().run(RUNNING.set, self.loaded.connection)
        except Exception as exc:
            logger.exception("the app could not be imported")
            self._fault = _fault_of(exc)

    async def activate(self) -> str | None:
        """Start the app, once; return the text of what failed, or None."""
        self.load()
        self._begin()
        await self._settled.wait()
        if self.phase in (Phase.STOPPING, Phase.STOPPED) and self._fault is None:
            return "the plugin is stopping"
        return self._fault

    async def ready(self) -> bool:
        """Wait until a request may go to the app, at most startup-wait; return whether (row L2)."""
        if self.phase is Phase.ACTIVE:
            return True
        if self._self_starting and self.phase is Phase.NEW:
            self.load()
            self._begin()
        try:
            async with asyncio.timeout(self._settings.startup_wait):
                await self._settled.wait()
        except TimeoutError:
            logger.warning(
                "a request waited %g s for the app's start-up and got a 503 (setting startup-wait)",
                self._settings.startup_wait,
            )
        return self._is_active()

    def _is_active(self) -> bool:
        return self.phase is Phase.ACTIVE

    async def admits_hooks(self) -> bool:
        """Return whether a hook's function may be called.

        The start-up is not waited for: it may itself wait for a hook. A life that starts itself
        has to begin, and its first hook waits for that.
        """
        if self.phase in (Phase.STOPPED, Phase.FAILED):
            return False
        return await self.ready() if self._self_starting else True

    def _begin(self) -> None:
        if self._may(LifeStep.START):
            self._move(LifeStep.START)
            self._tasks.start(self._start(), "OnActivate")

    async def _start(self) -> None:
        outcome = LifeStep.FAIL
        limit = asyncio.timeout(self._settings.hook_budget or None)
        try:
            if self._fault is None:
                async with limit:
                    await self._start_app()
                outcome = LifeStep.SUCCEED
        except Exception as exc:
            self._fault = _fault_of(exc)
            if limit.expired():
                overdue = self._lifespan.overdue if self._lifespan is not None else ""
                budget = f"in {self._settings.hook_budget:g} s (setting hook-budget)"
                self._fault = f"{overdue or 'start-up did not end'} {budget}"
            logger.exception("the app's start-up failed: %s", self._fault)
        finally:
            if self.phase is Phase.STARTING and outcome is LifeStep.FAIL and self._fault is None:
                self._fault = "the start-up was cancelled by the app's own code"
            self._move(outcome)
            self._settled.set()

    async def _start_app(self) -> None:
        assert self.loaded is not None
        await self._read_site()
        app = self.loaded.app
        if app is not None:
            lifespan = Lifespan(app, self._settings.lifespan)
            self._lifespan = lifespan
            await lifespan.startup()
            self.doors.app, self.doors.state = app, lifespan.state
        try:
            await self._call_hook("on_configuration_change")  # this host does not (row H6)
        except Exception:
            logger.exception("the hook on_configuration_change failed")
        await self.loaded.register_commands()
        await self._call_hook("on_activate")

    # ---------------------------------------------------------------- while it is active

    async def reconfigure(self) -> str | None:
        """Read the plugin's settings anew and call its hook; return the text of what failed.

        Before the plugin is active this does nothing: the start-up reads them and calls the hook.
        """
        if self.phase is not Phase.ACTIVE:
            return None
        await self._read_site()
        try:
            await self._call_hook("on_configuration_change")
        except Exception as exc:
            logger.exception("the hook on_configuration_change failed")
            return _fault_of(exc)
        return None

    async def _read_site(self) -> None:
        assert self.loaded is not None
        await self.loaded.site.read()
        self.doors.use_site_url(self.loaded.site.url)

    async def _call_hook(self, name: str) -> Any:
        """Run a lifecycle hook's function, if there is one, within hook-budget (rows H2, H3)."""
        if name not in self.hooks:
            return None
        try:
            async with asyncio.timeout(self._settings.hook_budget or None):
                return await self.hooks[name].function(self.identity)
        except BaseException as exc:
            if isinstance(exc, Exception) or is_cancelled():
                raise
            # sys.exit() would end the loop, and a CancelledError pass for one of ours.
            raise MMASGIError(f"the hook {name} raised {last_line(exc)}") from exc

    # ---------------------------------------------------------------- the stop

    async def deactivate(self, seconds: float) -> None:
        """Drain and run lifespan.shutdown, exactly once, within ``seconds``.

        A call while that runs waits for it, and shortens it when its ``seconds`` end earlier.
        """
        self.hurry(seconds)
        if self._stopping is None:
            loop = asyncio.get_running_loop()
            self._stop_at = loop.time() + seconds
            self._stopping = loop.create_task(self._stop(), name="OnDeactivate")
        await asyncio.shield(self._stopping)

    def hurry(self, seconds: float) -> None:
        """Let a stop that runs end within ``seconds`` from now; without a stop do nothing."""
        at = asyncio.get_running_loop().time() + seconds
        if self._stopping is not None and at < self._stop_at:
            self._stop_at = at
            self._tasks.drain_by(seconds * (1 - LIFESPAN_SHARE))
            # One that has fired cannot be moved any more, and the step is being cancelled.
            if self._limit is not None and not self._limit.expired():
                self._limit.reschedule(at)

    async def _stop(self) -> None:
        self.doors.drain()
        # As for a Go plugin: what was not activated is not deactivated.
        active = self.phase in (Phase.STARTING, Phase.ACTIVE)
        self._move(LifeStep.STOP)
        self._settled.set()
        await self._tasks.drain(self._left() * (1 - LIFESPAN_SHARE))
        if active:
            # Half of what is left, so that lifespan.shutdown has its turn.
            await self._run_step("the hook on_deactivate", self._call_hook("on_deactivate"), 0.5)
        if self._lifespan is not None:
            left = self._left()
            await self._run_step("lifespan.shutdown", self._lifespan.shutdown(left), 1.0)
        self._move(LifeStep.END)

    async def _run_step(self, name: str, step: Coroutine[Any, Any, object], share: float) -> None:
        """Run a step of the stop in a share of the time that is left; ``hurry`` shortens it."""
        # A task of its own: one that swallows its cancel must not hold up the rest of the stop.
        task = asyncio.get_running_loop().create_task(step, name=name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._left() * share) as self._limit:
                await asyncio.wait({task})
        self._limit = None
        if not task.done():
            logger.error("%s did not end in its time and was cancelled", name)
            task.cancel()
            await asyncio.wait({task}, timeout=LAST_WAIT)
        if task.done() and not task.cancelled() and (failure := task.exception()) is not None:
            logger.error("%s failed: %s", name, _fault_of(failure), exc_info=failure)

    def _left(self) -> float:
        return max(0.05, self._stop_at - asyncio.get_running_loop().time())


def _fault_of(exc: BaseException) -> str:
    """Return what the admin should see of a failure, in one line."""
    said = str(exc) if isinstance(exc, MMASGIError | Reject) else ""
    return said or last_line(exc)
