"""Objects by id, which square brackets find by name too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Named", "page_of"]

Thing = TypeVar("Thing")


class Named(dict[str, Thing], Generic[Thing]):
    """``users["alice"]`` finds by id, then by name; ``users.get(id)`` by id alone."""

    def __init__(self, name_of: Callable[[Thing], str]) -> None:
        super().__init__()
        self._name_of = name_of

    def __missing__(self, name: str) -> Thing:
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def find(self, name: str) -> Thing | None:
        """Return the first object of this name, or None."""
        return next((thing for thing in self.values() if self._name_of(thing) == name), None)


def page_of(things: list[Thing], page: int, per_page: int) -> list[Thing]:
    """Return a page of a list as SQL's LIMIT and OFFSET do: per_page 0 is an empty page."""
    size, offset = max(0, per_page), max(0, page * per_page)
    return things[offset : offset + size]
