"""A call of the host's API over net/rpc: a message in, a message out, by the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.wire.netrpc.live_calls import RPCCaller
from mm_asgi.wire.netrpc.shapes import gob_type
from mm_asgi.wire.netrpc.tables import CALLS
from mm_asgi.wire.netrpc.translate import fill, values_of
from mm_asgi.wire.port import RPCError, StatusCode

if TYPE_CHECKING:
    from mm_asgi.wire.netrpc.mux_link import MuxLink
    from mm_asgi.wire.netrpc.plugin_session import PluginSession

__all__ = ["APICaller"]


class APICaller:
    """Makes calls of one session's host.

    Args:
        session: the host's connection.
        number: the broker's number that the API is offered on.

    Attributes:
        link: the connection, for streams beside a call.
        has_http_streams: whether the host may have PluginHTTPStream; False once it has said no.
    """

    def __init__(self, session: PluginSession, number: int) -> None:
        self.link: MuxLink = session.link
        self.has_http_streams = True
        self._caller = RPCCaller(session.book)
        session.link.dial(number, self._caller)

    async def call(
        self, name: str, request: Any, response: type[Any], more: dict[str, Any] | None = None
    ) -> Any:
        """Make one call of the tables.

        Args:
            name: the call.
            request: its message.
            response: the class of its answer.
            more: arguments that no message has.

        Raises:
            CallRefused: the host answered with an error of net/rpc.
            ConnectionError: the connection is lost.
            TypeError, ValueError: the message has what Go's type cannot hold. Nothing was sent.
            RPCError: the answer does not fit the message.
        """
        values = values_of(request, CALLS[name][0]) | (more or {})
        returned = await self.call_raw(name, values)
        message = response()
        try:
            fill(message, CALLS[name][1], returned)
        except (AttributeError, TypeError, ValueError) as exc:
            text = f"{name}: the server's answer has another form than expected: {exc}"
            raise RPCError(StatusCode.INTERNAL, text) from exc
        return message

    async def call_raw(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """Make one call with Go's own values; the exceptions are those of ``call``."""
        kind = gob_type(CALLS[name][0])
        returned: dict[str, Any] = await self._caller.call(f"Plugin.{name}", kind, values)
        return returned

    def close(self) -> None:
        """End the stream; open calls may still be answered."""
        self._caller.close()
