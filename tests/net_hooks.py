"""A hook's request and response as the gRPC contract has them, for a host that calls Go methods.

The messages' fields stand in the order of the Go signature, after `context`; their names are those of
Mattermost's JSON, but for a few. This is a judge's own reading of both: it uses none of the tables by
which mm_asgi translates.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from mm_asgi.protocol import hooks_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

__all__ = ["HOOKS", "arguments_of", "response_of"]

HOOKS = hooks_pb2.DESCRIPTOR.services_by_name["PluginHooks"].methods_by_name
CONTEXT = {
    "session_id": "SessionId",
    "request_id": "RequestId",
    "ip_address": "IPAddress",
    "accept_language": "AcceptLanguage",
    "user_agent": "UserAgent",
}
"""plugin.Context has no JSON names: its Go names count."""
RENAMED = {
    "PluginContext": CONTEXT,
    "Channel": {"channel_type": "type"},
    "FileInfo": {"creator_id": "user_id"},
    "OnInstallEvent": {"user_id": "UserId"},
    "PushNotification": {"is_crt": "is_crt_enabled"},
}
"""Fields of messages that are called otherwise in Mattermost's JSON. A few fields that JSON does not
carry at all (TeamMember.create_at) cannot be given; the host refuses a name that it does not know."""
NUMBERS = ("badge", "cont_ava")
"""Fields of PushNotification that are text in the contract."""
LETTERS = {"OPEN": "O", "PRIVATE": "P", "DIRECT": "D", "GROUP": "G", "INVITE": "I"}
"""Enum values, by the last word of their names, that are letters on a server."""


def arguments_of(hook: str, request: dict[str, Any]) -> list[Any]:
    """Return the arguments of the Go method for a request as protojson.

    Raises:
        KeyError: there is no such hook.
        json_format.ParseError: the request has a field that the hook does not.
    """
    kind = HOOKS[hook].input_type
    message = json_format.ParseDict(request, GetMessageClass(kind)())
    fields = [field for field in kind.fields if field.name != "context"]
    return [_argument(message, field) for field in fields]


def _argument(message: Message, field: FieldDescriptor) -> Any:
    # What was not set is a zero value there: Go's own code follows most pointers unchecked.
    if field.message_type and not field.is_repeated and not message.HasField(field.name):
        return {}
    return _field(message, field)


def _field(message: Message, field: FieldDescriptor) -> Any:
    held = getattr(message, field.name)
    if not field.is_repeated:
        return _value(field, held)
    if field.message_type and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        return {str(key): _value(inner, held[key]) for key in held}
    return [_value(field, one) for one in held]


def _value(field: FieldDescriptor, held: Any) -> Any:
    if field.message_type is not None:
        return _struct(held)
    if field.enum_type is not None:
        return LETTERS[field.enum_type.values_by_number[held].name.rpartition("_")[2]]
    return base64.b64encode(held).decode() if isinstance(held, bytes) else held


def _struct(message: Message) -> Any:
    kind = message.DESCRIPTOR
    if "value" in kind.fields_by_name and kind.full_name.startswith("google.protobuf."):
        return getattr(message, "value", None)  # a wrapper: a scalar that may be absent
    if kind.full_name.startswith("google.protobuf."):
        return json_format.MessageToDict(message)
    if kind.name.endswith("Json"):  # the whole of a Go value, as JSON in bytes
        return json.loads(getattr(message, kind.fields[0].name) or b"{}")
    names = RENAMED.get(kind.name, {})
    found = {
        names.get(field.name, field.name): _field(message, field)
        for field, _ in message.ListFields()
    }
    if kind.name == "PushNotification":
        found.update({name: int(found[name]) for name in NUMBERS if name in found})
    return found


def response_of(hook: str, results: list[Any], written: str | None) -> dict[str, Any]:
    """Return the response as protojson for the results of the Go method.

    Args:
        hook: its name.
        results: without the error, in Mattermost's JSON.
        written: base64 of what went to an io.Writer.

    Raises:
        KeyError: there is no such hook.
        json_format.ParseError: a result has another type than the response's field.
    """
    kind = HOOKS[hook].output_type
    left = list(results)
    given: dict[str, Any] = {}
    for field in kind.fields:
        if field.name == "error":
            continue
        value = written if field.name == "modified_content" else left.pop(0)
        if value is None:
            continue
        given[field.name] = value if field.message_type is None else _contract(field, value)
    message = json_format.ParseDict(given, GetMessageClass(kind)(), ignore_unknown_fields=True)
    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def _contract(field: FieldDescriptor, value: Any) -> Any:
    """Take Mattermost's JSON back to the message's names; inside of it they are the same."""
    kind = field.message_type
    assert kind is not None
    if kind.name.endswith("Json"):
        return {kind.fields[0].name: base64.b64encode(json.dumps(value).encode()).decode()}
    if not isinstance(value, dict):
        return value
    names = {there: here for here, there in RENAMED.get(kind.name, {}).items()}
    found = {names.get(name, name): held for name, held in value.items()}
    if kind.name == "PushNotification":
        found.update({name: str(found[name]) for name in NUMBERS if name in found})
    return found
