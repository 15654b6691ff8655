"""``mm-asgi dev`` from the first line to Ctrl-C, in a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.browser.dev_terminal import APP, DevTerminal, gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.full,  # seconds each: a process, a terminal, a start
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.platform != "linux", reason="pidfd"),
]

PROMISED = 2.0
"""Seconds from Ctrl-C to the command's end. A machine that is busy with other tests gets MARGIN."""

MARGIN = 2.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def dev(folder: Path, *arguments: str, **environ: str) -> DevTerminal:
    return DevTerminal(folder, *(arguments or ("shop:app",)), "--port", "0", environ=environ)


async def stopped(terminal: DevTerminal, pid: int) -> None:
    """Ctrl-C ends the command, and the plugin with it, in time and without a traceback."""
    pressed = terminal.press_ctrl_c()
    assert await terminal.end() == 0, terminal.text
    assert time.monotonic() - pressed < PROMISED + MARGIN
    await gone(pid, timeout=0.5)
    assert "KeyboardInterrupt" not in terminal.text
    assert "stopping; Ctrl-C again ends it at once" in terminal.text


# -------------------------------------------------------------------- the log


async def test_a_short_session(folder: Path) -> None:
    async with dev(folder) as terminal:
        url = await terminal.greeting()
        assert url.endswith("/plugins/shop")
        pid = int(str((await terminal.facts())["pid"]))
        await terminal.sees(
            r"\d\d:\d\d:\d\d INFO  \[alice \w{8}\] GET /plugins/shop/ 200 in [\d.]+ ms\n"
        )
        async with terminal.client() as client:
            assert (await client.get("/boom")).status_code == 500
        await terminal.sees(r"ERROR \[alice \w{8}\] mm_asgi.bridge: the app raised ValueError")
        # The first frame is the app's own.
        await terminal.sees(
            r'Traceback \(most recent call last\):\n +File "[^"]+/shop.py", line \d+'
        )
        await terminal.sees("ValueError: no such thing")
        await stopped(terminal, pid)
        assert f"stdout: shutdown of {pid}" in terminal.text
        assert "\x1b[32mINFO" in terminal.raw


@pytest.mark.parametrize(
    ("wire", "server"),
    [
        ("auto", "a released server"),
        ("netrpc", "a released server"),
        ("native", "the Python branch"),
    ],
)
async def test_the_server_that_goes_with_the_wire_is_played(
    folder: Path, wire: str, server: str
) -> None:
    async with dev(folder, "shop:app", "--wire", wire) as terminal:
        await terminal.greeting()
        assert f"alice is logged in; {server} is played; Ctrl-C stops it" in terminal.text
        facts = await terminal.facts()
        assert facts["plugin_id"] == "shop"  # without a plugin.json, too
        assert facts["has_target"] is (wire == "native")
        await stopped(terminal, int(str(facts["pid"])))


# -------------------------------------------------------------------- what cannot start

FAULTS = {
    "nomod:app": 'nomod did not start: the module "nomod" was not found in',
    "shop:nope": 'did not start: the module "shop" has no attribute "nope"',
    "broken:app": "did not start: importing broken failed: ModuleNotFoundError: No module named"
    " 'nothere' (broken.py:1)",
    "syntax:app": "did not start: importing syntax failed: SyntaxError",
    "dead:app": "dead did not start: its process ended while the app was imported (exit code 3)",
    "life:app": "life did not start: RuntimeError: database is down",
    "three:app": "three did not start: three:app: int is neither an ASGI app nor an mm_asgi.Plugin",
}
TRACED = {"broken:app": "import nothere", "syntax:app": "SyntaxError", "life:app": "life.py"}


@pytest.fixture
def faulty(folder: Path) -> Path:
    (folder / "broken.py").write_text("import nothere\n")
    (folder / "syntax.py").write_text("def x(:\n")
    (folder / "dead.py").write_text("import os\nos._exit(3)\n")
    (folder / "three.py").write_text("app = 3\n")
    (folder / "life.py").write_text(
        "import contextlib, fastapi\n@contextlib.asynccontextmanager\nasync def lifespan(app):\n"
        "    raise RuntimeError('database is down')\n    yield\n"
        "app = fastapi.FastAPI(lifespan=lifespan)\n"
    )
    return folder


async def test_what_cannot_start_is_one_sentence(faulty: Path) -> None:
    async def check(target: str) -> None:
        async with dev(faulty, target) as terminal:
            assert await terminal.end(30) == 1
            *before, last = terminal.text.splitlines()
            assert FAULTS[target] in last
            assert (TRACED[target] in "\n".join(before)) if target in TRACED else before == []
            assert "mm_asgi/" not in terminal.text
            assert "mm_asgi.errors" not in terminal.text

    await asyncio.gather(*map(check, FAULTS))


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def test_a_port_that_is_taken(folder: Path, taken_port: int) -> None:
    async with DevTerminal(folder, "shop:app", "--port", str(taken_port)) as terminal:
        assert await terminal.end() == 1
        assert terminal.text.startswith(f"mm-asgi: port: {taken_port} on 127.0.0.1 cannot be bound")
        assert terminal.text.count("\n") == 1


@pytest.mark.parametrize("package", ["uvicorn", "watchfiles"])
async def test_the_extra_is_missing(folder: Path, package: str) -> None:
    hidden = f"raise ModuleNotFoundError('No module named {package}', name='{package}')\n"
    (folder / "path").mkdir()
    (folder / "path" / f"{package}.py").write_text(hidden)
    async with dev(folder, PYTHONPATH=str(folder / "path")) as terminal:
        assert await terminal.end() == 2
        assert terminal.text == (
            f"mm-asgi: dev: the package {package} is missing; pip install 'mm-asgi[dev]'\n"
        )


async def test_an_app_that_ends_by_itself_ends_the_command(folder: Path) -> None:
    async with dev(folder) as terminal:
        await terminal.greeting()
        async with terminal.client() as client:
            assert (await client.get("/exit")).status_code == 500
        assert await terminal.end() == 1
        assert "shop: its process ended by itself (exit code 7)" in terminal.text


# -------------------------------------------------------------------- Ctrl-C


async def test_ctrl_c_with_an_open_stream(folder: Path) -> None:
    async with dev(folder) as terminal:
        await terminal.greeting()
        async with terminal.client() as client, client.stream("GET", "/events") as answer:
            first = await anext(answer.aiter_lines())
            await stopped(terminal, int(first.removeprefix("data: ")))


async def test_ctrl_c_while_python_starts(folder: Path) -> None:
    """It reaches the command alone: Python, while it starts, would die of it with a traceback."""
    (folder / "path").mkdir()
    os.mkfifo(folder / "started")
    (folder / "path" / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if 'serve' in sys.orig_argv:\n"
        f"    open({str(folder / 'started')!r}, 'w').write(str(os.getpid()))\n"
        "    signal.pause()\n"
    )
    async with dev(folder, PYTHONPATH=str(folder / "path")) as terminal:
        pid = int(await asyncio.to_thread((folder / "started").read_text))
        await stopped(terminal, pid)
        assert "sitecustomize" not in terminal.text


async def test_ctrl_c_while_the_app_is_imported(folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import os, signal\nprint('importing', os.getpid())\nwhile True: signal.pause()\n"
    )
    async with dev(folder, "slow:app") as terminal:
        pid = int((await terminal.sees(r"importing (\d+)"))[1])
        await stopped(terminal, pid)


async def blocked(terminal: DevTerminal) -> tuple[int, asyncio.Task[httpx.Response]]:
    await terminal.greeting()
    pid = int(str((await terminal.facts())["pid"]))

    async def ask() -> httpx.Response:
        async with terminal.client() as client:
            return await client.get("/block")

    asking = asyncio.create_task(ask())
    await terminal.sees("blocked now")
    return pid, asking


async def test_ctrl_c_with_a_blocked_app(folder: Path) -> None:
    async with dev(folder) as terminal:
        pid, asking = await blocked(terminal)
        await stopped(terminal, pid)
        assert "the app did not end in time and is killed" in terminal.text
        assert (await asking).status_code == 500


async def test_a_second_ctrl_c_ends_it_at_once(folder: Path) -> None:
    async with dev(folder) as terminal:
        pid, asking = await blocked(terminal)
        terminal.press_ctrl_c()
        await terminal.sees("stopping")
        pressed = terminal.press_ctrl_c()
        assert await terminal.end() == 0
        assert time.monotonic() - pressed < 0.5
        await gone(pid, timeout=0.5)
        with pytest.raises(httpx.HTTPError):
            (await asking).raise_for_status()


# -------------------------------------------------------------------- other ends


async def test_a_closed_terminal_ends_it(folder: Path) -> None:
    async with dev(folder, NO_COLOR="1") as terminal:
        await terminal.greeting()
        assert "\x1b" not in terminal.raw
        pid = int(str((await terminal.facts())["pid"]))
        terminal.close()
        assert await terminal.end() == 0
        await gone(pid, timeout=0.5)


@pytest.mark.full
async def test_the_plugin_of_a_killed_command_ends(folder: Path) -> None:
    async with dev(folder) as terminal:
        await terminal.greeting()
        pid = int(str((await terminal.facts())["pid"]))
        terminal.send_signal(signal.SIGKILL)
        assert await terminal.end() == -signal.SIGKILL
        await gone(pid)
