"""observe/stacks.py: what threads are doing, and whether a debugger holds one."""

from __future__ import annotations

import sys
import threading
import types
from typing import TYPE_CHECKING, Any

from mm_asgi.observe.stacks import all_stacks, debugged, frame_of, place_of, stack_text

if TYPE_CHECKING:
    from types import FrameType

    import pytest


def here() -> FrameType:
    return sys._getframe()


def test_a_thread_that_is_gone() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.ident is not None
    frame = frame_of(thread.ident)
    assert frame is None
    assert place_of(frame) == "a thread that is gone"
    assert stack_text(frame) == ""


def test_a_deep_stack_shows_its_inner_end() -> None:
    def deep(level: int) -> FrameType:
        return deep(level - 1) if level else here()

    text = stack_text(deep(200))
    assert text.endswith("return sys._getframe()")
    assert "Previous line repeated 36 more times" in text
    assert "test_a_deep_stack" not in text


def test_the_stacks_of_other_threads() -> None:
    inside, leave = threading.Event(), threading.Event()

    def wait_here() -> None:
        inside.set()
        leave.wait()

    thread = threading.Thread(target=wait_here, name="waiting")
    thread.start()
    inside.wait()
    try:
        assert thread.ident is not None
        frame = frame_of(thread.ident)
        own, _, library = place_of(frame).partition(", inside of ")
        assert own.startswith(f"{__file__}:")
        assert own.endswith(" in wait_here")
        assert library.startswith("threading.")
        assert "    leave.wait()" in stack_text(frame)
        stacks = dict(all_stacks())
        assert "in wait_here" in stacks["waiting"]
        assert threading.current_thread().name not in stacks
    finally:
        leave.set()
        thread.join()


def frame_with(tracer: object, back: object = None) -> Any:
    return types.SimpleNamespace(f_trace=tracer, f_back=back)


def test_no_debugger() -> None:
    assert not debugged(None)
    assert not debugged(frame_with(None, frame_with(None)))


def test_a_traced_frame_anywhere_in_the_stack() -> None:
    def tracer() -> None: ...

    assert debugged(frame_with(tracer))
    assert debugged(frame_with(None, frame_with(tracer)))


def test_a_real_trace() -> None:
    before = sys.gettrace()
    found = []

    def traced() -> None:
        found.append(debugged(sys._getframe()))

    def tracer(frame: FrameType, event: str, arg: object) -> Any:
        return tracer

    sys.settrace(tracer)
    try:
        traced()
    finally:
        sys.settrace(before)
    assert found == [True]


def test_coverage_is_no_debugger() -> None:
    kind = type("CTracer", (), {"__module__": "coverage.tracer"})
    assert not debugged(frame_with(kind()))


def test_a_loaded_debugger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydevd", types.ModuleType("pydevd"))
    assert debugged(None)


def test_a_debugger_of_the_monitoring_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in (None, "pdb"):
        monitoring = types.SimpleNamespace(DEBUGGER_ID=0, get_tool={0: tool}.get)
        monkeypatch.setattr(sys, "monitoring", monitoring, raising=False)
        assert debugged(None) is (tool is not None)
