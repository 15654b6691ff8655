"""What a call of the host's API costs: a client's process of its own and a server of grpc-go's; a
plugin on net/rpc calls the host that it runs in.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import httpx

from tests.benchmarks import proc
from tests.benchmarks.processes import (
    START_LIMIT,
    BenchmarkError,
    python_path,
    socket_folder,
    spawned,
    stderr_end,
    wire_of,
)
from tests.benchmarks.targets import GO_PLUGIN
from tests.wire import tools

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.benchmarks.targets import Target

SECONDS = 2.0
CALLING = "tests.benchmarks.apps.calling:plugin"


def api_calls(workers: int) -> Callable[[Target, str], Awaitable[dict[str, float]]]:
    """So many calls at a time."""

    async def measure(target: Target, app: str) -> dict[str, float]:
        if target.kind == GO_PLUGIN or wire_of(target.name) == "netrpc":
            return await _from_inside(target, CALLING, workers)
        try:
            server = await asyncio.to_thread(tools.tool, "compressed")
        except tools.ToolError as error:
            raise BenchmarkError(str(error)) from None
        pipe = asyncio.subprocess.PIPE
        with socket_folder() as folder:
            async with spawned([str(server), "-any"], folder, stdout=pipe) as serving:
                port = await _line(serving, folder)
                # -P: the working directory, which has a mm_asgi too, does not come first.
                client = [sys.executable, "-P", "-m", "tests.benchmarks.api_client",
                          wire_of(target.name), f"127.0.0.1:{port}", str(workers),
                          str(SECONDS)]  # fmt: skip
                environ = {"PYTHONPATH": python_path(target.name)}
                async with spawned(client, folder, environ=environ, stdout=pipe) as calling:
                    found: dict[str, float] = json.loads(await _line(calling, folder))
                    return found

    return measure


async def _from_inside(target: Target, app: str, workers: int) -> dict[str, float]:
    path = f"/calls?workers={workers}&seconds="
    async with target.start(app) as running:
        client = httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=START_LIMIT)
        async with client:
            await client.get(f"{path}0.3")  # warm
            proc.reset_peak(running.pid)
            answer = await client.get(f"{path}{SECONDS}")
        if answer.status_code != 200:
            raise BenchmarkError(f"the plugin's calls failed: {answer.text}")
        figures: dict[str, float] = answer.json()
        return {**figures, "peak": proc.peak_rss_mib(running.pid)}


async def _line(process: asyncio.subprocess.Process, folder: Path) -> str:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), START_LIMIT)
    if not line:
        raise BenchmarkError(f"it said nothing; its stderr ends:\n{stderr_end(folder)}")
    return line.decode().strip()
