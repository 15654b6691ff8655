"""The start of a process: how long until it is of use, and what it weighs then."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from tests.benchmarks import proc
from tests.benchmarks.processes import (
    PLUGIN,
    START_FILE,
    START_LIMIT,
    BenchmarkError,
    connect,
    plugin_environ,
    server_command,
    socket_folder,
    spawned,
    stderr_end,
)
from tests.benchmarks.targets import WIRE, Target

if TYPE_CHECKING:
    from pathlib import Path

# What Mattermost's server sets for go-plugin (server/public/plugin/client.go).
COOKIE = {
    "MATTERMOST_PLUGIN": "Securely message teams, anywhere.",
    "PLUGIN_PROTOCOL_VERSIONS": "1",
}
REQUEST = b"GET /item HTTP/1.1\r\nHost: localhost\r\n\r\n"
# s with nearly no CPU time: what is still loaded in the background is there. Not with none at all:
# uvicorn looks ten times a second whether it shall end.
QUIET, NEARLY_NONE = 0.25, 0.005
QUIET_LIMIT = 5.0  # s


async def measure_start(target: Target, app: str) -> dict[str, float]:
    """``start``: ms from exec to the handshake's line, of an HTTP server to its first answer.
    ``rss``: MiB once the process rests after that.

    A plugin has not imported its app by then: that is what the handshake's early line buys.
    """
    with socket_folder() as folder:
        if target.kind == WIRE:
            return await _plugin(target.name, app, folder)
        return await _server(target.name, app, folder)


async def _plugin(wire: str, app: str, folder: Path) -> dict[str, float]:
    environ = {**plugin_environ(wire, app), **COOKIE, "PLUGIN_UNIX_SOCKET_DIR": str(folder)}
    began = time.perf_counter()
    async with spawned(
        [sys.executable, START_FILE],
        folder,
        environ=environ,
        cwd=PLUGIN,
        stdout=asyncio.subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_LIMIT)
        took = time.perf_counter() - began
        if line.count(b"|") < 4:
            raise BenchmarkError(f"no handshake: {line!r}, stderr:\n{stderr_end(folder)}")
        return {"start": took * 1000, "rss": await _rss_at_rest(process.pid)}


async def _server(name: str, app: str, folder: Path) -> dict[str, float]:
    path = folder / "s"
    began = time.perf_counter()
    async with spawned(server_command(name, app, path), folder) as process:
        reader, writer = await connect(path, process, folder)
        # granian listens before its worker is there: only an answer tells.
        writer.write(REQUEST)
        line = await asyncio.wait_for(reader.readline(), START_LIMIT)
        took = time.perf_counter() - began
        writer.close()
        if b" 200 " not in line:
            raise BenchmarkError(f"{line!r} instead of an answer, stderr:\n{stderr_end(folder)}")
        return {"start": took * 1000, "rss": await _rss_at_rest(process.pid)}


async def _rss_at_rest(pid: int) -> float:
    limit = time.monotonic() + QUIET_LIMIT
    used = QUIET
    while used > NEARLY_NONE and time.monotonic() < limit:
        before = proc.cpu_seconds(pid)
        await asyncio.sleep(QUIET)
        used = proc.cpu_seconds(pid) - before
    return proc.rss_mib(pid)
