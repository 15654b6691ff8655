"""Answers to the 236 unary RPCs of the PluginAPI, the same on every wire.

The calls of `table.py` are answered from the state. All others are UNIMPLEMENTED; a real server, too,
answers 36 of them so.
"""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING

from google.protobuf.message_factory import GetMessageClass

from mm_asgi.host.mattermost.app_errors import AppError, GoError, RPCRefused
from mm_asgi.host.mattermost.journal import APICall
from mm_asgi.host.mattermost.table import CALLS, IN_RESPONSE, MUST_BE_SENT, REFUSED_UNSET
from mm_asgi.protocol import api_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from mm_asgi.host.mattermost.server_state import ServerState

__all__ = ["METHODS", "REQUEST_LIMIT", "SERVICE", "answer", "request_class"]

_DESCRIPTOR = api_pb2.DESCRIPTOR.services_by_name["PluginAPI"]

SERVICE = f"/{_DESCRIPTOR.full_name}/"
METHODS: Mapping[str, MethodDescriptor] = _DESCRIPTOR.methods_by_name

REQUEST_LIMIT = 4 * 1024 * 1024
"""Bytes: gRPC's default limit, which the host does not raise."""


def request_class(name: str) -> type[Message]:
    """Return the class of a call's request."""
    return GetMessageClass(METHODS[name].input_type)


async def answer(mm: ServerState, name: str, request: Message) -> Message:
    """Answer one call, and keep it in the journal.

    Args:
        mm: the server.
        name: the RPC's name.
        request: its request.

    Raises:
        AppError, GoError, RPCRefused: the call ends with the gRPC status ``code``, ``details``.
    """
    started = time.monotonic()
    failed: AppError | GoError | RPCRefused | None = None
    response: Message | None = None
    error = ""
    try:
        response = await _make_response(mm, name, request)
    except AppError as exc:
        if name in IN_RESPONSE:
            response = GetMessageClass(METHODS[name].output_type)(error=exc.to_wire())
            error = exc.id
        else:
            failed = exc
    except (GoError, RPCRefused) as exc:
        failed = exc
    mm.journal.add(
        APICall(
            name=name,
            request=request,
            response=response,
            code=failed.code if failed is not None else "OK",
            error=failed.details if failed is not None else error,
            time=mm.clock.now(),
            seconds=time.monotonic() - started,
        )
    )
    if failed is not None:
        raise failed
    assert response is not None
    return response


async def _make_response(mm: ServerState, name: str, request: Message) -> Message:
    call = CALLS.get(name)
    if call is None:
        raise RPCRefused("UNIMPLEMENTED", f"method {name} not implemented")
    _check_fields(mm, name, request)
    try:
        fields = call(mm, request)
        if inspect.isawaitable(fields):
            fields = await fields
    except (AppError, GoError, RPCRefused):
        raise
    except Exception as exc:
        # A fault of the simulated server itself: log it and go on.
        _log_line(mm, "error", "the simulated API failed", call=name, error=repr(exc))
        raise RPCRefused("INTERNAL", f"{name}: {exc!r}") from exc
    return GetMessageClass(METHODS[name].output_type)(**(fields or {}))


def _check_fields(mm: ServerState, name: str, request: Message) -> None:
    field = REFUSED_UNSET.get(name)
    if field is not None and not request.HasField(field):
        raise RPCRefused("INVALID_ARGUMENT", f"{field} is required")
    field = MUST_BE_SENT.get(name)
    if field is not None and not request.HasField(field):
        text = f"{name}: {field} is not set, and a real server would crash here; always send it"
        _log_line(mm, "error", text)
        raise RPCRefused("INTERNAL", text)


def _log_line(mm: ServerState, level: str, message: str, **fields: object) -> None:
    if mm.log is not None:
        mm.log.host(level, message, **fields)
