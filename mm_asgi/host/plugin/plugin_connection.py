"""What the host's client needs of a connection to a plugin, whatever the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from mm_asgi.host.plugin.log import HostLog

__all__ = ["HostWire", "PluginConnection", "RPCFailed"]


class RPCFailed(Exception):
    """A call of the plugin failed on its way.

    Attributes:
        code: the name of the gRPC status, such as ``UNAVAILABLE``, which net/rpc has only one of.
        number: its number.
        details: its text.
    """

    def __init__(self, code: str, number: int, details: str | None) -> None:
        super().__init__(f"rpc error: code = {code} desc = {details or ''}")
        self.code = code
        self.number = number
        self.details = details or ""


class PluginConnection(Protocol):
    """A connection to one plugin process."""

    async def open(self) -> None:
        """Dial, and open what the host opens first.

        Raises:
            RPCFailed: nobody answers.
        """

    async def hook(
        self, name: str, request: Message, answer: type[Any], timeout: float | None
    ) -> Any:
        """Call a hook and return its response, of the class ``answer``.

        Raises:
            RPCFailed: the call failed on its way.
        """

    async def ping(self, timeout: float | None = None) -> None:
        """Ping the plugin as the health check does; RPCFailed: it did not answer."""

    async def shutdown(self, timeout: float | None = None) -> None:
        """Ask the process to end; RPCFailed: it did not answer."""

    async def close(self) -> None:
        """Close the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWire:
    """How the host meets a plugin.

    Attributes:
        protocol: the handshake's word for it: ``grpc`` or ``netrpc``.
        connect: makes a connection to the handshake's address; it is not open.
        has_deadlines: a hook has a deadline of the host's.
        forgives: a lifecycle hook whose call fails on its way counts as done.
        lost_call: the log's line about a hook whose call fails on its way.
        show_error: returns an AppError as an admin sees it.
        gone_status: what requests get of a process that has ended by itself.
    """

    protocol: str
    connect: Callable[[str, HostLog], PluginConnection]
    has_deadlines: bool
    forgives: bool
    lost_call: str
    show_error: Callable[[Any], str]
    gone_status: int
