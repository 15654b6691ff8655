"""The server's files, and uploads that are not complete yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mm_asgi.protocol.api_file_bot_pb2 import UploadSession
    from mm_asgi.protocol.file_pb2 import FileInfo

__all__ = ["StoredFile", "Upload"]


@dataclass(slots=True)
class StoredFile:
    """One file: its facts, its bytes and its path in the file store."""

    info: FileInfo
    data: bytes
    path: str
    searchable: str = ""


@dataclass(slots=True)
class Upload:
    """An upload session and the bytes that have arrived."""

    session: UploadSession
    data: bytearray = field(default_factory=bytearray)
