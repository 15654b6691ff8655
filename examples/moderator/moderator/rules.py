"""What may not be posted. Pure: no Mattermost here."""

import re
from typing import Annotated

from pydantic import BaseModel, Field

SHORTEST_SHOUT = 8  # letters; "OK" and "LGTM" are no shouting

Word = Annotated[str, Field(pattern=r"^[\w'-]+$", max_length=40)]


class Rules(BaseModel):
    """The rules as they are kept.

    Attributes:
        words: lower-case words that no post may have.
        shouting: per cent of capital letters above which a post is put into small ones.
    """

    words: Annotated[list[Word], Field(max_length=200)] = ["darn", "heck"]
    shouting: Annotated[int, Field(ge=1, le=100)] = 70

    def forbidden(self, text: str) -> str | None:
        """The first word of a text that may not be posted."""
        known = set(self.words)
        return next((w for w in re.findall(r"[\w'-]+", text.lower()) if w in known), None)

    def calmed(self, text: str) -> str:
        """The text as it may be posted."""
        letters = [letter for letter in text if letter.isalpha()]
        capitals = sum(letter.isupper() for letter in letters)
        if len(letters) < SHORTEST_SHOUT or 100 * capitals <= self.shouting * len(letters):
            return text
        return text[:1] + text[1:].lower()

    def with_words(self, words: tuple[str, ...]) -> "Rules":
        """ValueError: one of them is no word."""
        added = [word.lower() for word in words]
        return Rules(words=sorted({*self.words, *added}), shouting=self.shouting)

    def without_words(self, words: tuple[str, ...]) -> "Rules":
        gone = {word.lower() for word in words}
        return Rules(words=[w for w in self.words if w not in gone], shouting=self.shouting)

    def with_shouting(self, percent: int) -> "Rules":
        """ValueError: not 1 to 100."""
        return Rules(words=self.words, shouting=percent)
