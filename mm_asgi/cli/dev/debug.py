"""``mm-asgi dev --debug``: debugpy's address, and deadlines long enough for a breakpoint."""

import importlib.util
import socket
from dataclasses import dataclass
from typing import Any

from mm_asgi.errors import ConfigError
from mm_asgi.settings import Settings

__all__ = ["HOST", "HOST_STRETCHED", "STRETCHED", "Debugger", "bind"]

LONG = 24 * 3600.0
"""Seconds for a deadline that cannot be switched off: a day, longer than any stay at a breakpoint."""

STRETCHED: dict[str, object] = {
    "startup_wait": LONG,
    "import_budget": 0.0,
    "hook_budget": 0.0,
    "api_timeout": 0.0,
    "blocked_warn": 0.0,
    "blocked_kill": 0.0,
}
"""The plugin's settings. A breakpoint stops its event loop, so no limit of time makes sense."""

HOST_STRETCHED: dict[str, Any] = {
    "start_timeout": LONG,
    "hook_timeout": LONG,
    "health_interval": 0.0,
    "read_timeout": 0.0,
    "write_timeout": 0.0,
    "deadlines": False,
}
"""The simulated host's settings. A breakpoint may hold up a request, but must not end the plugin."""

DEBUGGEE = "mm_asgi.cli.dev.debuggee"

HOST = "127.0.0.1"
"""Loopback only: a client of debugpy can run code here."""


@dataclass(frozen=True, slots=True)
class Debugger:
    """debugpy's port, the same over all restarts."""

    port: int

    @classmethod
    def find(cls, settings: Settings) -> "Debugger":
        """Return a debugger with a free port.

        Raises:
            ConfigError: the port is taken, or debugpy is not installed.
        """
        if importlib.util.find_spec("debugpy") is None:
            raise ConfigError("debug: the package debugpy is missing; pip install debugpy")
        try:
            return cls(bind(settings.debug_port))
        except OSError as exc:
            raise ConfigError(
                f"debug-port: {settings.debug_port} on {HOST} cannot be bound ({exc.strerror});"
                " choose another one, or 0 for any free one"
            ) from exc

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def command(self, line: list[str]) -> list[str]:
        """Return the plugin's command line with debugpy before it.

        Args:
            line: an interpreter, then ``-m`` and a module or a file, then arguments.
        """
        python, *rest = line
        # Breakpoints in frozen modules do not work; debugpy warns about it at each start.
        return [python, "-X", "frozen_modules=off", "-m", DEBUGGEE, str(self.port), *rest]


def bind(port: int) -> int:
    """Return the port, or a free one for 0, after a test that it can be bound.

    Raises:
        OSError: it cannot be bound.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((HOST, port))
        found: int = taken.getsockname()[1]
        return found
