"""gob's dicts of Go's structs to protobuf's messages and back, by the tables.

The app, its hooks and its API client know messages alone, on every wire. So a hook's arguments
become a request, a response becomes the hook's returns, and for an API call the other way round.
A struct and a message meet field by field; for each such pair a plan is made once, a list of
functions that carry one field each, and kept.

gob leaves out what is zero, and Go's writer also a zero behind a pointer. So reading, what is not
there stays unset. Writing, what is unset or zero is left out, but a zero that the message has set
and that Go keeps behind a pointer is sent: a patch may say false, which a plugin in Go cannot. Any
other field that a filter wants to blank keeps its value where the host decodes into what it has:
``blanked()`` finds such fields, for a warning. And a message knows less than its struct: what the
host sent beside it is laid under what is written, so that a post that goes back loses nothing.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from mm_asgi.wire.netrpc.field_rules import RULES, fill_struct, struct_value
from mm_asgi.wire.netrpc.gob_values import Registered
from mm_asgi.wire.netrpc.gojson import plain
from mm_asgi.wire.netrpc.shapes import Field, fields_of, registered_types
from mm_asgi.wire.netrpc.tables import REGISTERED, STRUCTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.descriptor import Descriptor, FieldDescriptor

    Read = Callable[[Any, Any], None]
    Write = Callable[[Any, Any], Any]

__all__ = ["app_error", "blanked", "fill", "known", "returns_error", "values_of"]

_INT32 = range(-(2**31), 2**31)


# ---------------------------------------------------------------- reading: gob to messages


def fill(message: Any, struct: str, values: Mapping[str, Any]) -> None:
    """Fill a message with a struct's values.

    Args:
        message: what is filled.
        struct: the struct's name in tables.py.
        values: what gob decoded: the fields that are not zero.
    """
    readers = _readers(struct, message.DESCRIPTOR)
    for name, value in values.items():
        read = readers.get(name)
        if read is not None and value is not None:
            read(message, value)


@cache
def _readers(struct: str, descriptor: Descriptor) -> dict[str, Read]:
    """The plan for reading a struct into a message: a function for each field that has a pair."""
    by_name = descriptor.fields_by_name
    return {
        field.name: _reader(field, by_name.get(field.target))
        for field in fields_of(struct)
        if field.target == "." or field.target in by_name
    }


def _reader(field: Field, target: FieldDescriptor | None) -> Read:
    name = field.target
    if field.rule:
        rule, shape = RULES[field.rule], field.shape
        return lambda message, value: rule.read(message, name, value, shape)
    if target is None:  # "."
        return lambda message, value: fill(message, field.shape, value)
    if target.message_type is None:
        return _scalar_reader(name, target)
    return _message_reader(field, target)


def _scalar_reader(name: str, target: FieldDescriptor) -> Read:
    if target.is_repeated:

        def extend(message: Any, value: Any) -> None:
            getattr(message, name).extend(value)

        return _careful(extend)
    return _careful(lambda message, value: setattr(message, name, value))


def _careful(read: Read) -> Read:
    """Carry over what protobuf refuses at first: text that is no UTF-8, an int of 64 bits."""

    def read_field(message: Any, value: Any) -> None:
        try:
            read(message, value)
        except ValueError:
            read(message, _within(value))

    return read_field


def _within(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, int):
        return min(max(value, _INT32.start), _INT32.stop - 1)
    if isinstance(value, list):
        return [_within(one) for one in value]
    return {_within(key): _within(one) for key, one in value.items()}


def _message_reader(field: Field, target: FieldDescriptor) -> Read:
    name = field.target
    kind = _kind(target)
    inner = _element(field.shape)
    if kind == "google.protobuf.Struct":
        return lambda message, value: fill_struct(getattr(message, name), value)
    if kind.startswith("google.protobuf."):  # Int64Value and its like
        return lambda message, value: setattr(getattr(message, name), "value", value)
    if field.shape == "interface":
        return lambda message, value: _fill_error(getattr(message, name), value)
    if kind == "map":
        return _map_reader(name, target, inner)
    if target.is_repeated:

        def add(message: Any, value: Any) -> None:
            into = getattr(message, name)
            for one in value:
                fill(into.add(), inner, one or {})

        return add

    def enter(message: Any, value: Any) -> None:
        sub = getattr(message, name)
        sub.SetInParent()
        fill(sub, inner, value)

    return enter


def _map_reader(name: str, target: FieldDescriptor, inner: str) -> Read:
    if not _holds_messages(target):
        return _careful(lambda message, value: getattr(message, name).update(value))

    def fill_map(message: Any, value: Any) -> None:
        into = getattr(message, name)
        for key, one in value.items():
            fill(into[key], inner, one or {})

    return fill_map


def _fill_error(message: Any, value: Any) -> None:
    """An ``error`` of Go's: an AppError, or a type that has little more than its text."""
    if isinstance(value, Registered) and isinstance(value.value, dict):
        if value.name == "*model.AppError":
            fill(message, "model.AppError", value.value)
        else:  # *plugin.ErrorString has Err, *pq.Error has Message
            message.message = _within(str(value.value.get("Err") or value.value.get("Message", "")))
    message.SetInParent()


def _kind(target: FieldDescriptor) -> str:
    """The full name of a field's message, ``map`` for a map."""
    assert target.message_type is not None
    return "map" if target.message_type.GetOptions().map_entry else target.message_type.full_name


def _holds_messages(target: FieldDescriptor) -> bool:
    """Whether a map's values are messages."""
    assert target.message_type is not None
    return target.message_type.fields_by_name["value"].message_type is not None


def _element(shape: str) -> str:
    """The struct that a slice or a map holds."""
    return shape.rpartition("]")[2]


# ---------------------------------------------------------------- writing: messages to gob


def values_of(message: Any, struct: str, beside: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a struct's values as the gob writer takes them, without those that are zero.

    Args:
        message: what they are taken from.
        struct: the struct's name in tables.py.
        beside: the struct as the host sent it, for what the message does not know of.
    """
    values = {}
    for name, write in _writers(struct, message.DESCRIPTOR):
        before = beside.get(name) if beside is not None else None
        value = write(message, before)
        if value is not None:
            values[name] = value
    return values


@cache
def _writers(struct: str, descriptor: Descriptor) -> tuple[tuple[str, Write], ...]:
    by_name = descriptor.fields_by_name
    return tuple(
        (field.name, _writer(field, by_name.get(field.target))) for field in fields_of(struct)
    )


def _writer(field: Field, target: FieldDescriptor | None) -> Write:
    name = field.target
    if target is None and name != ".":
        return lambda message, before: before  # the message does not know of it
    if field.rule:
        rule = RULES[field.rule]
        return lambda message, before: rule.write(message, name)
    if target is None:
        return lambda message, before: values_of(message, field.shape, before) or None
    if target.message_type is None:
        if target.is_repeated:
            return lambda message, before: list(getattr(message, name)) or None
        if field.pointer and target.has_presence:
            return lambda message, before: (
                getattr(message, name) if message.HasField(name) else None
            )
        return lambda message, before: getattr(message, name) or None
    return _message_writer(field, target)


def _message_writer(field: Field, target: FieldDescriptor) -> Write:
    name = field.target
    kind = _kind(target)
    inner = _element(field.shape)
    if kind == "google.protobuf.Struct":
        return lambda message, before: struct_value(getattr(message, name)) or None
    if kind == "map":
        if not _holds_messages(target):
            return lambda message, before: dict(getattr(message, name)) or None
        return lambda message, before: (
            {key: values_of(one, inner) for key, one in getattr(message, name).items()} or None
        )
    if target.is_repeated:
        return lambda message, before: (
            [values_of(one, inner) for one in getattr(message, name)] or None
        )
    if kind.startswith("google.protobuf."):
        return lambda message, before: getattr(message, name).value or None
    if field.shape == "interface":
        return lambda message, before: (
            app_error(getattr(message, name)) if message.HasField(name) else None
        )

    def write(message: Any, before: Any) -> Any:
        return values_of(getattr(message, name), inner, before) if message.HasField(name) else None

    return write


def app_error(error: Any) -> Registered:
    """Return an AppError as Go's ``error``.

    The server shows ``Where: Message, DetailedError``: a detail that repeats the message is left
    out, so that the admin does not read the reason twice.
    """
    values = values_of(error, "model.AppError")
    if values.get("DetailedError") == values.get("Message"):
        values.pop("DetailedError", None)
    return Registered("*model.AppError", values)


# ---------------------------------------------------------------- what the tables know of a call


def returns_error(struct: str) -> str:
    """Return the name of a Returns struct's field for an error, empty when it has none."""
    for field in fields_of(struct) if struct in STRUCTS else ():
        if field.target == "error":
            return field.name
    return ""


def known(shape: str, value: Any) -> Any:
    """Return what the host sent without what this side has no type for, so that it can go back.

    A newer server has fields that the tables lack: they are left out. What an interface holds of
    an unknown type goes back as plain lists and dicts.

    Args:
        shape: its type, as tables.py spells it.
        value: what gob decoded.
    """
    if isinstance(value, Registered):
        if value.name in registered_types():
            return Registered(value.name, known(REGISTERED[value.name], value.value))
        return known("interface", plain(value))
    if isinstance(value, list):
        return [known(shape.partition("]")[2], one) for one in value]
    if not isinstance(value, dict):
        return value
    if shape in STRUCTS:
        return {
            field.name: known(field.shape, value[field.name])
            for field in fields_of(shape)
            if field.name in value
        }
    return {key: known(shape.partition("]")[2], one) for key, one in value.items()}


def blanked(message: Any, struct: str, before: Mapping[str, Any]) -> list[str]:
    """Return the names of the message's fields that were set by the host and are zero now.

    Of a map they are the keys that the host had and that are gone. Where the host decodes an answer into the value that it has, such a field keeps its old value.
    """
    now = values_of(message, struct)
    names = []
    for field in fields_of(struct):
        sent = before.get(field.name)
        if not sent or not field.target or field.target == ".":
            continue
        if field.name not in now:
            names.append(field.target)
        elif isinstance(sent, dict) and field.shape.startswith("map["):
            names += [f"{field.target}[{key!r}]" for key in sent if key not in now[field.name]]
    return names
