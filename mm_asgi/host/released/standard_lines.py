"""go-plugin's two streams for what a plugin prints: each line goes to the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.host.plugin.stderr import LogLine
from mm_asgi.wire.netrpc.stream_owner import StreamOwner

if TYPE_CHECKING:
    from mm_asgi.host.plugin.log import HostLog

__all__ = ["StandardLines"]


class StandardLines(StreamOwner):
    """One of them.

    Args:
        source: the log's name for it.
        log: the host's.
    """

    def __init__(self, source: str, log: HostLog) -> None:
        self._source = source
        self._log = log
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Log the lines that are whole."""
        super().data_received(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = line.decode("utf-8", "replace")
            self._log.add(LogLine(source=self._source, level="info", message=message))
