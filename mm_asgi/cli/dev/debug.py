"""``mm-asgi dev --debug``: where debugpy listens, and time enough for a breakpoint."""

import importlib.util
import socket
from dataclasses import dataclass
from typing import Any

from mm_asgi.errors import ConfigError
from mm_asgi.settings import Settings

__all__ = ["HOST", "HOST_STRETCHED", "STRETCHED", "Debugger", "bind"]

LONG = 24 * 3600.0
"""Seconds where a deadline cannot be switched off: nobody stands at a breakpoint for a day."""

STRETCHED: dict[str, object] = {
    "startup_wait": LONG,
    "import_budget": 0.0,
    "hook_budget": 0.0,
    "api_timeout": 0.0,
    "blocked_warn": 0.0,
    "blocked_kill": 0.0,
}
"""The plugin's settings: a breakpoint stops its event loop, and with it all that counts time."""

HOST_STRETCHED: dict[str, Any] = {
    "start_timeout": LONG,
    "hook_timeout": LONG,
    "health_interval": 0.0,
    "read_timeout": 0.0,
    "write_timeout": 0.0,
}
"""The simulated host's: a breakpoint holds the request, not the plugin's life."""

DEBUGGEE = "mm_asgi.cli.dev.debuggee"

HOST = "127.0.0.1"
"""Whoever reaches debugpy runs code here."""


@dataclass(frozen=True, slots=True)
class Debugger:
    """Where debugpy listens, the same over all restarts."""

    port: int

    @classmethod
    def find(cls, settings: Settings) -> "Debugger":
        """The port to listen on. ConfigError: it is taken, or debugpy is not installed."""
        if importlib.util.find_spec("debugpy") is None:
            raise ConfigError("debug: the package debugpy is missing; pip install debugpy")
        try:
            return cls(bind(settings.debug_port))
        except OSError as exc:
            raise ConfigError(
                f"debug-port: {settings.debug_port} on {HOST} cannot be had ({exc.strerror});"
                " choose another one, or 0 for any free one"
            ) from exc

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def command(self, line: list[str]) -> list[str]:
        """The plugin's command line with debugpy before it.

        Args:
            line: an interpreter, then ``-m`` and a module or a file, then arguments.
        """
        python, *rest = line
        # Frozen modules hide breakpoints in them, and debugpy says so on stderr at each start.
        return [python, "-X", "frozen_modules=off", "-m", DEBUGGEE, str(self.port), *rest]


def bind(port: int) -> int:
    """The port, or any for 0, if it can be had now. OSError: it cannot."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((HOST, port))
        found: int = taken.getsockname()[1]
        return found
