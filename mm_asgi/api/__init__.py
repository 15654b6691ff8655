"""The host's PluginAPI as typed methods: ``AsyncAPI`` for the event loop, ``API`` for threads.

    api = AsyncAPI()                                # or plugin.api, where a plugin runs
    user = await api.get_user(user_id="...")

``aio.py`` and ``sync.py`` are written by proto/generate.py. Importing this package imports no
messages: the first call of a group imports those of the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mm_asgi.api.aio import AsyncAPI
    from mm_asgi.api.sync import API

__all__ = ["API", "AsyncAPI"]


if not TYPE_CHECKING:  # to a type checker it would make every name right

    def __getattr__(name: str) -> Any:
        # Lazy: each face is a module of some thousand lines, and most programs use one.
        import importlib

        homes = {"API": ".sync", "AsyncAPI": ".aio"}
        if name not in homes:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name], __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
