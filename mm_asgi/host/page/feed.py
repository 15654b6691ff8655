"""Live server-sent events for each open page, in bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping

__all__ = ["Feed"]

READERS = 32
"""Pages that may be open at once; more than a person needs, by a guess."""

WAITING = 256 * 1024
"""Bytes that wait for one reader. A slower reader gets a snapshot instead."""

HEARTBEAT = 15.0
"""Seconds of silence before a comment is sent, to find a dead connection."""

STUCK = 60.0
"""Seconds until a reader that takes no data is cut."""


class _Reader:
    """One open page, with the events that wait for it.

    Attributes:
        left: the page was closed, or has to be.
        behind: it has missed events and gets a snapshot next.
    """

    def __init__(self) -> None:
        self.left = False
        self.behind = True  # it gets a snapshot first
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
        data = _event_bytes(snapshot()) if self.behind else b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        self.behind = False
        return data

    async def wait(self, timeout: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._news.wait()


class Feed:
    """Send each new event to every reader. A new reader, or one that falls behind, gets a snapshot.

    Args:
        snapshot: returns the present state, as JSON's types.
    """

    def __init__(self, snapshot: Callable[[], Mapping[str, Any]]) -> None:
        self._snapshot = snapshot
        self._readers: set[_Reader] = set()
        self._closed = False

    @property
    def watched(self) -> bool:
        """Whether there is a reader; without one no event has to be made."""
        return bool(self._readers)

    @property
    def full(self) -> bool:
        """Whether no further reader is accepted."""
        return self._closed or len(self._readers) >= READERS

    def send(self, facts: Mapping[str, Any]) -> None:
        """Send one event to every reader."""
        if self._readers:
            event = _event_bytes(facts)
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


def _event_bytes(facts: Mapping[str, Any]) -> bytes:
    # Always one line: JSON escapes line ends.
    return b"data: " + json.dumps(facts, separators=(",", ":")).encode() + b"\n\n"
