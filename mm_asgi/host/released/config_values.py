"""JSON of the contract as the structs that Go sends: a config, a licence, a notification.

The way back of ``wire/netrpc/gojson.py``, which only reads: a plugin never sends these. What JSON
has and the tables lack is left out, and so is what has another type.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.host.released.go_values import as_go_sends
from mm_asgi.wire.netrpc.gob_values import GoTime, write_time
from mm_asgi.wire.netrpc.gojson import TIME
from mm_asgi.wire.netrpc.shapes import fields_of
from mm_asgi.wire.netrpc.tables import JSON_NAMES

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["from_json", "json_fields"]

_CONTAINER = re.compile(r"\[\d*\]|map\[\w+\]")
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "bool": bool, "int": int, "uint": int, "float": (int, float), "string": str,
}  # fmt: skip
_EMBEDDED = {("model.EmailNotification", "EmailNotificationContent")}


def json_fields(message: Message, struct: str) -> dict[str, Any]:
    """Return the struct's fields whose messages are JSON."""
    found = {}
    for field in fields_of(struct):
        if field.rule.split("_in_")[0] != "json" or not field.target:
            continue
        held: Any = getattr(message, field.target)
        inside = field.rule.partition("_in_")[2]
        text: bytes = getattr(held, inside) if inside else held
        if text:
            found[field.name] = from_json(field.shape, json.loads(text))
    return found


def from_json(shape: str, value: Any) -> Any:
    """Return what Go has of a JSON value, without zeros; None: the JSON has another type."""
    return as_go_sends(shape, _decoded(shape, value))


def _decoded(shape: str, value: Any) -> Any:
    kinds: Any = _TYPES.get(shape, ())
    if shape in JSON_NAMES:
        return _struct(shape, value) if isinstance(value, dict) else None
    if match := _CONTAINER.match(shape):
        return _container(match[0], shape[match.end() :], value)
    if shape == "interface":
        return value
    if shape == TIME:
        return _time(value)
    if isinstance(value, str) and shape == "bytes":
        return base64.b64decode(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and shape != "bool"):
        return None
    return value * 1.0 if shape == "float" else value


def _struct(struct: str, value: dict[str, Any]) -> dict[str, Any]:
    shapes = {field.name: field.shape for field in fields_of(struct)}
    found: dict[str, Any] = {}
    for pair in JSON_NAMES[struct].split():
        field, _, tag = pair.partition(":")
        name = tag.split(",")[0] or field
        held = value if (struct, field) in _EMBEDDED else value.get(name)
        if name == "-" or held is None:
            continue
        if (decoded := _decoded(shapes[field], held)) is not None:
            found[field] = decoded
    return found


def _container(kind: str, inner: str, value: Any) -> Any:
    if kind.startswith("map"):
        if not isinstance(value, dict):
            return None
        made = {key: _decoded(inner, one) for key, one in value.items()}
        return {key: one for key, one in made.items() if one is not None}
    if not isinstance(value, list):
        return None
    return [one for one in (_decoded(inner, each) for each in value) if one is not None]


def _time(value: Any) -> bytes | None:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    offset = time.utcoffset()
    seconds = int(time.timestamp())
    zone = None if not offset else int(offset.total_seconds())
    return write_time(GoTime(seconds, time.microsecond * 1000, zone))
