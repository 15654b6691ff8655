"""Outside judges of a gRPC server: programs in Go that others wrote, pinned in tests/wire/judges.

    tools.run("grpcurl", "-plaintext", address, "list")

They are built when first asked for and again when a pin changes. ghz has a module of its own: its
last version that Go's proxy knows (0.93.0) does not build with the grpc-go of the others.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.go_host import find_go, go_missing_reason

__all__ = ["ToolError", "go_missing_reason", "run", "tool"]

FOLDER = Path(__file__).resolve().parent / "judges"
BINARIES = FOLDER / "bin"


class ToolError(Exception):
    """A judge could not be built, or did not end in time."""


@dataclass(frozen=True)
class Module:
    """A go.mod and what is built from it; a binary is named after its package's last part."""

    folder: Path
    packages: tuple[str, ...]


COMMON = Module(
    FOLDER,
    (
        "github.com/summerwind/h2spec/cmd/h2spec",
        "github.com/fullstorydev/grpcurl/cmd/grpcurl",
        "google.golang.org/grpc/interop/client",
        "google.golang.org/grpc/interop/server",
        "mm_asgi/judges/compressed",
    ),
)
GHZ = Module(FOLDER / "ghz", ("github.com/bojand/ghz/cmd/ghz",))
# Ours, on Go's net/rpc and HashiCorp's yamux: the other side of tests/wire/netrpc.
GOPEER = Module(FOLDER.parent / "netrpc" / "gopeer", ("mm_asgi/gopeer",))
MODULES = {
    "h2spec": COMMON,
    "grpcurl": COMMON,
    "client": COMMON,
    "server": COMMON,
    "compressed": COMMON,
    "ghz": GHZ,
    "gopeer": GOPEER,
}


def tool(name: str) -> Path:
    """The program's path; it is built if need be. Safe in parallel test runs.

    Raises:
        ToolError: there is no Go, or it cannot build the tool.
    """
    _build(MODULES[name])
    return BINARIES / name


def run(name: str, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a judge to its end; what it printed is in the result, stderr after stdout.

    Raises:
        ToolError: it did not end in ``timeout`` seconds.
    """
    command = [str(tool(name)), *arguments]
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = late.output.decode("utf-8", "replace") if isinstance(late.output, bytes) else ""
        raise ToolError(f"{name}: no end after {timeout} s; it said:\n{said}") from None


@functools.cache
def _build(module: Module) -> None:
    go = find_go()
    if go is None:
        raise ToolError(go_missing_reason() or "no Go")
    BINARIES.mkdir(exist_ok=True)
    stamp = BINARIES / f"{module.folder.name}.stamp"
    with (BINARIES / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = _digest(go, module)
        built = all(
            (BINARIES / package.rpartition("/")[2]).is_file() for package in module.packages
        )
        if built and stamp.is_file() and stamp.read_text() == wanted:
            return
        # -trimpath as for tests/gohost: the two share the standard library's build cache.
        command = [
            str(go), "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w",
            f"-o={BINARIES}/", *module.packages,
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=module.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ToolError(f"go build failed in {module.folder}:\n{done.stderr}")
        stamp.write_text(wanted)


def _digest(go: Path, module: Module) -> str:
    digest = hashlib.sha256(str(go).encode())
    for file in sorted([*module.folder.glob("go.*"), *module.folder.glob("**/*.go")]):
        digest.update(file.read_bytes())
    digest.update(" ".join(module.packages).encode())
    return digest.hexdigest()
