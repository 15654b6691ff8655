"""The app's side of the tests' bell."""

import asyncio
import contextlib
import os
import socket


def ring(name: str) -> None:
    """Tell the test; returns when it has heard."""
    _say("ring", name)


def hold(name: str) -> None:
    """Tell the test and block this thread until the test releases the name."""
    _say("hold", name)


async def hold_here(name: str) -> None:
    """Tell the test and wait for the release, without blocking the loop."""
    reader, writer = await asyncio.open_unix_connection(os.environ["PROCESS_BELL"])
    try:
        writer.write(f"hold {name}\n".encode())
        await reader.read(1)
    finally:
        writer.close()


def _say(verb: str, name: str) -> None:
    # The test may be over already.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as bell:
        bell.connect(os.environ["PROCESS_BELL"])
        bell.sendall(f"{verb} {name}\n".encode())
        bell.recv(1)
