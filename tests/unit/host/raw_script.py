"""Requests for wire_plugin.py: what the plugin shall answer, and what it tells afterwards."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPResponse, ServeHTTPResponseInit
from tests.unit.host.raw_http import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = "/mm/plugins/com.example.demo"


def message(
    chunk: bytes = b"", *, status: int = 0, length: int | None = None, flush: bool = False,
    complete: bool = False,
) -> str:  # fmt: skip
    """A step that sends this; with a status it is the answer's first."""
    answer = ServeHTTPResponse(body_chunk=chunk, flush=flush, body_complete=complete)
    if status:
        pairs = [HTTPHeader(key="Content-Length", values=[str(length)])] if length else []
        answer.init.CopyFrom(ServeHTTPResponseInit(status_code=status, headers=pairs))
    return base64.b64encode(answer.SerializeToString()).decode()


def written(
    method: str, steps: Sequence[Any] = (), *headers: str, key: str = "", body: bytes = b"",
    version: str = "1.1",
) -> bytes:  # fmt: skip
    """A request that has the plugin do these steps."""
    lines = [f"{method} {ROOT}/x HTTP/{version}", "Host: chat", *headers]
    lines += [f"X-Answer: {json.dumps(steps)}"] if steps else []
    lines += [f"X-Key: {key}"] if key else []
    return "\r\n".join([*lines, "", ""]).encode() + body


async def record(address: str, key: str) -> list[str]:
    """What the request with this key met, once it is over."""
    for _ in range(20):
        try:
            answer = await ask(address, written("GET", (), f"X-Tell: {key}"))
        except (EOFError, ConnectionError):
            continue  # it was over only after the server's WriteTimeout
        told: list[str] = json.loads(answer.body)
        return told
    raise AssertionError(f"the request {key} never ended")


async def release(address: str, key: str) -> None:
    """Let a request go on that is held."""
    await ask(address, written("GET", (), f"X-Release: {key}"))
