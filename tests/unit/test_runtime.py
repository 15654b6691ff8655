"""Pieces of the composition root; what they make together, tests/contract/test_L_* show."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from mm_asgi import loading, runtime
from mm_asgi.errors import ConfigError, StartupError
from mm_asgi.goplugin.environ import StartedByHand
from mm_asgi.settings import Settings
from tests.contract.process_plugins.hosts import LightHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# ---------------------------------------------------------------- the import's time limit

# The limit and pytest-timeout's usual method both want SIGALRM.
by_thread = pytest.mark.timeout(20, method="thread")


@pytest.fixture
def pipe() -> Iterator[int]:
    """Reading from it blocks for ever, in C code."""
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


@by_thread
def test_the_limit_interrupts_what_blocks_where_it_stands(pipe: int) -> None:
    began = time.monotonic()
    with (
        pytest.raises(StartupError, match=r"not imported in 0\.1 s \(setting import-budget\)"),
        loading.time_limit(0.1),
    ):
        os.read(pipe, 1)
    assert time.monotonic() - began < 1


@by_thread
def test_the_limit_comes_again_when_the_app_swallows_it(pipe: int) -> None:
    swallowed = []

    def stubborn() -> None:
        with contextlib.suppress(Exception):
            os.read(pipe, 1)
        swallowed.append(1)
        os.read(pipe, 1)

    with pytest.raises(StartupError), loading.time_limit(0.1):
        stubborn()
    assert swallowed == [1]


@by_thread
@pytest.mark.parametrize("seconds", [0, 60])
def test_the_limit_leaves_no_alarm_and_no_handler(seconds: float) -> None:
    before = signal.getsignal(signal.SIGALRM)
    with loading.time_limit(seconds):
        set_for, again = signal.getitimer(signal.ITIMER_REAL)
        assert (set_for > 0, again > 0) == (seconds > 0, seconds > 0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is before


# ---------------------------------------------------------------- loop


def test_auto_takes_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = pytest.importorskip("uvloop")
    for kind in ("auto", "uvloop"):
        loop = runtime._new_loop(kind)
        assert isinstance(loop, uvloop.Loop)
        loop.close()
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = runtime._new_loop("auto")
    assert type(loop).__module__.startswith("asyncio")
    loop.close()
    with pytest.raises(ConfigError, match=r"pip install 'mm-asgi\[uvloop\]'"):
        runtime._new_loop("uvloop")


def test_closing_the_loop_does_not_wait_for_who_swallows_cancels() -> None:
    loop = asyncio.new_event_loop()
    over = asyncio.Event()
    ended = []

    async def swallow() -> None:
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()

    async def polite() -> None:
        try:
            await over.wait()
        finally:
            ended.append("polite")

    tasks = [loop.create_task(swallow()), loop.create_task(polite())]
    loop.run_until_complete(asyncio.sleep(0))
    began = time.monotonic()
    runtime._close(loop)
    assert time.monotonic() - began < 1
    assert (loop.is_closed(), ended) == (True, ["polite"])
    tasks[0]._log_destroy_pending = False  # type: ignore[attr-defined]


def test_sys_exit_in_a_task_that_is_cancelled_does_not_keep_the_loop_open() -> None:
    loop = asyncio.new_event_loop()

    async def leave() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            sys.exit(3)

    tasks = [loop.create_task(leave()) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0))
    runtime._close(loop)
    assert loop.is_closed()
    assert all(isinstance(task.exception(), SystemExit) for task in tasks)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_sys_exit_in_a_task_of_the_app_does_not_end_the_plugin(loop: str) -> None:
    pytest.importorskip(loop)
    with LightHost(loop=loop) as host:
        host.start()
        held = host.begin("/hold/work")
        host.bell.wait("work")
        for _ in range(5):
            assert host.get("/exit").status == 200
        host.wait_log("a task of the app raised SystemExit; the plugin goes on", level="error")
        assert host.get("/loop").body.decode().startswith(loop)
        host.bell.release("work")
        assert held.answer().body == b"held"
        assert host.stop().code == 0
        assert host.bell.names == ["startup", "work", "shutdown"]


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize(
    ("manifest", "plugin_id"),
    [
        ('{"id": "com.example.shop"}', "com.example.shop"),
        ('{"name": "shop"}', ""),
        ("[]", ""),
        ("not JSON", ""),
        (None, ""),
    ],
)
def test_the_id_is_taken_from_the_manifest_if_it_is_there(
    manifest: str | None, plugin_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if manifest is not None:
        (tmp_path / "plugin.json").write_text(manifest)
    assert runtime._id_in_manifest() == plugin_id


def test_a_wsgi_app_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a2wsgi", None)
    with pytest.raises(StartupError, match=r"pip install 'mm-asgi\[wsgi\]'"):
        loading.as_asgi(lambda environ, start_response: [], "auto")


def test_who_starts_it_by_hand_is_told_on_stderr_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MATTERMOST_PLUGIN", raising=False)
    assert runtime.run_plugin(Settings(app="shop:app")) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("started by hand: ")
    with pytest.raises(SystemExit) as ended:
        runtime.run("shop:app")
    assert ended.value.code == 1


def test_a_host_reads_a_refusal_in_the_first_line_of_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert runtime._refuse(ConfigError("drain: 'a|b|c|d' came,\nexpected seconds")) == 1
    said = capsys.readouterr()
    assert said.out == said.err == "drain: 'a/b/c/d' came, expected seconds\n"
    assert runtime._refuse(StartedByHand("by hand")) == 1
    assert capsys.readouterr().out == ""
