"""The command line ``mm-asgi``: one module or folder a command, each a `CLICommand`.

A command imports its parts only when it runs, since a host waits for `serve`.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from mm_asgi.cli import bundle, check, dev, init, serve
from mm_asgi.cli.command import CLICommand
from mm_asgi.cli.options import refuse_unknown
from mm_asgi.errors import ConfigError
from mm_asgi.settings import closest

__all__ = ["main"]

COMMANDS: tuple[CLICommand, ...] = (init, dev, check, bundle, serve)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; 2, with a sentence on stderr, for a wrong call."""
    parser = _parser()
    words = sys.argv[1:] if argv is None else argv
    _refuse_unknown_command(parser, words)
    try:
        arguments, extra = parser.parse_known_args(words)
        if "command" not in arguments:
            parser.error(f"{extra[0]} is not a command" if extra else "a command is missing")
        command: CLICommand = arguments.command
        refuse_unknown(extra, command.NAME)
        return command.run(arguments)
    except ConfigError as error:
        sys.stderr.write(f"mm-asgi: {error}\n")
        return 2


def _refuse_unknown_command(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    # argparse's own sentence lists the commands a second time and suggests none.
    word = next((word for word in words if not word.startswith("-")), "")
    names = [command.NAME for command in COMMANDS]
    if word and word not in names:
        meant = closest(word, names)
        parser.error(f"{word} is not a command" + (f"; did you mean {meant}?" if meant else ""))


class _TopParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_help(sys.stderr)
        self.exit(2, f"\n{self.prog}: {message}\n")


class _CommandParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse's own error prints the usage first: 27 flags above the sentence that matters.
        raise ConfigError(f"{message}; see {self.prog} --help")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from mm_asgi import __version__

        sys.stdout.write(f"mm-asgi {__version__}\n")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _TopParser(
        prog="mm-asgi", description="Run any ASGI app as a Mattermost plugin.", allow_abbrev=False
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=_CommandParser
    )
    for command in COMMANDS:
        below = commands.add_parser(
            command.NAME,
            help=command.HELP,
            description=command.HELP,
            # argparse's own usage repeats all 30 flags, which the list below explains.
            usage="%(prog)s [options] [TARGET]",
            allow_abbrev=False,
        )
        command.add_arguments(below)
        below.set_defaults(command=command)
    return parser
