"""A protobuf message as one short line of text. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["brief", "shortened"]

HIDDEN = frozenset(("context", "plugin_context", "metadata"))
"""Fields about the user, which is shown elsewhere, and fields that are never set."""

SECRET = frozenset(("password", "token", "auth_data", "mfa_secret", "secret"))

ITEMS = 5
"""Items of a list or a map that are shown; the rest is counted."""


def brief(message: Message, limit: int = 300) -> str:
    """Return the fields that are set, such as ``channel_id="town", post={message="hello"}``.

    Args:
        message: any message. Its long fields are never copied whole.
        limit: characters.
    """
    return shortened(_join_parts(_field_parts(message, limit), limit), limit)


def shortened(text: str, limit: int) -> str:
    """Return the text, or its beginning and an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _join_parts(parts: Iterator[str], limit: int) -> str:
    """Join as many parts as the limit shows; the others are not even made."""
    kept, size = [], 0
    for part in parts:
        kept.append(part)
        size += len(part) + 2
        if size > limit:
            break
    return ", ".join(kept)


def _field_parts(message: Message, limit: int) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.name not in HIDDEN:
            shown = "…" if field.name in SECRET else _value_text(value, limit)
            yield f"{field.name}={shown}"


def _value_text(value: Any, limit: int) -> str:
    if isinstance(value, Message):
        return f"{{{_join_parts(_field_parts(value, limit), limit)}}}"
    if isinstance(value, str):
        return json.dumps(shortened(value, limit), ensure_ascii=False)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if hasattr(value, "items"):
        shown = [f"{key}: {_value_text(value[key], limit)}" for key in list(value)[:ITEMS]]
        return f"{{{', '.join(shown)}{_rest_text(value)}}}"
    if hasattr(value, "__len__"):
        return (
            f"[{', '.join(_value_text(item, limit) for item in value[:ITEMS])}{_rest_text(value)}]"
        )
    return str(value)


def _rest_text(items: Any) -> str:
    return f", {len(items) - ITEMS} more" if len(items) > ITEMS else ""
