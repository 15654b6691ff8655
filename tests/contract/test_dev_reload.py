"""``mm-asgi dev --reload``: saves under load, faults that heal, streams that come back."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import httpx
import pytest

from tests.browser.dev_terminal import APP, DevTerminal, gone

pytestmark = [
    pytest.mark.full,  # seconds each: a process, a terminal, a start
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="pidfd and /proc"),
]

CLIENTS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "shop.py").write_text(APP)
    return tmp_path / "app"


def dev(folder: Path, *arguments: str, **environ: str) -> DevTerminal:
    return DevTerminal(folder, "shop:app", "--reload", "--port", "0", *arguments, environ=environ)


def save(folder: Path, greeting: str) -> None:
    """As editors do: a new file in the place of the old one."""
    new = folder / "shop.py.new~"
    new.write_text(APP.replace('"one"', repr(greeting)))
    new.rename(folder / "shop.py")


def fds(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def children(pid: int) -> set[int]:
    """The processes whose parent is the command."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state != "Z":
            found.add(int(stat.parent.name))
    return found


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


class Clients:
    """They ask without a pause until told; every answer but a 200 is a failure."""

    def __init__(self, terminal: DevTerminal) -> None:
        self.pids: set[int] = set()
        self.answers = 0
        self.failures: list[str] = []
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(self._ask(terminal)) for _ in range(CLIENTS)]

    async def _ask(self, terminal: DevTerminal) -> None:
        async with terminal.client() as client:
            while not self._stop.is_set():
                try:
                    answer = await client.get("/")
                    answer.raise_for_status()
                except httpx.HTTPError as exc:
                    self.failures.append(repr(exc))
                else:
                    self.answers += 1
                    self.pids.add(answer.json()["pid"])

    async def end(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)


@pytest.mark.parametrize("saves", [3, pytest.param(30, marks=pytest.mark.full)])
async def test_no_save_fails_a_request_or_leaks(folder: Path, saves: int) -> None:
    (folder.parent / "tmp").mkdir()
    async with dev(folder, TMPDIR=str(folder.parent / "tmp"), NO_COLOR="1") as terminal:
        await terminal.greeting()
        first = await terminal.facts()
        fds_before, sockets_before = fds(terminal.pid), len(list(folder.parent.glob("tmp/*")))
        clients = Clients(terminal)
        for number in range(saves):
            save(folder, f"save {number}")
            await terminal.sees("shop.py changed: the plugin is replaced")
            await terminal.sees("shop runs again")
        await clients.end()
        last = await terminal.facts()
        assert clients.failures == []
        assert clients.answers > saves * CLIENTS
        assert last["greeting"] == f"save {saves - 1}"
        assert children(terminal.pid) == {last["pid"]}
        assert not {pid for pid in clients.pids - {last["pid"]} if is_running(pid)}
        assert len(clients.pids | {first["pid"]}) == saves + 1
        assert len(list(folder.parent.glob("tmp/*"))) == sockets_before <= 1
        # The clients' own connections may still be open here.
        assert fds(terminal.pid) <= fds_before + CLIENTS + 5
        # At the start of a word: a request's random id may have it inside.
        assert not re.search(r"\bfork", terminal.text)
        terminal.press_ctrl_c()
        assert await terminal.end() == 0
        assert list(folder.parent.glob("tmp/*")) == []


async def test_a_syntax_error_is_shown_and_healed_by_the_next_save(folder: Path) -> None:
    async with dev(folder) as terminal:
        await terminal.greeting()
        (folder / "shop.py").write_text("def app(:\n")
        await terminal.sees("the app could not be imported\n +Traceback")
        await terminal.sees(r"def app\(:\n")
        await terminal.sees(
            r"shop did not start: importing shop failed: SyntaxError: .* \(shop.py:1\);"
            " the next save may mend it"
        )
        async with terminal.client() as client:
            answer = await client.get("/")
            assert answer.status_code == 503
            assert "SyntaxError" in answer.text
        save(folder, "healed")
        await terminal.sees("shop runs again")
        assert (await terminal.facts())["greeting"] == "healed"


@pytest.mark.full
async def test_the_first_start_may_fail_too(folder: Path) -> None:
    (folder / "shop.py").write_text("import nothere\n")
    async with dev(folder) as terminal:
        await terminal.sees("shop did not start: importing shop failed: ModuleNotFoundError")
        terminal.url = (await terminal.sees(r"shop will be at (http\S+)/\n"))[1]
        save(folder, "healed")
        await terminal.sees("shop runs again")
        assert (await terminal.facts())["greeting"] == "healed"
        async with terminal.client() as client:
            await client.get("/exit")
        await terminal.sees(r"ended by itself \(exit code 7\); the next save starts it again")
        save(folder, "back")
        await terminal.sees("shop runs again")
        assert (await terminal.facts())["greeting"] == "back"


async def test_many_files_are_one_restart_and_most_files_none(folder: Path) -> None:
    async with dev(folder) as terminal:
        await terminal.greeting()
        for name in (".venv/lib/a.py", "__pycache__/b.py", ".git/c.py", "shop.sqlite", "data.json"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("x = 1\n")
        for number in range(200):
            (folder / f"m{number:03}.py").write_text("")
        await terminal.sees(
            "m000.py, m001.py, m002.py and 197 more changed: the plugin is replaced"
        )
        await terminal.sees("shop runs again")
        save(folder, "last")
        await terminal.sees("shop.py changed")
        await terminal.sees("shop runs again")
        assert terminal.text.count("changed: the plugin is replaced") == 2


async def test_a_save_during_a_restart_is_not_lost(folder: Path) -> None:
    """The first restart waits in the app's import, for the test."""
    os.mkfifo(folder / "go")
    async with dev(folder) as terminal:
        await terminal.greeting()
        waits = "print('importing')\nopen('go').read()\n"
        (folder / "shop.py").write_text(waits + APP)
        await terminal.sees("stdout: importing")
        save(folder, "during")
        (folder / "other.py").write_text("")
        await asyncio.to_thread((folder / "go").write_text, "")
        await terminal.sees("shop runs again")
        await terminal.sees("shop.py changed|other.py, shop.py changed")
        await terminal.sees("shop runs again")
        assert (await terminal.facts())["greeting"] == "during"


async def test_ctrl_c_during_a_restart(folder: Path) -> None:
    async with dev(folder) as terminal:
        await terminal.greeting()
        (folder / "shop.py").write_text(
            "import os, signal\nprint('importing', os.getpid())\nwhile True: signal.pause()\n"
        )
        pid = int((await terminal.sees(r"importing (\d+)"))[1])
        terminal.press_ctrl_c()
        assert await terminal.end() == 0
        await gone(pid, timeout=0.5)
        assert "Traceback" not in terminal.text
        assert "did not start" not in terminal.text


async def test_a_stream_ends_cleanly_and_comes_back(folder: Path) -> None:
    async with dev(folder) as terminal:
        await terminal.greeting()
        async with terminal.client() as client:
            async with client.stream("GET", "/events") as answer:
                lines = answer.aiter_lines()
                first = await anext(lines)
                save(folder, "two")
                # httpx raises if the body is cut: this is its proper end.
                assert [line async for line in lines if line] == ["data: bye"]
            async with client.stream("GET", "/events") as again:
                assert await anext(again.aiter_lines()) != first


@pytest.mark.full
async def test_a_save_does_not_wait_for_a_blocked_app(folder: Path) -> None:
    async with dev(folder) as terminal:
        await terminal.greeting()
        async with terminal.client() as client:
            asking = asyncio.create_task(client.get("/block"))
            await terminal.sees("blocked now")
            save(folder, "free again")
            await terminal.sees("shop runs again", timeout=20)
            assert (await asking).status_code == 500
        assert (await terminal.facts())["greeting"] == "free again"
