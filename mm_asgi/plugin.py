"""Plugin: an app and its hooks in one object; ``run`` and ``serve`` take it in place of an app."""

from __future__ import annotations

import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, overload

from mm_asgi.api.api_connection import APIConnection
from mm_asgi.commands import Command, Commands
from mm_asgi.errors import APIError, ConfigError, Unavailable, Unimplemented
from mm_asgi.functions import Function, signature_of
from mm_asgi.hooks import HOOKS, Hook, snake_case
from mm_asgi.site import Site

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from mm_asgi.api.aio import AsyncAPI
    from mm_asgi.autocomplete import Part

    App = Callable[..., Awaitable[None] | Iterable[bytes]]  # loading.as_asgi finds out which

__all__ = ["Handler", "Loaded", "Plugin", "as_plugin"]

logger = logging.getLogger("mm_asgi.plugin")

F = TypeVar("F", bound="Callable[..., Any]")

THREADS = 40  # for functions that are not async, apart from the app's; as many as Starlette has


class Handler(NamedTuple):
    """A hook with the function that handles it; ``closed``: refuse when that fails."""

    hook: Hook
    function: Callable[..., Awaitable[Any]]
    closed: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one run of a plugin needs, taken from the Plugin when the host first asks for it.

    A run may replace a part for itself (``dataclasses.replace``): the user's Plugin stays as it is.

    Attributes:
        app: the app, or None.
        hooks: the hooks by function name, with one for slash commands if there are any.
        commands: the slash commands.
        connection: the way to the host's API.
        site: what the host's API says of the plugin's settings and of the site.
        metrics: the app for the server's metrics listener, or None.
    """

    app: Any
    hooks: Mapping[str, Handler]
    commands: tuple[Command, ...]
    connection: APIConnection
    site: Site
    metrics: Any = None

    async def register_commands(self) -> None:
        """Register the slash commands at the host; log it when the host refuses."""
        if not self.commands:
            return
        # Lazy: a class of 238 methods, which a plugin without calls does not need.
        from mm_asgi.api.aio import AsyncAPI

        api = AsyncAPI(self.connection)
        for command in self.commands:
            try:
                await _register(api, command)
            except APIError as exc:
                logger.warning("the command /%s is not registered: %s", command.trigger, exc)
                if isinstance(exc, Unavailable | Unimplemented):
                    return  # the same for the others: said once


async def _register(api: AsyncAPI, command: Command) -> None:
    if command.autocomplete is not None:
        try:
            await api.register_command_with_autocomplete(
                command=command.message(), autocomplete=command.autocomplete
            )
        except Unimplemented:  # over gRPC a command has no place for it
            logger.info(
                "the command /%s: this server takes no autocomplete data; it shows the hint",
                command.trigger,
            )
        else:
            return
    await api.register_command(command=command.message())


class Plugin:
    """What a Mattermost plugin is made of.

    Args:
        app: an ASGI or WSGI app that answers below ``/plugins/{id}/``, or None for hooks alone.
        metrics: an ASGI or WSGI app that answers ``/plugins/{id}/metrics`` on the server's metrics
            listener, such as ``prometheus_client.make_asgi_app()``. Released servers alone call it.
            It gets no lifespan events of its own.

    Attributes:
        app: the same.
        metrics: the same.
        connection: the way of ``api`` to the host; the code that runs the plugin opens and closes it.
    """

    def __init__(self, app: App | None = None, *, metrics: App | None = None) -> None:
        self.app: Any = app
        self.metrics: Any = metrics
        self.connection = APIConnection()
        self._site = Site(self.connection)
        self._hooks: dict[str, Handler] = {}
        self._commands: dict[str, Command] = {}
        self._threads = ThreadPoolExecutor(THREADS, "mm_asgi-hook")
        self._frozen = False

    @property
    def config(self) -> dict[str, Any]:
        """The plugin's settings as the admin saved them, over the manifest's defaults.

        A new dict before lifespan.startup and before each on_configuration_change. The server
        writes the keys in lower case. Empty where its API does not say.
        """
        return self._site.config

    @functools.cached_property
    def api(self) -> AsyncAPI:
        """The host's PluginAPI; in threads ``mm_asgi.api.API(plugin.api)``.

        It opens its connection at the first call. Under ``run`` a call has the setting api-timeout,
        and after the plugin's stop it raises ``errors.Unavailable``.
        """
        # Lazy: a class of 238 methods, which a plugin without calls does not need.
        from mm_asgi.api.aio import AsyncAPI

        return AsyncAPI(self.connection)

    @overload
    def hook(self, function: F, /) -> F: ...

    @overload
    def hook(self, *, fail: Literal["open", "closed"]) -> Callable[[F], F]: ...

    def hook(self, function: Any = None, *, fail: str | None = None) -> Any:
        """Register a function for the hook that it is named after; decorator.

        The function gets the context first (a frozen ``Identity``), then the request's fields in
        their order. An ``async def`` runs on the event loop, a plain ``def`` in a thread. A filter
        returns None to leave its subject unchanged, and raises ``Reject`` to refuse it.

        Args:
            function: the function, which stays as it is.
            fail: ``open`` lets the filter's subject through when the function fails, ``closed``
                refuses it. The default is what the host does when it cannot reach the plugin.

        Raises:
            ConfigError: there is no such hook, it has other parameters, it is registered already,
                or the plugin runs already.
        """
        if function is None:
            return functools.partial(self._add_hook, fail)
        return self._add_hook(fail, function)

    def _add_hook(self, fail: str | None, function: F) -> F:
        hook = _find_hook(function)
        self._refuse_when_frozen(f"hook {hook.name!r}")
        if fail is not None and not (fail in ("open", "closed") and hook.is_gate):
            raise ConfigError(
                f"hook {hook.name!r}: fail={fail!r}; expected 'open' or 'closed', and that only"
                " for a filter that can refuse"
            )
        if hook.name in self._hooks:
            raise ConfigError(f"hook {hook.name!r}: registered twice; one function a hook")
        closed = hook.refusal == "error" if fail is None else fail == "closed"
        self._hooks[hook.name] = Handler(hook, Function(function, self._threads), closed)
        return function

    def command(
        self,
        trigger: str,
        *,
        hint: str = "",
        description: str = "",
        autocomplete: Sequence[Part] = (),
    ) -> Callable[[F], F]:
        """Register a function for a slash command; decorator.

        The function gets a ``CommandContext`` and then the typed words, converted as its
        annotations say: str, int, float, bool. A parameter with a default or ``| None`` is
        optional. The function returns text for the user alone, a ``types.CommandResponse``, or
        None to show nothing.

        Args:
            trigger: the word after the slash.
            hint: the arguments as autocompletion shows them; by default the parameters' names.
            description: the text that autocompletion shows.
            autocomplete: what is shown while the command is typed: the arguments in their order
                (``Text``, ``Choices``, ``Dynamic``), or ``SubCommand``s; see mm_asgi.autocomplete.
                Servers over gRPC show the hint alone.

        Raises:
            ConfigError: the trigger is not one word or is registered already, a parameter has
                another type, Mattermost would refuse ``autocomplete``, or the plugin runs already.
        """

        def add(function: F) -> F:
            command = Command(
                trigger, Function(function, self._threads), hint, description, autocomplete
            )
            self._refuse_when_frozen(f"command {trigger!r}")
            if command.trigger in self._commands:
                raise ConfigError(f"command {trigger!r}: registered twice; one function a command")
            self._commands[command.trigger] = command
            return function

        return add

    def _refuse_when_frozen(self, what: str) -> None:
        if self._frozen:
            raise ConfigError(
                f"{what}: registered after the host asked which hooks there are;"
                " register it while the module is imported"
            )

    @property
    def is_frozen(self) -> bool:
        """Whether a run has begun and no hook can be added."""
        return self._frozen

    def freeze(self) -> Loaded:
        """Return what a run needs; from now on no hook and no command can be added."""
        self._frozen = True
        self._site = Site(self.connection)  # what an earlier run has read is not this one's
        hooks = dict(self._hooks)
        if self._commands:
            hook = HOOKS["execute_command"]
            other = hooks.get(hook.name)
            function = Commands(self._commands.values(), other.function if other else None)
            hooks[hook.name] = Handler(hook, function, closed=False)
        commands = tuple(self._commands.values())
        return Loaded(self.app, hooks, commands, self.connection, self._site, self.metrics)

    def thaw(self) -> None:
        """Let hooks and commands be added again: the run that froze them is over."""
        self._frozen = False


def _find_hook(function: Callable[..., Any]) -> Hook:
    """Return the hook that a function is named after; check that it takes the hook's parameters."""
    name = getattr(function, "__name__", type(function).__name__)
    hook = HOOKS.get(name)
    if hook is None:
        import difflib  # only a mistake needs it

        near = difflib.get_close_matches(snake_case(name), HOOKS, n=1)
        raise ConfigError(
            f"hook {name!r}: the host has no hook of this name that a plugin can register"
            f"{f'; did you mean {near[0]!r}?' if near else ''}; name the function after the hook"
        )
    given = signature_of(function)
    try:
        given.bind(*hook.parameters)
    except TypeError:
        raise ConfigError(
            f"hook {name!r}: the function takes {given}, and the host passes"
            f" ({', '.join(hook.parameters)}); take these parameters"
        ) from None
    return hook


def as_plugin(target: object, name: str = "app") -> Plugin:
    """Return ``target`` if it is a Plugin, else a Plugin around it.

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
