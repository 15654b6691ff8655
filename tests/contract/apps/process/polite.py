"""An app that keeps to ASGI, with a route for each thing that a test wants to see done."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from tests.contract.apps.process.process_bell import hold, hold_here, ring
from tests.contract.apps.process.process_parts import answer, lifespan, route

if TYPE_CHECKING:
    from tests.contract.apps.process.process_parts import Receive, Scope, Send

tasks: set[asyncio.Task[None]] = set()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send, ring)
        return
    path = route(scope)
    if path.startswith("hold/"):
        # Any number of requests can be held, each under its own name.
        await hold_here(path.removeprefix("hold/"))
        await answer(send, "held")
        return
    await ROUTES[path](receive, send)


async def hello(receive: Receive, send: Send) -> None:
    await answer(send, "hello")


async def events(receive: Receive, send: Send) -> None:
    """An event stream as frameworks make them: it listens for the end, says good-bye, ends."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
    ring("events")
    while (await receive())["type"] != "http.disconnect":
        pass
    ring("events disconnected")
    await send({"type": "http.response.body", "body": b"data: last\n\n"})


async def stubborn(receive: Receive, send: Send) -> None:
    """Never ends, whatever it is told: swallows every cancel."""
    ring("stubborn")
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def thread(receive: Receive, send: Send) -> None:
    """Leaves a thread that is no daemon and never ends."""
    threading.Thread(target=threading.Event().wait, name="endless").start()
    ring("thread")
    await answer(send, "a thread runs")


async def block(receive: Receive, send: Send) -> None:
    """Blocks the event loop until the test says otherwise."""
    block_the_loop()
    await answer(send, "the loop runs again")


def block_the_loop() -> None:
    hold("block")


async def exit_in_task(receive: Receive, send: Send) -> None:
    """A task of the app's own calls sys.exit()."""

    async def leave() -> None:
        sys.exit(3)

    tasks.add(asyncio.create_task(leave(), name="leaver"))
    await answer(send, "gone")


async def background(receive: Receive, send: Send) -> None:
    """Answers, then works on, as a framework's background task."""
    await answer(send, "answered")
    await hold_here("background")
    ring("background done")


async def loop_name(receive: Receive, send: Send) -> None:
    await answer(send, type(asyncio.get_running_loop()).__module__)


async def environ(receive: Receive, send: Send) -> None:
    await answer(send, f"{os.getppid()} {threading.current_thread() is threading.main_thread()}")


async def interrupt(receive: Receive, send: Send) -> None:
    """Ends a child as one ends ffmpeg; what that child returned."""

    def child() -> int:
        with subprocess.Popen(["sleep", "5"]) as process:
            process.send_signal(signal.SIGINT)
            return process.wait()

    await answer(send, str(await asyncio.to_thread(child)))


ROUTES = {
    "": hello,
    "events": events,
    "stubborn": stubborn,
    "thread": thread,
    "block": block,
    "exit": exit_in_task,
    "background": background,
    "loop": loop_name,
    "environ": environ,
    "interrupt": interrupt,
}
