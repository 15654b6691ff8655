"""RPC name -> handler: the host's PluginHooks service over a plugin, and the plugin's life in it.

The life has phases: NEW (nothing imported), LOADED (after the first Implemented), STARTING and
ACTIVE (OnActivate), STOPPING and STOPPED (OnDeactivate or the end of the process), FAILED.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.bridge.handler import HTTPHandler
from mm_asgi.bridge.lifespan import LAST_WAIT, Lifespan
from mm_asgi.bridge.request import RequestParser
from mm_asgi.errors import MMASGIError
from mm_asgi.functions import Overrun, within
from mm_asgi.goplugin.services import unary
from mm_asgi.hooks import FAILED, HOOKS, LIFECYCLE, Hook, Reject
from mm_asgi.importer import last_line
from mm_asgi.observe.context import LOG_CONTEXT, LogContext
from mm_asgi.protocol.common_pb2 import AppError
from mm_asgi.protocol.hooks_lifecycle_pb2 import (
    ImplementedRequest,
    ImplementedResponse,
    OnActivateRequest,
    OnActivateResponse,
    OnConfigurationChangeRequest,
    OnConfigurationChangeResponse,
    OnDeactivateRequest,
    OnDeactivateResponse,
)
from mm_asgi.requester import Identity
from mm_asgi.running import RUNNING
from mm_asgi.tasks import is_cancelled
from mm_asgi.wire.port import Method, StatusCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from google.protobuf.message import Message

    from mm_asgi.plugin import Handler, Plugin
    from mm_asgi.settings import Settings
    from mm_asgi.tasks import TaskSet
    from mm_asgi.wire.port import Stream

    Answer = Callable[[Any, Stream], Awaitable[Message | None]]

__all__ = ["SERVICE", "Dispatch", "Phase"]

logger = logging.getLogger("mm_asgi.dispatch")

SERVICE = "/mattermost.pluginapi.v1.PluginHooks/"

UNARY_LIMIT = 4 * 1024 * 1024  # bytes: gRPC's own default
HOOK_LIMIT = 64 * 1024 * 1024  # bytes: a list of posts or a sync message passes gRPC's default
LARGEST_ANSWER = 2**31 - 1  # bytes: what the host takes
SERVE_HTTP_LIMIT = 2 * 1024 * 1024  # bytes: net/http lets 1 MiB of headers through
HOOK_MARGIN = 0.5  # s that a hook stays below the host's deadline, which the answer has to meet
DEADLINE_MARGIN = 2.0  # s that OnDeactivate stays below the host's deadline (row L4)
LIFESPAN_SHARE = 0.25  # of a stop's time that lifespan.shutdown has at the least


class Phase(enum.Enum):
    """Where the plugin's life is."""

    NEW = "new"
    LOADED = "loaded"
    STARTING = "starting"
    ACTIVE = "active"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Dispatch:
    """The PluginHooks service.

    Args:
        settings: the plugin's.
        plugin_id: the id that the host runs this plugin under.
        load: imports the target and gives the Plugin; called once, at the first Implemented.
        tasks: where every task goes.
        self_starting: activate at the first request when nobody calls OnActivate.
    """

    def __init__(
        self,
        settings: Settings,
        plugin_id: str,
        *,
        load: Callable[[], Plugin],
        tasks: TaskSet,
        self_starting: bool = False,
    ) -> None:
        self.phase = Phase.NEW
        self.http = HTTPHandler(settings, plugin_id, spawn=tasks.start, ready=self._ready)
        self._settings = settings
        self._context = Identity(plugin_id=plugin_id)
        self._load = load
        self._tasks = tasks
        self._self_starting = self_starting
        # Set by load, once.
        self._plugin: Plugin | None = None
        self._hooks: Mapping[str, Handler] = {}
        self._fault: str | None = None
        # One activation, one stop.
        self._lifespan: Lifespan | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._stop_at = 0.0
        self._limit: asyncio.Timeout | None = None

    def methods(self) -> dict[str, Method]:
        """The RPCs by path. What is not here is UNIMPLEMENTED, as for a hook nobody registered."""
        answers: list[tuple[str, type[Message], Answer]] = [
            ("Implemented", ImplementedRequest, self._implemented),
            ("OnActivate", OnActivateRequest, self._on_activate),
            ("OnDeactivate", OnDeactivateRequest, self._on_deactivate),
            ("OnConfigurationChange", OnConfigurationChangeRequest, self._on_configuration_change),
        ]
        methods = {
            SERVICE + name: Method(unary(answer), request, UNARY_LIMIT)
            for name, request, answer in answers
        }
        methods[SERVICE + "ServeHTTP"] = Method(self._serve_http, RequestParser, SERVE_HTTP_LIMIT)
        for hook in HOOKS.values():
            limit = self._settings.upload_limit if "File" in hook.rpc else HOOK_LIMIT
            serve = functools.partial(self._serve_hook, hook)
            methods.setdefault(SERVICE + hook.rpc, Method(serve, hook, limit, LARGEST_ANSWER))
        return methods

    # ---------------------------------------------------------------- the RPCs

    def _serve_http(self, stream: Stream) -> None:
        # In the task set: the app outlives the RPC (background tasks, row R14).
        self._tasks.start(self.http.serve(stream), lambda: self.http.name(stream))

    async def _implemented(self, request: Message, stream: Stream) -> ImplementedResponse:
        self.load()
        listed = self._hooks.keys() | {hook.name for hook in LIFECYCLE}
        names = [hook.rpc for name, hook in HOOKS.items() if name in listed]
        if self._plugin is not None and self._plugin.app is not None:
            names.append("ServeHTTP")
        return ImplementedResponse(hooks=names)

    async def _on_activate(self, request: Message, stream: Stream) -> OnActivateResponse:
        fault = await self.activate()
        return OnActivateResponse(error=app_error("OnActivate", fault) if fault else None)

    async def _on_deactivate(self, request: Message, stream: Stream) -> OnDeactivateResponse:
        budget = self._settings.drain
        if stream.deadline is not None:
            left = stream.deadline - asyncio.get_running_loop().time() - DEADLINE_MARGIN
            budget = max(0.0, min(budget, left))
        await self.deactivate(budget)
        return OnDeactivateResponse()

    async def _on_configuration_change(
        self, request: Message, stream: Stream
    ) -> OnConfigurationChangeResponse:
        if self.phase is not Phase.ACTIVE or self._plugin is None:  # activation does all of it
            return OnConfigurationChangeResponse()
        self.http.use_site_url(await self._plugin.read_site())
        try:
            await self._call_hook("on_configuration_change")
        except Exception as exc:
            logger.exception("the hook on_configuration_change failed")
            error = app_error("OnConfigurationChange", _fault_of(exc))
            return OnConfigurationChangeResponse(error=error)
        return OnConfigurationChangeResponse()

    # ---------------------------------------------------------------- the plugin's life

    def load(self) -> None:
        """Import the app and freeze its hooks; once. A failure is kept for OnActivate (row L1)."""
        if self.phase is not Phase.NEW:
            return
        self.phase = Phase.LOADED
        try:
            self._plugin = self._load()
            self._hooks = self._plugin.freeze()
            self._tasks.use_context().run(RUNNING.set, self._plugin.connection)
        except Exception as exc:
            logger.exception("the app could not be imported")
            self._fault = _fault_of(exc)

    async def activate(self) -> str | None:
        """Start the app; gives the text of what failed, or None. A second call waits for the first."""
        self.load()
        self._begin()
        await self._settled.wait()
        if self.phase in (Phase.STOPPING, Phase.STOPPED) and self._fault is None:
            return "the plugin is stopping"
        return self._fault

    def _begin(self) -> None:
        if self.phase is Phase.LOADED:
            self.phase = Phase.STARTING
            self._tasks.start(self._activate(), "OnActivate")

    async def _activate(self) -> None:
        limit = asyncio.timeout(self._settings.hook_budget or None)
        try:
            if self._fault is None:
                async with limit:
                    await self._start_app()
        except Exception as exc:
            self._fault = _fault_of(exc)
            if limit.expired():
                overdue = self._lifespan.overdue if self._lifespan is not None else ""
                budget = f"in {self._settings.hook_budget:g} s (setting hook-budget)"
                self._fault = f"{overdue or 'start-up did not end'} {budget}"
            logger.exception("the app's start-up failed: %s", self._fault)
        finally:
            if self.phase is Phase.STARTING:
                self.phase = Phase.FAILED if self._fault else Phase.ACTIVE
            self._settled.set()

    async def _start_app(self) -> None:
        assert self._plugin is not None
        self.http.use_site_url(await self._plugin.read_site())
        app = self._plugin.app
        if app is not None:
            lifespan = Lifespan(app, self._settings.lifespan)
            self._lifespan = lifespan
            await lifespan.startup()
            self.http.app, self.http.state = app, lifespan.state
        try:
            await self._call_hook("on_configuration_change")  # this host does not (row H6)
        except Exception:
            logger.exception("the hook on_configuration_change failed")
        await self._plugin.register_commands()
        await self._call_hook("on_activate")

    async def _ready(self) -> bool:
        """Wait for the start-up to end, at most startup-wait (row L2)."""
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

    async def deactivate(self, seconds: float) -> None:
        """Drain and run lifespan.shutdown, exactly once, within ``seconds``.

        A call while that runs waits for it, and shortens it when its ``seconds`` end earlier.
        """
        self.hurry(seconds)
        if self._stopping is None:
            loop = asyncio.get_running_loop()
            self._stop_at = loop.time() + seconds
            self._stopping = loop.create_task(self._deactivate(), name="OnDeactivate")
        await asyncio.shield(self._stopping)

    def hurry(self, seconds: float) -> None:
        """Shorten a stop that runs to ``seconds`` from now; without one this does nothing."""
        at = asyncio.get_running_loop().time() + seconds
        if self._stopping is not None and at < self._stop_at:
            self._stop_at = at
            self._tasks.drain_by(seconds * (1 - LIFESPAN_SHARE))
            # One that has fired cannot be moved any more, and the step is being cancelled.
            if self._limit is not None and not self._limit.expired():
                self._limit.reschedule(at)

    async def _deactivate(self) -> None:
        self.http.drain()
        # As for a Go plugin: what was not activated is not deactivated.
        active = self.phase in (Phase.STARTING, Phase.ACTIVE)
        self.phase = Phase.STOPPING
        self._settled.set()
        await self._tasks.drain(self._left() * (1 - LIFESPAN_SHARE))
        if active:
            # Half of what is left, so that lifespan.shutdown has its turn.
            await self._step("the hook on_deactivate", self._call_hook("on_deactivate"), 0.5)
        if self._lifespan is not None:
            left = self._left()
            await self._step("lifespan.shutdown", self._lifespan.shutdown(left), 1.0)
        self.phase = Phase.STOPPED

    async def _step(self, name: str, step: Coroutine[Any, Any, object], share: float) -> None:
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

    async def _call_hook(self, name: str) -> Any:
        """Run a lifecycle hook's function, if there is one, under its budget (rows H2, H3)."""
        if name not in self._hooks:
            return None
        try:
            async with asyncio.timeout(self._settings.hook_budget or None):
                return await self._hooks[name].function(self._context)
        except BaseException as exc:
            if isinstance(exc, Exception) or is_cancelled():
                raise
            # sys.exit() would end the loop, and a CancelledError pass for one of ours.
            raise MMASGIError(f"the hook {name} raised {last_line(exc)}") from exc

    def _serve_hook(self, hook: Hook, stream: Stream) -> None:
        # In the task set, as a request: a stop drains it.
        self._tasks.start(self._answer_hook(hook, stream), hook.rpc)

    async def _answer_hook(self, hook: Hook, stream: Stream) -> None:
        """One RPC of a hook; what is written after the default of an overrun is dropped."""
        try:
            ended = self.phase in (Phase.STOPPED, Phase.FAILED)
            if self._self_starting and not ended:
                ended = not await self._ready()
            handler = self._hooks.get(hook.name)
            if handler is None:
                stream.abort(StatusCode.UNIMPLEMENTED, "the plugin does not list this hook")
            elif (request := await stream.read()) is None:
                stream.abort(StatusCode.INVALID_ARGUMENT, "the request message is missing")
            elif ended:
                await stream.write(hook.default(closed=handler.closed), last=True)
            else:
                await stream.write(await self._run_hook(handler, request, stream), last=True)
        except BaseException:  # a log filter that raises: no peer waits for ever
            stream.abort(StatusCode.INTERNAL, FAILED)
            raise

    async def _run_hook(self, handler: Handler, request: Any, stream: Stream) -> Message:
        """What the function answers within its budget, or the default (row H2)."""
        hook, function, closed = handler
        default = hook.default(closed=closed)
        facts = getattr(request, "plugin_context", None)
        context = Identity.of_hook(self._context.plugin_id, facts)
        if context.request_id:
            LOG_CONTEXT.set(LogContext(context.request_id))
        seconds = self._seconds_for(hook, stream)

        def overrun() -> None:
            self._tasks.start(stream.write(default, last=True), hook.rpc)
            text = (
                "the hook %s did not end in %.3g s (setting hook-budget); the host got its default"
            )
            logger.error(text, hook.name, seconds)

        try:
            call = function(context, *hook.arguments(request))
            return hook.answer(await within(seconds, call, overrun))
        except Overrun as exc:
            logger.debug("where the hook %s was cancelled", hook.name, exc_info=exc.__cause__)
        except BaseException as exc:
            if isinstance(exc, Reject) and hook.refusal:
                return hook.refuse(str(exc))
            # SystemExit too, and the cancel of a stop's drain: the host gets its answer.
            text = "the hook %s failed: %s; the host got its default"
            logger.error(text, hook.name, last_line(exc), exc_info=exc)
        return default

    def _seconds_for(self, hook: Hook, stream: Stream) -> float:
        now = asyncio.get_running_loop().time()
        left = hook.deadline if stream.deadline is None else stream.deadline - now
        left -= min(HOOK_MARGIN, left / 10)
        return min(left, self._settings.hook_budget or left)


def _fault_of(exc: BaseException) -> str:
    """What the admin should see of a failure, in one line."""
    return str(exc) if isinstance(exc, MMASGIError | Reject) else last_line(exc)


def app_error(where: str, text: str) -> AppError:
    """An AppError with the text where the host keeps it: it drops ``message`` (row H5)."""
    return AppError(
        id=f"mm_asgi.{where}", message=text, detailed_error=text, where=where, status_code=500
    )
