"""The files of the bundle's public folder. The host serves them without the plugin."""

from __future__ import annotations

import asyncio
import mimetypes
from email.utils import formatdate
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

    from mm_asgi.host.http.answer import Answer

__all__ = ["serve_file"]

PIECE = 256 * 1024
"""Bytes read at once; a guess."""


async def serve_file(folder: Path, name: str, answer: Answer) -> None:
    """Send the file ``folder/name``. Ranges and conditional requests are not supported here."""
    if "\0" in name.rpartition("/")[0]:  # net/http cannot look for a folder of that name
        await answer.plain(500, "500 Internal Server Error")
        return
    found = await asyncio.to_thread(_open, folder, name)
    if found is None:
        await answer.plain(404, "404 page not found")
        return
    file, size, modified, kind = found
    try:
        pairs = [
            ("Content-Length", str(size)),
            ("Last-Modified", formatdate(modified, usegmt=True)),
        ]
        answer.writer.write_header(200, [*pairs, ("Content-Type", kind)] if kind else pairs)
        rest = size
        while rest and (data := await asyncio.to_thread(file.read, min(PIECE, rest))):
            rest -= len(data)
            answer.writer.write(data)
            await answer.pass_on()
        await answer.finish()
    finally:
        file.close()


def _open(folder: Path, name: str) -> tuple[BinaryIO, int, float, str] | None:
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
    return (
        file,
        facts.st_size,
        facts.st_mtime,
        f"{kind}; charset=utf-8" if kind[:5] == "text/" else kind,
    )
