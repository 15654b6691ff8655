"""``mm-asgi check``: start the plugin as a server would, and report problems that it would have there."""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mm_asgi.bundle.manifest import MANIFEST, read_manifest
from mm_asgi.cli.options import add_settings, given_settings
from mm_asgi.cli.plugin_command import START_FILE, plugin_command, plugin_id
from mm_asgi.errors import ConfigError
from mm_asgi.settings import TABLE, Settings, load_settings

if TYPE_CHECKING:
    from mm_asgi.cli.check.report import Report

__all__ = ["HELP", "NAME", "add_arguments", "run"]

NAME = "check"
HELP = "start an app as a server would, and say what would go wrong"

BLOCKED_WARN = 0.25
"""Seconds for blocked-warn, unless it is set: a person notices as much, in a life of one request."""

_PLAYED = {"native": "native", "grpcio": "native", "netrpc": "netrpc"}

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended, as shells have it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, NAME)
    parser.add_argument(
        "--get",
        metavar="PATH",
        action="append",
        help="path to ask for, below the plugin's root; may be repeated [default /]",
    )
    parser.add_argument("--json", action="store_true", help="show the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check once and return the exit code: 1 when something would break on a server."""
    given = given_settings(arguments)
    paths = _checked_paths(getattr(arguments, "get", None) or ["/"])
    as_json = getattr(arguments, "json", False)
    bundle = Path(str(given.get("app", "")) or "-")
    try:
        if bundle.exists():
            report = _check_bundle(bundle, paths)
        else:
            settings = load_settings(flags=given, environ=os.environ, directory=Path.cwd())
            report = _check_app(settings, given, paths)
    except KeyboardInterrupt:
        return INTERRUPTED
    width = min(shutil.get_terminal_size().columns, 100)
    sys.stdout.write((report.as_json() if as_json else report.as_text(width)) + "\n")
    return 0 if report.ok else 1


def _check_bundle(bundle: Path, paths: Sequence[str]) -> "Report":
    _need_the_host()
    from mm_asgi.cli.check.bundle_check import check_bundle

    return check_bundle(bundle, paths)


def _need_the_host() -> None:
    """Raise ConfigError where the extra is missing: the simulated host needs grpcio and uvicorn."""
    try:
        import mm_asgi.cli.check.observed  # noqa: F401
    except ImportError as exc:
        raise ConfigError(
            f"check: the package {exc.name} is missing; pip install 'mm-asgi[dev]'"
        ) from exc


def _check_app(settings: Settings, given: Mapping[str, object], paths: Sequence[str]) -> "Report":
    start_file = _start_file(given)
    configured, settings = settings.app, replace(settings, app="") if start_file else settings
    command, id = plugin_command(settings, given, NAME, start_file), plugin_id(settings)
    # Imported here, so that a wrong call does not wait for asyncio and the wire.
    import asyncio

    _need_the_host()
    from mm_asgi.cli.check.findings import find
    from mm_asgi.cli.check.imports import probe_import
    from mm_asgi.cli.check.observed import Start, lives
    from mm_asgi.cli.check.report import Report
    from mm_asgi.cli.check.start_file import bundle_findings

    environ = {} if settings.app else _as_variables(given)
    if settings.blocked_warn == Settings().blocked_warn:
        environ["MM_ASGI_BLOCKED_WARN"] = f"{BLOCKED_WARN:g}"
    if not Path(MANIFEST).exists():  # a released server lets the plugin read its id there
        environ["MATTERMOST_PLUGIN_ID"] = id
    starts = [Start(wire, command) for wire in _servers(settings)]
    life, *others = asyncio.run(lives(starts, plugin_id=id, environ=environ, paths=paths))
    imported = probe_import(settings, id, start_file)
    faults = bundle_findings(Path.cwd(), imported, configured if start_file else "")
    return Report(
        target=settings.app or start_file,
        plugin_id=id,
        imported=imported,
        life=life,
        findings=find(imported, life, others, faults),
    )


def _start_file(given: Mapping[str, object]) -> str:
    """Return what a server would run here; empty where a target was named, or nothing is there."""
    if "app" in given:
        return ""
    named = read_manifest(Path.cwd()).executable
    return next((name for name in (named, START_FILE) if name and Path(name).is_file()), "")


def _servers(settings: Settings) -> list[str]:
    """Return the wires of the servers that this plugin would meet; the first is asked for paths."""
    return ["native", "netrpc"] if settings.wire == "auto" else [_PLAYED[settings.wire]]


def _as_variables(given: Mapping[str, object]) -> dict[str, str]:
    """Return the given settings as variables, for a start file, which takes no flags."""
    rows = {row.name: row for row in TABLE if not row.commands}
    return {rows[name].env: str(value) for name, value in given.items() if name in rows}


def _checked_paths(given: Sequence[str]) -> list[str]:
    for path in given:
        if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
            raise ConfigError(
                f"get: {path!r} was given, expected a path such as /docs, percent-encoded"
            )
    return list(dict.fromkeys(given))
