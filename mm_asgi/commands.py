"""Slash commands: from the text that a user types to a function's arguments, and its answer."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, NamedTuple

from mm_asgi import types
from mm_asgi.autocomplete import autocomplete_of
from mm_asgi.errors import ConfigError
from mm_asgi.functions import Function, signature_of
from mm_asgi.hooks import Reject
from mm_asgi.requester import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mm_asgi.autocomplete import Part

__all__ = ["Command", "CommandContext", "Commands"]

_NONE = inspect.Parameter.empty
_WORD = re.compile(r'"([^"]*)"|\S+')
_BOOLS = dict.fromkeys(("true", "yes", "on", "1"), True)
_BOOLS |= dict.fromkeys(("false", "no", "off", "0"), False)
_KINDS: dict[object, tuple[Callable[[str], Any], str]] = {
    str: (str, "text"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    bool: (lambda word: _BOOLS[word.lower()], "yes or no"),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext(Identity):
    """The context of a typed command: user, place, and the text after the trigger.

    ``root_id`` is the thread's post or empty; ``trigger_id`` opens a dialog
    (``api.open_interactive_dialog``).
    """

    channel_id: str = ""
    team_id: str = ""
    root_id: str = ""
    trigger_id: str = ""
    text: str = ""


class _Parameter(NamedTuple):
    name: str
    kind: object
    default: Any
    takes_all: bool

    def value(self, word: re.Match[str]) -> Any:
        convert, called = _KINDS[self.kind]
        try:
            return convert(word[0] if word[1] is None else word[1])
        except (KeyError, ValueError):
            raise ValueError(f"`{self.name}`: `{word[0]}` is not {called}") from None


class Command:
    """A slash command and its function.

    Args:
        trigger: the word after the slash.
        function: what it calls.
        hint: the arguments as autocompletion shows them; empty: the parameters' names.
        description: the text that autocompletion shows.
        parts: what Mattermost shows while the command is typed; empty: hint and description alone.

    Raises:
        ConfigError: the trigger is no single word, a parameter cannot come from text, or Mattermost
            would refuse the parts.
    """

    def __init__(
        self,
        trigger: str,
        function: Function,
        hint: str,
        description: str,
        parts: Sequence[Part] = (),
    ) -> None:
        self.trigger = trigger.removeprefix("/").lower()
        if not re.fullmatch(r"[^\s/]+", self.trigger):
            raise ConfigError(f"command {trigger!r}: expected one word, such as 'weather'")
        self._function = function
        try:
            self._parameters = list(_parameters(function.wrapped))
        except (NameError, TypeError) as exc:
            raise ConfigError(f"command {trigger!r}: {exc}") from None
        usage = (p.name if p.default is _NONE else f"[{p.name}]" for p in self._parameters)
        self.hint, self.description = hint or " ".join(usage), description
        self.autocomplete = (
            autocomplete_of(self.trigger, parts, hint=self.hint, help=description)
            if parts
            else None
        )

    def message(self) -> types.Command:
        """Return what the server registers."""
        return types.Command(
            trigger=self.trigger,
            auto_complete=True,
            auto_complete_hint=self.hint,
            auto_complete_desc=self.description,
        )

    async def answer(self, context: CommandContext) -> Any:
        """Return the function's answer, or the command's usage when the text does not fit."""
        try:
            arguments = self._arguments(context.text)
        except ValueError as exc:
            return f"{exc}. Usage: `{f'/{self.trigger} {self.hint}'.rstrip()}`"
        answer = await self._function(context, *arguments)
        # Without a response the host would say that there is no such command.
        return types.CommandResponse() if answer is None else answer

    def _arguments(self, text: str) -> list[Any]:
        words = list(_WORD.finditer(text))
        values: list[Any] = []
        for number, parameter in enumerate(self._parameters, 1):
            if parameter.takes_all:
                return [*values, *(parameter.value(word) for word in words)]
            if not words and parameter.default is _NONE:
                raise ValueError(f"`{parameter.name}` is missing")
            is_last = number == len(self._parameters)
            if is_last and parameter.kind is str and len(words) > 1:
                return [*values, text[words[0].start() :]]  # the last text may have spaces
            values.append(parameter.value(words.pop(0)) if words else parameter.default)
        if words:
            raise ValueError(f"Unexpected argument `{words[0][0]}`")
        return values


def _parameters(function: Callable[..., Any]) -> Iterator[_Parameter]:
    names = getattr(inspect.unwrap(function), "__globals__", {})
    parameters = list(signature_of(function).parameters.values())
    if not parameters:
        raise TypeError("the function takes no parameter; expected the CommandContext first")
    for given in parameters[1:]:
        text = isinstance(given.annotation, str)
        annotation = eval(given.annotation, names) if text else given.annotation
        is_union = typing.get_origin(annotation) in (typing.Union, UnionType)
        choices = set(typing.get_args(annotation)) if is_union else {annotation}
        kind, *more = choices - {NoneType}
        kind = str if kind is _NONE else kind
        if more or kind not in _KINDS or given.kind in (given.KEYWORD_ONLY, given.VAR_KEYWORD):
            raise TypeError(f"parameter {given}; expected a positional str, int, float or bool")
        takes_all = given.kind is given.VAR_POSITIONAL
        may_stay_away = is_union or takes_all
        default = None if given.default is _NONE and may_stay_away else given.default
        yield _Parameter(given.name, kind, default, takes_all)


class Commands:
    """The one handler of ExecuteCommand; ``other`` handles triggers that are no command here."""

    def __init__(self, commands: Iterable[Command], other: Callable[..., Any] | None) -> None:
        self._commands = {command.trigger: command for command in commands}
        self._other = other

    async def __call__(self, context: Identity, args: types.CommandArgs) -> Any:
        word, *text = args.command.split(maxsplit=1) or [""]
        command = self._commands.get(word.removeprefix("/").lower())
        if command is not None:
            places = ("user_id", "channel_id", "team_id", "root_id", "trigger_id")
            facts = dataclasses.asdict(context) | {name: getattr(args, name) for name in places}
            return await command.answer(CommandContext(**facts, text="".join(text).rstrip()))
        if self._other is None:
            raise Reject(f"{word}: this plugin has no such command")
        return await self._other(context, args)
