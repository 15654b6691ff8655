"""The requests that check_app makes, one table, and how one of them is made."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm_asgi.testing.client_exchange import (
    AnswerHead,
    ClientExchange,
    Left,
    Sent,
    SlowWrite,
    Truncated,
    prepare,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mm_asgi.host.http import Rules
    from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequestInit
    from mm_asgi.testing.check_findings import Findings
    from mm_asgi.testing.engine import Engine
    from mm_asgi.testing.watch import AppCall

__all__ = ["PROBES", "Probe", "Probed", "run_probe"]

MOST = 1024 * 1024  # bytes of an answer that are read before the client leaves
PATIENCE = 0.5  # s that an answer is read before the client leaves
LINGER = 2.0  # s that an app may run on after its client left


@dataclass(frozen=True, slots=True)
class Probe:
    """One request. ``pieces`` are its body; ``breaks`` ends it there without its end."""

    name: str
    method: str = "GET"
    pieces: tuple[bytes, ...] = ()
    breaks: bool = False
    leaves: bool = False


PROBES = (
    Probe("GET"),
    Probe("HEAD", "HEAD"),
    Probe("POST in three chunks", "POST", (b"a=1&", b"b=" + b"2" * 70_000, b"&c=3")),
    Probe("GET that leaves at the head", leaves=True),
    Probe("POST that breaks off", "POST", (b"a=1",), breaks=True),
)


class Probed:
    """What the app did with one request; ``read_all``: it received the end of the body."""

    def __init__(self) -> None:
        self.read_all = False


async def run_probe(
    engine: Engine,
    rules: Rules,
    probe: Probe,
    path: str,
    found: Findings,
    probed: Probed,
    timeout: float,
) -> None:
    """Make one request, and add what is wrong beside what the bridge says."""
    headers = [(b"Host", b"mattermost.test"), (b"Accept", b"*/*")]
    if probe.pieces:
        headers.append((b"Content-Type", b"application/x-www-form-urlencoded"))
        headers.append((b"Transfer-Encoding", b"chunked"))
    whole = None if probe.pieces else b""
    client = ("127.0.0.1", 50000)
    sent = Sent(probe.method, path.encode(), headers, client, whole, _body(probe))
    prepared = await prepare(sent, rules, engine)
    if isinstance(prepared, AnswerHead):
        text = (prepared.body or b"").decode().partition("\n")[0]
        found.add("S2", f"the host itself answers {path} with {prepared.status}: {text}")
        return
    exchange = _open(engine, prepared[0], timeout)
    status = 0
    try:
        await exchange.send(prepared[1])
        async with asyncio.timeout(timeout):
            status = (await exchange.head()).status
        if not probe.leaves:
            await _read(exchange)
    except TimeoutError:
        found.add(
            "R10",
            f"the app did not begin to answer {probe.method} in {timeout:g} s; expected"
            " http.response.start",
        )
    except (Truncated, Left, SlowWrite, BrokenOff):
        pass  # the bridge has said why
    finally:
        await exchange.close()
    if probe.pieces and not probe.breaks and 200 <= status < 300 and not probed.read_all:
        size = sum(map(len, probe.pieces))
        found.add(
            "D7",
            f"the app answered a {probe.method} with {status} and did not read its body of {size}"
            " bytes; receive() it up to more_body=False, or answer with a 4xx",
            severity="advice",
        )
    await _ended(exchange.app_call, found)


async def _read(exchange: ClientExchange) -> None:
    """Read the answer, as far as it comes in PATIENCE seconds: an endless one is no fault."""
    size = 0
    chunks = exchange.chunks()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while size < MOST and (chunk := await anext(chunks, None)) is not None:
                size += len(chunk)


async def _ended(call: AppCall | None, found: Findings) -> None:
    """Wait for the end of a call whose client left; one that was answered may work on."""
    if call is None or not call.is_begun:
        return
    try:
        async with asyncio.timeout(LINGER if call.left else PATIENCE):
            await call.ended.wait()
    except TimeoutError:
        if call.left:
            found.add(
                "D4",
                f"the app still runs {LINGER:g} s after its client left; expected it to end at"
                " http.disconnect from receive(), or at the exception from send()",
            )


class BrokenOff(Exception):
    """The probe's client breaks its body off."""


async def _body(probe: Probe) -> AsyncIterator[bytes]:
    for piece in probe.pieces:
        yield piece
    if probe.breaks:
        raise BrokenOff


def _open(engine: Engine, init: ServeHTTPRequestInit, timeout: float) -> ClientExchange:
    return ClientExchange(engine, init, write_timeout=timeout, raise_failures=False)
