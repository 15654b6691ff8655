"""Files that the server keeps, and those of which parts are still to come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mm_asgi.protocol.api_file_bot_pb2 import UploadSession
    from mm_asgi.protocol.file_pb2 import FileInfo

__all__ = ["StoredFile", "Upload"]


@dataclass(slots=True)
class StoredFile:
    """One file: what is known of it, its bytes, where the file store has it."""

    info: FileInfo
    data: bytes
    path: str
    searchable: str = ""


@dataclass(slots=True)
class Upload:
    """A session, and what has come so far."""

    session: UploadSession
    data: bytearray = field(default_factory=bytearray)
