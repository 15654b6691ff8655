"""The loop of a plugin's process, and what sys.exit() does in it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

import pytest

from mm_asgi.errors import ConfigError
from mm_asgi.process.event_loop import close_loop, new_loop
from tests.roads.process.light_host import LightHost


def test_auto_takes_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = pytest.importorskip("uvloop")
    for kind in ("auto", "uvloop"):
        loop = new_loop(kind)
        assert isinstance(loop, uvloop.Loop)
        loop.close()
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = new_loop("auto")
    assert type(loop).__module__.startswith("asyncio")
    loop.close()
    with pytest.raises(ConfigError, match=r"pip install 'mm-asgi\[uvloop\]'"):
        new_loop("uvloop")


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
    close_loop(loop)
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
    close_loop(loop)
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
