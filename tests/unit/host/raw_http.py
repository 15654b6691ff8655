"""A plain HTTP/1.1 client that sends exactly the bytes it is given, and tells how the answer ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass
class RawAnswer:
    """``whole``: the answer ended as its framing says; ``closed``: the connection is gone then."""

    status: int
    headers: dict[str, list[str]]
    body: bytes
    whole: bool


async def ask(address: str, data: bytes, *, head: bool = False, timeout: float = 10) -> RawAnswer:
    """Send and read one answer."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(timeout):
            writer.write(data)
            return await read_answer(reader, head=head)
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader, *, head: bool = False) -> RawAnswer:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers: dict[str, list[str]] = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip())
    answer = RawAnswer(status, headers, b"", True)
    if head or status in (204, 304) or status < 200:
        return answer
    try:
        if "chunked" in headers.get("transfer-encoding", []):
            while size := int(await reader.readuntil(b"\r\n"), 16):
                answer.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        elif "content-length" in headers:
            answer.body = await reader.readexactly(int(headers["content-length"][0]))
        else:
            answer.body = await reader.read()
    except asyncio.IncompleteReadError as exc:
        answer.body += exc.partial
        answer.whole = False
    except ConnectionError:
        answer.whole = False
    return answer
