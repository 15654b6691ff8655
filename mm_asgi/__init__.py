"""Run any ASGI app as a Mattermost plugin.

    import mm_asgi

    mm_asgi.run("shop.main:app")

Everything here is loaded on first use: importing the package costs next to nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 11):  # noqa: UP036
    # A server's python3 may be any. Start files show an ImportError to the admin.
    raise ImportError(f"mm_asgi needs Python 3.11 or newer, and this is {sys.version.split()[0]}")

if TYPE_CHECKING:
    from mm_asgi import errors
    from mm_asgi.hooks import Reject
    from mm_asgi.plugin import Plugin
    from mm_asgi.process.front import run
    from mm_asgi.requester import identity

__all__ = ["Plugin", "Reject", "__version__", "errors", "identity", "run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Lazy for the start-up time: the host waits 3 s for the handshake, on a slow machine too.
    import importlib

    if name == "errors":
        return importlib.import_module(".errors", __name__)
    # No home has its function's name: importing a submodule sets the package's attribute to it.
    homes = {
        "run": ".process.front", "Plugin": ".plugin", "Reject": ".hooks", "identity": ".requester"
    }  # fmt: skip
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(homes[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
