"""The stacks of threads as text for a log line, and whether a debugger holds one of them."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["all_stacks", "debugged", "frame_of", "place_of", "stack_text"]

_LIBRARIES = (
    os.path.dirname(threading.__file__) + os.sep,
    os.path.dirname(os.path.dirname(__file__)) + os.sep,
    "<frozen ",
)

_FRAMES = 40
_THREADS = 50


def frame_of(thread_id: int) -> FrameType | None:
    """Return the frame that a thread runs now; None if the thread is gone."""
    return sys._current_frames().get(thread_id)


def place_of(frame: FrameType | None) -> str:
    """Return a frame's place in one line; for a library's frame, where the app called the library."""
    if frame is None:
        return "a thread that is gone"
    caller: FrameType | None = frame
    while caller is not None and _is_library(caller.f_code.co_filename):
        caller = caller.f_back
    place = caller or frame
    text = f"{place.f_code.co_filename}:{place.f_lineno} in {place.f_code.co_name}"
    if place is frame:
        return text
    return f"{text}, inside of {frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"


def _is_library(file: str) -> bool:
    """Return whether a file is Python's, an installed package's or mm_asgi's."""
    return file.startswith(_LIBRARIES) or "-packages" + os.sep in file


def stack_text(frame: FrameType | None) -> str:
    """Return the frame's stack, the innermost call last."""
    return "" if frame is None else "".join(traceback.format_stack(frame, _FRAMES)).rstrip()


def all_stacks() -> list[tuple[str, str]]:
    """Return name and stack of all threads but the calling one and mm_asgi's own."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    stacks = [
        (names.get(ident, "not made by Python"), frame)
        for ident, frame in sys._current_frames().items()
        if ident != own
    ]
    return [
        (name, stack_text(frame))
        for name, frame in stacks[:_THREADS]
        if not name.startswith("mm_asgi-")
    ]


def debugged(frame: FrameType | None) -> bool:
    """Return whether a debugger is loaded in this process, or traces this stack.

    ``sys.gettrace()`` knows the calling thread only, but each traced frame has its tracer. Coverage
    measurement traces too, and is not a debugger.
    """
    if "pydevd" in sys.modules or "debugpy" in sys.modules:
        return True
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    while frame is not None:
        tracer = frame.f_trace
        if tracer is not None and not _measures_coverage(tracer):
            return True
        frame = frame.f_back
    return False


def _measures_coverage(tracer: object) -> bool:
    module = getattr(tracer, "__module__", None) or type(tracer).__module__
    return str(module).partition(".")[0] == "coverage"
