"""The log of host and plugin as a person reads it: time, level, who asked, message, traceback."""

import os
import time
from typing import TextIO

from mm_asgi.host import LogLine

__all__ = ["Terminal", "readable"]

# ANSI colours by level: only what needs a look stands out.
_COLOURS = {"error": "31", "warn": "33", "debug": "2", "trace": "2"}
_TEXTS = ("exception", "stack")
"""Fields that are texts of several lines: shown below the line, as Python would print them."""

_HIDDEN = frozenset({*_TEXTS, "request_id", "user_id", "method", "path", "status", "bytes", "ms"})
"""Fields that are shown elsewhere in the line, or say again what the message says."""


class Terminal:
    """Writes lines for a person to a text stream; colours only on a terminal without NO_COLOR."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colours = stream.isatty() and not os.environ.get("NO_COLOR")

    def show(self, line: LogLine) -> None:
        """A line of the log; go-plugin's own remarks are left out."""
        if line.source == "go-plugin":
            return
        self._write(readable(line), _COLOURS.get(line.level, ""))

    def say(self, text: str, *, bad: bool = False) -> None:
        """A line of the command's own."""
        self._write(f"{_clock(time.time())}        {text}", "31" if bad else "1")

    def _write(self, text: str, colour: str) -> None:
        if colour and self._colours:
            text = f"\x1b[{colour}m{text}\x1b[0m"
        self._stream.write(text + "\n")
        self._stream.flush()


def readable(line: LogLine) -> str:
    """One log line for a person; a traceback follows on lines of its own."""
    who = [str(line.fields[name]) for name in ("user_id",) if line.fields.get(name)]
    if request := str(line.fields.get("request_id") or ""):
        who.append(request[:8])
    facts = [
        f"{name}={value}"
        for name, value in line.fields.items()
        if name not in _HIDDEN and value not in (None, "")
    ]
    parts = [
        _clock(line.time),
        line.level.upper().ljust(5),
        f"[{' '.join(who)}]" if who else "",
        f"{line.module}:" if line.module and not line.module.startswith("mm_asgi.access") else "",
        # What an app prints may hold escape sequences for somebody's terminal.
        _harmless(line.message),
        " ".join(map(_harmless, facts)),
    ]
    text = " ".join(part for part in parts if part)
    for name in _TEXTS:
        if value := line.fields.get(name):
            text += "\n" + "\n".join(f"    {_harmless(row)}" for row in str(value).splitlines())
    return text


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def _harmless(text: str) -> str:
    return "".join(
        char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )
