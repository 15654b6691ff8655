"""The planted faults of the thread that stands in for a loop that stands still."""

from __future__ import annotations

from typing import Final

from tests.mutants.fault import Fault

__all__ = ["NETRPC_STILL_FAULTS"]

ROOM: Final = "mm_asgi/wire/netrpc"
LINK, LIVE, SOCKET = f"{ROOM}/mux_link.py", f"{ROOM}/live_calls.py", f"{ROOM}/mux_socket.py"
STILL = ("tests/wire/netrpc/test_stand_in.py",)

NETRPC_STILL_FAULTS: tuple[Fault, ...] = (
    Fault(
        "netrpc: while the loop is still nothing is dialled",
        f"{ROOM}/plugin_session.py",
        "        self.link.dial_meanwhile(self._offers(call))\n",
        "",
        STILL,
        "offers",
    ),
    Fault(
        "netrpc: while the loop is still an expected offer is forgotten",
        LINK,
        "        self.dial_meanwhile(())\n",
        "",
        STILL,
        "expected",
    ),
    Fault(
        "netrpc: a still loop's health check waits",
        f"{ROOM}/plugin_session.py",
        '        if call.method != "Control.Ping":\n',
        "        if True:\n",
        STILL,
        "health_check",
    ),
    Fault(
        "netrpc: the loop reads on before it knows what the thread has read",
        LINK,
        "            if self._kept:\n                self._catch_up()\n            self._tell",
        "            self._tell",
        STILL,
        "what_the_thread_has_read",
    ),
    Fault(
        "netrpc: the thread tells the owners itself",
        LINK,
        "            self._kept.append(event if rest is None else _Rest(event.stream, rest))\n",
        "            self._tell((event if rest is None else _Rest(event.stream, rest),))\n",
        STILL,
        "told_later or calls_wait",
    ),
    Fault(
        "netrpc: what waits for a still loop is not bounded",
        LIVE,
        "        if self._held <= HELD:",
        "        if True:",
        STILL,
        "bounded",
    ),
    Fault(
        "netrpc: the thread writes before what the loop could not send",
        SOCKET,
        "            if not self._kept:\n                left = self._send(left)\n",
        "            left = self._send(left)\n",
        STILL,
        "leaves_first",
    ),
    Fault(
        "netrpc: the thread reads on at the end of the connection",
        SOCKET,
        '            return data != b"" and not self._is_closing\n',
        "            return True\n",
        STILL,
        "end_of_the_connection or broken_connection",
    ),
    Fault(
        "netrpc: the thread stays when the loop is awake",
        f"{ROOM}/stand_in.py",
        "            self._over.set()\n",
        "",
        STILL,
        "while_it_is_needed",
    ),
    Fault(
        "process: nobody stands in for a loop that stands still",
        "mm_asgi/observe/watchdog.py",
        "            self._stand_in(needed=not answered)\n",
        "            pass\n",
        ("tests/unit/observe/test_watchdog.py",),
        "stands_in",
    ),
    Fault(
        "netrpc: a call's streams are not known while the loop is still",
        "mm_asgi/netrpc/hook_server.py",
        '    "Plugin.ServeHTTP": ("ResponseWriterStream", "RequestBodyStream"),\n',
        "",
        ("tests/unit/netrpc/test_hook_server.py",),
        "offer",
    ),
)
