"""Where a server is, as Go writes it, and when to try again to reach it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Backoff", "Target"]

_SCHEMES = ("dns:///", "passthrough:///", "ipv4:", "ipv6:", "dns:")


@dataclass(frozen=True, slots=True)
class Target:
    """An address.

    Attributes:
        text: as it was given.
        path: of a unix socket; empty for TCP.
        host: name or IP address; empty for a unix socket.
        port: of TCP.
    """

    text: str
    path: str = ""
    host: str = ""
    port: int = 0

    @property
    def authority(self) -> str:
        """What ``:authority`` says: a unix socket has no name, and grpc-go says this."""
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @staticmethod
    def parse(text: str) -> Target:
        """Read ``host:port``, ``dns:///host:port``, ``passthrough:///host:port``, ``unix:/path`` or
        ``unix:///path``, whose path is percent-encoded.

        Raises:
            ValueError: it is none of these.
        """
        address = text
        for scheme in _SCHEMES:
            if text.startswith(scheme):
                address = text.removeprefix(scheme)
                break
        path = unquote(address.removeprefix("unix:").removeprefix("//"))
        if address.startswith("unix:") and path:
            return Target(text, path=path)
        host, colon, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not colon or not port.isdigit() or not 0 < int(port) < 2**16:
            raise ValueError(f"target is {text!r}, expected host:port or unix:/path")
        return Target(text, host=host, port=int(port))


@dataclass(frozen=True, slots=True)
class Backoff:
    """When to connect again: the gRPC project's connection-backoff.md, with its numbers.

    Attributes:
        initial: seconds from the first attempt to the second.
        multiplier: of each further one.
        jitter: share by which a pause is longer or shorter, so that clients spread.
        maximum: seconds, before the jitter.
        connect: seconds that an attempt may take.
        random: from -1 to 1.
    """

    initial: float = 1.0
    multiplier: float = 1.6
    jitter: float = 0.2
    maximum: float = 120.0
    connect: float = 20.0
    random: Callable[[], float] = lambda: random.uniform(-1, 1)

    def pause(self, failures: int) -> float:
        """Seconds from the start of the last attempt to the next, after so many in a row."""
        # No float has room for a power that a week of failures would ask for.
        factor = self.multiplier ** min(failures - 1, 100)
        return min(self.initial * factor, self.maximum) * (1 + self.jitter * self.random())
