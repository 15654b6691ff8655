"""Plugin: an app and its hooks in one object, what ``run`` and ``serve`` take beside a bare app."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from mm_asgi.api.connection import Connection
from mm_asgi.errors import ConfigError
from mm_asgi.hooks import find_hook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mm_asgi.api.aio import AsyncAPI

    ASGIApp = Callable[[dict[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]

__all__ = ["Plugin", "as_plugin"]

Function = TypeVar("Function", bound="Callable[..., Any]")


class Plugin:
    """What a Mattermost plugin is made of.

    Args:
        app: an ASGI app that answers below ``/plugins/{id}/``, or None for hooks alone.

    Attributes:
        app: the same.
        connection: where ``api`` goes; whoever runs the plugin sets it up and closes it.
    """

    def __init__(self, app: ASGIApp | None = None) -> None:
        self.app = app
        self.connection = Connection()
        self._hooks: dict[str, Callable[..., Any]] = {}
        self._frozen = False

    @functools.cached_property
    def api(self) -> AsyncAPI:
        """The host's PluginAPI; in threads ``mm_asgi.api.API(plugin.api)``.

        It needs the host at its first call, not before. Under ``run`` a call has the setting
        api-timeout, and after the plugin's stop it raises ``errors.Unavailable``.
        """
        # Lazy: a class of 236 methods, which a plugin without calls does not need.
        from mm_asgi.api.aio import AsyncAPI

        return AsyncAPI(self.connection)

    def hook(self, function: Function) -> Function:
        """Register a function for the hook that it is named after; decorator.

        The function gets the context first (a frozen ``Identity``), then the request's fields in
        their order. An ``async def`` runs on the event loop, a plain ``def`` in a thread.

        Raises:
            ConfigError: no such hook, registered twice, or the host has asked already.
        """
        hook = find_hook(function.__name__)
        if self._frozen:
            raise ConfigError(
                f"hook {hook.name!r}: registered after the host asked which hooks there are;"
                " register hooks while the module is imported"
            )
        if hook.name in self._hooks:
            raise ConfigError(f"hook {hook.name!r}: registered twice; one function a hook")
        self._hooks[hook.name] = function
        return function

    def freeze(self) -> Mapping[str, Callable[..., Any]]:
        """The hooks by function name; from now on none can be added."""
        self._frozen = True
        return dict(self._hooks)


def as_plugin(target: object, name: str = "app") -> Plugin:
    """``target`` if it is a Plugin, else a Plugin around it.

    Raises:
        ConfigError: it is neither a Plugin nor callable.
    """
    if isinstance(target, Plugin):
        return target
    if not callable(target):
        raise ConfigError(
            f"{name}: {type(target).__name__} is neither an ASGI app nor an mm_asgi.Plugin"
        )
    return Plugin(target)
