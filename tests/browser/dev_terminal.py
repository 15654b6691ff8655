"""``mm-asgi dev`` as a person has it: a real process in a pseudo-terminal, with keys and a screen."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import sys
import termios
import time
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

APP = """
import asyncio, json, os, signal, sys, time

GREETING = "one"

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown of", os.getpid())
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"].removeprefix(scope["root_path"])
    kind = b"text/event-stream" if path == "/events" else b"application/json"
    if path == "/boom":
        raise ValueError("no such thing")
    if path == "/block":
        print("blocked now")
        while True:
            time.sleep(3600)
    if path == "/exit":
        os._exit(7)
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}
    await send(start)
    if path == "/events":
        text = f"data: {os.getpid()}\\n\\n".encode()
        await send({"type": "http.response.body", "body": text, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"data: bye\\n\\n"})
        return
    facts = {"pid": os.getpid(), "greeting": GREETING}
    facts["plugin_id"] = scope["extensions"]["mattermost"]["plugin_id"]
    facts["has_target"] = "MATTERMOST_PLUGIN_API_TARGET" in os.environ
    await send({"type": "http.response.body", "body": json.dumps(facts).encode()})
"""
"""An app that is imported in no time; GREETING is what a save changes."""


class DevTerminal:
    """One run of the command in a folder; ``async with`` ends it, whatever became of it."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        command: tuple[str, ...] = (sys.executable, "-m", "mm_asgi", "dev"),
    ) -> None:
        self._folder = folder
        self._command = (*command, *arguments)
        self._environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environ or {})}
        for name in ("NO_COLOR", "FORCE_COLOR"):
            self._environ.pop(name, None) if name not in (environ or {}) else None
        self._environ.setdefault("TERM", "xterm")
        self._master = -1
        self._raw = ""
        self._seen = 0
        self._news = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        self._master, slave = os.openpty()

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._folder,
            env=self._environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()  # the plugin ends by itself
        await self._process.wait()
        self.close()

    def close(self) -> None:
        """Close the terminal's window."""
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = -1

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:  # Linux: nobody has the other side any more
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self._raw += data.decode("utf-8", "replace")
        news, self._news = self._news, asyncio.Event()
        news.set()

    # ---------------------------------------------------------------- what a person does

    async def sees(self, pattern: str, timeout: float = 15.0) -> re.Match[str]:
        """Wait for a text after what was waited for before."""
        wanted = re.compile(pattern)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    news = self._news
                    if found := wanted.search(self.text, self._seen):
                        self._seen = found.end()
                        return found
                    await news.wait()
        except TimeoutError:
            raise AssertionError(f"not on the screen: {pattern}\n{self.text}") from None

    async def greeting(self) -> str:
        """Wait until the app is served; its URL, without the slash."""
        found = await self.sees(r"is at (http://\S+)/\r?\n")
        self.url = found[1]
        await self.sees("Ctrl-C stops it")
        return self.url

    def press_ctrl_c(self) -> float:
        """Press it; the time."""
        os.write(self._master, b"\x03")
        return time.monotonic()

    def send_signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def end(self, timeout: float = 15.0) -> int:
        """Wait for the command's end; its exit code. All of its text has arrived then."""
        assert self._process is not None
        async with asyncio.timeout(timeout):
            code = await self._process.wait()
        if self._master >= 0:
            self._read()
        return code

    # ---------------------------------------------------------------- what can be known

    @property
    def raw(self) -> str:
        return self._raw

    @property
    def text(self) -> str:
        """What is on the screen, without colours."""
        return ESCAPES.sub("", self._raw).replace("\r\n", "\n")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=20)

    async def facts(self) -> dict[str, object]:
        """What APP says of itself."""
        async with self.client() as client:
            answer: dict[str, object] = (await client.get("/")).raise_for_status().json()
        return answer


async def gone(pid: int, timeout: float = 5.0) -> None:
    """Wait for the end of a process that is nobody's child here; bounded."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, ended.set)
    try:
        async with asyncio.timeout(timeout):
            await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
