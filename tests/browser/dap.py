"""A debugger's side of the Debug Adapter Protocol, as far as a test needs it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path


class Debugger:
    """Attaches to an adapter; ``async with`` closes the connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._count = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._task = asyncio.create_task(self._read(), name="debugger")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()

    async def _read(self) -> None:
        while head := await self._reader.readuntil(b"\r\n\r\n"):
            length = int(head.split(b"Content-Length:")[1].split(b"\r\n")[0])
            message = json.loads(await self._reader.readexactly(length))
            if message["type"] == "response":
                self._waiting.pop(message["request_seq"]).set_result(message)
            elif message["type"] == "event":
                self._events.put_nowait(message)

    def send(self, command: str, **arguments: Any) -> asyncio.Future[dict[str, Any]]:
        """Ask for something; the answer may come after events."""
        self._count += 1
        answer = self._waiting[self._count] = asyncio.get_running_loop().create_future()
        request = {"seq": self._count, "type": "request", "command": command}
        data = json.dumps({**request, "arguments": arguments}).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
        return answer

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Ask for something and wait until it is done."""
        async with asyncio.timeout(20):
            answer = await self.send(command, **arguments)
        assert answer["success"], answer
        body: dict[str, Any] = answer.get("body", {})
        return body

    async def event(self, name: str) -> dict[str, Any]:
        """Wait for an event; those before it are passed over."""
        async with asyncio.timeout(20):
            while (event := await self._events.get())["event"] != name:
                pass
        body: dict[str, Any] = event.get("body") or {}
        return body

    async def attach(self, file: Path, line: int) -> None:
        """Begin, with a breakpoint in a file."""
        await self.ask("initialize", adapterID="test", pathFormat="path", linesStartAt1=True)
        attached = self.send("attach", justMyCode=False)
        await self.event("initialized")
        place = {"source": {"path": str(file)}, "breakpoints": [{"line": line}]}
        (found,) = (await self.ask("setBreakpoints", **place))["breakpoints"]
        assert found["line"] == line
        await self.ask("configurationDone")
        async with asyncio.timeout(20):
            assert (await attached)["success"]

    async def stopped(self) -> tuple[int, str, int]:
        """Wait for a stop; the thread, and where it is: function and line."""
        thread = (await self.event("stopped"))["threadId"]
        frame = (await self.ask("stackTrace", threadId=thread))["stackFrames"][0]
        return thread, frame["name"], frame["line"]

    async def go_on(self, thread: int) -> None:
        await self.ask("continue", threadId=thread)
