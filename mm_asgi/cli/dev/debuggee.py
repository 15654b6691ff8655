"""The main program of a plugin's process under ``mm-asgi dev --debug``.

It lets debugpy listen, then runs the plugin's own command line. The plugin knows nothing of a debugger,
and no module imports this one.
"""

import contextlib
import runpy
import sys
import time

from mm_asgi.cli.dev.debug import HOST, bind

PORT_WAIT = 5.0
"""Seconds to wait for the port. debugpy's adapter is a process of its own. After a restart the old
plugin's adapter lives until its debugger has disconnected."""


def _wait_for(port: int) -> bool:
    end = time.monotonic() + PORT_WAIT
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            bind(port)
            return True
        time.sleep(0.02)
    return False


def _main(port: int, *line: str) -> None:
    # Not a dependency of this package, and not for production.
    import debugpy

    if not _wait_for(port):
        sentence = (
            f"debug-port: {HOST}:{port} is still taken, perhaps by a debugger that stays attached to"
            " the last plugin; disconnect it and save again"
        )
        sys.stderr.write(f"{sentence}\n")
        # The host shows a first line that is no handshake as the reason.
        sys.stdout.write(f"{sentence}\n")
        sys.stdout.flush()
        sys.exit(1)
    debugpy.listen((HOST, port))
    if line[0] == "-m":
        sys.argv = list(line[1:])
        runpy.run_module(line[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(line)
        runpy.run_path(line[0], run_name="__main__")


if __name__ == "__main__":
    _main(int(sys.argv[1]), *sys.argv[2:])
