"""A plugin's keys and values, by the rules of sqlstore/plugin_store.go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm_asgi.host.mattermost.app_errors import AppError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["KVStore"]

LONGEST_KEY = 150
"""Characters; model.KeyValueKeyMaxRunes."""

DEFAULT_PAGE = 10
"""Keys in a page when per_page is 0 or less; plugin_store.go, defaultPluginKeyFetchLimit."""


@dataclass(frozen=True, slots=True)
class _Entry:
    value: bytes
    expire_at: int  # Unix milliseconds; 0: never


class KVStore:
    """Keys to values, with expiry.

    The wire cannot express the difference between an empty value and none. Setting an empty value
    therefore removes the key, and an empty old value stands for a missing key.

    Args:
        now: returns Unix milliseconds.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._entries: dict[str, _Entry] = {}

    def __getitem__(self, key: str) -> bytes:
        value = self.get(key)
        if not value:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return self._alive(key) is not None

    def __iter__(self) -> Iterator[str]:
        # A database sorts by its collation. Code points give tests an order to rely on.
        return iter(sorted(key for key in self._entries if key in self))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def get(self, key: str) -> bytes:
        """Return the value, or empty bytes when there is none or it has expired."""
        entry = self._alive(key)
        return entry.value if entry is not None else b""

    def set(self, key: str, value: bytes, expire_in_seconds: int = 0) -> None:
        """Set a value; an empty one removes the key.

        Raises:
            AppError: the key is empty or over 150 characters.
        """
        _check_key(key)
        if value:
            expire_at = self._now() + expire_in_seconds * 1000 if expire_in_seconds else 0
            self._entries[key] = _Entry(value, expire_at)
        else:
            self.delete(key)

    def compare_and_set(self, key: str, old: bytes, new: bytes, expire_in_seconds: int = 0) -> bool:
        """Set a value if the key has the old one, or is missing and ``old`` is empty.

        Returns:
            bool: whether it was set.

        Raises:
            AppError: the key is empty or over 150 characters.
        """
        _check_key(key)
        if not new:
            return self.compare_and_delete(key, old)
        if self.get(key) != old:
            return False
        self.set(key, new, expire_in_seconds)
        return True

    def compare_and_delete(self, key: str, old: bytes) -> bool:
        """Delete a key if it has the old value and that is not empty.

        Returns:
            bool: whether it was deleted.

        Raises:
            AppError: the key is empty or over 150 characters.
        """
        _check_key(key)
        if not old or self.get(key) != old:
            return False
        self.delete(key)
        return True

    def delete(self, key: str) -> None:
        """Delete a key, if there is one."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Delete every key."""
        self._entries.clear()

    def page(self, page: int, per_page: int) -> list[str]:
        """Return a page of the sorted keys; pages count from 0."""
        offset = max(0, page * per_page)
        size = per_page if per_page > 0 else DEFAULT_PAGE
        return list(self)[offset : offset + size]

    def _alive(self, key: object) -> _Entry | None:
        entry = self._entries.get(key)  # type: ignore[call-overload]
        if entry is None or (entry.expire_at and entry.expire_at <= self._now()):
            return None
        assert isinstance(entry, _Entry)
        return entry


def _check_key(key: str) -> None:
    if not 0 < len(key) <= LONGEST_KEY:
        raise AppError(
            "PluginKeyValue.IsValid",
            "model.plugin_key_value.is_valid.key.app_error",
            400,
            f"key={key}",
        )
