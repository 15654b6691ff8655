"""``mm-asgi serve``: what ``mm_asgi.run`` does, for a host or a test that can give arguments."""

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
    """Serve until the host ends it; the exit code."""
    settings = load_settings(
        flags=given_settings(arguments), environ=os.environ, directory=Path.cwd()
    )
    if not settings.app:
        raise ConfigError(
            "app: no target came, expected one such as shop.main:app as the argument of "
            "mm-asgi serve, in MM_ASGI_APP or as app in [tool.mm-asgi]"
        )
    # Imported here: it brings asyncio and the wire, which no wrong call should wait for.
    from mm_asgi.process.front import run_plugin

    return run_plugin(settings)
