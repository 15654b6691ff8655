"""The plugin's API over net/rpc, answered by the in-memory Mattermost.

The twin of ``mattermost/service.py``. A call's arguments become the request that gRPC would have
sent, and the response becomes Go's returns. Each call runs in a task, as in a goroutine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost.answering import METHODS, answer, request_class
from mm_asgi.host.mattermost.app_errors import AppError, GoError, RPCRefused
from mm_asgi.host.released.config_values import json_fields
from mm_asgi.host.released.go_values import WrongType, as_go_sends, check
from mm_asgi.wire.netrpc.gob_values import Registered
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING
from mm_asgi.wire.netrpc.shapes import fields_of, gob_type
from mm_asgi.wire.netrpc.tables import CALLS, STRUCTS
from mm_asgi.wire.netrpc.translate import fill, values_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.host.released.released_connection import ReleasedConnection
    from mm_asgi.wire.netrpc.live_calls import RPCAnswerer
    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall

__all__ = ["APIService"]


class APIService:
    """Serves one Mattermost's API to plugins.

    Args:
        mattermost: the server; None: it has no API, and every call is unknown.
        lacks: the calls that the server's version does not have.
    """

    def __init__(self, mattermost: ServerState | None, lacks: Collection[str] = ()) -> None:
        self._mm = mattermost
        self._lacks = frozenset(lacks)

    def serve(
        self, call: IncomingCall, answerer: RPCAnswerer, connection: ReleasedConnection
    ) -> None:
        """Answer one call, now or later."""
        name = call.method.removeprefix("Plugin.")
        if self._mm is None or name not in CALLS or name not in METHODS or name in self._lacks:
            answerer.refuse(call, f"rpc: can't find method {call.method}")
            return
        connection.spawn(self._answer(self._mm, name, call, answerer), f"API {name}")

    async def _answer(
        self, mm: ServerState, name: str, call: IncomingCall, answerer: RPCAnswerer
    ) -> None:
        takes, returns = CALLS[name]
        request: Any = request_class(name)()
        try:
            if takes in STRUCTS:
                check(takes, call.arguments)
                fill(request, takes, call.arguments)
            response = await answer(mm, name, request)
        except WrongType as exc:
            answerer.refuse(call, f"gob: {exc}")
        except (AppError, GoError) as exc:
            self._reply(call, answerer, returns, _error(returns, exc))
        except RPCRefused as exc:
            if exc.code == "UNIMPLEMENTED":  # the simulated server is the one that lacks it
                answerer.refuse(call, f"rpc: can't find method {call.method}")
            else:
                answerer.refuse(call, exc.details)
        else:
            values: dict[str, Any] = {}
            if returns in STRUCTS:
                values = values_of(response, returns) | json_fields(response, returns)
            self._reply(call, answerer, returns, values)

    def _reply(
        self, call: IncomingCall, answerer: RPCAnswerer, returns: str, values: dict[str, Any]
    ) -> None:
        if returns in STRUCTS:
            answerer.reply(call, gob_type(returns), as_go_sends(returns, values))
        else:
            answerer.reply(call, NOTHING, {})


def _error(returns: str, exc: AppError | GoError) -> dict[str, Any]:
    """Return the returns of a call that has failed.

    An AppError stays one. Another error of Go's is its text (client_rpc.go, encodableError).
    """
    for field in fields_of(returns) if returns in STRUCTS else ():
        if field.target != "error":
            continue
        if isinstance(exc, GoError):
            return {field.name: Registered("*plugin.ErrorString", {"Err": str(exc)})}
        values = values_of(exc.to_wire(), "model.AppError")
        if field.shape == "interface":
            return {field.name: Registered("*model.AppError", values)}
        return {field.name: values}
    return {}
