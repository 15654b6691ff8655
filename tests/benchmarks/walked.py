"""``python -m tests.benchmarks.walked KIND DESCRIPTOR ...``: the process that a walk goes through.

It notes each Python function that begins to run in the packages that are walked, and each time
that the event loop goes to rest. ``walk.py`` starts it and asks over DESCRIPTOR, a socket, for the
notes so far. The answer waits until the loop rests: no call of the walk is missing, and nothing
has to guess how long a walk takes.

``plugin PACKAGES APP`` is a plugin of its own, ``api PACKAGES TARGET`` makes one call of the host's
API each time that it reads ``call``, ``uvicorn PACKAGES APP SOCKET`` is another server, to compare.
"""

from __future__ import annotations

import asyncio
import dis
import functools
import importlib.util
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType, FrameType

REST = 0.05
"""Seconds; a loop that would wait longer for its next timer has nothing left to do for a walk."""


class Notes:
    """The calls since they were taken last, and whether the loop rests.

    Args:
        packages: names of the packages whose functions are noted.

    Attributes:
        rests: set while the loop rests.
    """

    def __init__(self, packages: list[str]) -> None:
        self._folders = [_folder_of(package) for package in packages]
        self._calls: list[CodeType] = []
        self.rests = threading.Event()
        self._place = functools.cache(self._find)
        self._entry = functools.cache(_entry)

    def take(self) -> list[tuple[str, str, str]]:
        """Return the calls in order, once the loop rests, and forget them.

        Each is a package, a file below the package's folder, and a function's name with its line.
        """
        self.rests.wait()
        calls, self._calls = self._calls, []
        return [place for place in map(self._place, calls) if place is not None]

    def note(self, frame: FrameType, event: str, arg: Any) -> None:
        """See one event of ``sys.setprofile``."""
        if event == "call":
            code = frame.f_code
            # A coroutine that goes on is no new call.
            if self._place(code) is not None and frame.f_lasti == self._entry(code):
                self.rests.clear()
                self._calls.append(code)
        elif (
            event == "c_call" and arg.__name__ == "poll" and "selectors" in frame.f_code.co_filename
        ):
            timeout = frame.f_locals["timeout"]
            if timeout < 0 or timeout > REST:
                self.rests.set()

    def _find(self, code: CodeType) -> tuple[str, str, str] | None:
        for folder in self._folders:
            if code.co_filename.startswith(folder):
                file = code.co_filename.removeprefix(folder)
                name = f"{code.co_qualname}:{code.co_firstlineno}"
                return Path(folder).name, file, name
        return None


def _folder_of(package: str) -> str:
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return os.path.dirname(found.origin) + "/"


def _entry(code: CodeType) -> int:
    """Return where ``f_lasti`` stands when the function begins: at the first RESUME."""
    return next(step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")


def serve_notes(notes: Notes, asking: socket.socket) -> None:
    """Answer each line with the notes as JSON, until the other side is gone."""
    with asking.makefile("rw") as lines:
        for line in lines:
            if line == "take\n":
                lines.write(json.dumps(notes.take()) + "\n")
                lines.flush()


async def call_api(target: str, asking: socket.socket) -> None:
    """Make one call of the API for each byte that arrives; write one when it is answered."""
    from mm_asgi.api import AsyncAPI

    loop = asyncio.get_running_loop()
    asking.setblocking(False)
    async with AsyncAPI(target) as api:
        while await loop.sock_recv(asking, 1):
            await api.get_user(user_id="u" * 26)
            await loop.sock_sendall(asking, b".")


def main(argv: list[str]) -> None:
    """Note what happens from now on, and become what is walked through."""
    kind, descriptor, packages, *rest = argv
    notes = Notes(packages.split(","))
    asking = socket.socket(fileno=int(descriptor))
    # A thread of its own: sys.setprofile sees this one alone.
    threading.Thread(target=serve_notes, args=(notes, asking), daemon=True).start()
    if kind == "plugin":
        import mm_asgi

        sys.setprofile(notes.note)
        mm_asgi.run(rest[0])
    elif kind == "api":
        acting = socket.socket(fileno=int(rest[1]))
        sys.setprofile(notes.note)
        asyncio.run(call_api(rest[0], acting))
    else:
        import uvicorn

        sys.setprofile(notes.note)
        uvicorn.run(
            rest[0], uds=rest[1], loop="asyncio", http="h11", ws="none", lifespan="off",
            interface="asgi3", access_log=False, log_level="warning",
        )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
