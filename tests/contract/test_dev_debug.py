"""``mm-asgi dev --debug``: real debugpy, attached as an editor does, before and after a reload."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.browser.dap import Debugger
from tests.browser.dev_terminal import APP, DevTerminal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="pidfd"),
    pytest.mark.skipif(importlib.util.find_spec("debugpy") is None, reason="no debugpy"),
]

LINE = 1 + APP.splitlines().index('    facts = {"pid": os.getpid(), "greeting": GREETING}')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def dev(folder: Path, *arguments: str) -> DevTerminal:
    given = ("shop:app", "--port", "0", "--debug", "--debug-port", "0", *arguments)
    return DevTerminal(folder, *given)


async def debugger_port(terminal: DevTerminal) -> int:
    found = await terminal.sees(r"a debugger can attach to 127\.0\.0\.1:(\d+)")
    return int(found[1])


async def hold_a_request(terminal: DevTerminal, file: Path, debugger: Debugger) -> None:
    """A breakpoint holds one request until the debugger lets it go on."""
    await debugger.attach(file, LINE)
    asked = asyncio.create_task(terminal.facts())
    thread, function, line = await debugger.stopped()
    assert (function, line) == ("app", LINE)
    assert not asked.done()
    # The host lives on, and so does its page.
    async with terminal.client() as client:
        address = terminal.url.partition("/plugins")[0]
        assert (await client.get(f"{address}/_mm/places")).status_code == 200
    await debugger.go_on(thread)
    async with asyncio.timeout(20):
        assert (await asked)["greeting"]


@pytest.mark.full
async def test_a_breakpoint_holds_a_request_also_after_a_reload(folder: Path) -> None:
    file = folder / "shop.py"
    async with dev(folder, "--reload") as terminal:
        port = await debugger_port(terminal)
        await terminal.greeting()
        first = (await terminal.facts())["pid"]
        async with Debugger(port) as debugger:
            await hold_a_request(terminal, file, debugger)
            # It is attached while the plugin is replaced, is told, and leaves as editors do.
            file.write_text(APP.replace('"one"', '"two"'))
            await debugger.event("terminated")
        await terminal.sees("shop runs again", timeout=30)
        async with Debugger(port) as debugger:
            await hold_a_request(terminal, file, debugger)
        assert (await terminal.facts())["pid"] != first
        terminal.press_ctrl_c()
        assert await terminal.end() == 0
        assert "Warning" not in terminal.text
        assert "blocked" not in terminal.text


@pytest.mark.nightly
async def test_ctrl_c_ends_it_at_a_breakpoint(folder: Path) -> None:
    async with dev(folder) as terminal:
        port = await debugger_port(terminal)
        await terminal.greeting()
        async with Debugger(port) as debugger:
            await debugger.attach(folder / "shop.py", LINE)
            asked = asyncio.create_task(terminal.facts())
            await debugger.stopped()
            terminal.press_ctrl_c()
            assert await terminal.end() == 0
            await asyncio.gather(asked, return_exceptions=True)


@pytest.mark.nightly
async def test_a_start_file_is_debugged_too(folder: Path) -> None:
    (folder / "plugin.py").write_text('import mm_asgi\nmm_asgi.run("shop:app")\n')
    (folder / "plugin.json").write_text('{"id": "com.example.shop"}')
    async with DevTerminal(folder, "--port", "0", "--debug", "--debug-port", "0") as terminal:
        port = await debugger_port(terminal)
        await terminal.greeting()
        async with Debugger(port) as debugger:
            await hold_a_request(terminal, folder / "shop.py", debugger)
        terminal.press_ctrl_c()
        assert await terminal.end() == 0


@pytest.mark.nightly
async def test_a_debugger_that_does_not_leave_is_named(folder: Path) -> None:
    async with dev(folder, "--reload") as terminal:
        port = await debugger_port(terminal)
        await terminal.greeting()
        async with Debugger(port) as debugger:
            await debugger.attach(folder / "shop.py", LINE)
            (folder / "shop.py").write_text(APP.replace('"one"', '"two"'))
            await terminal.sees(
                f"ERROR shop did not start: debug-port: 127.0.0.1:{port} is still taken, perhaps by"
                " a debugger that stays attached"
            )
        (folder / "shop.py").write_text(APP.replace('"one"', '"three"'))
        await terminal.sees("shop runs again")


@pytest.mark.full
async def test_the_port_is_taken(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        async with DevTerminal(folder, "shop:app", "--debug", "--debug-port", port) as terminal:
            assert await terminal.end() == 2
            assert re.fullmatch(
                rf"mm-asgi: debug-port: {port} on 127.0.0.1 cannot be bound \(.+\); choose another one, or 0 .+\n",
                terminal.text,
            )
