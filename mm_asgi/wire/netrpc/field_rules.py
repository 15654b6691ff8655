"""Rules for the fields that Go and our messages say differently, by the names in netrpc.toml.

Most fields pair by name and kind, and translate.py carries them over. The others are either the
gRPC branch's own inventions (a flag declared as text, a list as one string) or types that protobuf
has not (an enum that Go writes as a letter, a time, a struct that the contract sends as JSON).
A rule works on values: what gob decoded on one side, what a message's field holds on the other.

A rule that cannot say a value says nothing: ``None`` leaves the field out, which both sides read
as its zero value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mm_asgi.wire.netrpc.gob_values import GoTime, read_time, write_time
from mm_asgi.wire.netrpc.gojson import as_json, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["RULES", "Rule", "fill_struct", "struct_value"]


@dataclass(frozen=True)
class Rule:
    """How one field goes over.

    Attributes:
        read: fills the message's field from gob's value: (message, field, value, shape).
        write: returns gob's value of the message's field, None to leave it out: (message, field).
    """

    read: Callable[[Any, str, Any, str], None]
    write: Callable[[Any, str], Any]


def _simple(read: Callable[[Any], Any], write: Callable[[Any], Any]) -> Rule:
    """A rule for two scalars, where a zero value says nothing."""

    def read_field(message: Any, name: str, value: Any, shape: str) -> None:
        setattr(message, name, read(value))

    def write_field(message: Any, name: str) -> Any:
        value = getattr(message, name)
        return write(value) if value else None

    return Rule(read_field, write_field)


def _listed(read: Callable[[Any], list[str]], write: Callable[[list[str]], Any]) -> Rule:
    """A rule whose message field is a list."""

    def read_field(message: Any, name: str, value: Any, shape: str) -> None:
        getattr(message, name).extend(read(value))

    def write_field(message: Any, name: str) -> Any:
        values = list(getattr(message, name))
        return write(values) if values else None

    return Rule(read_field, write_field)


def _enum(letters: Mapping[str, int]) -> Rule:
    names = {number: letter for letter, number in letters.items()}
    return _simple(lambda value: letters.get(value, 0), names.get)


def _flag_of_text(value: str) -> bool:
    return value.lower() not in ("", "0", "f", "false")


def _number_of_text(value: str) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None


# ------------------------------------------------------------------ google's Struct and Value


def fill_struct(struct: Any, values: Mapping[str, Any]) -> None:
    """Fill a google.protobuf.Struct with what gob decoded of a map[string]any."""
    for key, value in values.items():
        _fill_value(struct.fields[key], plain(value))


def _fill_value(target: Any, value: Any) -> None:
    if value is None:
        target.null_value = 0
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, dict):
        target.struct_value.SetInParent()
        fill_struct(target.struct_value, {str(key): one for key, one in value.items()})
    elif isinstance(value, list):
        target.list_value.SetInParent()
        for one in value:
            _fill_value(target.list_value.values.add(), one)
    else:  # bytes, which JSON would carry as base64
        target.string_value = as_json("bytes", value)


def struct_value(struct: Any) -> dict[str, Any]:
    """Return a google.protobuf.Struct as Python values, for a map[string]any of Go's."""
    return {key: python_value(value) for key, value in struct.fields.items()}


def python_value(value: Any) -> Any:
    """Return a google.protobuf.Value as a Python value; a whole number stays a float, as in JSON."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return struct_value(value.struct_value)
    if kind == "list_value":
        return [python_value(one) for one in value.list_value.values]
    if kind in (None, "null_value"):
        return None
    return getattr(value, kind)


def _read_struct_of_any(message: Any, name: str, value: Any, shape: str) -> None:
    values = plain(value)
    if isinstance(values, dict):
        fill_struct(getattr(message, name), values)


def _write_struct_as_any(message: Any, name: str) -> Any:
    return struct_value(getattr(message, name)) if message.HasField(name) else None


def _read_json_value(message: Any, name: str, value: bytes, shape: str) -> None:
    try:
        decoded = json.loads(value)
    except ValueError:
        return  # the server stored no JSON; the message has no other form for it
    _fill_value(getattr(message, name), decoded)


def _write_json_value(message: Any, name: str) -> Any:
    if not message.HasField(name):
        return None
    return json.dumps(_whole(python_value(getattr(message, name)))).encode()


def _whole(value: Any) -> Any:
    """Numbers that are whole as ints: a Value has floats alone, and 3.0 is no user's 3."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return value


# ------------------------------------------------------------------ structs that travel as JSON


def _json(inside: str = "") -> Rule:
    """A struct of Go's as the JSON that the contract has in its place.

    Args:
        inside: the field of a message around the bytes; empty: the field itself is the bytes.
    """

    def read_field(message: Any, name: str, value: Any, shape: str) -> None:
        text = json.dumps(as_json(shape, value), separators=(",", ":")).encode()
        if inside:
            setattr(getattr(message, name), inside, text)
        else:
            setattr(message, name, text)

    # Only reading: gob would drop each false and zero of the struct on the way back.
    return Rule(read_field, lambda message, name: None)


# ------------------------------------------------------------------ log calls


def _write_log_pairs(message: Any, name: str) -> Any:
    flat: list[Any] = []
    for pair in getattr(message, name):
        flat += (pair.key, _text_of(python_value(pair.value)))
    return flat or None


def _text_of(value: Any) -> str:
    """Objects as text: the host's logger prints them, and gob knows no type for them."""
    return value if isinstance(value, str) else json.dumps(_whole(value), ensure_ascii=False)


def _read_log_pairs(message: Any, name: str, value: Any, shape: str) -> None:
    for key, one in zip(value[::2], value[1::2], strict=False):
        pair = getattr(message, name).add(key=str(plain(key)))
        _fill_value(pair.value, plain(one))


_LEVELS = {
    "panic": 0, "fatal": 1, "error": 2, "warn": 3, "info": 4, "debug": 5, "trace": 6,
    "audit-api": 100, "audit-content": 101, "audit-permissions": 102, "audit-cli": 103,
}  # fmt: skip
"""The server's levels (logr, mlog/levels.go) by the names that its log has."""


def _write_level(message: Any, name: str) -> Any:
    level = getattr(message, name)
    return {"ID": _LEVELS.get(level.lower(), _LEVELS["info"]), "Name": level} if level else None


def _read_level(message: Any, name: str, value: Any, shape: str) -> None:
    setattr(message, name, value.get("Name", ""))


# ------------------------------------------------------------------ the rest


def _milliseconds(value: bytes) -> int:
    time = read_time(value)
    return 0 if time.is_zero else time.seconds * 1000 + time.nanoseconds // 1_000_000


def _go_time(milliseconds: int) -> bytes:
    seconds, rest = divmod(milliseconds, 1000)
    return write_time(GoTime(seconds, rest * 1_000_000))


def _read_lists_by_name(message: Any, name: str, value: Any, shape: str) -> None:
    for key, values in value.items():
        getattr(message, name)[key].values.extend(values)


def _write_lists_by_name(message: Any, name: str) -> Any:
    return {key: list(one.values) for key, one in getattr(message, name).items()} or None


def _read_permission(message: Any, name: str, value: Any, shape: str) -> None:
    setattr(message, name, value.get("Id", ""))


def _write_permission(message: Any, name: str) -> Any:
    # The server looks at the id alone; scope and words are its own.
    return {"Id": getattr(message, name)}


_SORTINGS = {"": 0, "manual": 1, "recent": 2, "alpha": 3}

RULES: dict[str, Rule] = {
    "channel_type": _enum({"O": 1, "P": 2, "D": 3, "G": 4}),
    "team_type": _enum({"O": 1, "I": 2}),
    "sorting": _enum(_SORTINGS),
    "milliseconds": _simple(_milliseconds, _go_time),
    "flag_as_text": _simple(lambda value: "true" if value else "", _flag_of_text),
    "number_as_text": _simple(str, _number_of_text),
    "is_set": _simple(bool, int),
    "lines": _simple("\n".join, str.splitlines),
    "one_of_list": _simple(lambda values: values[0] if values else "", lambda value: [value]),
    "one_of_list_as_text": _listed(str.split, " ".join),
    "descending": _simple(
        lambda value: "desc" if value else "", lambda text: text.lower() == "desc"
    ),
    "names_as_set": _listed(
        lambda value: [name for name, is_in in value.items() if is_in],
        lambda names: dict.fromkeys(names, True),
    ),
    "lists_by_name": Rule(_read_lists_by_name, _write_lists_by_name),
    "permission": Rule(_read_permission, _write_permission),
    "any_as_struct": Rule(_read_struct_of_any, _write_struct_as_any),
    "json_value": Rule(_read_json_value, _write_json_value),
    "log_pairs": Rule(_read_log_pairs, _write_log_pairs),
    "log_level": Rule(_read_level, _write_level),
    "json": _json(),
    "json_in_config_json": _json("config_json"),
    "json_in_notification_json": _json("notification_json"),
    "json_in_assertion_json": _json("assertion_json"),
    "json_in_sync_msg_json": _json("sync_msg_json"),
}
"""By the names that netrpc.toml uses."""
