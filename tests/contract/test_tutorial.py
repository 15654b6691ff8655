"""docs/tutorial.md is typed as it stands: its files, its commands, what they show, its pages.

The wheel of the working tree is what ``pip install mm-asgi`` finds; the other packages are those of
this environment, so that nothing is downloaded but what builds a wheel.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.bundle.wheels import wheel_of_installed, wheels_needed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.full, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = re.compile(r"`(http://127\.0\.0\.1:8065/plugins/\S+)`[^`]*$")
ADDRESS = re.compile(r"127\.0\.0\.1:\d+")


@dataclass(frozen=True)
class Step:
    """A block of the tutorial: its language, its file's name, and the page named before it."""

    kind: str
    name: str
    text: str
    page: str


def steps() -> list[Step]:
    """The blocks in their order."""
    text, before = TUTORIAL.read_text("utf-8"), 0
    found = []
    for match in BLOCK.finditer(text):
        page = PAGE.search(text[before : match.start()].rstrip())
        found.append(Step(match[1], match[2] or "", match[3], page[1] if page else ""))
        before = match.end()
    return found


def plain(text: str) -> list[str]:
    """The lines without what differs from run to run: numbers, addresses' ports, space."""
    lines = [re.sub(r"\d+(\.\d+)*", "N", " ".join(line.split())) for line in text.splitlines()]
    return [line for line in lines if line]


def assert_shown(shown: str, expected: str, command: str) -> None:
    """The output is as it stands in the tutorial; ``...`` there stands for any lines."""
    pattern = "\n".join(
        r"(?:.*\n)*?.*" if line == "..." else re.escape(line) for line in plain(expected)
    )
    assert re.fullmatch(pattern, "\n".join(plain(shown))), f"{command}\n{shown}"


class Dev:
    """``mm-asgi dev`` in a terminal that stays open."""

    def __init__(self, command: str, folder: Path, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=folder, env=environ,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.address = ""

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.put(line)

    def expect(self, text: str) -> None:
        """The lines come in this order; requests may be logged between them."""
        for expected in plain(text):
            shown = self._lines.get(timeout=30)
            while "GET /plugins/" in shown:
                shown = self._lines.get(timeout=30)
            assert plain(shown) == [expected], shown + self._rest()
            if address := ADDRESS.search(shown):
                self.address = address[0]

    def _rest(self) -> str:
        """What else it says, when it has ended: a traceback, mostly."""
        self._process.kill()
        self._reader.join(timeout=10)
        return "".join(self._lines.queue)

    def load(self, url: str) -> object:
        """A page as a browser gets it."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(ADDRESS.sub(self.address, url), timeout=30) as answer:
            return json.load(answer)

    def close(self) -> int:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(timeout=10)
        self._reader.join(timeout=10)
        assert self._process.stderr is not None
        self._process.stderr.close()
        return code


class Terminal:
    """A person's terminal in an empty folder: types commands, writes files, opens pages."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self._folder = folder
        self._bin = folder / ".venv" / "bin"
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        self._environ = {
            **kept,
            "PATH": f"{self._bin}:{Path(sys.base_prefix, 'bin')}:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_QUIET": "1",
            "MM_ASGI_PORT": "0",
        }
        self.dev: Dev | None = None

    def do(self, step: Step) -> None:
        """One block."""
        if step.name:
            path = self._folder / step.name
            path.parent.mkdir(exist_ok=True)
            path.write_text(step.text, "utf-8")
        elif step.kind == "json":
            assert self.dev is not None
            assert step.page, step.text
            assert self.dev.load(step.page) == json.loads(step.text)
        else:
            assert step.kind == "console"
            shown, *typed = re.split(r"^\$ ", step.text, flags=re.MULTILINE)
            if shown:
                assert self.dev is not None
                self.dev.expect(shown)
            for command, _, expected in (part.partition("\n") for part in typed):
                self.type(command, expected)

    def type(self, command: str, expected: str) -> None:
        """One command; ``mm-asgi dev`` goes on running, until it is stopped for the next."""
        if command.startswith("mm-asgi dev"):
            self.stop()
            self.dev = Dev(command, self._folder, self._environ)
            self.dev.expect(expected)
            return
        done = subprocess.run(
            ["bash", "-c", command], cwd=self._folder, env=self._environ, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert_shown(done.stdout, expected, command)
        if "-m venv" in command:
            self._lend_packages()

    def _lend_packages(self) -> None:
        """Let pip find this environment's packages installed, all but mm-asgi's editable one."""
        (site,) = (self._folder / ".venv" / "lib").glob("python3.*/site-packages")
        lent = self._folder.parent / "lent"
        lent.mkdir()
        for package in Path(sysconfig.get_path("purelib")).iterdir():
            if "mm_asgi" not in package.name and package.suffix != ".pth":
                (lent / package.name).symlink_to(package)
        (site / "lent.pth").write_text(f"{lent}\n")

    def stop(self) -> None:
        """Ctrl-C, if dev runs."""
        if self.dev is not None:
            dev, self.dev = self.dev, None
            assert dev.close() == 0


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    wheels, folder = tmp_path / "wheels", tmp_path / "plugin"
    folder.mkdir()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    subprocess.run([*command, str(wheels), str(ROOT)], check=True)
    for name in wheels_needed("fastapi", "protobuf"):
        wheel_of_installed(wheels, name)
    opened = Terminal(folder, wheels)
    yield opened
    if opened.dev is not None:
        opened.dev.close()


def test_the_tutorial_can_be_typed(terminal: Terminal) -> None:
    for step in steps():
        terminal.do(step)
    assert terminal.dev is not None
    terminal.stop()
