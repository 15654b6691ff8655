"""The rules in the plugin's key-value store, and what was done, in memory."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ValidationError

from mm_asgi import errors
from mm_asgi.api import AsyncAPI
from moderator.rules import Rules

KEY = "rules"
KEPT = 50  # acts that the page shows
TRIES = 10  # of a change that others change at the same time

logger = logging.getLogger(__name__)


class RuleBook:
    """The rules that hold now. Another node of a cluster sees a change at its next start."""

    def __init__(self, api: AsyncAPI) -> None:
        self.rules = Rules()
        self._api = api

    async def load(self) -> None:
        """Without an API, or without rules there, the ones that we have go on."""
        try:
            self._read(await self._api.kv_get(key=KEY))
        except (errors.APIError, ValidationError) as error:
            logger.warning("the rules could not be loaded, the defaults hold: %s", error)

    async def change(self, make: Callable[[Rules], Rules]) -> Rules:
        """Change the rules here and in the store. ValueError: what ``make`` says of the values."""
        for _ in range(TRIES):
            old = await self._api.kv_get(key=KEY)
            self._read(old)
            rules = make(self.rules)
            new = rules.model_dump_json().encode()
            if new == old or await self._api.kv_compare_and_set(
                key=KEY, old_value=old, new_value=new
            ):
                self.rules = rules
                return rules
        raise RuntimeError("the rules change all the time")

    def _read(self, data: bytes) -> None:
        if data:
            self.rules = Rules.model_validate_json(data)


class Act(BaseModel):
    """One thing that was done; of the post itself nothing is kept."""

    id: int
    at: datetime
    kind: Literal["refused", "calmed", "rules"]
    user: str
    text: str


class Journal:
    """The last acts, for whoever watches."""

    def __init__(self) -> None:
        self._acts: deque[Act] = deque(maxlen=KEPT)
        self._count = 0
        self._changed = asyncio.Event()

    def note(self, kind: Literal["refused", "calmed", "rules"], user: str, text: str) -> None:
        self._count += 1
        self._acts.append(
            Act(id=self._count, at=datetime.now(UTC), kind=kind, user=user, text=text)
        )
        self._changed.set()
        self._changed = asyncio.Event()

    async def since(self, last: int) -> AsyncIterator[Act]:
        """The acts after the one with this id, and then each one as it comes."""
        if last > self._count:
            last = 0  # of the process before this one
        while True:
            changed = self._changed
            for act in [act for act in self._acts if act.id > last]:
                yield act
                last = act.id
            if self._changed is changed:
                await changed.wait()
