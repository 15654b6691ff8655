"""An app for much and for many: big bodies, event streams, and a look at what is left behind."""

from __future__ import annotations

import asyncio
import collections
import gc
import hashlib
import json
import os
import random
from typing import TYPE_CHECKING

from tests.contract.apps.process.process_bell import hold_here, ring
from tests.contract.apps.process.process_parts import answer, route

if TYPE_CHECKING:
    from tests.contract.apps.process.process_parts import Receive, Scope, Send

BLOCK = random.Random(7).randbytes(1 << 20)
CHUNK = 1 << 18


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    path, _, rest = route(scope).partition("/")
    await ROUTES[path](rest, receive, send)


async def upload(rest: str, receive: Receive, send: Send) -> None:
    """Answers with length and SHA-256 of the body."""
    digest, length = hashlib.sha256(), 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            ring("upload left")
            return
        if not length:
            ring("upload began")
        digest.update(event["body"])
        length += len(event["body"])
        if not event["more_body"]:
            break
    await answer(send, f"{length} {digest.hexdigest()}")


async def download(rest: str, receive: Receive, send: Send) -> None:
    """So many MiB, each the BLOCK."""
    size = int(rest) * len(BLOCK)
    headers = [(b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for start in range(0, size, CHUNK):
        at = start % len(BLOCK)
        body = BLOCK[at : at + CHUNK]
        more = start + CHUNK < size
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def events(rest: str, receive: Receive, send: Send) -> None:
    """Events, each when the test has had the one before."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(int(rest)):
        await hold_here(f"event {number}")
        body = f"data: {number}\n\n".encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def listen(rest: str, receive: Receive, send: Send) -> None:
    """Rings when it is told that its client left: before an answer or in an event stream."""
    if rest == "stream":
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b": open\n\n", "more_body": True})
    ring(f"listen {rest}")
    while (await receive())["type"] != "http.disconnect":
        pass
    ring(f"left {rest}")


async def mixed(rest: str, receive: Receive, send: Send) -> None:
    """Reads the body, then streams so many chunks, with turns of the loop between."""
    size = 0
    while (event := await receive())["type"] == "http.request":
        size += len(event["body"])
        if not event["more_body"]:
            break
    else:
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(int(rest)):
        await asyncio.sleep(0.005)
        body = b"%d %d\n" % (size, number) + BLOCK[:2000]
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b"end\n"})


async def together(rest: str, receive: Receive, send: Send) -> None:
    """Answers when so many requests are here at once."""
    async with meeting:
        met[rest] += 1
        turn = -(-met[rest] // int(rest))
        meeting.notify_all()
        await meeting.wait_for(lambda: met[rest] >= turn * int(rest))
    await answer(send, "together")


async def stream(rest: str, receive: Receive, send: Send) -> None:
    """An event for each pulse, until the client has left."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    leaving = asyncio.create_task(wait_for_the_end(receive), name="leaving")
    seen = met["pulse"]
    while not leaving.done():
        body = f"data: {seen}\n\n".encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})
        async with meeting:
            while met["pulse"] == seen and not leaving.done():
                await meeting.wait()
            seen = met["pulse"]


async def wait_for_the_end(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    async with meeting:
        meeting.notify_all()


async def pulse(rest: str, receive: Receive, send: Send) -> None:
    """Let each stream send an event, whose number this answers."""
    async with meeting:
        met["pulse"] += 1
        meeting.notify_all()
    await answer(send, str(met["pulse"]))


async def left(rest: str, receive: Receive, send: Send) -> None:
    """What there is: the tasks' names, and the number of open file descriptors."""
    tasks = sorted(task.get_name().rstrip("0123456789") for task in asyncio.all_tasks())
    await answer(send, json.dumps({"tasks": tasks, "fds": len(os.listdir("/dev/fd"))}))


async def objects(rest: str, receive: Receive, send: Send) -> None:
    """How many objects of each of our classes there are."""
    gc.collect()
    kinds = (type(one) for one in gc.get_objects())
    counted = collections.Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in kinds
        if str(kind.__module__).startswith("mm_asgi")  # a few have a descriptor there
    )
    await answer(send, json.dumps(counted))


meeting = asyncio.Condition()
met: collections.Counter[str] = collections.Counter()
ROUTES = {
    "upload": upload,
    "download": download,
    "events": events,
    "listen": listen,
    "mixed": mixed,
    "left": left,
    "objects": objects,
    "pulse": pulse,
    "stream": stream,
    "together": together,
}
