"""Ask Go's own encoding/gob, with the real types of the plugin package: tests/nethost/gobecho.

with RealGob() as go:
    stream = go.encode("*model.Post", [{"Id": "a"}])
    values, again = go.decode("*model.Post", stream)

How a value looks in JSON is written in tests/nethost/gobecho/values.go.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Self

from tests.net_host import GOB_ECHO

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RealGob", "RealGobRefused"]


class RealGobRefused(Exception):
    """Go refused a stream or a value; the text is Go's."""


class RealGob:
    """One running gobecho, for one thread at a time; `with` ends it."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([str(GOB_ECHO.build())], stdin=pipe, stdout=pipe)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()

    def decode(self, kind: str, stream: bytes) -> tuple[list[Any], bytes]:
        """Return the values of a stream, and what Go makes of them when it encodes them again.

        Args:
            kind: a Go type expression, for example "plugin.Z_ServeHTTPArgs" or "map[string]any".
            stream: all messages of one gob stream.

        Raises:
            RealGobRefused: the stream is no stream of that type.
        """
        if not stream:
            return [], b""
        answer = self._ask({"type": kind, "gob": stream.hex()})
        return answer["values"], bytes.fromhex(answer["gob"])

    def encode(self, kind: str, values: Sequence[Any]) -> bytes:
        """Return one stream with these values.

        Raises:
            RealGobRefused: a value does not fit the type, or gob cannot send it.
        """
        return bytes.fromhex(self._ask({"type": kind, "values": values})["gob"])

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if error := answer.get("error"):
            raise RealGobRefused(error)
        return answer
