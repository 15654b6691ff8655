"""The log as a Mattermost server would have it: what the plugin logs, and the host's own lines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mm_asgi.host import LogLine
from mm_asgi.running import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LogRecorder"]

LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"))
_ROOT = logging.getLogger()


class LogRecorder(logging.Handler):
    """A handler of the root logger that hands each record on as a LogLine.

    As the host's level does by default, it lets INFO through while it is at work.
    """

    def __init__(self, add: Callable[[LogLine], None]) -> None:
        super().__init__()
        self._add = add
        self._level_before = logging.NOTSET

    def start(self) -> None:
        """Begin to record."""
        self._level_before = _ROOT.level
        if self._level_before > logging.INFO:
            _ROOT.setLevel(logging.INFO)
        _ROOT.addHandler(self)

    def stop(self) -> None:
        """End the recording."""
        _ROOT.removeHandler(self)
        _ROOT.setLevel(self._level_before)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, unless it is about the test's own requests, which no server would log."""
        if record.name in ("httpx", "httpx2") and RUNNING.get(None) is None:
            return
        level = next((name for least, name in LEVELS if record.levelno >= least), "debug")
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - as each handler of logging does
            self.handleError(record)
            return
        fields = {}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = repr(record.exc_info[1])
        self._add(
            LogLine(
                source="plugin",
                level=level,
                message=message,
                module=record.name,
                fields=fields,
                time=record.created,
            )
        )
