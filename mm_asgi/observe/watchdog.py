"""A daemon thread that notices a blocked event loop, and the death of the host.

The loop itself can notice neither. go-plugin's Ping and Shutdown have no deadline, so one plugin with
a blocked loop holds up the health checks of all plugins and the stop of the whole server (row L10).
And a host that is killed sends no notice (row L5).

Known limit: code that keeps Python's global lock for long (a regular expression that backtracks,
C code) stops this thread, too. It reports that as soon as it runs again, and counts the time if the
process was busy in it. It cannot end the process before.
"""

from __future__ import annotations

import enum
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from mm_asgi.observe.stacks import all_stacks, debugged, frame_of, place_of, stack_text

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

__all__ = ["EXIT_BLOCKED", "Pulse", "Verdict", "Watchdog"]

EXIT_BLOCKED: Final = 70
"""The exit code of a plugin whose loop was blocked for too long: sysexits.h, EX_SOFTWARE."""

_EXIT_ORPHANED = 1

_TICK = 0.5
_SHORTEST_TICK = 0.05
_LATE = 3
"""Intervals between two ticks, from which on the tick is late: the process or the machine was
suspended, or the lock was kept."""

_STANDS_STILL = 1.0
"""Seconds without an answer, from which on somebody stands in for the loop."""

_LAST_WORDS = 0.5
"""Seconds for the log, and again for the cleanup, before the process ends without them."""

_logger = logging.getLogger("mm_asgi.watchdog")


class Deputy(Protocol):
    """Whoever does for a loop that stands still what cannot wait."""

    def __call__(self, *, needed: bool) -> object:
        """Begin, or end."""


class Verdict(enum.Enum):
    """The result of a tick."""

    WARN = "blocked for long: once an episode"
    KILL = "blocked for too long"
    RUNS = "runs again after a warning"


class Pulse:
    """Counts how long the loop has not answered, and decides what to do. Pure: it reads no clock.

    Time in which this process did not run (a suspended machine, SIGSTOP, a paused container) is
    not the loop's fault. In such a case a tick comes far too late, and the process has used no
    processor time since the last one.

    Args:
        warn: seconds without an answer until WARN; 0: never.
        kill: seconds until KILL; 0: never.
        now: the monotonic clock (seconds).
        cpu: the process's processor time (seconds).

    Attributes:
        interval: seconds between two ticks.
        blocked: seconds without an answer.
        lasted: seconds of the last time without an answer, for RUNS.
    """

    def __init__(self, warn: float, kill: float, *, now: float, cpu: float) -> None:
        limits = [limit / 2 for limit in (warn, kill) if limit > 0]
        self.interval = max(min([_TICK, *limits]), _SHORTEST_TICK)
        self.blocked = 0.0
        self.lasted = 0.0
        self._warn = warn
        self._kill = kill
        self._now = now
        self._cpu = cpu
        self._warned = False

    def tick(self, answered: bool, *, now: float, cpu: float) -> Verdict | None:
        """Count the time since the last tick, unless the loop has answered since."""
        elapsed, busy = now - self._now, cpu - self._cpu
        self._now, self._cpu = now, cpu
        if answered:
            warned, self._warned = self._warned, False
            self.lasted, self.blocked = self.blocked, 0.0
            return Verdict.RUNS if warned else None
        late = elapsed > _LATE * self.interval
        self.blocked += elapsed if not late or busy > elapsed / 2 else self.interval
        # After a gap the loop gets one more tick to answer in.
        if 0 < self._kill <= self.blocked and not late:
            return Verdict.KILL
        if 0 < self._warn <= self.blocked and not self._warned:
            self._warned = True
            return Verdict.WARN
        return None

    def forgive(self) -> None:
        """Start counting again from 0: a debugger held the loop."""
        self.blocked = 0.0
        self._warned = False


class Watchdog:
    """Watches one event loop and the parent process, and can end the process on its own.

    Args:
        loop: the loop to watch. None: the parent and ``exit_after`` only.
        warn: seconds without an answer after which the loop's stack is logged; 0: never.
        kill: seconds after which the process ends with EXIT_BLOCKED; 0: never. Neither happens
            while a debugger is at work.
        on_orphan: called once, on the loop, when the parent is not ``parent`` any more.
        cleanup: called in any thread before the process is ended; it may be called twice.
        stand_in: called in the watchdog's thread, with ``needed=True`` when the loop has not answered
            for a second, and with False when it answers again.
        parent: ``os.getppid()`` at the very start of the process, so that the death of a host
            before this object exists is noticed; None: its value now.
        orphan_grace: seconds that an orphan has for its own end.
        exit: ends the process.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        *,
        warn: float,
        kill: float,
        on_orphan: Callable[[], object],
        cleanup: Callable[[], object],
        stand_in: Deputy | None = None,
        parent: int | None = None,
        orphan_grace: float = 2.0,
        exit: Callable[[int], object] = os._exit,
    ) -> None:
        # The arguments.
        self._loop = loop
        self._on_orphan = on_orphan
        self._cleanup = cleanup
        self._stand_in = stand_in
        self._parent = os.getppid() if parent is None else parent
        self._orphan_grace = orphan_grace
        self._exit = exit
        # The loop's life signs: the loop counts the beats, the thread compares.
        self._beats = 0
        self._beats_seen = -1
        self._loop_thread = 0
        self._pulse: Pulse | None = None
        if warn > 0 or kill > 0 or stand_in is not None:
            self._pulse = Pulse(warn, kill, now=time.monotonic(), cpu=time.process_time())
        # The end.
        self._orphaned = False
        self._deadline: tuple[float, int] | None = None
        self._stopped = False
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def start(self) -> None:
        """Start to watch; call it on the loop's own thread."""
        self._loop_thread = threading.get_ident()
        self._ensure_thread()

    def stop(self) -> None:
        """Stop watching, and end the process in no case any more."""
        self._stopped = True
        self._changed.set()

    def exit_after(self, seconds: float, code: int) -> None:
        """End the process with ``code`` in ``seconds``, even if it is blocked.

        Of several calls the one with the earliest end counts.
        """
        deadline = time.monotonic() + seconds
        if self._deadline is None or deadline < self._deadline[0]:
            self._deadline = (deadline, code)
        self._ensure_thread()
        self._changed.set()

    def _ensure_thread(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="mm_asgi-watchdog", daemon=True
                )
                self._thread.start()

    # The thread.

    def _run(self) -> None:
        interval = _TICK if self._pulse is None else self._pulse.interval
        next_tick = time.monotonic()
        while not self._stopped:
            now = time.monotonic()
            if self._deadline is not None and now >= self._deadline[0]:
                self._end(self._deadline[1], _report_held)
                return
            if now >= next_tick:
                self._watch(now)
                next_tick = now + interval
            until = next_tick if self._deadline is None else min(next_tick, self._deadline[0])
            self._changed.wait(max(until - time.monotonic(), 0.0))
            self._changed.clear()

    def _watch(self, now: float) -> None:
        if not self._orphaned and os.getppid() != self._parent:
            self._orphaned = True
            self.exit_after(self._orphan_grace, _EXIT_ORPHANED)
            self._call_loop(self._on_orphan)
        if self._loop is not None and self._pulse is not None:
            self._check_pulse(self._pulse, now)

    def _check_pulse(self, pulse: Pulse, now: float) -> None:
        answered = self._beats != self._beats_seen
        verdict = pulse.tick(answered, now=now, cpu=time.process_time())
        if self._stand_in is not None and (answered or pulse.blocked >= _STANDS_STILL):
            self._stand_in(needed=not answered)
        if answered:
            # One beat at a time, so that a blocked loop's queue does not grow.
            self._beats_seen = self._beats
            self._call_loop(self._beat)
        if verdict is None:
            return
        if verdict is Verdict.RUNS:
            _aside(lambda: _report_recovery(pulse.lasted))
            return
        seconds = pulse.blocked
        frame = frame_of(self._loop_thread)
        if debugged(frame):
            pulse.forgive()
        elif verdict is Verdict.WARN:
            _aside(lambda: _report_blocked(seconds, frame))
        else:
            self._end(EXIT_BLOCKED, lambda: _report_kill(seconds))

    def _beat(self) -> None:
        self._beats += 1

    def _call_loop(self, callback: Callable[[], object]) -> None:
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            # The loop is closed, so the process is about to end, by itself or by the deadline.
            self._loop = None

    def _end(self, code: int, report: Callable[[], object]) -> None:
        # The log comes first, since the cleanup flushes it. Either may hang on a lock that the
        # blocked thread holds, so the wait for each has a bound.
        _aside(report)
        _aside(self._cleanup)
        if not self._stopped:
            self._stopped = True
            self._exit(code)


def _report_blocked(seconds: float, frame: FrameType | None) -> None:
    _logger.warning(
        "the event loop has been blocked for %.1f s at %s",
        seconds,
        place_of(frame),
        extra={"stack": stack_text(frame)},
    )


def _report_recovery(seconds: float) -> None:
    _logger.info("the event loop runs again after about %.1f s", seconds)


def _report_kill(seconds: float) -> None:
    _logger.error(
        "the event loop has been blocked for %.1f s, the plugin ends (setting blocked-kill)",
        seconds,
    )
    _report_threads(logging.ERROR)


def _report_held() -> None:
    _logger.warning("the plugin did not end by itself in time and is ended")
    _report_threads(logging.WARNING)


def _report_threads(level: int) -> None:
    for name, stack in all_stacks():
        _logger.log(level, "thread %s", name, extra={"stack": stack})


def _aside(function: Callable[[], object]) -> None:
    """Call a function in a thread of its own, and wait _LAST_WORDS seconds for it at the most."""
    thread = threading.Thread(target=function, name="mm_asgi-last-words", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # The interpreter shuts down and makes no more threads (3.12).
        function()
        return
    thread.join(_LAST_WORDS)
