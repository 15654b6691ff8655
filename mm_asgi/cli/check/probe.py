"""A child of ``mm-asgi check``: imports the target alone and tells what can be seen of it.

``python -X importtime -m mm_asgi.cli.check.probe FILE`` with the facts of `Asked` as JSON on stdin;
the answer goes into FILE, since stdout and stderr are the app's and importtime's. What a plugin's
process has loaded before its app is loaded before MARKER, so that it does not count as the app's.
"""

from __future__ import annotations

import io
import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mm_asgi
import mm_asgi.process.front
from mm_asgi.cli.check.imports import MARKER
from mm_asgi.errors import MMASGIError, StartupError
from mm_asgi.importer import last_line
from mm_asgi.loading import import_app
from mm_asgi.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Printed", "main", "public_routes"]

_DEEPEST = 20
"""Middleware around middleware that is looked through: a bound for objects that hold themselves."""


class Printed(io.TextIOBase):
    """Stands for sys.stdout, and remembers who wrote: place, first text, how often."""

    def __init__(self) -> None:
        self.places: dict[str, dict[str, Any]] = {}

    def write(self, text: str) -> int:
        """Take a text; the place is the line that called print() or write()."""
        frame = sys._getframe(1)
        place = f"{os.path.relpath(frame.f_code.co_filename)}:{frame.f_lineno}"
        entry = self.places.setdefault(place, {"place": place, "text": "", "count": 0})
        # print() writes its newline, and what separates its arguments, by calls of their own.
        entry["count"] += text.count("\n")
        if len(entry["text"]) < 200:
            entry["text"] += text
        return len(text)

    def isatty(self) -> bool:
        return False


class _Found(BaseException):
    """Ends a start file where it calls mm_asgi.run."""

    def __init__(self, app: str, settings: dict[str, Any]) -> None:
        super().__init__()
        self.app = app
        self.settings = settings


def main() -> None:
    """Answer one question."""
    asked: dict[str, Any] = json.load(sys.stdin)
    answer: dict[str, Any] = {"seconds": None, "error": None, "app": None, "public": None}
    printed = Printed()
    stdout, sys.stdout = sys.stdout, printed
    sys.stderr.write(f"{MARKER}\n")
    sys.stderr.flush()
    started = time.perf_counter()
    try:
        target = _load(asked)
        answer["app"] = type(target).__name__
        answer["public"] = public_routes(target)
    except MMASGIError as exc:
        answer["error"] = str(exc)
    # A start file may raise anything before it comes to mm_asgi.run.
    except BaseException as exc:  # noqa: BLE001
        answer["error"] = last_line(exc)
    answer["seconds"] = time.perf_counter() - started
    sys.stdout = stdout
    answer["printed"] = [
        {**entry, "text": entry["text"].strip().partition("\n")[0]}
        for entry in list(printed.places.values())[:20]
    ]
    Path(sys.argv[1]).write_text(json.dumps(answer), "utf-8")


def _load(asked: dict[str, Any]) -> object:
    names = ("app", "factory", "app_dir", "env_file")
    given = {name: asked[name] for name in names}
    if not given["app"]:
        found = _in_start_file(asked["start_file"])
        given["app"] = found.app
        given |= {name: found.settings[name] for name in names if name in found.settings}
    return import_app(Settings(**given))


def _in_start_file(path: str) -> _Found:
    """What the start file hands to mm_asgi.run."""

    def run(app: str, **settings: Any) -> None:
        raise _Found(app, settings)

    mm_asgi.run = run
    # As for ``python plugin.py``: its folder and not -m's.
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    try:
        runpy.run_path(path, run_name="__main__")
    except _Found as found:
        return found
    raise StartupError(f"{path}: it ended without mm_asgi.run(...)")


def public_routes(target: object) -> list[str] | None:
    """The routes that a server would never ask for, since it serves /public itself; None: unknown.

    Starlette's and FastAPI's ``routes`` are looked at, through a Plugin and middleware around them.
    """
    for _ in range(_DEEPEST):
        if isinstance(getattr(target, "routes", None), list):
            return sorted({path for path in _paths(target, "") if _is_public(path)})
        if getattr(target, "app", None) is None:
            break
        target = target.app  # type: ignore[attr-defined]
    return None


def _paths(target: object, prefix: str, depth: int = _DEEPEST) -> Iterator[str]:
    for route in getattr(target, "routes", None) or ():
        path = prefix + str(getattr(route, "path", ""))
        below = isinstance(getattr(route, "routes", None), list) and bool(route.routes)
        if not below or _is_public(path):
            yield path
        elif depth:
            yield from _paths(route, path, depth - 1)


def _is_public(path: str) -> bool:
    return path == "/public" or path.startswith("/public/")


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    # Python would wait for each thread that the app has started.
    os._exit(0)
