"""Log lines, hooks and calls in the page's form: JSON's types, shortened. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from mm_asgi.host.mattermost.calls.posts import DISMISS
from mm_asgi.host.page.brief import brief, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_asgi.host.mattermost.journal import APICall, HookCall
    from mm_asgi.host.plugin.stderr import LogLine

__all__ = ["action_of", "call_facts", "hook_facts", "line_facts"]

LONGEST_TEXT = 4000
"""Characters of a message, and of a text before and after; a guess at how much a person reads."""

_TEXTS = ("exception", "stack")
_SHOWN_ELSEWHERE = frozenset((*_TEXTS, "request_id", "user_id"))
_SAID_BY_ACCESS = _SHOWN_ELSEWHERE | {"method", "path", "status", "ms"}
"""An access line has these in its message too."""


def line_facts(line: LogLine) -> dict[str, Any]:
    """Return the facts of a log line; ``below`` is a traceback or another text of several lines."""
    message, _, rest = line.message.partition("\n")
    texts = (rest, *(str(line.fields.get(name) or "") for name in _TEXTS))
    hidden = _SAID_BY_ACCESS if line.module == "mm_asgi.access" else _SHOWN_ELSEWHERE
    fields = ", ".join(
        f"{name}={shortened(str(value), 200)}"
        for name, value in line.fields.items()
        if name not in hidden and value not in (None, "")
    )
    return {
        "kind": "log",
        "time": int(line.time * 1000),
        "level": line.level,
        "source": line.source,
        "module": line.module,
        "user": str(line.fields.get("user_id") or ""),
        "request": str(line.fields.get("request_id") or ""),
        "message": shortened(message, LONGEST_TEXT),
        "fields": shortened(fields, 1000),
        "below": shortened("\n".join(filter(None, texts)), LONGEST_TEXT),
    }


def call_facts(call: APICall) -> dict[str, Any]:
    """Return the facts of one API call."""
    return {
        "kind": "call",
        "time": call.time,
        "name": call.name,
        "arguments": brief(call.request),
        "ok": not call.error and call.code == "OK",
        "code": call.code,
        "error": shortened(call.error, 300),
        "ms": _milliseconds(call.seconds),
    }


def hook_facts(hook: HookCall) -> dict[str, Any]:
    """Return the facts of one hook: its arguments and its outcome.

    ``outcome`` is ``ok`` (let through), ``changed``, ``rejected``, ``dismissed``, ``answered``,
    ``failed`` or ``overran``. ``action`` is the id of the request that raised it.
    """
    changes = list(_changes_of(hook.request, hook.answer.response))
    outcome, text = _outcome_of(hook, changes)
    return {
        "kind": "hook",
        "time": hook.time,
        "name": hook.name,
        "action": action_of(hook),
        "arguments": brief(hook.request),
        "outcome": outcome,
        "text": shortened(text, LONGEST_TEXT),
        "changes": changes if outcome == "changed" else [],
        "ms": _milliseconds(hook.answer.seconds),
    }


def action_of(hook: HookCall) -> str:
    """Return the id of the request that raised a hook; empty for the plugin's own calls."""
    context = getattr(hook.request, "plugin_context", None)
    return str(context.request_id) if context is not None else ""


def _outcome_of(hook: HookCall, changes: list[dict[str, str]]) -> tuple[str, str]:
    answer = hook.answer
    if answer.code == "DEADLINE_EXCEEDED":
        return "overran", answer.message
    if answer.code != "OK":
        return "failed", f"{answer.code}: {answer.message}"
    if answer.error is not None:
        return "failed", answer.error or "an error without a text"
    reason = getattr(answer.response, "rejection_reason", "")
    if reason == DISMISS:
        return "dismissed", "dropped, and its author is not told"
    if reason:
        return "rejected", reason
    if changes:
        return "changed", ""
    if hook.name == "ExecuteCommand" and answer.response.HasField("response"):
        return "answered", answer.response.response.text
    return "ok", ""


def _changes_of(request: Message, response: Message | None) -> Iterator[dict[str, str]]:
    """Yield the differences between the answer's ``modified_...`` fields and the request's."""
    for field, value in response.ListFields() if response is not None else ():
        if not field.name.startswith("modified_"):
            continue
        if not isinstance(value, Message):
            yield _change_facts(field.name.removeprefix("modified_"), None, value)
            continue
        given = next(
            (
                old
                for before, old in request.ListFields()
                if before.message_type == field.message_type and before.name != "old_post"
            ),
            None,
        )
        yield from _differing_fields(given if given is not None else type(value)(), value)


def _differing_fields(before: Message, after: Message) -> Iterator[dict[str, str]]:
    for field in after.DESCRIPTOR.fields:
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old != new:
            yield _change_facts(field.name, old, new)


def _change_facts(field: str, before: Any, after: Any) -> dict[str, str]:
    return {"field": field, "before": _value_text(before), "after": _value_text(after)}


def _value_text(value: Any) -> str:
    if isinstance(value, Message):
        return brief(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return shortened("" if value is None else str(value), LONGEST_TEXT)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
