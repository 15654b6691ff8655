"""The files of the bundle's public folder. The host serves them without the plugin."""

from __future__ import annotations

import asyncio
import mimetypes
import secrets
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, BinaryIO

from mm_asgi.host.http.answer import PLAIN
from mm_asgi.host.http.file_request import NO_OVERLAP, BadRange, choose_parts, refused_by
from mm_asgi.host.http.sniff import detect_content_type

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mm_asgi.host.http.answer import Answer
    from mm_asgi.host.http.rules import GoRequest

__all__ = ["serve_file"]

PIECE = 256 * 1024
"""Bytes read at once; a guess."""


async def serve_file(folder: Path, name: str, request: GoRequest, answer: Answer) -> None:
    """Send the file ``folder/name``, or the part that is wanted, as Go's http.ServeFile does."""
    if "\0" in name.rpartition("/")[0]:  # net/http cannot look for a folder of that name
        await answer.plain(500, "500 Internal Server Error")
        return
    found = await asyncio.to_thread(_open, folder, name)
    if found is None:
        await answer.plain(404, "404 page not found")
        return
    with found.content:
        await _send(found, request, answer)


async def _send(found: Found, request: GoRequest, answer: Answer) -> None:
    method, header, size = request.method, request.header, found.size
    dated = ("Last-Modified", formatdate(found.changed, usegmt=True))
    if status := refused_by(method, header, found.changed):
        await answer.whole(status, [dated], b"")
        return
    try:
        parts = choose_parts(method, header, found.changed, size)
    except BadRange as exc:
        beyond = [("Content-Range", f"bytes */{size}")] if str(exc) == NO_OVERLAP else []
        await answer.whole(416, [*PLAIN, *beyond], f"{exc}\n".encode())
        return
    kind = found.kind or await asyncio.to_thread(found.sniff)
    pairs = [dated, ("Accept-Ranges", "bytes")]
    if len(parts) > 1:
        boundary = secrets.token_hex(30)
        pieces = [*_multipart(parts, kind, size, boundary)]
        pairs.append(("Content-Type", f"multipart/byteranges; boundary={boundary}"))
    else:
        pieces = [*(parts or [(0, size)])]
        pairs.append(("Content-Type", kind))
    if len(parts) == 1:
        start, length = parts[0]
        pairs.append(("Content-Range", f"bytes {start}-{start + length - 1}/{size}"))
    total = sum(len(piece) if isinstance(piece, bytes) else piece[1] for piece in pieces)
    answer.writer.write_header(206 if parts else 200, [*pairs, ("Content-Length", str(total))])
    for piece in pieces if method != "HEAD" else ():
        await _write(piece, found.content, answer)
    await answer.finish()


def _multipart(
    parts: list[tuple[int, int]], kind: str, size: int, boundary: str
) -> Iterator[bytes | tuple[int, int]]:
    begin = "--"
    for start, length in parts:
        place = f"bytes {start}-{start + length - 1}/{size}"
        yield f"{begin}{boundary}\r\nContent-Range: {place}\r\nContent-Type: {kind}\r\n\r\n".encode()
        yield start, length
        begin = "\r\n--"
    yield f"\r\n--{boundary}--\r\n".encode()


async def _write(piece: bytes | tuple[int, int], content: BinaryIO, answer: Answer) -> None:
    if isinstance(piece, bytes):
        answer.writer.write(piece)
        return
    start, rest = piece
    content.seek(start)
    while rest and (data := await asyncio.to_thread(content.read, min(PIECE, rest))):
        rest -= len(data)
        answer.writer.write(data)
        await answer.pass_on()


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there.

    Attributes:
        content: open for reading, which whoever has it closes.
        size: its bytes.
        changed: seconds since 1970.
        kind: its Content-Type by its name; empty: the name does not say.
    """

    content: BinaryIO
    size: int
    changed: float
    kind: str

    def sniff(self) -> str:
        """Return its Content-Type by its first bytes, and go back to its beginning."""
        kind = detect_content_type(self.content.read(512))
        self.content.seek(0)
        return kind


def _open(folder: Path, name: str) -> Found | None:
    try:
        path = (folder / name.encode("latin-1").decode("utf-8").lstrip("/")).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return None
        file = path.open("rb")
    except (OSError, ValueError):
        return None
    facts = path.stat()
    kind, encoding = mimetypes.guess_type(path.name)
    kind = "" if encoding or not kind else kind
    kind = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    return Found(file, facts.st_size, facts.st_mtime, kind)
