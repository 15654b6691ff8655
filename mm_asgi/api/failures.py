"""The host's two ways to report a failure, as one tree of errors (row A1). Pure.

Posts, the key-value store and files carry an AppError in an answer whose status is OK; all other
calls end with a gRPC status whose text is ``<AppError id>: <message>``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mm_asgi.api.call_shape import RELEASED_SERVICE
from mm_asgi.errors import (
    AlreadyExists,
    APIError,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from mm_asgi.wire.port import StatusCode

if TYPE_CHECKING:
    from mm_asgi.wire.port import RPCError

__all__ = ["from_app_error", "from_status"]

# The host's own table, read backwards. RESOURCE_EXHAUSTED stands for two HTTP codes, and for
# messages that gRPC finds too large; INTERNAL stands for all failures without their own status.
_STATUS: dict[StatusCode, tuple[type[APIError], int]] = {
    StatusCode.INVALID_ARGUMENT: (InvalidArgument, 400),
    StatusCode.UNAUTHENTICATED: (Unauthenticated, 401),
    StatusCode.PERMISSION_DENIED: (PermissionDenied, 403),
    StatusCode.NOT_FOUND: (NotFound, 404),
    StatusCode.ALREADY_EXISTS: (AlreadyExists, 409),
    StatusCode.RESOURCE_EXHAUSTED: (ResourceExhausted, 0),
    StatusCode.INTERNAL: (Internal, 500),
    StatusCode.UNIMPLEMENTED: (Unimplemented, 501),
    StatusCode.UNAVAILABLE: (Unavailable, 503),
    # These come from this side: no answer came, which Unavailable means.
    StatusCode.DEADLINE_EXCEEDED: (Unavailable, 0),
    StatusCode.CANCELLED: (Unavailable, 0),
}
_HTTP = {status: kind for kind, status in _STATUS.values() if status} | {
    413: ResourceExhausted,
    429: ResourceExhausted,
}
_ID = re.compile(r"([\w-]+(?:\.[\w-]+)+): (.*)", re.DOTALL)


def from_status(name: str, error: RPCError, timeout: float | None) -> APIError:
    """Return the APIError of a call that ended with a status that is not OK.

    Args:
        name: the RPC's name.
        error: the status.
        timeout: the call's timeout in seconds, or None.
    """
    kind, status_code = _STATUS.get(error.code, (Internal, 0))
    id, text = "", error.text
    if error.code is StatusCode.DEADLINE_EXCEEDED and timeout is not None:
        text = (
            f"{name}: no answer in {timeout:g} s; the host may still do what it was asked; "
            "raise the setting api-timeout if it needs longer"
        )
    elif error.code is StatusCode.UNIMPLEMENTED and RELEASED_SERVICE.strip("/") in error.text:
        # A gRPC server names the service that it does not have.
        text = (
            f"{name}: released servers alone have this call, and this one loads plugins over gRPC"
        )
    elif error.code is StatusCode.CANCELLED:
        text = f"{name}: ended before the answer came: {error.text}"
    elif match := _ID.fullmatch(error.text):
        id, text = match.groups()
    made = kind(text or error.code.name, id=id, status_code=status_code)
    made.add_note(f"call: {name}; status: {error.code.name}")
    return made


def from_app_error(name: str, error: Any) -> APIError:
    """Return the APIError of an answer whose field ``error`` is set.

    Args:
        name: the RPC's name.
        error: the field, an AppError.
    """
    made = _HTTP.get(error.status_code, Internal)(
        error.message,
        id=error.id,
        detailed_error=error.detailed_error,
        status_code=error.status_code,
        where=error.where,
    )
    made.add_note(f"call: {name}; the host's request: {error.request_id or 'unnamed'}")
    return made
