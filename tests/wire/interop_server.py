"""grpc.testing's TestService for any gRPC client to try its strength on.

    python -m tests.wire.interop_server --port 0

It listens on 127.0.0.1, prints its address in one line and serves until SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

from mm_asgi.wire.http2.server import NativeServer

from .interop.service import methods
from .servers import SERVERS, LocalListener


async def serve(wire: str, port: int, compress: bool) -> None:
    """Serve until a signal says that it is enough."""
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, enough.set)
    # Asked for by each message of the compressed cases, and else not used.
    server = NativeServer(compression="gzip") if wire == "native" else SERVERS[wire]()
    listener = LocalListener(f"127.0.0.1:{port}")
    await server.start(listener, methods(compress=compress))
    sys.stdout.write(listener.address + "\n")
    sys.stdout.flush()
    await enough.wait()
    await server.stop(1)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire.interop_server")
    parser.add_argument("--port", type=int, required=True, help="0: any")
    parser.add_argument("--wire", choices=SERVERS, default=next(iter(SERVERS)))
    parser.add_argument("--compress", action="store_true", help="gzip where nothing else is asked")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(options.wire, options.port, options.compress))


if __name__ == "__main__":
    main()
