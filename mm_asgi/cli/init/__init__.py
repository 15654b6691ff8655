"""``mm-asgi init``: write the files that make a plugin of an app. No source file is changed."""

import argparse
import contextlib
import errno
import json
import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm_asgi.bundle.manifest import MANIFEST, VALID_ID
from mm_asgi.cli.init.find_target import find_target
from mm_asgi.cli.plugin_command import START_FILE
from mm_asgi.errors import ConfigError

__all__ = ["HELP", "NAME", "add_arguments", "run"]

NAME = "init"
HELP = "write plugin.json, plugin.py and [tool.mm-asgi] for an app"

PROJECT = "pyproject.toml"

_NUMBER = r"(0|[1-9]\d{0,8})"
_SEMANTIC = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-[a-zA-Z][\da-zA-Z]*)?(\+[\da-zA-Z]+)?", re.ASCII
)
"""A subset of semver.org 2.0.0: only suffixes that every reader of the rules accepts."""


_START_FILE = """\
#!/usr/bin/env python3
import sys

try:
    import mm_asgi
except ImportError as error:
    # Of what is printed here, a server shows its admin the first line.
    print(f"plugin.py: {error}; its packages belong beside it, for {sys.executable}")
    sys.exit(1)

if __name__ == "__main__":
    mm_asgi.run(TARGET)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "app",
        metavar="TARGET",
        nargs="?",
        default="",
        help="the app to serve, as module:attribute [default: the one that is found here]",
    )
    parser.add_argument(
        "--id", default="", help="the plugin's id, such as com.acme.shop [default com.example.NAME]"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write all files or none, and return the exit code."""
    folder = Path.cwd()
    text = _read_text(folder / PROJECT)
    project = _parse_project(text)
    app = arguments.app or _given_app(project) or find_target(folder)
    plan = Plan(app, _checked_id(arguments.id, app), _project_facts(project))
    _refuse_to_overwrite(folder)
    appended = _text_to_append(text, project, app)
    # Bytes, so with Unix line ends on any system: a server runs the start file by its first line.
    files = {MANIFEST: (plan.manifest(), 0o644), START_FILE: (plan.start_file(), 0o755)}
    written = f"wrote {MANIFEST} (id {plan.id}), {START_FILE}"
    if appended:
        files[PROJECT] = (text + appended, _mode_of(folder / PROJECT))
        written += f", [tool.mm-asgi] in {PROJECT}"
    _write_all(folder, files)
    sys.stdout.write(f"{written}: {app} is a plugin\n")
    if not arguments.id:
        sys.stdout.write(f"the id has to be yours before you ship it: change it in {MANIFEST}\n")
    sys.stdout.write("next: mm-asgi dev\n")
    return 0


def _mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644


def _write_all(folder: Path, files: Mapping[str, tuple[str, int]]) -> None:
    """Write all files or none, each with its mode: first beside their places, then into them.

    Raises:
        ConfigError: one cannot be written.
    """
    places = {name: (folder / name).resolve() for name in files}  # a link stays one
    beside = {name: place.with_name(f".{name}.mm-asgi") for name, place in places.items()}
    name = ""
    try:
        for name, (text, mode) in files.items():
            if places[name].exists() and not os.access(places[name], os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            beside[name].write_bytes(text.encode())
            beside[name].chmod(mode)
        for name in files:
            beside[name].replace(places[name])
    except OSError as exc:
        for path in beside.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise ConfigError(
            f"{name}: it cannot be written ({exc.strerror}), and nothing was: run init in a folder"
            " that you may write to"
        ) from exc


@dataclass(frozen=True, slots=True)
class Plan:
    """The contents of the files."""

    app: str
    id: str
    facts: dict[str, str]

    def manifest(self) -> str:
        """Return the text of plugin.json."""
        name = self.facts.get("name") or self.id.rpartition(".")[2]
        words = name.replace("-", " ").replace("_", " ").strip()
        manifest: dict[str, Any] = {
            "id": self.id,
            "name": (words or self.id).capitalize(),
            "version": _semantic_version(self.facts.get("version", "0.1.0")),
            "server": {"runtime": "python", "executable": START_FILE},
        }
        if "description" in self.facts:
            manifest["description"] = self.facts["description"]
        return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"

    def start_file(self) -> str:
        """Return the text of plugin.py."""
        return _START_FILE.replace("TARGET", json.dumps(self.app))


def _read_text(path: Path) -> str:
    """Return a file's text, with its line ends unchanged; empty when there is no file."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path.name}: it cannot be read ({exc})") from exc


def _parse_project(text: str) -> dict[str, Any]:
    # Imported here, since serve does not need it.
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{PROJECT}: it is not TOML ({exc}); correct it first") from exc


def _own_table(project: dict[str, Any]) -> dict[str, Any] | None:
    """Return [tool.mm-asgi], or None."""
    tool = project.get("tool")
    table = tool.get("mm-asgi") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _given_app(project: dict[str, Any]) -> str:
    return str((_own_table(project) or {}).get("app", ""))


def _project_facts(project: dict[str, Any]) -> dict[str, str]:
    """Return name, version and description of [project], those that are text."""
    given = project.get("project")
    names = ("name", "version", "description")
    return {
        name: given[name]
        for name in names
        if isinstance(given, dict) and isinstance(given.get(name), str)
    }


def _semantic_version(version: str) -> str:
    """Return a version that model/manifest.go, IsValid accepts; of others the first three numbers."""
    if _SEMANTIC.fullmatch(version):
        return version
    release = re.match(r"v?(?:\d+!)?([\d.]*)", version, re.ASCII)
    numbers = re.findall(r"\d{1,9}", release[1] if release else "")
    return ".".join(str(int(number)) for number in [*numbers, 0, 0, 0][:3])


def _checked_id(given: str, app: str) -> str:
    module, colon, attribute = app.partition(":")
    names = [*module.split("."), *attribute.split(".")]
    if not (colon and all(name.isidentifier() for name in names)):
        raise ConfigError(
            f"target: {app!r} was given, expected module:attribute such as shop.main:app"
        )
    name = module.partition(".")[0]
    id = given or f"com.example.{name if name.isascii() else 'plugin'}"
    if not VALID_ID.fullmatch(id):
        raise ConfigError(
            f"id: {id!r} came from the command line (--id), expected 3 to 190 letters, digits,"
            " dots, hyphens or underscores"
        )
    return id


def _refuse_to_overwrite(folder: Path) -> None:
    for name in (MANIFEST, START_FILE):
        # A broken link counts, too.
        if (folder / name).exists() or (folder / name).is_symlink():
            raise ConfigError(
                f"{name}: it is there already and init overwrites nothing; nothing was written."
                " Change it yourself, or move it away"
            )


def _text_to_append(text: str, project: dict[str, Any], app: str) -> str:
    """Return the text to append to pyproject.toml; empty when it has the app already.

    Raises:
        ConfigError: nothing can be appended that sets the app.
    """
    present = _own_table(project)
    if present is not None and present.get("app") == app:
        return ""
    line = f"app = {json.dumps(app)}"
    end = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else end if text.endswith("\n") else end * 2
    added = f"{gap}[tool.mm-asgi]{end}{line}{end}"
    if present is None:
        try:
            if _given_app(_parse_project(text + added)) == app:
                return added
        except ConfigError:
            pass  # such as `tool = {...}`, to which no table can be added
    raise ConfigError(
        f"{PROJECT}: its [tool.mm-asgi] cannot be extended by appending, nothing was written;"
        f" write {line} there yourself, and run init again"
    )
