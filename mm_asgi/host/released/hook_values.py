"""A hook's request as the arguments of Go's method, and its returns as a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mm_asgi.host.released.config_values import json_fields
from mm_asgi.host.released.go_values import as_go_sends, merged
from mm_asgi.wire.netrpc.shapes import fields_of
from mm_asgi.wire.netrpc.tables import HOOKS, STRUCTS
from mm_asgi.wire.netrpc.translate import fill, values_of

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["arguments_of", "response_of"]

_DECODED_INTO: Final = {
    "MessageWillBePosted": "B",
    "FileWillBeUploaded": "B",
    "ChannelMemberWillBeAdded": "B",
    "TeamMemberWillBeAdded": "B",
}
"""The argument that the returns begin with: client_rpc.go decodes the answer's A into it."""


def arguments_of(name: str, request: Message) -> dict[str, Any]:
    """Return the arguments of a hook's method; a struct that is not set is there, and empty."""
    struct = HOOKS[name][0]
    if struct not in STRUCTS:
        return {}
    values = values_of(request, struct) | json_fields(request, struct)
    for field in fields_of(struct):
        if field.shape in STRUCTS:
            values.setdefault(field.name, {})
    sent: dict[str, Any] = as_go_sends(struct, values)
    return sent


def response_of(name: str, answer: type[Any], arguments: dict[str, Any], returned: Any) -> Any:
    """Return a hook's response, as the caller of client_rpc.go has it."""
    response = answer()
    struct = HOOKS[name][1]
    if name == "Implemented":
        response.hooks.extend(returned or ())
    elif struct in STRUCTS:
        if given := _DECODED_INTO.get(name):
            before = {"A": arguments.get(given, {})}
            returned = merged(struct, before, returned)
        fill(response, struct, returned)
    return response
