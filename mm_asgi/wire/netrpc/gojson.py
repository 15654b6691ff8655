"""The JSON that Go's encoding/json would make of a struct that gob has decoded.

The contract has a config, a licence and a few more as JSON, because protobuf has no message for
them. Over net/rpc they arrive as structs. gob leaves out what is zero, also behind a pointer, so a
field that is absent is written as its zero value: for a setting that is a pointer to false this is
the truth, since the server sets every one of them.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from mm_asgi.wire.netrpc.gob_values import GoTime, Registered, read_time
from mm_asgi.wire.netrpc.shapes import fields_of
from mm_asgi.wire.netrpc.tables import JSON_NAMES

__all__ = ["as_json", "plain"]

_CONTAINER = re.compile(r"\[\d*\]|map\[\w+\]")

TIME: Final = "GobEncoder(time.Time)"
ZERO_TIME: Final = "0001-01-01T00:00:00Z"
_ZERO: Final[dict[str, Any]] = {
    "bool": False,
    "string": "",
    "int": 0,
    "uint": 0,
    "float": 0,
    TIME: ZERO_TIME,
}

# Embedded in Go: their fields stand among those of the struct around them.
_EMBEDDED = {("model.EmailNotification", "EmailNotificationContent")}


def plain(value: Any) -> Any:
    """Return an interface's value without its type names, down to basic values, lists and dicts."""
    if isinstance(value, Registered):
        value = value.value
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def as_json(shape: str, value: Any) -> Any:
    """Return what ``json.dumps`` needs to write a value as Go would.

    Args:
        shape: the value's type, as tables.py spells it.
        value: what gob decoded; None: the zero value.
    """
    if shape in JSON_NAMES:
        return _object(shape, value or {})
    if match := _CONTAINER.match(shape):
        return _container(shape[match.end() :], match[0], value)
    if value is None:
        return _ZERO.get(shape)
    if isinstance(value, bytes):
        return _rfc3339(read_time(value)) if shape == TIME else base64.b64encode(value).decode()
    return plain(value)


def _object(struct: str, values: dict[str, Any]) -> dict[str, Any]:
    shapes = {field.name: field.shape for field in fields_of(struct)}
    made: dict[str, Any] = {}
    for pair in JSON_NAMES[struct].split():
        field, _, tag = pair.partition(":")
        name, *options = tag.split(",")
        if name == "-" or (field not in values and "omitempty" in options):
            continue
        written = as_json(shapes[field], values.get(field))
        if (struct, field) in _EMBEDDED:
            made |= written
        else:
            made[name or field] = written
    return made


def _container(inner: str, kind: str, value: Any) -> Any:
    if kind.startswith("map"):
        return {str(key): as_json(inner, one) for key, one in (value or {}).items()}
    return [as_json(inner, one) for one in value or ()]


def _rfc3339(time: GoTime) -> str:
    zone = UTC if time.offset is None else timezone(timedelta(seconds=time.offset))
    try:
        whole = datetime.fromtimestamp(time.seconds, zone)
    except (OverflowError, ValueError, OSError):  # a year that Python has not
        return ZERO_TIME
    fraction = f"{time.nanoseconds:09}".rstrip("0")
    text = whole.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    offset = "Z" if time.offset is None else whole.isoformat()[-6:]
    return text + (f".{fraction}" if fraction else "") + offset
