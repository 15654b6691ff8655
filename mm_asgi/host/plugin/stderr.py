"""The lines of a plugin's stderr as go-plugin's logStderr and parseJSON read them. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LINE_LIMIT", "LogLine", "StderrReader"]

LINE_LIMIT = 64 * 1024
"""go-plugin's PluginLogBufferSize, in bytes: it reads longer lines in pieces, as plain text."""

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_PREFIXES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
_LEVELS = ("trace", "debug", "info", "warn", "error")
_PANICS = ("panic: ", "fatal error: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of the host's log.

    Attributes:
        source: ``plugin`` (its stderr), ``plugin_stdout`` and ``plugin_stderr`` (GRPCStdio),
            ``api`` (the plugin's Log calls), ``go-plugin`` (about the process), ``host`` (the
            server itself).
        level: ``trace`` to ``error``.
        module: the plugin's logger, from ``@module``.
        timestamp: as the plugin wrote it; empty when it wrote none.
        fields: the other fields of the plugin's line.
        time: when the host got the line, in seconds since the epoch.
    """

    source: str
    level: str
    message: str
    module: str = ""
    timestamp: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    time: float = 0.0


class StderrReader:
    """Cut a byte stream into lines, and parse each as the host does."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._continued = False
        self._in_panic = False

    def feed(self, data: bytes) -> list[LogLine]:
        """Return the log lines that are complete with these bytes."""
        self._rest += data
        lines = []
        while True:
            end = self._rest.find(b"\n", 0, LINE_LIMIT)
            if end >= 0:
                lines.append(self._read_line(bytes(self._rest[:end]), whole=True))
                del self._rest[: end + 1]
            elif len(self._rest) >= LINE_LIMIT:
                lines.append(self._read_line(bytes(self._rest[:LINE_LIMIT]), whole=False))
                del self._rest[:LINE_LIMIT]
            else:
                return lines

    def close(self) -> list[LogLine]:
        """Return the last line, if the stream ended without a newline."""
        rest = bytes(self._rest)
        self._rest.clear()
        return [self._read_line(rest, whole=True)] if rest else []

    def _read_line(self, data: bytes, *, whole: bool) -> LogLine:
        text = data.removesuffix(b"\r").decode("utf-8", "replace")
        if self._continued or not whole:
            self._continued = not whole
            return LogLine(source="plugin", level="debug", message=text)
        try:
            raw = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return LogLine(source="plugin", level=self._guess_level(text), message=text)
        if raw is None:
            raw = {}  # Go accepts null for a map
        if not isinstance(raw, dict):
            return LogLine(source="plugin", level=self._guess_level(text), message=text)
        return self._structured_line(raw, text)

    def _structured_line(self, raw: dict[str, Any], text: str) -> LogLine:
        for key in ("@message", "@level", "@timestamp"):
            if key in raw and not isinstance(raw[key], str):
                # parseJSON asserts the type in a goroutine without recover().
                return LogLine(
                    source="host",
                    level="error",
                    message=f"this line on stderr would have ended the Mattermost server: {key} is"
                    f" no text: {text[:200]}",
                )
        timestamp = raw.pop("@timestamp", "")
        if timestamp and not _TIMESTAMP.fullmatch(timestamp):
            return LogLine(source="plugin", level=self._guess_level(text), message=text)
        message, level = raw.pop("@message", ""), raw.pop("@level", "").strip().lower()
        if level not in _LEVELS:
            return LogLine(source="plugin", level="debug", message=text)
        return LogLine(
            source="plugin",
            level=level,
            message=message,
            module=str(raw.pop("@module", "")),
            timestamp=timestamp,
            fields=raw,
        )

    def _guess_level(self, text: str) -> str:
        for name in _PREFIXES:
            if text.startswith(f"[{name}]"):
                return name.lower()
        if text.startswith(_PANICS):
            self._in_panic = True
        return "error" if self._in_panic else "debug"


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
