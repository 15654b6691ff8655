"""The search for the app in a folder. It reads the source and imports nothing."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from mm_asgi.errors import ConfigError

__all__ = ["find_target", "targets_in"]

MAKERS = (
    frozenset({"Plugin"}),
    frozenset("FastAPI Starlette Quart Litestar Sanic BlackSheep get_asgi_application".split()),
    frozenset({"Flask", "get_wsgi_application"}),
)
"""Calls that return an app, by their last name. The first kind that is found counts, since a Plugin
contains an app, and Django has an ASGI app beside each WSGI one."""

DEEPEST = 3
"""Levels of folders to search, so that shop/web/main.py is found."""

MOST_FILES = 2000

IGNORED = frozenset(
    "tests test docs examples build dist node_modules site-packages venv env".split()
)


def find_target(folder: Path) -> str:
    """Return the only app below the folder, as module:attribute.

    Raises:
        ConfigError: there is none, or more than one; the text has an example to give.
    """
    found: list[tuple[str, str]] = []
    for path in _source_files(folder):
        found += targets_in(path, _module_name(path.relative_to(folder)))
    kinds = [[target for target, maker in found if maker in makers] for makers in MAKERS]
    targets = next(filter(None, kinds), [])
    if len(targets) == 1:
        return targets[0]
    several = f"{', '.join(sorted(targets)[:5])} could be meant" if targets else "no app was found"
    example = sorted(targets)[0] if targets else "shop.main:app"
    raise ConfigError(f"target: {several}; say which: mm-asgi init {example}")


def targets_in(path: Path, module: str) -> Iterator[tuple[str, str]]:
    """Yield the module-level names that are set to an app, such as ``app = FastAPI()``, with the call."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return  # init does not judge other files
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=function)):
                pass
            case _:
                continue
        match function:
            case ast.Name(id=maker) | ast.Attribute(attr=maker):
                pass
            case _:
                continue
        if any(maker in makers for makers in MAKERS):
            yield f"{module}:{name}", maker


def _source_files(folder: Path) -> Iterator[Path]:
    count = 0
    for above, folders, names in os.walk(folder):
        depth = len(Path(above).relative_to(folder).parts)
        folders[:] = sorted(
            name
            for name in folders
            if depth < DEEPEST and name.isidentifier() and name not in IGNORED
        )
        for name in sorted(names):
            if name.endswith(".py") and not name.startswith("test_"):
                count += 1
                if count > MOST_FILES:
                    return
                yield Path(above, name)


def _module_name(path: Path) -> str:
    """Return the dotted name under which a file is imported from the folder."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
