"""The server's calls of the plugin's hooks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.protobuf.message_factory import GetMessageClass

from mm_asgi.host.mattermost.journal import HookCall
from mm_asgi.host.plugin.hook_answer import HookAnswer
from mm_asgi.protocol import hooks_pb2
from mm_asgi.protocol.hooks_common_pb2 import PluginContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from mm_asgi.host.mattermost.clock import Clock
    from mm_asgi.host.mattermost.journal import Journal

    HookCaller = Callable[[str, Message], Awaitable[HookAnswer]]

__all__ = ["Raiser"]

_METHODS: Mapping[str, MethodDescriptor] = hooks_pb2.DESCRIPTOR.services_by_name[
    "PluginHooks"
].methods_by_name


class Raiser:
    """Call hooks: await those that may change something, run the others in the background.

    Attributes:
        caller: the function that calls the plugin. None: there is no plugin, and no hook is called.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self.caller: HookCaller | None = None
        self._journal = journal
        self._clock = clock
        self._tasks: set[asyncio.Task[HookAnswer]] = set()

    async def call(
        self, name: str, context: PluginContext | None = None, **fields: Any
    ) -> HookAnswer:
        """Call a hook and return its answer."""
        return await self._call_plugin(name, _make_request(name, context, fields))

    def notify(self, name: str, context: PluginContext | None = None, **fields: Any) -> None:
        """Call a hook that cannot change anything, in a task, as the server does in a goroutine."""
        if self.caller is None:
            return
        # Make the request now, so that it has the state of this moment.
        task = asyncio.create_task(
            self._call_plugin(name, _make_request(name, context, fields)), name=name
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until all background hooks have ended, those that they caused included."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """Cancel the background hooks, and call no more."""
        self.caller = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _call_plugin(self, name: str, request: Message) -> HookAnswer:
        if self.caller is None:
            return HookAnswer(listed=False, called=False)
        answer = await self.caller(name, request)
        if answer.called:
            self._journal.add(
                HookCall(name=name, request=request, answer=answer, time=self._clock.now())
            )
        return answer


def _make_request(name: str, context: PluginContext | None, fields: Mapping[str, Any]) -> Message:
    method = _METHODS[name]
    given = dict(fields)
    if "plugin_context" in method.input_type.fields_by_name:
        # A call by the plugin itself has an empty one: app.EmptyContext.
        given["plugin_context"] = context or PluginContext()
    return GetMessageClass(method.input_type)(**given)
