"""Flags from the settings' table, for every command that takes settings."""

import argparse
from collections.abc import Sequence

from mm_asgi.errors import ConfigError
from mm_asgi.settings import TABLE, Setting, closest

__all__ = ["add_settings", "given_settings", "refuse_unknown"]


def add_settings(parser: argparse.ArgumentParser, command: str) -> None:
    """Add a flag for each setting of the command. Flags that are not given set no attribute."""
    parser.argument_default = argparse.SUPPRESS
    rows = _rows_of(command)
    # The command's own flags first: in dev's help one looks for --port, not for --wire.
    own = [row for row in rows if row.commands or not row.flag.startswith("--")]
    _add_flags(parser, own)
    settings = parser.add_argument_group(
        "settings of the plugin", "also keywords of mm_asgi.run and keys of [tool.mm-asgi]"
    )
    _add_flags(settings, [row for row in rows if row not in own])


def _add_flags(group: argparse._ActionsContainer, rows: Sequence[Setting]) -> None:
    for row in rows:
        if not row.flag.startswith("--"):
            group.add_argument(row.name, metavar=row.flag, nargs="?", help=_help_text(row))
        elif row.kind is bool:
            group.add_argument(
                row.flag, action=argparse.BooleanOptionalAction, help=_help_text(row)
            )
        else:
            group.add_argument(row.flag, metavar=_metavar_of(row), help=_help_text(row))


def given_settings(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the settings among the arguments, by attribute name. The values are still text."""
    names = {row.name for row in TABLE}
    return {name: value for name, value in vars(arguments).items() if name in names}


def refuse_unknown(words: Sequence[str], command: str) -> None:
    """Refuse words that no argument accepted, with a suggestion for the first.

    Raises:
        ConfigError: there is such a word.
    """
    for word in words:
        meant = closest(word.partition("=")[0], [row.flag for row in _rows_of(command)])
        hint = f"did you mean {meant}?" if meant else f"see mm-asgi {command} --help"
        raise ConfigError(f"{word}: {command} has no such argument; {hint}")


def _rows_of(command: str) -> list[Setting]:
    return [row for row in TABLE if not row.commands or command in row.commands]


def _metavar_of(row: Setting) -> str:
    if row.choices:
        return "{" + ",".join(row.choices) + "}"
    return (row.unit or row.path or "text").upper()


def _help_text(row: Setting) -> str:
    default = row.unset or _default_text(row.default)
    facts = f"{row.env}, default {default}" if default else row.env
    # argparse would fill in a %-format.
    return f"{row.help} [{facts}]".replace("%", "%%")


def _default_text(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, float):
        return f"{default:g}"
    return "" if default is None else str(default)
