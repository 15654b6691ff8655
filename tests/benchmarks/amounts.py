"""How much of everything: the options that all commands share, and what they are checked for."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING

from tests.benchmarks.cases import Options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["add_amounts", "amounts", "pick", "progress", "raise_file_limit", "write"]

LEAST = {"seconds": 0.1, "size": 8}  # a warm-up takes a share of it
SOME_FILES = 16_384
"""Descriptors: 1,000 event streams are two for the host and one for a server, each."""


def add_amounts(parser: argparse.ArgumentParser, default: Options) -> None:
    """Add a flag for each field of Options."""
    for name, kind, help in (
        ("rounds", int, "rounds of the short cases"),
        ("long-rounds", int, "rounds of up, down, sse and start"),
        ("seconds", float, "length of a round of requests"),
        ("size", int, "MiB of the large bodies, at least 8"),
        ("streams", int, "event streams at once"),
        ("events", int, "events that each stream gets, one a second"),
    ):
        usual = getattr(default, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=kind, help=f"{help}; default {usual:g}")


def amounts(
    parser: argparse.ArgumentParser, given: argparse.Namespace, default: Options
) -> Options:
    """Return the options of a command line, ``default`` where it says nothing."""
    chosen = {
        name: getattr(given, name) for name in vars(default) if getattr(given, name) is not None
    }
    for name, value in chosen.items():
        least = LEAST.get(name, 1)
        if not value >= least:
            parser.error(f"--{name.replace('_', '-')}: it is {value:g}, expected {least} or more")
    return Options(**{**vars(default), **chosen})


def pick(parser: argparse.ArgumentParser, given: str | None, known: Sequence[str]) -> Sequence[str]:
    if given is None:
        return known
    words = given.split(",")
    for word in words:
        if word not in known:
            parser.error(f"{word!r}: there is no such name, expected some of {', '.join(known)}")
    return words


def progress(text: str) -> None:
    """One line that is written over in a terminal; nothing in a file."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def write(text: str) -> None:
    progress("")
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOME_FILES if hard == resource.RLIM_INFINITY else min(hard, SOME_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
