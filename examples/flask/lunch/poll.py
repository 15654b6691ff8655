"""The poll, all of it in memory; views of several threads use it at once."""

import threading
from collections.abc import Iterator

DISHES = ("Lentil soup", "Pizza", "Ramen")
LONGEST = 60  # letters of a dish
MOST = 30  # dishes


class Poll:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._dishes: list[str] = list(DISHES)
        self._votes: dict[str, str] = {}  # by user
        self._version = 0

    def vote(self, user: str, dish: str) -> None:
        """Raises KeyError when there is no such dish."""
        with self._changed:
            if dish not in self._dishes:
                raise KeyError(dish)
            self._votes[user] = dish
            self._tell()

    def replace(self, dishes: list[str]) -> None:
        """A new menu: the votes are gone."""
        with self._changed:
            self._dishes, self._votes = dishes, {}
            self._tell()

    def votes(self) -> dict[str, str]:
        """The dish by user."""
        with self._changed:
            return dict(self._votes)

    def counts(self) -> dict[str, int]:
        """The number of votes by dish."""
        with self._changed:
            chosen = list(self._votes.values())
            return {dish: chosen.count(dish) for dish in self._dishes}

    def watch(self, patience: float) -> Iterator[dict[str, int] | None]:
        """The counts now and after each change; None when nothing changed for so many seconds."""
        seen = -1
        while True:
            with self._changed:
                has_changed = self._version != seen or self._changed.wait(patience)
                seen = self._version
            yield self.counts() if has_changed else None

    def _tell(self) -> None:
        self._version += 1
        self._changed.notify_all()
