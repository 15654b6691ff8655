"""loading.py: the import's time limit, variables, WSGI."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from mm_asgi import loading
from mm_asgi.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        loading.time_limit(0.1, "the host waits"),
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

    with pytest.raises(StartupError), loading.time_limit(0.1, "the host waits"):
        stubborn()
    assert swallowed == [1]


@by_thread
@pytest.mark.parametrize("seconds", [0, 60])
def test_the_limit_leaves_no_alarm_and_no_handler(seconds: float) -> None:
    before = signal.getsignal(signal.SIGALRM)
    with loading.time_limit(seconds, "the host waits"):
        set_for, again = signal.getitimer(signal.ITIMER_REAL)
        assert (set_for > 0, again > 0) == (seconds > 0, seconds > 0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_wsgi_app_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a2wsgi", None)
    with pytest.raises(StartupError, match=r"pip install 'mm-asgi\[wsgi\]'"):
        loading.as_asgi(lambda environ, start_response: [], "auto")
