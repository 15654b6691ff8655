"""The log of host and plugin as a person reads it: time, level, who asked, message, traceback."""

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
"""Fields that are texts of several lines: shown below the line, as Python would print them."""

_HIDDEN = frozenset(
    {*_TEXTS, "request_id", "user_id", "method", "path", "status", "bytes", "ms", "client"}
)
"""Fields that are shown elsewhere in the line, or of which a person at the machine knows."""

TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "([^"]+)", line \d+')
_CHAINED = re.compile(r"(?:The above exception was the direct cause|During handling of the above)")
_OURS = os.path.dirname(mm_asgi.__file__) + os.sep
_STARTING = (_OURS, "<frozen runpy>", "<frozen importlib", "/importlib/__init__.py")


class Terminal:
    """Writes lines for a person to a text stream; colours only on a terminal without NO_COLOR."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colours = (
            stream.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") not in ("dumb", "")
        )

    def show(self, line: LogLine) -> None:
        """A line of the log, with what hangs below it."""
        self._write(readable(line, colours=self._colours))

    def say(self, text: str, *, bad: bool = False, bold: bool = False) -> None:
        """A line of the command's own."""
        line = LogLine(
            source="dev", level="error" if bad else "info", message=text, time=time.time()
        )
        self._write(readable(line, colours=self._colours, bold=bold or bad))

    def plain(self, text: str) -> None:
        """A sentence without a time: the command could not begin."""
        self._write(_painted(text, "31", self._colours))

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # A terminal that was closed, or the end of a pipe: the plugin has to be stopped all
            # the same, and nobody is left to tell.
            self._forget()

    def _forget(self) -> None:
        """Let what is still buffered go nowhere: at exit it would fail again, with code 120."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def readable(line: LogLine, *, colours: bool = False, bold: bool = False) -> str:
    """One log line for a person; a traceback follows on lines of its own."""
    if is_raw(line):
        return _harmless(line.message)
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
        _painted(time.strftime("%H:%M:%S", time.localtime(line.time)), "2", colours),
        _painted(line.level.upper().ljust(5), _COLOURS.get(line.level, ""), colours),
        _painted(_harmless(f"[{' '.join(who)}]"), "36", colours) if who else "",
        module,
        _access(line, colours) if access else _painted(_harmless(message), "1", colours and bold),
        " ".join(map(_harmless, facts)),
    ]
    text = " ".join(part for part in parts if part)
    texts = [str(line.fields.get(name) or "") for name in _TEXTS]
    for rows in (below, *texts):
        # Starlette's lifespan fails with its traceback as the text, which the exception repeats.
        if rows and (rows is below or not below or below.strip() not in rows):
            kept = traceback_of_app(rows)
            text += "".join(f"\n    {_harmless(row)}" for row in kept.splitlines())
    return text


def _access(line: LogLine, colours: bool) -> str:
    """A request: ``GET /plugins/shop/docs 200 in 3.1 ms``, the status in its class' colour."""
    status = str(line.fields.get("status", ""))
    if status == "0":
        return _harmless(line.message.replace(" 0 in ", " without an answer in ", 1))
    painted = _painted(status, _STATUS_COLOURS.get(status[:1], ""), colours)
    return _harmless(line.message).replace(f" {status} in ", f" {painted} in ", 1)


def is_raw(line: LogLine) -> bool:
    """Whether the plugin wrote it past its log: Python itself, mostly, that cannot begin."""
    return line.source == "plugin" and not line.timestamp


def _cut_traceback(message: str) -> tuple[str, str]:
    """A message's first line, and what stands below it; a traceback begins there."""
    head, end, below = message.partition("\n")
    if end and head.endswith(TRACEBACK):
        return head.removesuffix(TRACEBACK).rstrip(), f"{TRACEBACK}\n{below}"
    return head, below


def has_app_frames(text: str) -> bool:
    """Whether a traceback passes through other code than this package and Python's import."""
    frames = map(_FRAME.match, text.splitlines())
    return any(frame and not _leads_there(frame[1]) for frame in frames)


def traceback_of_app(text: str) -> str:
    """A traceback without what led to the app's code: this package, Python's start and import.

    A last exception of this package's own, which only repeats the one before it as a sentence, is
    left out. Any other text comes back as it is.
    """
    if TRACEBACK not in text and not _FRAME.match(text):
        return text
    blocks = _blocks(text.splitlines())
    if len(blocks) > 1 and blocks[-1][-1].startswith("mm_asgi.errors."):
        del blocks[-1]
        while blocks[-1] and (not blocks[-1][-1].strip() or _CHAINED.match(blocks[-1][-1])):
            del blocks[-1][-1]
    return "\n".join(row for block in blocks for row in _without_ours(block))


def _blocks(rows: list[str]) -> list[list[str]]:
    """The chained tracebacks, each with the sentence that leads to the next."""
    blocks: list[list[str]] = [[]]
    for row in rows:
        if row.startswith(TRACEBACK) and blocks[-1]:
            blocks.append([])
        blocks[-1].append(row)
    return [block for block in blocks if block]


def _without_ours(rows: list[str]) -> list[str]:
    """One traceback without its leading frames that are not the app's; all, if none is."""
    kept: list[str] = []
    leading, skips = True, False
    for row in rows:
        if frame := _FRAME.match(row):
            ours = _leads_there(frame[1])
            skips = "<frozen importlib" in row or (leading and ours)
            leading = leading and ours
        elif not row.startswith("    "):
            skips = False
        if not skips:
            kept.append(row)
    return rows if leading and any(map(_FRAME.match, rows)) else kept


def _leads_there(file: str) -> bool:
    return file.startswith(_STARTING) or file.endswith(_STARTING)


def last_sentence(text: str) -> str:
    """A text in one line: of a traceback its last, of others all words."""
    rows = [row.strip() for row in text.splitlines() if row.strip()]
    if any(TRACEBACK in row for row in rows):
        return rows[-1]
    return " ".join(rows)


def start_reason(stage: str, error: str, fate: str, raw: Collection[str]) -> str:
    """Why a start failed, in one line; ``raw`` is what the plugin wrote past its log."""
    if stage in ("health", "implemented") and fate:
        return f"its process ended while the app was imported ({fate})"
    _, is_line, line = error.partition("Unrecognized remote plugin message: ")
    if is_line and line not in raw:
        return f"it printed {line!r} where the handshake was awaited, before mm_asgi.run"
    error = (line or error).removeprefix("OnActivate: mm_asgi.OnActivate, ")
    return last_sentence(error.removeprefix("app: "))


def _painted(text: str, colour: str, colours: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colours and colour else text


def _harmless(text: str) -> str:
    # What an app prints may hold escape sequences for somebody's terminal.
    return "".join(
        char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )
