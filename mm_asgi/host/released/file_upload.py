"""FileWillBeUploaded over net/rpc: the file is offered on one stream, its replacement on another.

After client_rpc.go, which waits for the end of the second one also where nothing changes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from mm_asgi.host.released.reader_service import serve_bytes
from mm_asgi.wire.netrpc.byte_pipe import BytePipe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.wire.netrpc.stream_owner import StreamOwner

__all__ = ["Broker", "upload_file"]


class Broker(Protocol):
    """What an upload needs of the connection."""

    def offer(self, owner: StreamOwner, what: str) -> int:
        """Offer a stream; where nobody dials it, the log says ``what``."""

    def spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        """Run something for as long as the connection is there at most."""


async def upload_file(
    broker: Broker,
    data: bytes,
    arguments: dict[str, Any],
    call: Callable[[], Awaitable[Any]],
) -> tuple[Any, bytes]:
    """Make the call, and return its returns and the replacement; empty: there is none.

    Args:
        broker: offers the streams to the plugin.
        data: the file.
        arguments: Go's, which get the streams' numbers.
        call: makes the call with them.

    Raises:
        RPCFailed: the call failed on its way.
    """
    failed = "Plugin failed to serve {} file stream. MuxBroker could not Accept connection"
    file, replacement = BytePipe(), BytePipe()
    arguments["UploadedFileStream"] = broker.offer(file, failed.format("upload"))
    arguments["ReplacementFileStream"] = broker.offer(replacement, failed.format("replacement"))
    sender = broker.spawn(serve_bytes(file, data), "FileWillBeUploaded file")
    reader = asyncio.ensure_future(_read(replacement))
    try:
        returned = await call()
        return returned, await reader
    finally:
        sender.cancel()
        reader.cancel()


async def _read(pipe: BytePipe) -> bytes:
    """Return what the plugin sends until it ends the stream, as io.Copy does."""
    parts = []
    try:
        await pipe.wait_taken()
        while part := await pipe.read():
            parts.append(part)
    except ConnectionError:
        pass
    pipe.discard()
    return b"".join(parts)
