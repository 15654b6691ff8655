"""The log of host and plugin as text for a person: time, level, user, message, traceback."""

import contextlib
import os
import re
import time
from collections.abc import Collection
from typing import TextIO

import mm_asgi
from mm_asgi.host import LogLine

__all__ = [
    "Terminal",
    "has_app_frames",
    "is_raw",
    "last_sentence",
    "readable",
    "start_reason",
    "traceback_of_app",
]

LEVELS = ("trace", "debug", "info", "warn", "error")
_COLOURS = {"trace": "2", "debug": "2", "info": "32", "warn": "33", "error": "31"}
_STATUS_COLOURS = {"1": "36", "2": "32", "3": "36", "4": "33", "5": "31"}
_TEXTS = ("exception", "stack")
"""Fields with texts of several lines, which are shown below the line as Python prints them."""

_HIDDEN = frozenset(
    {*_TEXTS, "request_id", "user_id", "method", "path", "status", "bytes", "ms", "client"}
)
"""Fields that are shown elsewhere in the line, or that a person at the machine knows."""

TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "([^"]+)", line \d+')
_CHAINED = re.compile(r"(?:The above exception was the direct cause|During handling of the above)")
_OURS = os.path.dirname(mm_asgi.__file__) + os.sep
_STARTING = (_OURS, "<frozen runpy>", "<frozen importlib", "/importlib/__init__.py")


class Terminal:
    """Write lines for a person to a text stream. Colours need a terminal and no NO_COLOR."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colours = (
            stream.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") not in ("dumb", "")
        )

    def show(self, line: LogLine) -> None:
        """Show a line of the log, with the texts below it."""
        self._write_line(readable(line, colours=self._colours))

    def say(self, text: str, *, bad: bool = False, bold: bool = False) -> None:
        """Show a line of the command itself."""
        line = LogLine(
            source="dev", level="error" if bad else "info", message=text, time=time.time()
        )
        self._write_line(readable(line, colours=self._colours, bold=bold or bad))

    def plain(self, text: str) -> None:
        """Show a sentence without a time, because the command could not begin."""
        self._write_line(_paint(text, "31", self._colours))

    def _write_line(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal was closed, or a pipe's reader has ended. The plugin has to be stopped all
            # the same.
            self._drop_buffered()

    def _drop_buffered(self) -> None:
        """Redirect buffered text to nowhere: at exit it would fail again, with code 120."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def readable(line: LogLine, *, colours: bool = False, bold: bool = False) -> str:
    """Return one log line for a person, with a traceback on lines of its own."""
    if is_raw(line):
        return _printable(line.message)
    who = [str(line.fields[name]) for name in ("user_id",) if line.fields.get(name)]
    if request := str(line.fields.get("request_id") or ""):
        who.append(request[:8])
    facts = [
        f"{name}={value}"
        for name, value in line.fields.items()
        if name not in _HIDDEN and value not in (None, "")
    ]
    access = line.module == "mm_asgi.access"
    message, below = _cut_traceback(line.message)
    module = "" if access or not line.module else f"{line.module}:"
    parts = [
        _paint(time.strftime("%H:%M:%S", time.localtime(line.time)), "2", colours),
        _paint(line.level.upper().ljust(5), _COLOURS.get(line.level, ""), colours),
        _paint(_printable(f"[{' '.join(who)}]"), "36", colours) if who else "",
        module,
        _access_text(line, colours)
        if access
        else _paint(_printable(message), "1", colours and bold),
        " ".join(map(_printable, facts)),
    ]
    text = " ".join(part for part in parts if part)
    texts = [str(line.fields.get(name) or "") for name in _TEXTS]
    for rows in (below, *texts):
        # Starlette's lifespan has its traceback in the message, and the exception repeats it.
        if rows and (rows is below or not below or below.strip() not in rows):
            kept = traceback_of_app(rows)
            text += "".join(f"\n    {_printable(row)}" for row in kept.splitlines())
    return text


def _access_text(line: LogLine, colours: bool) -> str:
    """Return ``GET /plugins/shop/docs 200 in 3.1 ms``, with the status in the colour of its class."""
    status = str(line.fields.get("status", ""))
    if status == "0":
        return _printable(line.message.replace(" 0 in ", " without an answer in ", 1))
    painted = _paint(status, _STATUS_COLOURS.get(status[:1], ""), colours)
    return _printable(line.message).replace(f" {status} in ", f" {painted} in ", 1)


def is_raw(line: LogLine) -> bool:
    """Return whether the plugin wrote a line past its log, as Python does when it cannot start."""
    return line.source == "plugin" and not line.timestamp


def _cut_traceback(message: str) -> tuple[str, str]:
    """Return a message's first line, and the lines below it, where a traceback may begin."""
    head, end, below = message.partition("\n")
    if end and head.endswith(TRACEBACK):
        return head.removesuffix(TRACEBACK).rstrip(), f"{TRACEBACK}\n{below}"
    return head, below


def has_app_frames(text: str) -> bool:
    """Return whether a traceback has frames beside this package's and those of Python's import."""
    frames = map(_FRAME.match, text.splitlines())
    return any(frame and not _leads_to_app(frame[1]) for frame in frames)


def traceback_of_app(text: str) -> str:
    """Return a traceback without the frames before the app's code.

    These are frames of this package and of Python's start and import. A last exception of this
    package, which only repeats the one before it as a sentence, is left out. Any other text is
    returned unchanged.
    """
    if TRACEBACK not in text and not _FRAME.match(text):
        return text
    blocks = _traceback_blocks(text.splitlines())
    if len(blocks) > 1 and blocks[-1][-1].startswith("mm_asgi.errors."):
        del blocks[-1]
        while blocks[-1] and (not blocks[-1][-1].strip() or _CHAINED.match(blocks[-1][-1])):
            del blocks[-1][-1]
    return "\n".join(row for block in blocks for row in _without_ours(block))


def _traceback_blocks(rows: list[str]) -> list[list[str]]:
    """Split a text into its chained tracebacks, each with the sentence that leads to the next."""
    blocks: list[list[str]] = [[]]
    for row in rows:
        if row.startswith(TRACEBACK) and blocks[-1]:
            blocks.append([])
        blocks[-1].append(row)
    return [block for block in blocks if block]


def _without_ours(rows: list[str]) -> list[str]:
    """Return a traceback without its frames before the app's first, or all of it if it has none."""
    kept: list[str] = []
    leading, skips = True, False
    for row in rows:
        if frame := _FRAME.match(row):
            ours = _leads_to_app(frame[1])
            skips = "<frozen importlib" in row or (leading and ours)
            leading = leading and ours
        elif not row.startswith("    "):
            skips = False
        if not skips:
            kept.append(row)
    return rows if leading and any(map(_FRAME.match, rows)) else kept


def _leads_to_app(file: str) -> bool:
    return file.startswith(_STARTING) or file.endswith(_STARTING)


def last_sentence(text: str) -> str:
    """Return a text in one line: a traceback's last line, or all words of another text."""
    rows = [row.strip() for row in text.splitlines() if row.strip()]
    if any(TRACEBACK in row for row in rows):
        return rows[-1]
    return " ".join(rows)


def start_reason(stage: str, error: str, fate: str, raw: Collection[str]) -> str:
    """Return the reason of a failed start in one line.

    Args:
        stage: the step that failed, as in `HostError`.
        error: its error.
        fate: how the process ended; empty: it did not.
        raw: the lines that the plugin wrote past its log.
    """
    if stage in ("health", "implemented") and fate:
        return f"its process ended while the app was imported ({fate})"
    _, is_line, line = error.partition("Unrecognized remote plugin message: ")
    if is_line and line not in raw:
        return f"it printed {line!r} where the handshake was awaited, before mm_asgi.run"
    error = (line or error).removeprefix("OnActivate: ").removeprefix("mm_asgi.OnActivate, ")
    return last_sentence(error.removeprefix("app: "))


def _paint(text: str, colour: str, colours: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colours and colour else text


def _printable(text: str) -> str:
    # An app's output may contain escape sequences for the terminal.
    return "".join(
        char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )
