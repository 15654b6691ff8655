"""The host's RPCs to a plugin by name, for any wire.

Theory. Each wire has its own idea of a call: gRPC has paths, streams, limits and status codes,
go-plugin's net/rpc has method names and sequence numbers. None of that is here. An RPC is a name,
the classes of its two messages, and a coroutine that turns one into the other; a wire adds the
rest. Three things cannot be said by a message alone, and these are the contract with a wire:

- ``left``: how many seconds the host still waits, None where a wire does not know. It is a duration
  and not a point in time, so that no clock has to be agreed on.
- ``overdue``: a function that outlives its time is answered before it ends. The wire sends the
  message that it is called with, and drops what the coroutine returns later.
- ``NotListed``: the host called a hook that Implemented does not name. Any other exception is a
  fault of ours, of which a host may see a fixed text alone.

``is_drained`` says where the coroutine has to run: in the plugin's TaskSet, which a stop drains, or
beside it, since OnDeactivate would wait for itself. ServeHTTP is no RPC of one message each way, so
it is not in the table: a wire hands its exchanges to the HTTPHandler.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.hook_calls import HookCalls, NotListed
from mm_asgi.hooks import HOOKS, LIFECYCLE, Hook, snake_case
from mm_asgi.protocol.common_pb2 import AppError
from mm_asgi.protocol.hooks_lifecycle_pb2 import (
    ImplementedResponse,
    OnActivateResponse,
    OnConfigurationChangeResponse,
    OnDeactivateResponse,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from mm_asgi.life import Life
    from mm_asgi.settings import Settings

    Overdue = Callable[[Message], None]
    Answer = Callable[[Any, float | None, Overdue], Awaitable[Message]]

__all__ = ["RPC", "Dispatch", "NotListed", "app_error"]

logger = logging.getLogger("mm_asgi.hooks")

NEVER_CALLED = (
    "this server never calls the hook(s) %s: it loads plugins over gRPC, and released servers alone"
    " have them; the plugin's other hooks are called"
)
NO_METRICS = (
    "this server never asks for the plugin's metrics: it loads plugins over gRPC, and released"
    " servers alone do; serve them on a route of the app as well"
)

IMPLEMENTED = Hook("Implemented", "lifecycle")
"""No hook that a plugin registers, but its messages stand where those of the hooks do."""

DEADLINE_MARGIN = 2.0  # s that OnDeactivate stays below the host's deadline (row L4)


class RPC:
    """One RPC of the host's, with one message each way.

    Attributes:
        name: as the contract has it.
        answer: ``await answer(request, left, overdue)`` returns the response.
        default: returns the response for a call that failed on its way.
        is_drained: it has to run in the plugin's TaskSet, because a stop waits for it.
    """

    __slots__ = ("_row", "answer", "default", "is_drained", "name")

    def __init__(
        self, row: Hook, answer: Answer, default: Callable[[], Message], *, is_drained: bool
    ) -> None:
        self.name = row.rpc
        self.answer = answer
        self.default = default
        self.is_drained = is_drained
        self._row = row

    @property
    def request(self) -> type[Message]:
        """The class of the request; its module is imported when this is first read."""
        return self._row.messages[0]

    @property
    def response(self) -> type[Message]:
        """The class of the response; its module is imported when this is first read."""
        return self._row.messages[1]


class Dispatch:
    """The RPCs of one plugin.

    Args:
        settings: the plugin's.
        life: the plugin's; the lifecycle RPCs move it.
        released: the wire is that of released servers, with the hooks that gRPC lacks.

    Attributes:
        rpcs: by name, without ServeHTTP. A name that is not here is no RPC of this wire.
    """

    def __init__(self, settings: Settings, life: Life, *, released: bool = False) -> None:
        self._settings = settings
        self._life = life
        self._released = released
        self._said: set[str] = set()
        own: dict[str, Answer] = {
            "Implemented": self._implemented,
            "OnActivate": self._on_activate,
            "OnDeactivate": self._on_deactivate,
            "OnConfigurationChange": self._on_configuration_change,
        }
        calls = HookCalls(life, settings.hook_budget)
        self.rpcs = {
            row.rpc: RPC(
                row,
                own.get(row.rpc) or functools.partial(calls.answer, row),
                functools.partial(calls.default, row),
                is_drained=row.rpc not in own,
            )
            for row in (IMPLEMENTED, *HOOKS.values())
            if released or not row.since
        }

    async def _implemented(
        self, request: Message, left: float | None, overdue: Overdue
    ) -> ImplementedResponse:
        self._life.load()
        listed = self._life.hooks.keys() | {hook.name for hook in LIFECYCLE}
        names = [hook.rpc for name, hook in HOOKS.items() if name in listed]
        if absent := [name for name in names if name not in self.rpcs]:
            absent_names = ", ".join(snake_case(name) for name in absent)
            self._say_once(logging.WARNING, NEVER_CALLED, absent_names)
            names = [name for name in names if name in self.rpcs]
        loaded = self._life.loaded
        if loaded is not None and loaded.app is not None:
            names.append("ServeHTTP")
        if loaded is not None and loaded.metrics is not None:
            if self._released:
                names.append("ServeMetrics")
            else:
                self._say_once(logging.INFO, NO_METRICS)
        return ImplementedResponse(hooks=names)

    def _say_once(self, level: int, text: str, *args: object) -> None:
        if text not in self._said:  # the host asks twice
            self._said.add(text)
            logger.log(level, text, *args)

    async def _on_activate(
        self, request: Message, left: float | None, overdue: Overdue
    ) -> OnActivateResponse:
        fault = await self._life.activate()
        error = None if fault is None else app_error("OnActivate", fault)
        return OnActivateResponse(error=error)

    async def _on_deactivate(
        self, request: Message, left: float | None, overdue: Overdue
    ) -> OnDeactivateResponse:
        budget = self._settings.drain
        if left is not None:
            budget = max(0.0, min(budget, left - DEADLINE_MARGIN))
        await self._life.deactivate(budget)
        return OnDeactivateResponse()

    async def _on_configuration_change(
        self, request: Message, left: float | None, overdue: Overdue
    ) -> OnConfigurationChangeResponse:
        fault = await self._life.reconfigure()
        error = None if fault is None else app_error("OnConfigurationChange", fault)
        return OnConfigurationChangeResponse(error=error)


def app_error(where: str, text: str) -> AppError:
    """Return an AppError with the text where the host keeps it: it drops ``message`` (row H5)."""
    return AppError(
        id=f"mm_asgi.{where}", message=text, detailed_error=text, where=where, status_code=500
    )
