"""gopeer, driven: Go's own gob as an echo."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Self

from tests.wire.tools import tool

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["GobEcho", "GoRefused"]


class GoRefused(Exception):
    """Go could not decode a stream; the text is Go's."""


class GobEcho:
    """A running ``gopeer gob``: what it is sent comes back as Go's own encoder writes it."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [tool("gopeer"), "gob"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def echo(self, stream: bytes, *shapes: str) -> bytes:
        """Return the stream's values as Go sends them.

        Raises:
            GoRefused: Go cannot decode one.
        """
        return bytes.fromhex(self._ask(f"{' '.join(shapes)} {stream.hex()}"))

    def pointers(self, stream: bytes, *shapes: str) -> str:
        """Return the last value's pointers that are not nil, as `` Name=value``."""
        return self._ask(f"tell {' '.join(shapes)} {stream.hex()}")

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        word, _, rest = self._process.stdout.readline().decode().rstrip("\n").partition(" ")
        if word != "ok":
            raise GoRefused(rest)
        return rest
