"""The log as a person reads it."""

from __future__ import annotations

import io
import time
import traceback
from typing import Any

import pytest

import mm_asgi
from mm_asgi.cli.terminal import (
    Terminal,
    has_app_frames,
    last_sentence,
    readable,
    traceback_of_app,
)
from mm_asgi.host import LogLine
from mm_asgi.importer import import_target

NOON = time.mktime((2026, 1, 2, 12, 0, 0, 0, 0, -1))
STAMP = "2026-01-02T12:00:00.000000Z"


def line(message: str, level: str = "info", module: str = "", **fields: object) -> LogLine:
    return LogLine(
        source="plugin", level=level, module=module, message=message, fields=fields,
        timestamp=STAMP, time=NOON,
    )  # fmt: skip


ACCESS: dict[str, Any] = {
    "module": "mm_asgi.access", "user_id": "alice", "request_id": "kctzyrggabcdef", "method": "GET",
    "path": "/x", "bytes": 3, "ms": 3.1, "client": "127.0.0.1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (line("ready"), "12:00:00 INFO  ready"),
        (line("low", "warn", "shop", left=3, why=""), "12:00:00 WARN  shop: low left=3"),
        (line("GET /x 200 in 3.1 ms", status=200, **ACCESS),
         "12:00:00 INFO  [alice kctzyrgg] GET /x 200 in 3.1 ms"),
        (line("GET /x 0 in 3.1 ms", status=0, **ACCESS),
         "12:00:00 INFO  [alice kctzyrgg] GET /x without an answer in 3.1 ms"),
        (line("no", request_id="kctzyrggabcdef"), "12:00:00 INFO  [kctzyrgg] no"),
        (line("first\nsecond\x1b[2J"), "12:00:00 INFO  first\n    second\N{REPLACEMENT CHARACTER}[2J"),
        (LogLine(source="plugin", level="debug", message="SyntaxError: no"), "SyntaxError: no"),
    ],
)  # fmt: skip
def test_a_line(shown: LogLine, text: str) -> None:
    assert readable(shown) == text


def test_the_class_of_a_status_has_a_colour() -> None:
    shown = readable(line("GET /x 404 in 3.1 ms", status=404, **ACCESS), colours=True)
    assert "GET /x \x1b[33m404\x1b[0m in" in shown


def test_a_traceback_begins_with_the_apps_own_code() -> None:
    text = (
        "Traceback (most recent call last):\n"
        f'  File "{mm_asgi.__path__[0]}/bridge/handler.py", line 140, in _run\n'
        "    await self.app(scope, cycle.receive, cycle.send)\n"
        '  File "/srv/shop.py", line 9, in boom\n'
        "    raise ValueError\n"
        "    ^^^^^^^^^^^^^^^^\n"
        f'  File "{mm_asgi.__path__[0]}/bridge/http.py", line 1, in send\n'
        "    raise later\n"
        "ValueError: no"
    )
    rows = traceback_of_app(text).splitlines()
    assert rows[0] == "Traceback (most recent call last):"
    assert rows[1] == '  File "/srv/shop.py", line 9, in boom'
    assert len(rows) == 7
    assert has_app_frames(text)


def test_a_fault_of_ours_keeps_its_frames() -> None:
    text = (
        "Traceback (most recent call last):\n"
        f'  File "{mm_asgi.__path__[0]}/bridge/handler.py", line 140, in _run\n'
        "    raise KeyError\n"
        "KeyError: 1"
    )
    assert traceback_of_app(text) == text
    assert not has_app_frames(text)
    assert traceback_of_app("no traceback") == "no traceback"


def test_an_import_that_failed_is_its_own_traceback_alone(tmp_path: Any) -> None:
    (tmp_path / "terminal_broken.py").write_text("import nothere\n")
    with pytest.raises(mm_asgi.errors.StartupError) as caught:
        import_target("terminal_broken:app", app_dir=str(tmp_path))
    text = "".join(traceback.format_exception(caught.value.__cause__))
    whole = "".join(traceback.format_exception(caught.value))
    assert "importlib" in text
    assert "mm_asgi.errors" in whole
    rows = traceback_of_app(whole).splitlines()
    assert not [row for row in rows if "importlib" in row or "mm_asgi" in row]
    assert rows[-1] == "ModuleNotFoundError: No module named 'nothere'"


def test_a_traceback_is_shown_once() -> None:
    text = 'Traceback (most recent call last):\n  File "life.py", line 6\nRuntimeError: down'
    shown = line(f"it failed: {text}", "error", exception=f"{text}\n\nStartupError: {text}")
    assert readable(shown).splitlines() == [
        "12:00:00 ERROR it failed:",
        "    Traceback (most recent call last):",
        '      File "life.py", line 6',
        "    RuntimeError: down",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\n b", "a b"),
        ("failed: Traceback (most recent call last):\n  File\nRuntimeError: down\n", "RuntimeError: down"),
    ],
)  # fmt: skip
def test_the_last_sentence(text: str, sentence: str) -> None:
    assert last_sentence(text) == sentence


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def written(screen: io.StringIO) -> str:
        Terminal(screen).say("no", bad=True)
        return screen.getvalue()

    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert "\x1b[" in written(Screen())
    assert "\x1b[" not in written(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b[" not in written(Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in written(Screen())


def test_a_terminal_that_is_gone_is_no_fault() -> None:
    screen = io.StringIO()
    terminal = Terminal(screen)
    screen.close()
    terminal.say("anybody?")
