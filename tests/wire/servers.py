"""The wires that a gRPC client can dial, by the name that the setting ``wire`` has for each."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mm_asgi.wire.port import Server

__all__ = ["SERVERS", "LocalListener"]

_CLASSES = {
    "native": ("mm_asgi.wire.http2.server", "NativeServer"),
    "grpcio": ("mm_asgi.wire.grpcio", "GrpcioServer"),
}


def _new(module: str, name: str) -> Server:
    # Imported when it is needed: only the wire in use.
    return cast("Server", getattr(importlib.import_module(module), name)())


SERVERS: dict[str, Callable[[], Server]] = {
    wire: partial(_new, module, name)
    for wire, (module, name) in _CLASSES.items()
    if importlib.util.find_spec(module) is not None
}
"""What makes a server, not started, by the name of its wire."""


class LocalListener:
    """A port.Listener of fixed addresses."""

    network = "unix"

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses
        self.address = ""

    def candidates(self) -> Iterator[str]:
        """The addresses given, in order."""
        yield from self._addresses

    def bound(self, address: str) -> None:
        """Remember which one was bound."""
        self.address = address

    def open(self) -> socket.socket:
        """A listening socket on the first address."""
        address = self._addresses[0]
        if "/" in address:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)  # a server before this one
            opened = socket.socket(socket.AF_UNIX)
            opened.bind(address)
        else:
            opened = socket.create_server(
                (address.partition(":")[0], int(address.partition(":")[2]))
            )
            address = "{}:{}".format(*opened.getsockname())
        opened.listen()
        self.bound(address)
        return opened

    def close(self) -> None:
        """Nothing is left behind: the directory goes with the test."""
