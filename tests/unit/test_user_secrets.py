"""What a hook sees of users, for every place of the contract where one stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.message import Message

from mm_asgi.hooks import HOOKS
from mm_asgi.types import User
from mm_asgi.user_secrets import SECRETS, hide_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = {"password": "$pbkdf2$f=SHA256$salt$hash", "auth_data": "saml", "mfa_secret": "JBSWY3DP"}


def filled(kind: type[Message], above: frozenset[str] = frozenset()) -> Message:
    """A message with each message below it there, and each user with its secrets."""
    made: Any = kind()
    for field in kind.DESCRIPTOR.fields:
        below = field.message_type
        if below is None or below.full_name in above or below.GetOptions().map_entry:
            continue
        place: Any = getattr(made, field.name)
        if isinstance(place, Message):
            place.CopyFrom(filled(type(place), above | {below.full_name}))
            place.SetInParent()
        else:
            part = place.add()
            part.CopyFrom(filled(type(part), above | {below.full_name}))
    if isinstance(made, User):
        made.username = "bob"
        for secret, value in SECRET.items():
            setattr(made, secret, value)
    message: Message = made
    return message


def users(message: Message) -> Iterator[User]:
    if isinstance(message, User):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for below in [value] if isinstance(value, Message) else value:
                yield from users(below)


def test_the_secrets_are_fields_of_a_user() -> None:
    assert set(SECRETS) == set(SECRET) <= {field.name for field in User.DESCRIPTOR.fields}


@pytest.mark.parametrize("name", HOOKS)
def test_H7_no_hook_gets_a_secret_of_a_user(name: str) -> None:
    request = filled(HOOKS[name].messages[0])
    expected = type(request)()
    expected.CopyFrom(request)
    for user in users(expected):
        for secret in SECRETS:
            user.ClearField(secret)
    hide_secrets(request)
    assert request == expected


def test_the_hooks_with_users_are_known() -> None:
    found = {name for name, hook in HOOKS.items() if list(users(filled(hook.messages[0])))}
    direct = ["user_has_been_created", "user_will_log_in", "user_has_logged_in", "on_saml_login"]
    assert found.issuperset([*direct, "user_has_joined_team", "message_has_been_posted"])
    assert len(found) == 17


def test_what_is_absent_stays_absent() -> None:
    request = HOOKS["user_has_joined_team"].messages[0]()
    hide_secrets(request)
    assert not request.HasField("actor")
