"""An io.Reader of the host's that the plugin reads: http.go's serveIOReader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.permits import Permits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.wire.netrpc.byte_pipe import BytePipe

__all__ = ["serve_bytes", "serve_reader"]


async def serve_reader(pipe: BytePipe, read: Callable[[], Awaitable[bytes]]) -> None:
    """Send what is read as the plugin permits, then end the stream.

    Args:
        pipe: what the plugin dials.
        read: returns the next bytes, empty at the end. A ConnectionError ends the stream too: the
            plugin cannot tell the two apart.
    """
    permits = Permits()
    rest = b""
    try:
        await pipe.wait_taken()
        while received := await pipe.read():
            for permitted in permits.receive(received):
                while permitted:
                    rest = rest or await read()
                    if not rest:
                        return
                    part, rest = rest[:permitted], rest[permitted:]
                    permitted -= len(part)
                    pipe.write(part)
                    await pipe.drain()
    except (ConnectionError, HostProtocolError):
        pass  # in Go, too, the goroutine just returns
    finally:
        pipe.discard()


async def serve_bytes(pipe: BytePipe, data: bytes) -> None:
    """The same for bytes that are here."""
    parts = [data]

    async def read() -> bytes:
        return parts.pop() if parts else b""

    await serve_reader(pipe, read)
