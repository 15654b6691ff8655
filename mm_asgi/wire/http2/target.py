"""A server's address, as Go writes it, and the pauses between two attempts to connect to it."""

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
        text: the address as the user wrote it.
        path: a unix socket's path; empty for TCP.
        host: a name or an IP address; empty for a unix socket.
        port: the TCP port; 0 for a unix socket.
    """

    text: str
    path: str = ""
    host: str = ""
    port: int = 0

    @property
    def authority(self) -> str:
        """The value of ``:authority``: ``localhost`` for a unix socket, as grpc-go has it."""
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @staticmethod
    def parse(text: str) -> Target:
        """Parse an address.

        Args:
            text: ``host:port``, ``dns:///host:port``, ``passthrough:///host:port``, ``unix:/path`` or
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
    """The pauses between attempts to connect: the gRPC project's connection-backoff.md.

    The defaults are that document's numbers.

    Attributes:
        initial: seconds from the first attempt to the second.
        multiplier: the factor of each further pause.
        jitter: the share by which a pause is longer or shorter at random, so that clients spread.
        maximum: seconds of the longest pause, before the jitter.
        connect: seconds that an attempt may take.
        random: returns a number from -1 to 1.
    """

    initial: float = 1.0
    multiplier: float = 1.6
    jitter: float = 0.2
    maximum: float = 120.0
    connect: float = 20.0
    random: Callable[[], float] = lambda: random.uniform(-1, 1)

    def pause(self, failures: int) -> float:
        """Return seconds from the start of the last attempt to the next.

        Args:
            failures: how many attempts in a row have failed.
        """
        # A week of failures would overflow a float.
        factor = self.multiplier ** min(failures - 1, 100)
        return min(self.initial * factor, self.maximum) * (1 + self.jitter * self.random())
