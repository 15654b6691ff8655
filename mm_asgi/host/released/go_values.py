"""What Go's gob does with values that Python's does not: it leaves zeros out, and refuses types.

The host's own values go through ``as_go_sends``: gob leaves out what is zero, behind a pointer too,
so that a plugin never sees a False. What a plugin answers goes through ``check``: Go decodes into a
type of its own, and a value of another one is the end of the stream.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.netrpc.gob_decoders import PLAIN
from mm_asgi.wire.netrpc.gob_values import Registered
from mm_asgi.wire.netrpc.shapes import fields_of, registered_types
from mm_asgi.wire.netrpc.tables import STRUCTS

if TYPE_CHECKING:
    from mm_asgi.wire.netrpc.shapes import Field

__all__ = ["WrongType", "as_go_sends", "check", "merged"]

_CONTAINER = re.compile(r"\[\d*\]|map\[\w+\]")
_BASIC: Final[dict[str, type | tuple[type, ...]]] = {
    "bool": bool,
    "int": int,
    "uint": int,
    "float": float,
    "string": str,
    "bytes": bytes,
}


class WrongType(Exception):
    """Go cannot decode a value into the type that it has for it."""


def as_go_sends(shape: str, value: Any) -> Any:
    """Return a value without the zeros of its structs.

    Args:
        shape: the value's type, as tables.py spells it.
        value: as the gob writer takes it.
    """
    if isinstance(value, Registered):
        return value
    if shape in STRUCTS and isinstance(value, dict):
        shapes = {field.name: field.shape for field in fields_of(shape)}
        sent = {name: as_go_sends(shapes[name], one) for name, one in value.items()}
        return {
            name: one
            for name, one in sent.items()
            if one or (shapes[name] in STRUCTS and one == {})
        }
    match = _CONTAINER.match(shape)
    if match is None:
        return value
    inner = shape[match.end() :]
    if isinstance(value, dict):
        return {key: as_go_sends(inner, one) for key, one in value.items()}
    return [as_go_sends(inner, one) for one in value]


def check(shape: str, value: Any) -> None:
    """Check that Go's type takes a value as a plugin sent it.

    Whether a number is signed is not seen here.

    Args:
        shape: Go's type, as tables.py spells it.
        value: what gob decoded.

    Raises:
        WrongType: it does not.
    """
    if shape in STRUCTS:
        _check_struct(shape, value)
    elif match := _CONTAINER.match(shape):
        _check_container(match[0], shape[match.end() :], value)
    elif shape == "interface":
        _check_interface(value)
    elif not isinstance(value, _BASIC.get(shape, bytes)) or (
        isinstance(value, bool) and shape != "bool"
    ):
        raise WrongType(f"wrong type: {type(value).__name__} for received {shape}")


def _check_struct(struct: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise WrongType(f"type mismatch: {type(value).__name__} for received {struct}")
    fields = {field.name: field for field in fields_of(struct)}
    if value and not value.keys() & fields.keys():
        raise WrongType(f"type mismatch: no fields matched compiling decoder for {struct}")
    for name, one in value.items():
        field = fields.get(name)
        if field is None:
            continue  # by names alone: what this side lacks is passed over
        try:
            _check_field(field, one)
        except WrongType as exc:
            raise WrongType(f"wrong type for received field {struct}.{name}: {exc}") from None


def _check_field(field: Field, value: Any) -> None:
    if field.shape == "interface" and field.target == "error":  # Go's own interface ``error``
        if value is not None and not isinstance(value, Registered):
            raise WrongType(f"{type(value).__name__} is not assignable to type error")
    check(field.shape, value)


def _check_container(kind: str, inner: str, value: Any) -> None:
    if not isinstance(value, dict if kind.startswith("map") else list):
        raise WrongType(f"wrong type: {type(value).__name__} for received {kind}{inner}")
    for one in value.values() if isinstance(value, dict) else value:
        check(inner, one)


def _check_interface(value: Any) -> None:
    if isinstance(value, Registered) and value.name not in PLAIN:
        if value.name not in registered_types():
            raise WrongType(f'name not registered for interface: "{value.name}"')


def merged(shape: str, before: Any, value: Any) -> Any:
    """Return what Go has after decoding into a value that was there: nothing is ever taken away."""
    if not isinstance(before, dict) or not isinstance(value, dict):
        return value
    if shape not in STRUCTS:
        return {**before, **value}
    shapes = {field.name: field.shape for field in fields_of(shape)}
    return {
        **before,
        **{
            name: merged(shapes.get(name, ""), before.get(name), one) for name, one in value.items()
        },
    }
