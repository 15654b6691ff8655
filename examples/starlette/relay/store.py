"""Parcels on their way. A parcel holds one chunk at a time: the receiver sets the pace."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any, Literal

import anyio

KEPT = 20  # parcels that the page shows
PAUSE = 0.1  # seconds between two looks of a watcher


class Parcel:
    """One file, between the request that sends it and the one that receives it."""

    def __init__(self, relay: "Relay", name: str, sender: str, length: int | None) -> None:
        self.name = name
        self.sender = sender
        self.length = length
        self.size = 0
        self.sha256 = ""
        self.state: Literal["waiting", "moving", "done", "broken"] = "waiting"
        self._relay = relay
        self._taken = asyncio.Event()
        self._sink, self._source = anyio.create_memory_object_stream[bytes]()

    async def fill(self, chunks: AsyncIterator[bytes], patience: float) -> None:
        """Pass the chunks on and hash them on the way.

        TimeoutError: nobody came for the parcel. anyio.BrokenResourceError: the receiver left.
        """
        try:
            async with self._sink:
                await self._pass_on(chunks, patience)
        finally:
            if not self._taken.is_set():
                self._source.close()
            self._relay.tell()

    async def _pass_on(self, chunks: AsyncIterator[bytes], patience: float) -> None:
        digest = hashlib.sha256()
        try:
            async with asyncio.timeout(patience):
                await self._taken.wait()
            async for chunk in chunks:
                await self._sink.send(chunk)
                digest.update(chunk)
                self.size += len(chunk)
                self._relay.tell()
        except BaseException:
            self.state = "broken"
            raise
        self.sha256, self.state = digest.hexdigest(), "done"

    async def empty(self) -> AsyncIterator[bytes]:
        """The chunks as they come. ConnectionError: the sender left before the end."""
        async with self._source:
            self._taken.set()
            async for chunk in self._source:
                yield chunk
        if self.state == "broken":
            raise ConnectionError(f"the sender of {self.name!r} left")

    def facts(self) -> dict[str, Any]:
        names = ("name", "sender", "length", "size", "sha256", "state")
        return {name: getattr(self, name) for name in names}


class Relay:
    """The parcels that wait or move, and the last ones that are done; the newest is first."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self._changed = asyncio.Event()

    def offer(self, name: str, sender: str, length: int | None) -> Parcel:
        parcel = Parcel(self, name, sender, length)
        ended = [old for old in self.parcels if old.state in ("done", "broken")]
        for old in ended[KEPT - 1 :]:
            self.parcels.remove(old)
        self.parcels.insert(0, parcel)
        self.tell()
        return parcel

    def find(self, name: str) -> Parcel | None:
        """The parcel of this name that waits or moves."""
        for parcel in self.parcels:
            if parcel.name == name and parcel.state in ("waiting", "moving"):
                return parcel
        return None

    def newest(self) -> Parcel | None:
        """The newest that waits."""
        return next((parcel for parcel in self.parcels if parcel.state == "waiting"), None)

    def tell(self) -> None:
        """Wake who watches."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self) -> AsyncIterator[list[Parcel]]:
        """All parcels now, and again after each change: a slow watcher skips some, never the last."""
        while True:
            changed = self._changed
            yield list(self.parcels)
            await changed.wait()
            await asyncio.sleep(PAUSE)
