"""The main program of a plugin's process under ``mm-asgi dev --debug``.

It lets debugpy listen and then runs what would have been run without it; the plugin knows nothing
of a debugger, and nobody imports this module.
"""

import contextlib
import runpy
import sys
import time

from mm_asgi.cli.dev_debug import HOST, bind

PORT_WAIT = 10.0
"""Seconds that a restarted plugin waits for the port: debugpy's adapter is a process of its own,
and outlives the old plugin's by a moment."""


def _wait_for(port: int) -> None:
    end = time.monotonic() + PORT_WAIT
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            bind(port)
            return
        time.sleep(0.02)


def _main(port: int, *line: str) -> None:
    # An extra, and not for production.
    import debugpy

    _wait_for(port)
    debugpy.listen((HOST, port))
    if line[0] == "-m":
        sys.argv = list(line[1:])
        runpy.run_module(line[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(line)
        runpy.run_path(line[0], run_name="__main__")


if __name__ == "__main__":
    _main(int(sys.argv[1]), *sys.argv[2:])
