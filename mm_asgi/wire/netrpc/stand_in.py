"""A thread that does for a loop that stands still what the host does not wait for.

A host gives up what it offers after 5 s, which costs a request its answer, and a connection whose
ping is not answered in 10 s, which costs the plugin. Code that holds up the loop for so long (a
slow import, a query without await) would cost both, and no other request is to blame.

The thread reads the connection as the loop does, under the link's lock, so that it needs no
agreement with the loop on who reads: two who read in turns are one reader. What it may do itself is
little, and each owner of a stream says so (``received_meanwhile``). All else is kept in order until
the loop is awake. Of a stream's bytes no more than a window is kept, since nobody gives it back.

It helps from the first second of standing still (observe/watchdog.py notices it) until the loop
answers. It cannot help where the interpreter's lock is held all the time, nor with TLS, whose state
is asyncio's.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.wire.netrpc.mux_socket import MuxSocket

__all__ = ["StandIn"]

LOOK: Final = 0.5
"""Seconds after which the thread looks whether it is still needed."""


class StandIn:
    """The thread of one endpoint, which runs only while it is needed.

    Args:
        find_socket: returns the open connection; None: there is none, or it has TLS.
    """

    def __init__(self, find_socket: Callable[[], MuxSocket | None]) -> None:
        self._find_socket = find_socket
        self._over: threading.Event | None = None

    def switch(self, *, needed: bool) -> None:
        """Begin to stand in for the loop, or end. Safe to call again; always from one thread."""
        if needed and self._over is None:
            self._over = threading.Event()
            thread = threading.Thread(
                target=self._run, args=(self._over,), name="mm_asgi-stand-in", daemon=True
            )
            thread.start()
        elif not needed and self._over is not None:
            self._over.set()
            self._over = None

    def _run(self, over: threading.Event) -> None:
        socket = self._find_socket()
        while socket is not None and not over.is_set() and socket.stand_in():
            socket.wait(LOOK)
