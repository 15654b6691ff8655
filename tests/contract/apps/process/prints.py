# ruff: noqa: T201 - printing is what this app is for
"""An app that prints what could harm a host, by every way there is, at import, start and request.

PROCESS_PLACES names where; PROCESS_FLOOD is how many lines a child adds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from tests.contract.apps.process.process_parts import answer, route

if TYPE_CHECKING:
    from tests.contract.apps.process.process_parts import Receive, Scope, Send

MEBIBYTE = 1 << 20
PANIC = '{"@message": 5}'
LIES = (
    PANIC,
    '{"@level": 3, "@message": "level", "@timestamp": 5}',
    '{"@message": "stamp", "@level": "info", "@timestamp": "2026-01-01T00:00:00.5Z"}',
    '{"@message": "stamp", "@level": "info", "@timestamp": {}, "@module": []}',
    '{"@',
    "[]",
    "null",
    "[ERROR] not by the app's logging",
    "1|1|unix|/tmp/other|grpc",
)
CHILD = f"""
import os, sys
print("from a child")
print({PANIC!r}); print({PANIC!r}, file=sys.stderr)
print("c" * {MEBIBYTE})
os.write(2, b"e" * {MEBIBYTE} + bytes([10]))
for number in range(int(sys.argv[1])):
    print("line", number, "of a chatty child", "." * 200)
"""


def burst(place: str) -> None:
    """Print it all, each way."""
    print(f"{place}: printed")
    print(f"{place}: printed to stderr", file=sys.stderr)
    for text in LIES:
        print(text)
        print(text, file=sys.stderr)
        for fd in (1, 2):
            os.write(fd, f"{text}\n".encode())
    print("x" * MEBIBYTE)
    for fd in (1, 2):
        os.write(fd, f"{place}: written to {fd}\n".encode())
        os.write(fd, b"no utf-8: \xff\xfe\x80\n")
        os.write(fd, b"nul: a\x00b\x1b[31m\r\n\n\n")
        os.write(fd, b"y" * 200_000 + b"\n")
    thread = threading.Thread(target=print, args=(f"{place}: from a thread",))
    thread.start()
    thread.join()
    lines = os.environ.get("PROCESS_FLOOD", "10")
    subprocess.run([sys.executable, "-c", CHILD, lines], check=True)
    os.system(f"echo '{place}: from a shell'")
    for fd in (1, 2):
        os.write(fd, f"{place}: without its end on {fd}".encode())


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        burst("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        burst("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if route(scope) == "burst":
        burst("request")
    await answer(send, "printed")


burst("import")
