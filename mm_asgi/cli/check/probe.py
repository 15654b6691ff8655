"""The child process of ``mm-asgi check``: it imports the target alone and reports facts about it.

The command is ``python -X importtime -m mm_asgi.cli.check.probe FILE``, with the settings of
`imports.probe_import` as JSON on stdin. The answer goes into FILE, since the app writes to stdout and
importtime to stderr. The modules that a plugin's process loads before its app are loaded before MARKER,
so that they do not count as the app's.
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
"""Layers of middleware that are searched; a bound for objects that contain themselves."""


class Printed(io.TextIOBase):
    """A stand-in for sys.stdout that notes each place that writes: first text and number of lines."""

    def __init__(self) -> None:
        self.places: dict[str, dict[str, Any]] = {}

    def write(self, text: str) -> int:
        """Note a text under the line that called print() or write()."""
        frame = sys._getframe(1)
        place = f"{os.path.relpath(frame.f_code.co_filename)}:{frame.f_lineno}"
        entry = self.places.setdefault(place, {"place": place, "text": "", "count": 0})
        # print() writes its newline, and the separators of its arguments, by separate calls.
        entry["count"] += text.count("\n")
        if len(entry["text"]) < 200:
            entry["text"] += text
        return len(text)

    def isatty(self) -> bool:
        return False


class _Found(BaseException):
    """Raised to end a start file where it calls mm_asgi.run."""

    def __init__(self, app: str, settings: dict[str, Any]) -> None:
        super().__init__()
        self.app = app
        self.settings = settings


def main() -> None:
    """Import the target, and write the facts into the file."""
    asked: dict[str, Any] = json.load(sys.stdin)
    answer: dict[str, Any] = {"seconds": None, "error": None, "app": None, "public": None}
    printed = Printed()
    stdout, sys.stdout = sys.stdout, printed
    sys.stderr.write(f"{MARKER}\n")
    sys.stderr.flush()
    started = time.perf_counter()
    try:
        settings = _find_settings(asked)
        answer["target"] = settings.app
        target = import_app(settings)
        answer["app"] = type(target).__name__
        answer["public"] = public_routes(target)
    except MMASGIError as exc:
        answer["error"] = str(exc)
    # A start file may raise anything before it calls mm_asgi.run.
    except BaseException as exc:  # noqa: BLE001
        answer["error"] = last_line(exc)
    answer["seconds"] = time.perf_counter() - started
    sys.stdout = stdout
    answer["printed"] = [
        {**entry, "text": entry["text"].strip().partition("\n")[0]}
        for entry in list(printed.places.values())[:20]
    ]
    Path(sys.argv[1]).write_text(json.dumps(answer), "utf-8")


def _find_settings(asked: dict[str, Any]) -> Settings:
    names = ("app", "factory", "app_dir", "env_file")
    given = {name: asked[name] for name in names}
    if not given["app"]:
        found = _run_start_file(asked["start_file"])
        given["app"] = found.app
        given |= {name: found.settings[name] for name in names if name in found.settings}
    return Settings(**given)


def _run_start_file(path: str) -> _Found:
    """Run the start file and return the arguments of its call of mm_asgi.run."""

    def run(app: str, **settings: Any) -> None:
        raise _Found(app, settings)

    mm_asgi.run = run
    # ``python plugin.py`` has the file's folder there, -m the working directory.
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    try:
        runpy.run_path(path, run_name="__main__")
    except _Found as found:
        return found
    raise StartupError(f"{path}: it ended without mm_asgi.run(...)")


def public_routes(target: object) -> list[str] | None:
    """Return the routes that the app never gets, since a server serves /public itself.

    Starlette's and FastAPI's ``routes`` are searched, through a Plugin and middleware around them.

    Returns:
        list[str] | None: the routes; None when the app has no such attribute.
    """
    for _ in range(_DEEPEST):
        if isinstance(getattr(target, "routes", None), list):
            return sorted({path for path in _route_paths(target, "") if _is_public(path)})
        if getattr(target, "app", None) is None:
            break
        target = target.app  # type: ignore[attr-defined]
    return None


def _route_paths(target: object, prefix: str, depth: int = _DEEPEST) -> Iterator[str]:
    for route in getattr(target, "routes", None) or ():
        path = prefix + str(getattr(route, "path", ""))
        below = isinstance(getattr(route, "routes", None), list) and bool(route.routes)
        if not below or _is_public(path):
            yield path
        elif depth:
            yield from _route_paths(route, path, depth - 1)


def _is_public(path: str) -> bool:
    return path == "/public" or path.startswith("/public/")


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    # Python would wait for each thread that the app has started.
    os._exit(0)
