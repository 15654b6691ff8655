"""No secret of a user reaches a hook: not the password's hash, nor what logs in in its place.

The server sends users to hooks as its database has them. A function that logs its arguments would
write hashes into a log that more people read than the database. No hook needs them, and none sends
a user back. What a plugin asks of the API stays as the server answers it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import Message

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

__all__ = ["hide_secrets"]

SECRETS: Final = ("password", "auth_data", "mfa_secret")
"""Fields of ``User`` that are empty for a hook."""


def hide_secrets(request: Message) -> None:
    """Empty the secrets of every user in a hook's request, also in those below it."""
    for name in _ways(request.DESCRIPTOR):
        found: Any = getattr(request, name)
        if not isinstance(found, Message):
            for one in found:
                _hide(one)
        elif request.HasField(name):
            _hide(found)


def _hide(message: Message) -> None:
    if message.DESCRIPTOR.name == "User":
        for secret in SECRETS:
            message.ClearField(secret)
    else:
        hide_secrets(message)


@cache
def _ways(kind: Descriptor) -> tuple[str, ...]:
    """Return the fields of a message that are users, or lead to some."""
    return tuple(
        field.name
        for field in kind.fields
        if field.message_type is not None and _has_user(field.message_type, frozenset())
    )


def _has_user(kind: Descriptor, above: frozenset[str]) -> bool:
    if kind.name == "User" or kind.full_name in above:
        return kind.name == "User"
    below = (field.message_type for field in kind.fields if field.message_type is not None)
    return any(_has_user(each, above | {kind.full_name}) for each in below)
