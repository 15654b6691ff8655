"""observe/watchdog.py, contract rows L10, L5 and L4."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.observe.watchdog import EXIT_BLOCKED, Pulse, Verdict, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT = 10.0


def ticks(pulse: Pulse, *steps: tuple[bool, float, float]) -> list[Verdict | None]:
    """The verdicts on ticks: (answered, seconds since the last one, processor seconds)."""
    verdicts = []
    now = cpu = 0.0
    for answered, elapsed, busy in steps:
        now += elapsed
        cpu += busy
        verdicts.append(pulse.tick(answered, now=now, cpu=cpu))
    return verdicts


YES, NO = (True, 0.5, 0.0), (False, 0.5, 0.0)


def pulse(warn: float = 1.0, kill: float = 2.0) -> Pulse:
    return Pulse(warn, kill, now=0.0, cpu=0.0)


def test_a_loop_that_answers() -> None:
    assert ticks(pulse(), YES, YES, NO, YES, NO, YES) == [None] * 6


def test_L10_warned_once_then_killed() -> None:
    assert ticks(pulse(), YES, NO, NO, NO, NO) == [None, None, Verdict.WARN, None, Verdict.KILL]


def test_L10_two_episodes() -> None:
    watched = pulse()
    assert ticks(watched, NO, NO, NO, YES) == [None, Verdict.WARN, None, Verdict.RUNS]
    assert watched.lasted == 1.5
    assert ticks(pulse(), NO, NO, YES, NO, NO, NO)[-2:] == [Verdict.WARN, None]


def test_L10_zero_is_never() -> None:
    assert ticks(pulse(warn=0), NO, NO, NO, NO)[-1] is Verdict.KILL
    assert ticks(pulse(kill=0), *[NO] * 100).count(Verdict.WARN) == 1
    assert set(ticks(pulse(warn=0), NO, NO, NO)) == {None}


def test_time_in_which_the_process_did_not_run_is_not_counted() -> None:
    suspended = (False, 3600.0, 0.01)
    assert ticks(pulse(), NO, suspended, YES) == [None, Verdict.WARN, Verdict.RUNS]
    assert ticks(pulse(), suspended, NO, NO, NO)[-1] is Verdict.KILL
    assert ticks(pulse(), suspended, suspended, suspended).count(Verdict.KILL) == 0


def test_a_lock_that_was_kept_is_counted_but_kills_only_a_tick_later() -> None:
    regex = (False, 60.0, 59.0)
    assert ticks(pulse(), NO, regex, YES) == [None, Verdict.WARN, Verdict.RUNS]
    assert ticks(pulse(), NO, regex, NO) == [None, Verdict.WARN, Verdict.KILL]


def test_forgive_begins_anew() -> None:
    watched = pulse()
    ticks(watched, NO, NO, NO)
    watched.forgive()
    assert watched.blocked == 0


@pytest.mark.parametrize(
    ("warn", "kill", "interval"), [(1, 30, 0.5), (0, 0, 0.5), (0.4, 30, 0.2), (0.001, 0, 0.05)]
)
def test_interval(warn: float, kill: float, interval: float) -> None:
    assert Pulse(warn, kill, now=0, cpu=0).interval == interval


@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(0, 1000), st.floats(0, 1000)), min_size=1, max_size=30
    )
)
def test_no_kill_before_its_time_and_no_warning_twice(
    steps: list[tuple[bool, float, float]],
) -> None:
    verdicts = ticks(pulse(), *steps)
    since = 0.0
    warned = False
    for (answered, elapsed, _), verdict in zip(steps, verdicts, strict=True):
        since = 0.0 if answered else since + elapsed
        if verdict is Verdict.KILL:
            assert since >= 2.0 - 1e-6
        if verdict is Verdict.WARN:
            assert since >= 1.0 - 1e-6
            assert not warned
            warned = True
        if answered:
            assert (verdict is Verdict.RUNS) == warned
            warned = False


class Process:
    """What a watchdog does to a process, kept in lists, with events to wait for."""

    def __init__(self) -> None:
        self.exited = threading.Event()
        self.orphaned = threading.Event()
        self.said = threading.Condition()
        self.code: int | None = None
        self.cleaned = 0
        self.records: list[logging.LogRecord] = []

    def exit(self, code: int) -> None:
        self.code = code
        self.exited.set()

    def cleanup(self) -> None:
        self.cleaned += 1

    def watchdog(self, loop: asyncio.AbstractEventLoop | None, **options: Any) -> Watchdog:
        defaults: dict[str, Any] = {
            "warn": 0.0,
            "kill": 0.0,
            "on_orphan": self.orphaned.set,
            "cleanup": self.cleanup,
            "exit": self.exit,
        }
        return Watchdog(loop, **{**defaults, **options})

    def wait_for(self, text: str) -> logging.LogRecord:
        def found() -> logging.LogRecord | None:
            return next((one for one in self.records if text in one.getMessage()), None)

        with self.said:
            record = self.said.wait_for(found, WAIT)
        assert record is not None, text
        return record


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with process.said:
                process.records.append(record)
                process.said.notify_all()

    handler = Keep()
    logger = logging.getLogger("mm_asgi.watchdog")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield process
    logger.removeHandler(handler)
    logger.setLevel(level)


@contextlib.contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="loop")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    done = threading.Event()

    def call() -> None:
        function()
        done.set()

    loop.call_soon_threadsafe(call)
    assert done.wait(WAIT)


def test_L10_a_blocked_loop_is_warned_of_and_comes_back(process: Process) -> None:
    release = threading.Event()

    def blocking_handler() -> None:
        release.wait(WAIT)

    with running_loop() as loop:
        watchdog = process.watchdog(loop, warn=0.1)
        on_loop(loop, watchdog.start)
        loop.call_soon_threadsafe(blocking_handler)
        record = process.wait_for("has been blocked for")
        assert record.levelno == logging.WARNING
        assert "in blocking_handler" in vars(record)["stack"]
        release.set()
        assert process.wait_for("runs again").levelno == logging.INFO
        watchdog.stop()
    assert process.code is None


@pytest.mark.parametrize("warn", [0.0, 0.1])
def test_somebody_stands_in_while_the_loop_stands_still(
    process: Process, warn: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mm_asgi.observe.watchdog._STANDS_STILL", 0.1)
    release, said = threading.Event(), threading.Condition()
    wanted: list[bool] = []

    def stand_in(*, needed: bool) -> None:
        with said:
            wanted.append(needed)
            said.notify_all()

    with running_loop() as loop:
        watchdog = process.watchdog(loop, warn=warn, stand_in=stand_in)
        on_loop(loop, watchdog.start)
        loop.call_soon_threadsafe(release.wait, WAIT)
        with said:
            assert said.wait_for(lambda: True in wanted, WAIT)
            wanted.clear()
        release.set()
        with said:
            assert said.wait_for(lambda: False in wanted, WAIT)
        watchdog.stop()
    assert process.code is None


def test_L10_a_loop_that_stays_blocked_is_ended(process: Process) -> None:
    release = threading.Event()

    def stuck_handler() -> None:
        release.wait(WAIT)

    with running_loop() as loop:
        on_loop(loop, process.watchdog(loop, kill=0.1).start)
        loop.call_soon_threadsafe(stuck_handler)
        assert process.exited.wait(WAIT)
        release.set()
    assert process.code == EXIT_BLOCKED == 70
    assert process.cleaned == 1
    assert process.wait_for("the plugin ends").levelno == logging.ERROR
    assert "in stuck_handler" in vars(process.wait_for("thread loop"))["stack"]


def test_L10_a_log_that_hangs_delays_the_end_only_a_moment(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mm_asgi.observe.watchdog._LAST_WORDS", 0.05)
    release = threading.Event()

    class Hanging(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            release.wait(WAIT)

    handler = Hanging()
    logger = logging.getLogger("mm_asgi.watchdog")
    logger.addHandler(handler)
    try:
        with running_loop() as loop:
            on_loop(loop, process.watchdog(loop, warn=0.1, kill=0.2).start)
            loop.call_soon_threadsafe(release.wait, WAIT)
            assert process.exited.wait(WAIT)
            release.set()
    finally:
        logger.removeHandler(handler)
        for thread in threading.enumerate():
            if thread.name == "mm_asgi-last-words":
                thread.join(WAIT)
    assert process.code == EXIT_BLOCKED


def test_L10_off_under_a_debugger(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Semaphore(0)

    def debugged(frame: object) -> bool:
        asked.release()
        return True

    monkeypatch.setattr("mm_asgi.observe.watchdog.debugged", debugged)
    release = threading.Event()
    with running_loop() as loop:
        watchdog = process.watchdog(loop, warn=0.1, kill=0.1)
        on_loop(loop, watchdog.start)
        loop.call_soon_threadsafe(release.wait, WAIT)
        for _ in range(2):
            assert asked.acquire(timeout=WAIT)
        watchdog.stop()
        release.set()
    assert process.code is None
    assert process.records == []


def test_L5_another_parent_is_told_to_the_loop_and_ends_the_process(process: Process) -> None:
    with running_loop() as loop:
        on_loop(loop, process.watchdog(loop, parent=-1, orphan_grace=0.05).start)
        assert process.orphaned.wait(WAIT)
        assert process.exited.wait(WAIT)
    assert process.code == 1
    assert process.cleaned == 1


def test_L5_an_orphan_with_a_blocked_loop(process: Process) -> None:
    release = threading.Event()
    with running_loop() as loop:
        watchdog = process.watchdog(loop, parent=-1, orphan_grace=0.05)
        inside = threading.Event()

        def block() -> None:
            watchdog.start()
            inside.set()
            release.wait(WAIT)

        loop.call_soon_threadsafe(block)
        assert inside.wait(WAIT)
        assert process.exited.wait(WAIT)
        assert not process.orphaned.is_set()
        release.set()


def test_a_loop_that_is_closed(process: Process) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    watchdog = process.watchdog(loop, warn=0.1, parent=-1, orphan_grace=0.2)
    watchdog.start()
    assert process.exited.wait(WAIT)
    assert not process.orphaned.is_set()


def test_L4_exit_after_names_what_holds_it_up(process: Process) -> None:
    watchdog = process.watchdog(None)
    watchdog.start()
    watchdog.exit_after(60.0, 9)
    watchdog.exit_after(0.01, 3)
    watchdog.exit_after(30.0, 8)
    assert process.exited.wait(WAIT)
    assert process.code == 3
    assert process.wait_for("did not end by itself").levelno == logging.WARNING
    process.wait_for("thread MainThread")


def test_exit_after_works_without_start(process: Process) -> None:
    process.watchdog(None).exit_after(0.0, 4)
    assert process.exited.wait(WAIT)
    assert process.code == 4


def test_stop_calls_the_end_off(process: Process) -> None:
    watchdog = process.watchdog(None)
    watchdog.exit_after(0.2, 5)
    watchdog.stop()
    assert watchdog._thread is not None
    watchdog._thread.join(WAIT)
    assert not watchdog._thread.is_alive()
    assert process.code is None


def test_no_thread_can_be_made_any_more(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    watchdog = process.watchdog(None)
    watchdog.start()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    watchdog.exit_after(0.0, 6)
    assert process.exited.wait(WAIT)
    assert process.code == 6
    assert process.cleaned == 1


def test_L4_a_real_process_that_other_threads_hold() -> None:
    code = """if True:
    import threading
    from mm_asgi.observe.watchdog import Watchdog
    watchdog = Watchdog(None, warn=0, kill=0, on_orphan=print, cleanup=lambda: print("clean", flush=True))
    threading.Thread(target=threading.Event().wait).start()
    watchdog.exit_after(0.05, 7)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 7
    assert done.stdout == b"clean\n"


def test_L5_a_real_orphan() -> None:
    """A child whose parent ends without a word is gone within 3 s."""
    child = """if True:
    import os, sys, asyncio
    from mm_asgi.observe.watchdog import Watchdog
    async def main():
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        Watchdog(loop, warn=1, kill=30, on_orphan=over.set, cleanup=print).start()
        print("ready", flush=True)
        await over.wait()
        print("orphaned", flush=True)
    asyncio.run(main())
    """
    # The child's words go to a pipe that outlives its parent.
    reading, writing = os.pipe()
    parent = f"""if True:
    import subprocess, sys
    subprocess.Popen([sys.executable, "-c", {child!r}], stdout={writing})
    sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, pass_fds=[writing]
    ) as host:
        os.close(writing)
        with open(reading, "rb") as words:
            assert words.readline() == b"ready\n"
            started = time.monotonic()
            host.kill()
            assert words.readline() == b"orphaned\n"
            assert words.read() == b""
    assert time.monotonic() - started < 3
