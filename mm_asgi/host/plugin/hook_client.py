"""Calls of the plugin's hooks, by the host's rules."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mm_asgi.host.plugin.hook_answer import HookAnswer, error_of
from mm_asgi.host.plugin.host_connection import GRPC_HOST
from mm_asgi.host.plugin.host_error import HostError
from mm_asgi.host.plugin.plugin_connection import RPCFailed
from mm_asgi.protocol import hooks_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import MethodDescriptor

    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.host.plugin.plugin_connection import HostWire, PluginConnection

__all__ = ["HookAnswer", "HookClient"]

HOOK_TIMEOUT = 30.0
"""Seconds; hooks_grpc_client.go's deadline of every unary hook."""

_METHODS: Mapping[str, MethodDescriptor] = hooks_pb2.DESCRIPTOR.services_by_name[
    "PluginHooks"
].methods_by_name
_LIFECYCLE = ("OnActivate", "OnDeactivate", "OnConfigurationChange", "ServeHTTP")


class HookClient:
    """Call hooks over one connection, if the plugin implements them.

    Attributes:
        timeout: seconds for each hook; None: no deadline.
        names: the hooks that the first Implemented listed.
    """

    def __init__(
        self,
        connection: PluginConnection,
        log: HostLog,
        timeout: float = HOOK_TIMEOUT,
        wire: HostWire = GRPC_HOST,
    ) -> None:
        self.timeout = timeout if wire.has_deadlines else None
        self.names: tuple[str, ...] = ()
        self._connection = connection
        self._log = log
        self._wire = wire
        # The host calls Implemented twice. The first answer allows each single hook, the second
        # those hooks that the host runs over all plugins.
        self._first: frozenset[str] = frozenset()
        self._second: frozenset[str] = frozenset()

    async def learn(self) -> None:
        """Call Implemented twice.

        Raises:
            HostError: either call failed; the start has failed then.
        """
        self.names = await self._ask_implemented(
            "failed to create gRPC hooks client: failed to query implemented hooks: "
        )
        for name in self.names if self._wire.protocol == "grpc" else ():
            if name not in _METHODS and name != "ServeMetrics":
                self._log.host("warn", "Unknown hook name from Python plugin", name=name)
        self._first = frozenset(self.names)
        self._second = frozenset(await self._ask_implemented("failed to query implemented hooks: "))

    async def _ask_implemented(self, about: str) -> tuple[str, ...]:
        answer = await self._call_rpc("Implemented", None, self.timeout)
        if answer.error is not None:
            raise HostError("implemented", about + answer.error)
        if answer.code != "OK" and self._wire.protocol == "netrpc":
            raise HostError("implemented", answer.message)
        if answer.code != "OK":
            raise HostError(
                "implemented",
                f"{about}gRPC Implemented call failed: {answer.code}: {answer.message}",
            )
        return tuple(answer.response.hooks)

    def lists(self, name: str) -> bool:
        """Return whether the first Implemented lists the hook."""
        return name in self._first

    def callable(self, name: str) -> bool:
        """Return whether the host would call the hook."""
        if name == "Implemented":
            return True
        return name in self._first and (name in _LIFECYCLE or name in self._second)

    async def lifecycle(self, name: str, timeout: float | None = None) -> str | None:
        """Call a lifecycle hook if it is listed, and return its error as the admin sees it."""
        if not self.lists(name):
            return None
        answer = await self._call_rpc(name, None, timeout or self.timeout)
        if answer.code != "OK":
            lost = self._wire.lost_call.format(name)
            if self._wire.forgives:
                self._log.host("error", lost, error=answer.message)
                return None
            error = f"{lost}: {answer.code}: {answer.message}"
            self._log.host("error", lost, error=error)
            return error
        if answer.error is not None:
            self._log.host("error", f"{name} returned error", error=answer.error)
        return answer.error

    async def call(
        self,
        name: str,
        request: Message | Mapping[str, Any] | str | None = None,
        *,
        timeout: float | None = None,
        force: bool = False,
    ) -> HookAnswer:
        """Call any unary hook by its RPC's name.

        Args:
            name: such as ``MessageWillBePosted``.
            request: its request, or protojson for it as a dict or as text.
            timeout: seconds; None: `timeout` of this client.
            force: call it although it is not listed.

        Raises:
            ValueError: PluginHooks has no such unary hook.
        """
        if name not in _METHODS or _METHODS[name].client_streaming:
            raise ValueError(f"{name}: PluginHooks has no unary hook of this name")
        listed = self.callable(name)
        if not (listed or force):
            return HookAnswer(listed=False, called=False)
        answer = await self._call_rpc(name, request, timeout or self.timeout, listed=listed)
        if answer.code != "OK":
            # The server only logs it, and goes on as if the plugin did not have the hook. Hooks
            # with an AppError in their answer are the exception.
            error = f"rpc error: code = {answer.code} desc = {answer.message}"
            self._log.host("error", self._wire.lost_call.format(name), error=error)
        return answer

    async def _call_rpc(
        self,
        name: str,
        given: Message | Mapping[str, Any] | str | None,
        timeout: float | None,
        *,
        listed: bool = True,
    ) -> HookAnswer:
        method = _METHODS[name]
        request = _make_message(method, given)
        started = time.monotonic()
        try:
            response = await self._connection.hook(
                name, request, GetMessageClass(method.output_type), timeout
            )
        except RPCFailed as exc:
            return HookAnswer(
                listed=listed,
                called=True,
                code=exc.code,
                message=exc.details,
                seconds=time.monotonic() - started,
            )
        return HookAnswer(
            listed=listed,
            called=True,
            response=response,
            error=error_of(response, self._wire.show_error),
            seconds=time.monotonic() - started,
        )


def _make_message(
    method: MethodDescriptor, given: Message | Mapping[str, Any] | str | None
) -> Message:
    if isinstance(given, Message):
        return given
    message = GetMessageClass(method.input_type)()
    if isinstance(given, str):
        json_format.Parse(given, message)
    elif given:
        json_format.ParseDict(dict(given), message)
    return message
