"""What happens, told live as server-sent events to each page that is open, in bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping

__all__ = ["Feed"]

READERS = 32
"""Pages that may be open at once; a guess at more than a person has."""

WAITING = 256 * 1024
"""Bytes that wait for one reader. A slower one gets a snapshot in their place."""

HEARTBEAT = 15.0
"""Seconds of silence before a comment is sent, by which a dead connection is found."""

STUCK = 60.0
"""Seconds until a reader that takes nothing is cut."""


class _Reader:
    """One open page: what waits for it, or that it has missed too much."""

    def __init__(self) -> None:
        self.left = False
        self.behind = True  # the first thing that it gets is a snapshot
        self._waiting: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()

    def add(self, event: bytes) -> None:
        if self.behind:
            return  # the snapshot will have it
        self._waiting.append(event)
        self._size += len(event)
        if self._size > WAITING:
            self._waiting.clear()
            self.behind = True
        self._news.set()

    def leave(self) -> None:
        self.left = True
        self._news.set()

    def take(self, snapshot: Callable[[], Mapping[str, Any]]) -> bytes:
        self._news.clear()
        data = _event(snapshot()) if self.behind else b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        self.behind = False
        return data

    async def wait(self, timeout: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._news.wait()


class Feed:
    """Tells every reader of each new thing; whoever comes, or falls behind, gets a snapshot.

    Args:
        snapshot: makes the state of this moment, as JSON's types.
    """

    def __init__(self, snapshot: Callable[[], Mapping[str, Any]]) -> None:
        self._snapshot = snapshot
        self._readers: set[_Reader] = set()
        self._closed = False

    @property
    def watched(self) -> bool:
        """Whether anybody listens: nothing has to be made for nobody."""
        return bool(self._readers)

    @property
    def full(self) -> bool:
        """Whether no reader more is taken."""
        return self._closed or len(self._readers) >= READERS

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Tell of one thing."""
        if self._readers:
            event = _event(facts)
            for reader in self._readers:
                reader.add(event)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for reader in self._readers:
            reader.leave()

    async def serve(
        self,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Send events until the client has left, is stuck, or the host is closed."""
        with self._reader() as reader:
            leaving = asyncio.create_task(_wait_for_leave(receive, reader), name="page reader")
            try:
                # Not EventSource's 3 s: a restarted dev is back sooner.
                data = b"retry: 1000\n\n"
                while not reader.left:
                    async with asyncio.timeout(STUCK):
                        await send(data)
                    await reader.wait(0 if reader.behind else HEARTBEAT)
                    data = reader.take(self._snapshot) or b": still here\n\n"
            except TimeoutError:
                pass
            finally:
                leaving.cancel()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[_Reader]:
        reader = _Reader()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)


async def _wait_for_leave(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]], reader: _Reader
) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.leave()


def _event(facts: Mapping[str, Any]) -> bytes:
    # One line, whatever is in it: JSON escapes what would end it.
    return b"data: " + json.dumps(facts, separators=(",", ":")).encode() + b"\n\n"
