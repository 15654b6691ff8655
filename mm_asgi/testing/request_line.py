"""The path that a test's client asks for, with or without the plugin's prefix."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

__all__ = ["with_prefix"]


def with_prefix(raw_path: bytes, prefix: str) -> bytes:
    """Return an encoded path with the plugin's prefix before it, unless it has it already.

    Args:
        raw_path: as in a request line, without the query.
        prefix: the plugin's decoded path, such as ``/plugins/shop``.
    """
    path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
    if path == prefix or path.startswith(prefix + "/"):
        return raw_path
    return quote(prefix).encode() + raw_path
