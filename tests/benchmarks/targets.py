"""Who is measured: each wire that the settings offer, a plugin in Go, bare handlers, HTTP servers."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm_asgi.settings import TABLE
from tests.benchmarks import processes
from tests.go_host import find_go

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

WIRE, GO_PLUGIN, BARE, GO, HTTP = "wire", "go-plugin", "bare", "go", "http"
SERVERS = ("uvicorn", "granian")
PACKAGES = (
    "mm-asgi", "protobuf", "grpcio", "uvicorn", "httptools", "uvloop", "granian", "fastapi",
    "pydantic",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One column of the comparison.

    Attributes:
        name: as the tables and --targets spell it.
        kind: WIRE, GO_PLUGIN, BARE, GO or HTTP.
        path: the PYTHONPATH of a package that is measured on the native wire; empty: the name says
            which.
    """

    name: str
    kind: str
    path: str = ""

    def start(self, app: str) -> AbstractAsyncContextManager[processes.Running]:
        """Run `app` (module:attribute) on it, behind a Go host."""
        if self.kind == WIRE:
            return processes.plugin(self.name, app, self.path)
        if self.kind == GO_PLUGIN:
            return processes.go_plugin(app)
        if self.kind == BARE:
            return processes.bare(app)
        if self.kind == GO:
            return processes.go_server(app)
        return processes.http_server(self.name, app)


def all_targets() -> tuple[Target, ...]:
    """The native wire compiled, then the wires in the settings' own order, native first."""
    wires = next(row.choices for row in TABLE if row.name == "wire")
    return (
        Target(processes.COMPILED, WIRE),
        *(Target(wire, WIRE) for wire in sorted(wires, key=lambda wire: wire != "native")),
        Target(processes.NETRPC_COMPILED, WIRE),
        Target("netrpc-go", GO_PLUGIN),
        Target("bare", BARE),
        Target("go", GO),
        *(Target(server, HTTP) for server in SERVERS),
    )


def versions() -> dict[str, str]:
    """What took part, by name: Python, packages, Go."""
    found = {
        "CPython"
        if platform.python_implementation() == "CPython"
        else "Python": platform.python_version()
    }
    for package in PACKAGES:
        found[package] = importlib.metadata.version(package)
    go = find_go()
    if go is not None and shutil.which(str(go)):
        said = subprocess.run(
            [str(go), "env", "GOVERSION"], capture_output=True, text=True, check=False
        )
        found["Go"] = said.stdout.strip().removeprefix("go")
    return found
