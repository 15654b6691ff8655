"""Flags from the settings' table, for every command that takes settings."""

import argparse
from collections.abc import Sequence

from mm_asgi.errors import ConfigError
from mm_asgi.settings import TABLE, Setting, closest

__all__ = ["add_settings", "given_settings", "refuse_unknown"]


def add_settings(parser: argparse.ArgumentParser, command: str) -> None:
    """Give the parser a flag for each setting of the command; absent flags leave no trace."""
    parser.argument_default = argparse.SUPPRESS
    rows = _rows(command)
    # The command's own flags first: who asks dev for help looks for --port, not for --wire.
    own = [row for row in rows if row.commands or not row.flag.startswith("--")]
    _add(parser, own)
    settings = parser.add_argument_group(
        "settings of the plugin", "also keywords of mm_asgi.run and keys of [tool.mm-asgi]"
    )
    _add(settings, [row for row in rows if row not in own])


def _add(group: argparse._ActionsContainer, rows: Sequence[Setting]) -> None:
    for row in rows:
        if not row.flag.startswith("--"):
            group.add_argument(row.name, metavar=row.flag, nargs="?", help=_help(row))
        elif row.kind is bool:
            group.add_argument(row.flag, action=argparse.BooleanOptionalAction, help=_help(row))
        else:
            group.add_argument(row.flag, metavar=_metavar(row), help=_help(row))


def given_settings(arguments: argparse.Namespace) -> dict[str, object]:
    """The settings among the arguments, by attribute name; values are still text."""
    names = {row.name for row in TABLE}
    return {name: value for name, value in vars(arguments).items() if name in names}


def refuse_unknown(words: Sequence[str], command: str) -> None:
    """Say about the first of the words, which no argument took, what may have been meant."""
    for word in words:
        meant = closest(word.partition("=")[0], [row.flag for row in _rows(command)])
        hint = f"did you mean {meant}?" if meant else f"see mm-asgi {command} --help"
        raise ConfigError(f"{word}: {command} has no such argument; {hint}")


def _rows(command: str) -> list[Setting]:
    return [row for row in TABLE if not row.commands or command in row.commands]


def _metavar(row: Setting) -> str:
    if row.choices:
        return "{" + ",".join(row.choices) + "}"
    return (row.unit or row.path or "text").upper()


def _help(row: Setting) -> str:
    default = row.unset or _shown(row.default)
    facts = f"{row.env}, default {default}" if default else row.env
    # argparse would fill in a %-format.
    return f"{row.help} [{facts}]".replace("%", "%%")


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, float):
        return f"{default:g}"
    return "" if default is None else str(default)
