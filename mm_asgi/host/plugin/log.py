"""The host's log: the lines that a Mattermost server's log would have."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from mm_asgi.host.plugin.stderr import LogLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["HostLog"]

KEPT = 10_000
"""Lines; a guess at how far a test or a person looks back."""

KEPT_SIZE = 32 * 1024 * 1024
"""Characters in them: a line may have 64 KiB, and a plugin that runs for days may write many."""


class HostLog:
    """Keep the latest lines and hand each new one to the listeners.

    ``async for line in log`` yields the kept lines and then each new one, until the host is closed.
    """

    def __init__(self, on_line: Callable[[LogLine], None] | None = None) -> None:
        self._listeners = [] if on_line is None else [on_line]
        self._kept: deque[LogLine] = deque()
        self._count = 0
        self._size_of = 0
        self._closed = False
        self._news = asyncio.Event()

    def lines(self, source: str | None = None) -> list[LogLine]:
        """Return the kept lines, oldest first; with ``source`` only those of that source."""
        return [line for line in self._kept if source in (None, line.source)]

    def add(self, line: LogLine) -> None:
        """Add a line. Its time becomes the present."""
        line = replace(line, time=time.time())
        self._size_of += _size_of(line)
        if len(self._kept) == KEPT:
            self._size_of -= _size_of(self._kept.popleft())
        self._kept.append(line)
        while self._size_of > KEPT_SIZE and len(self._kept) > 1:
            self._size_of -= _size_of(self._kept.popleft())
        self._count += 1
        self._wake_readers()
        for listener in tuple(self._listeners):
            listener(line)

    def listen(self, listener: Callable[[LogLine], None]) -> Callable[[], None]:
        """Hand every new line to ``listener``, and return a function that ends this."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def host(self, level: str, message: str, **fields: object) -> None:
        """Add a line of the server itself."""
        self.add(LogLine(source="host", level=level, message=message, fields=fields))

    def go_plugin(self, level: str, message: str, **fields: object) -> None:
        """Add a line about the process, as go-plugin's client writes them."""
        self.add(LogLine(source="go-plugin", level=level, message=message, fields=fields))

    def close(self) -> None:
        """End every iteration."""
        self._closed = True
        self._wake_readers()

    def _wake_readers(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def __aiter__(self) -> AsyncIterator[LogLine]:
        seen = self._count - len(self._kept)
        while True:
            news = self._news
            while seen < self._count:
                # A reader that is slower than the log misses the lines that are no longer kept.
                seen = max(seen, self._count - len(self._kept))
                line = self._kept[seen - self._count]
                seen += 1
                yield line
            if self._closed:
                return
            await news.wait()

    async def wait_for(self, wanted: Callable[[LogLine], bool], timeout: float = 10.0) -> LogLine:
        """Return the first line, kept or new, for which ``wanted`` is true.

        Args:
            wanted: looks at one line.
            timeout: seconds.

        Raises:
            TimeoutError: no such line was added in time.
            LookupError: the host was closed before.
        """
        async with asyncio.timeout(timeout):
            async for line in self:
                if wanted(line):
                    return line
        raise LookupError("the host was closed before such a line was added")


def _size_of(line: LogLine) -> int:
    texts = (value for value in line.fields.values() if isinstance(value, str))
    return len(line.message) + sum(map(len, texts))
