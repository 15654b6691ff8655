"""The gRPC project's interop cases over our channels, against anybody's interop server.

    python -m tests.wire.interop_client --case large_unary --port 10000

Ends with 0 when the case went as it should, else with a traceback. The compressed cases need a
server that looks at compression, and the native wire.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

from mm_asgi.wire.http2.channel import NativeChannel
from tests.wire.grpcio_channel import GrpcioChannel

from .interop.cases import CASES, COMPRESSED
from .interop.messages import Empty
from .interop.service import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mm_asgi.wire.port import Channel

EMPTY_CALL = SERVICE + "EmptyCall"
CHANNELS: dict[str, Callable[[str], Channel]] = {
    "native": NativeChannel,
    "gzip": partial(NativeChannel, compression="gzip"),
    "grpcio": GrpcioChannel,
}


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody had a moment ago, for a server that cannot choose one."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened.getsockname()[1]


async def wait(target: str) -> None:
    """Return when a server is there."""
    channel = NativeChannel(target)
    try:
        await channel.unary(EMPTY_CALL, Empty(), Empty, timeout=30, wait_for_ready=True)
    finally:
        await channel.close()


async def run(wire: str, target: str, names: Sequence[str]) -> None:
    """Make the cases in turn, on one channel.

    Raises:
        AssertionError: one did not go as it should.
    """
    channel = CHANNELS[wire](target)
    try:
        for name in names:
            async with asyncio.timeout(60):
                await (CASES | COMPRESSED)[name](channel)
    finally:
        await channel.close()


def main() -> None:
    """Read the command line and call."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire.interop_client")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--case", choices=[*CASES, *COMPRESSED, "all"], default="all")
    parser.add_argument("--wire", choices=CHANNELS, default="native")
    options = parser.parse_args()
    names = list(CASES) if options.case == "all" else [options.case]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(options.wire, f"{options.host}:{options.port}", names))
        sys.stdout.write(f"{', '.join(names)}: as it should be\n")


if __name__ == "__main__":
    main()
