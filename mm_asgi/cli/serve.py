"""``mm-asgi serve``: ``mm_asgi.run`` as a command, for a host or a test that can pass arguments."""

import argparse
import os
from pathlib import Path

from mm_asgi.cli.options import add_settings, given_settings
from mm_asgi.errors import ConfigError
from mm_asgi.settings import load_settings

__all__ = ["HELP", "NAME", "add_arguments", "run"]

NAME = "serve"
HELP = "serve an app as a plugin; the host starts this, not a person"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, NAME)


def run(arguments: argparse.Namespace) -> int:
    """Serve until the host ends it, and return the exit code."""
    settings = load_settings(
        flags=given_settings(arguments), environ=os.environ, directory=Path.cwd()
    )
    if not settings.app:
        raise ConfigError(
            "app: no target was given, expected one such as shop.main:app as the argument of "
            "mm-asgi serve, in MM_ASGI_APP or as app in [tool.mm-asgi]"
        )
    # Imported here, so that a wrong call does not wait for asyncio and the wire.
    from mm_asgi.process.front import run_plugin

    return run_plugin(settings)
