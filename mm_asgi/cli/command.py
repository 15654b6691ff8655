"""The interface of a command of ``mm-asgi``."""

import argparse
from typing import Protocol

__all__ = ["CLICommand"]


class CLICommand(Protocol):
    """A module or a folder's face: `main` adds its arguments to the parser, and runs it."""

    @property
    def NAME(self) -> str:
        """The word on the command line."""

    @property
    def HELP(self) -> str:
        """One line for ``mm-asgi --help``."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's flags and arguments to its parser."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command and return the exit code.

        Raises:
            ConfigError: the command was called wrongly; `main` shows the sentence and returns 2.
        """
