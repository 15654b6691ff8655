"""What Mattermost shows while a user types a slash command: subcommands, arguments, suggestions.

    @plugin.command("issue", autocomplete=[
        SubCommand("list", "List the open issues"),
        SubCommand("close", "Close an issue", Dynamic("The issue", "/suggest/issues")),
    ])
    async def issue(context, *words: str) -> str: ...

An argument without a name has its place: ``/issue close 12``. One with a name is typed with it:
``/issue close --id 12``. The rules are those of Go's ``AutocompleteData.IsValid``, checked here when
the command is defined, because a server that refuses a command says so in its log alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mm_asgi import types
from mm_asgi.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Choices", "Dynamic", "SubCommand", "Suggestion", "Text"]

_WORD = re.compile(r"[^\sA-Z]+")
_ROLES = ("", "system_admin", "system_user")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One word that a user may choose.

    Args:
        item: the word.
        hint: what stands beside it.
        help: a sentence below it.
    """

    item: str
    hint: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """An argument that the user types.

    Args:
        help: a sentence that is shown while it is typed.
        hint: what stands in its place before, such as ``[title]``.
        name: typed before it as ``--name``; empty: it has its place.
        required: whether it has to be there; one without a name has to.
    """

    help: str
    hint: str = ""
    name: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Choices:
    """An argument that is one of a few words.

    Args:
        help: a sentence that is shown.
        items: the words, as ``str`` or ``Suggestion``.
        name: typed before it as ``--name``; empty: it has its place.
        required: whether it has to be there.
    """

    help: str
    items: Sequence[str | Suggestion]
    name: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Dynamic:
    """An argument whose suggestions the plugin's app answers.

    Args:
        help: a sentence that is shown.
        path: a path of the app. Mattermost sends it a GET with ``user_input``, ``parsed``,
            ``channel_id``, ``team_id`` and more in the query, and expects a JSON list of objects
            with ``Item``, ``Hint`` and ``HelpText``.
        name: typed before it as ``--name``; empty: it has its place.
        required: whether it has to be there.
    """

    help: str
    path: str
    name: str = ""
    required: bool = True


Argument: TypeAlias = Text | Choices | Dynamic


class SubCommand:
    """A word after the trigger, with what follows it.

    Args:
        word: in small letters, without spaces.
        help: a sentence that is shown beside it.
        parts: its arguments, or its own subcommands.
        hint: its arguments in short; empty: Mattermost shows none.
        role: who sees it: ``system_admin``, ``system_user``, or empty for everyone.

    Raises:
        ConfigError: Mattermost would refuse it.
    """

    def __init__(
        self,
        word: str,
        help: str,
        *parts: Argument | SubCommand,
        hint: str = "",
        role: str = "",
    ) -> None:
        if not _WORD.fullmatch(word):
            raise ConfigError(f"SubCommand {word!r}: expected one word in small letters")
        if role not in _ROLES:
            raise ConfigError(
                f"SubCommand {word!r}: role is {role!r}, expected system_admin or system_user"
            )
        _check(word, parts)
        self.word, self.help, self.parts, self.hint, self.role = word, help, parts, hint, role


Part: TypeAlias = Argument | SubCommand


def autocomplete_of(
    trigger: str,
    parts: Iterable[Part],
    *,
    hint: str,
    help: str,
) -> types.AutocompleteData:
    """Return what the server gets of a command.

    A path of the app stays as it is: the server puts the plugin's own path before it.

    Raises:
        ConfigError: Mattermost would refuse it.
    """
    parts = tuple(parts)
    _check(trigger, parts)
    return _data(trigger, parts, hint, help, "")


def _check(word: str, parts: tuple[Any, ...]) -> None:
    for part in parts:
        if not isinstance(part, Part):
            raise ConfigError(
                f"autocomplete of {word!r}: {part!r:.60} is of {type(part).__name__};"
                " expected Text, Choices, Dynamic or SubCommand"
            )
    subs = [part for part in parts if isinstance(part, SubCommand)]
    if subs and len(subs) != len(parts):
        raise ConfigError(f"autocomplete of {word!r}: arguments and subcommands; expected one kind")
    arguments = [part for part in parts if not isinstance(part, SubCommand)]
    named = [bool(argument.name) for argument in arguments]
    if named != sorted(named):
        raise ConfigError(
            f"autocomplete of {word!r}: an argument without a name stands behind one with a name;"
            " put those without a name first"
        )
    for argument in arguments:
        _check_argument(word, argument)


def _check_argument(word: str, argument: Argument) -> None:
    if isinstance(argument, Text) and not argument.name and not argument.required:
        raise ConfigError(
            f"autocomplete of {word!r}: a Text without a name is always required;"
            " give it a name, or leave it out"
        )
    if isinstance(argument, Choices):
        if isinstance(argument.items, str) or not all(one.item for one in _items(argument)):
            raise ConfigError(
                f"autocomplete of {word!r}: items is {argument.items!r:.60};"
                " expected a list of words, none of them empty"
            )
    elif isinstance(argument, Dynamic) and not re.fullmatch(r"/[^\s?#]*", argument.path):
        raise ConfigError(
            f"autocomplete of {word!r}: path is {argument.path!r:.60}; expected a path of the app"
            " without a query, such as '/suggest'"
        )


def _items(argument: Choices) -> list[Suggestion]:
    return [one if isinstance(one, Suggestion) else Suggestion(one) for one in argument.items]


def _data(
    word: str, parts: tuple[Any, ...], hint: str, help: str, role: str
) -> types.AutocompleteData:
    return types.AutocompleteData(
        trigger=word,
        hint=hint,
        help_text=help,
        role_id=role,
        arguments=[_argument(part) for part in parts if not isinstance(part, SubCommand)],
        sub_commands=[
            _data(part.word, part.parts, part.hint, part.help, part.role)
            for part in parts
            if isinstance(part, SubCommand)
        ],
    )


def _argument(part: Argument) -> types.AutocompleteArg:
    made = types.AutocompleteArg(name=part.name, help_text=part.help, required=part.required)
    if isinstance(part, Text):
        made.text.hint = part.hint
        made.text.SetInParent()
    elif isinstance(part, Choices):
        made.static_list.SetInParent()
        for one in _items(part):
            made.static_list.possible_arguments.add(
                item=one.item, hint=one.hint, help_text=one.help
            )
    else:
        made.dynamic_list.fetch_url = part.path
    return made
