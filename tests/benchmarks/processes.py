"""The processes that are measured, each behind the Go host: started, warm, and ended again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import compiled
from tests.go_host import GoHost, HostProcess, build
from tests.net_host import NetHost, go_plugin_bundle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
# The targets that are a wire of tests.compiled's build.
COMPILED, NETRPC_COMPILED = "compiled", "netrpc-compiled"
BUILT = {COMPILED: "native", NETRPC_COMPILED: "netrpc"}
PLUGIN = Path(__file__).resolve().parent / "plugin"
START_FILE = "start_benchmark.py"
START_LIMIT = 30.0  # s


class BenchmarkError(Exception):
    """A measurement could not be taken; a sentence for who reads the run."""


@dataclass(frozen=True)
class Running:
    """A target that answers.

    Attributes:
        pid: the process that is measured, with its children.
        url: where the app's root is.
        host: the Go host before it.
    """

    pid: int
    url: str
    host: HostProcess


@contextlib.asynccontextmanager
async def plugin(name: str, app: str, path: str = "") -> AsyncIterator[Running]:
    """An app as a plugin under go-plugin; with a path on the native wire of the package there."""
    environ = plugin_environ(name, app)
    if path:
        environ |= {"MM_ASGI_WIRE": "native", "PYTHONPATH": path}
    async with _host_of(environ) as host:
        yield Running(host.pid, host.plugin_url, host)


def _host_of(environ: Mapping[str, str]) -> HostProcess:
    """The host that speaks the wire of this environment."""
    if environ["MM_ASGI_WIRE"] != "netrpc":
        return GoHost(PLUGIN, START_FILE, env=environ)
    # A released server sets no id, and the folder has no manifest of its own.
    return NetHost(PLUGIN, START_FILE, env={**environ, "MATTERMOST_PLUGIN_ID": "com.example.demo"})


def plugin_environ(name: str, app: str) -> dict[str, str]:
    return {"MM_ASGI_WIRE": wire_of(name), "BENCHMARK_APP": app, "PYTHONPATH": python_path(name)}


def wire_of(name: str) -> str:
    """The setting of a target that is a wire."""
    return BUILT.get(name, name)


def python_path(name: str) -> str:
    """Where such a target's mm_asgi is."""
    return f"{compiled.FOLDER}{os.pathsep}{ROOT}" if name in BUILT else str(ROOT)


@contextlib.asynccontextmanager
async def go_plugin(app: str) -> AsyncIterator[Running]:
    """The plugin in Go over net/rpc, which has the paths and the hook of every app."""
    with socket_folder() as folder:
        bundle = await asyncio.to_thread(go_plugin_bundle, folder)
        async with NetHost(bundle) as host:
            yield Running(host.pid, host.plugin_url, host)


@contextlib.asynccontextmanager
async def bare(app: str) -> AsyncIterator[Running]:
    """bare.py, which has one answer for every app."""
    async with _dialled([sys.executable, "-m", "tests.benchmarks.bare"]) as running:
        yield running


@contextlib.asynccontextmanager
async def go_server(app: str) -> AsyncIterator[Running]:
    """The Go host's own server of fixed answers, which has raw.py's paths."""
    async with _dialled([str(build()), "bare"]) as running:
        yield running


@contextlib.asynccontextmanager
async def _dialled(server: Sequence[str]) -> AsyncIterator[Running]:
    """A gRPC server that takes its socket as an argument."""
    with socket_folder() as folder:
        path = folder / "s"
        command = [*server, str(path)]
        async with spawned(command, folder) as process:
            # First: grpc-go would wait a second after a dial in vain.
            await connected(path, process, folder)
            async with GoHost(target=f"unix:{path}", flags=["-no-activate"]) as host:
                yield Running(process.pid, host.plugin_url, host)


@contextlib.asynccontextmanager
async def http_server(name: str, app: str) -> AsyncIterator[Running]:
    """uvicorn or granian behind the Go host's ReverseProxy."""
    with socket_folder() as folder:
        path = folder / "s"
        async with spawned(server_command(name, app, path), folder) as process:
            await connected(path, process, folder)
            async with GoHost(proxy=f"unix:{path}") as host:
                yield Running(process.pid, host.plugin_url, host)


def server_command(name: str, app: str, path: Path) -> list[str]:
    """The server's fastest settings that are still fair: what it leaves out, a plugin leaves out.

    net/http sets Date, nobody needs Server, and the host says itself who the client is.
    """
    flags = {
        "uvicorn": [
            "--http=httptools", "--loop=uvloop", "--ws=none", "--lifespan=off", "--interface=asgi3",
            "--workers=1", "--no-access-log", "--no-proxy-headers", "--no-server-header",
            "--no-date-header", "--log-level=warning",
        ],
        "granian": [
            "--interface=asginl", "--http=1", "--loop=uvloop", "--no-ws", "--workers=1",
            "--runtime-threads=1", "--backlog=4096", "--backpressure=4096", "--no-access-log",
            "--log-level=warning",
        ],
    }  # fmt: skip
    return [sys.executable, "-m", name, *flags[name], f"--uds={path}", app]


@contextlib.contextmanager
def socket_folder() -> Iterator[Path]:
    # A short name: a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextlib.asynccontextmanager
async def spawned(
    command: Sequence[str],
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    stdout: int | None = asyncio.subprocess.DEVNULL,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of ours; its stderr goes to `folder`/stderr. It is ended politely, then not."""
    with (folder / "stderr").open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()


async def connected(path: Path, process: asyncio.subprocess.Process, folder: Path) -> None:
    """Wait until something accepts at a unix socket."""
    _, writer = await connect(path, process, folder)
    writer.close()


async def connect(
    path: Path, process: asyncio.subprocess.Process, folder: Path
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Try again each millisecond until somebody listens.

    Raises:
        BenchmarkError: the process ended, or took longer than START_LIMIT.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_LIMIT):
            while process.returncode is None:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    return await asyncio.open_unix_connection(path)
                await asyncio.sleep(0.001)  # it is not our program: nothing tells us
    raise BenchmarkError(f"it did not listen; its stderr ends:\n{stderr_end(folder)}")


def stderr_end(folder: Path) -> str:
    return "\n".join((folder / "stderr").read_text(errors="replace").splitlines()[-20:])
