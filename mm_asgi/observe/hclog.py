"""Log lines as go-plugin's host reads them (hclog's JSON). Pure, and never raises.

The host's reader asserts types without a check, in a goroutine without recover (go-plugin dd3617a,
log_entry.go parseJSON): one line ``{"@message": 5}`` ends the whole host. So every line on the
real stderr is made here, no matter what the app printed, logged or raised.
"""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LEVELS", "LINE_LIMIT", "encode", "relay", "safe_text"]

LINE_LIMIT = 64 * 1024
"""Bytes of a line with its newline: the buffer of the host's reader (client.go,
defaultPluginLogBufferSize). A longer line reaches the host's log in pieces, at debug."""

LEVELS = ("trace", "debug", "info", "warn", "error")

_EXTRA_LIMIT = 1024
_EXTRAS_LIMIT = 8 * 1024
_DETAIL_LIMIT = 24 * 1024
"""Bytes that a line which is too long keeps of one extra, of all extras, of a traceback and stack."""
_DETAILS = ("exception", "stack")
_NAME_LIMIT = 200

_DEPTH = 3
_ITEMS = 50
# Go reads every number as a float64: one above 2**53 would change, one above 1e308 fail the line.
_EXACT = 2**53

_encode_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False).encode


def encode(
    level: str,
    module: str,
    message: str,
    *,
    created: float | None = None,
    fields: Mapping[str, object] | None = None,
) -> bytes:
    """Return a whole line without its newline; with it, it has at most LINE_LIMIT bytes.

    Args:
        level: one of LEVELS; anything else becomes ``info``.
        module: the logger's name.
        message: the text.
        created: seconds since the epoch; None: now.
        fields: facts of any type. Names with a meaning for the host (``@...``) are renamed.
    """
    entry: dict[str, object] = {
        "@level": level if level in LEVELS else "info",
        "@message": message,
        "@module": module[:_NAME_LIMIT],
        "@timestamp": _timestamp(created),
    }
    for name, value in (fields or {}).items():
        entry[_field_name(name)] = _plain(value, _DEPTH)
    if len(message) < LINE_LIMIT:
        line = _dump(entry)
        if len(line) < LINE_LIMIT:
            return line
    return _dump(_shortened(entry))


def relay(level: str, module: str, text: str) -> bytes:
    """Return a line for the host from one that the app or a child printed.

    A line that is hclog's JSON already, with the right types, keeps its own level, name and
    fields. Child processes that were forked from this one log this way, and Go programs.
    """
    if text.startswith('{"@'):
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError):
            entry = {}
        if entry.get("@level") in LEVELS and isinstance(entry.get("@message"), str):
            name = entry.get("@module")
            fields = {key: value for key, value in entry.items() if not key.startswith("@")}
            return encode(
                entry["@level"],
                name if isinstance(name, str) else module,
                entry["@message"],
                fields=fields,
            )
    return encode(level, module, text)


def safe_text(value: object) -> str:
    """Return ``str(value)``, or the type's name if that raises."""
    try:
        return value if type(value) is str else str.__str__(str(value))
    # A __str__ that raises is the app's fault, SystemExit too; the line must not be lost.
    except BaseException:  # noqa: BLE001
        return f"<unprintable {type(value).__name__}>"


def _timestamp(created: float | None) -> str:
    """Return a time as RFC 3339 with six fraction digits: the host takes no line with any other."""
    seconds = created if isinstance(created, float) else time.time()
    try:
        whole = math.floor(seconds)
        moment = time.gmtime(whole)
        if not 0 <= moment.tm_year <= 9999:
            return _timestamp(None)
    except (OverflowError, ValueError, OSError):
        return _timestamp(None)
    micros = min(int((seconds - whole) * 1e6), 999_999)
    return (
        f"{moment.tm_year:04}-{moment.tm_mon:02}-{moment.tm_mday:02}T"
        f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}.{micros:06}Z"
    )


def _field_name(name: object) -> str:
    text = safe_text(name)[:_NAME_LIMIT]
    return "field_" + text[1:] if text.startswith("@") else text


def _plain(value: object, depth: int) -> object:
    """Return a value in types that both JSON and Go's reader take."""
    if value is None or value is True or value is False or type(value) is str:
        return value
    kind = type(value)
    if kind is int:
        return value if -_EXACT <= value <= _EXACT else safe_text(value)  # type: ignore[operator]
    if kind is float:
        return value if math.isfinite(value) else repr(value)  # type: ignore[arg-type]
    # Exactly these types: a subclass's methods are the app's code and may do anything.
    if depth and kind is dict:
        items: Any = list(value.items())[:_ITEMS]  # type: ignore[attr-defined]
        return {_field_name(name): _plain(item, depth - 1) for name, item in items}
    if depth and kind in (list, tuple):
        return [_plain(item, depth - 1) for item in value[:_ITEMS]]  # type: ignore[index]
    return safe_text(repr(value) if kind is bytes else value)


def _dump(entry: dict[str, object]) -> bytes:
    # A lone surrogate leaves as \udc80, which is JSON's own spelling of it.
    return _encode_json(entry).encode("utf-8", "backslashreplace")


def _shortened(entry: dict[str, object]) -> dict[str, object]:
    """Return the entry cut to fit, facts before the message, with a mark at each cut."""
    kept: dict[str, object] = {}
    room = _EXTRAS_LIMIT
    lost = 0
    for name, value in entry.items():
        if name.startswith("@"):
            kept[name] = value
            continue
        if name in _DETAILS and isinstance(value, str):
            kept[name] = _cut(value, _DETAIL_LIMIT // len(_DETAILS), keep_end=True)
            continue
        short = value if _fits(value, _EXTRA_LIMIT) else _cut(_as_text(value), _EXTRA_LIMIT)
        room -= _size(name) + _size(short)
        if room < 0:
            lost += 1
        else:
            kept[name] = short
    if lost:
        kept["fields_cut"] = lost
    message = str(kept.pop("@message"))
    # The name, its quotes, colon and comma, and the newline.
    spent = len(_dump(kept)) + len('"@message": "", ') + 1
    return {"@message": _cut(message, LINE_LIMIT - spent), **kept}


def _cut(text: str, limit: int, *, keep_end: bool = False) -> str:
    """Return a text cut to ``limit`` encoded bytes, with a mark that says how long it was."""
    if _fits(text, limit):
        return text
    mark = f"[cut, {len(text)} characters in all]"
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        piece = text[-middle:] if keep_end else text[:middle]
        if _size(piece) + len(mark) + 1 <= limit:
            low = middle
        else:
            high = middle - 1
    return f"{mark} {text[len(text) - low :]}" if keep_end else f"{text[:low]} {mark}"


def _fits(value: object, limit: int) -> bool:
    # A character takes a byte at least, so a text that is too long need not be encoded.
    return not (isinstance(value, str) and len(value) > limit) and _size(value) <= limit


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else _encode_json(value)


def _size(value: object) -> int:
    """Return the number of encoded bytes, quotes included."""
    return len(_encode_json(value).encode("utf-8", "backslashreplace"))
