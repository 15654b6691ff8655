"""Uploads and downloads of any size: nothing here holds a whole body in memory."""

import hashlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

router = APIRouter(prefix="/files", tags=["files"])

CHUNK = 64 * 1024
PATTERN = bytes(range(256)) * (CHUNK // 256)


class Digest(BaseModel):
    name: str
    size: int
    sha256: str


@router.post("")
async def upload(file: UploadFile) -> Digest:
    """A file from a multipart form."""
    digest = hashlib.sha256()
    size = 0
    while chunk := await file.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return Digest(name=file.filename or "", size=size, sha256=digest.hexdigest())


@router.put("/{name}")
async def put(name: str, request: Request) -> Digest:
    """A raw body, hashed while it comes."""
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return Digest(name=name, size=size, sha256=digest.hexdigest())


@router.get("/pattern")
async def download(
    size: Annotated[int, Query(ge=0)] = 1024 * 1024, chunked: bool = False
) -> StreamingResponse:
    """`size` bytes: 0 to 255 over and over. `chunked` leaves the length undeclared."""
    headers = {} if chunked else {"Content-Length": str(size)}
    return StreamingResponse(_pattern(size), media_type="application/octet-stream", headers=headers)


async def _pattern(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // CHUNK):
        yield PATTERN
    if rest := size % CHUNK:
        yield PATTERN[:rest]
