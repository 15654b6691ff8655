"""Rows D1 to D8 where test_D_body.py does not look: crowds, cancels, HTTP/2, a short grace.

A second plugin with cases of its own (apps_request.py) and a grace of 0.1 s behind the same roads.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest
from tests.contract.apps_request import CANCELS
from tests.contract.roads import (
    PLUGIN_ID,
    PREFIX,
    Exchange,
    HTTPRoad,
    MemoryRoad,
    MessageRoad,
    RawRoad,
    Road,
    build_init,
    roads,
)
from tests.contract.simulated import SimulatedHost
from tests.go_host import GoHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="session")

DISCONNECT = "http.disconnect"
BROKEN = (3, "the request stream broke the ServeHTTP contract")
GRACE = 0.1


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def request_hosts() -> AsyncIterator[dict[tuple[bool, str], GoHost | SimulatedHost]]:
    """This module's hosts: whether simulated, and the plugin's wire; started when asked for."""
    hosts: dict[tuple[bool, str], GoHost | SimulatedHost] = {}
    yield hosts
    for host in hosts.values():
        try:
            if host.running:
                await host.stop()
                await host.wait_gone()
        finally:
            await host.close()


def request_host(kind: str, wire: str) -> GoHost | SimulatedHost:
    """A host with the request apps, not started."""
    tests = Path(__file__).resolve().parents[1]
    facts: dict[str, Any] = {
        "plugin_id": PLUGIN_ID,
        "subpath": PREFIX.partition("/plugins")[0],
        "env": {
            "PYTHONPATH": str(tests.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MM_ASGI_WIRE": wire,
            "MM_ASGI_DISCONNECT_GRACE": str(GRACE),
        },
    }
    folder, start_file = tests / "contract" / "request_plugin", "start_requests.py"
    if kind == "s":
        return SimulatedHost(folder, start_file, **facts)
    return GoHost(folder, start_file, flags=["-log-level=debug"], **facts)


@pytest_asyncio.fixture(loop_scope="session")
async def road(
    request: pytest.FixtureRequest,
    request_hosts: dict[tuple[bool, str], GoHost | SimulatedHost],
) -> AsyncIterator[Road]:
    """One of the roads that the test names, to this module's plugin."""
    kind, wire = request.param
    if kind == "m":
        async with MemoryRoad(disconnect_grace=GRACE) as memory:
            yield memory
        return
    key = (kind == "s", wire)
    if key not in request_hosts:
        request_hosts[key] = request_host(kind, wire)
        await request_hosts[key].start()
    host = request_hosts[key]
    made = RawRoad(host) if kind == "w" else HTTPRoad(host)
    yield made
    await made.finish()


async def begin(road: Road, name: str, length: int | None = 0) -> tuple[str, Exchange]:
    """A request that is not waited for; its token."""
    token = road.token()
    headers = [("X-Token", token), ("X-Case", name)]
    return token, await road.open("POST", "/", headers, length=length)


async def check_quiet(road: Road) -> None:
    """Nothing was logged but debug lines and information."""
    assert {line.level for line in await road.lines()} <= {"debug", "info"}


async def check_serves(road: Road) -> None:
    """The next request is answered."""
    assert (await road.http("POST", "/echo", body=b"next")).body == b"next"


# ---------------------------------------------------------------- D2, D6


@roads("m", "w", "g")
async def test_D2_starlettes_exception_is_no_error(road: Road) -> None:
    token, exchange = await begin(road, "starlette reads", length=None)
    await exchange.send(b"abc")
    await road.journal(token, "waits")
    await cut(road, token, exchange)


# On s a body that is malformed from its first byte may never reach the plugin: uvicorn, which has
# read it together with the head, answers 400 by itself.
@roads("m", "w", "g", simulated=False)
async def test_D2_a_body_that_is_cut_before_its_first_byte(road: Road) -> None:
    await cut(road, *await begin(road, "starlette reads", length=None))


async def cut(road: Road, token: str, exchange: Exchange) -> None:
    """The body ends in the middle: Starlette raises, and that is no error."""
    await exchange.cut()
    assert await road.noted(token, "raised") == ["ClientDisconnect"]
    await road.journal(token, "over")
    await exchange.leave()
    await check_quiet(road)


@roads("m", "w")
async def test_D6_a_length_of_0_says_nothing(road: MessageRoad) -> None:
    # Another plugin's request comes so: with a body, and without its length.
    init = build_init("POST", "/echo")
    got = await road.exchange(
        ServeHTTPRequest(init=init), ServeHTTPRequest(body_chunk=b"abc", body_complete=True)
    )
    assert (got.code, got.body) == (0, b"abc")
    await check_quiet(road)


# ---------------------------------------------------------------- D3


@roads("m", "w", "g")
async def test_D3_a_thousand_cancelled_receives_lose_and_leave_nothing(road: Road) -> None:
    token, exchange = await begin(road, "cancels", length=None)
    await exchange.send(b"first ")
    assert await road.noted(token, "in the body") == [CANCELS]
    await exchange.send(b"and last", last=True)
    assert (await exchange.rest()).body == b"first and last"
    assert await road.noted(token, "after the body") == [CANCELS]
    assert (await road.noted(token, "left behind"))[0] < 100


@roads("m", "w", "g")
async def test_D3_a_crowd_that_waits_is_told(road: Road) -> None:
    token, exchange = await begin(road, "crowd")
    assert await road.noted(token, "waits") == [50]
    await exchange.leave()
    assert await road.noted(token, "told") == [[DISCONNECT] * 50]


@roads("m", "w", "g")
async def test_D3_starlettes_is_disconnected_takes_nothing(road: Road) -> None:
    token, exchange = await begin(road, "starlette asks in the body", length=None)
    await exchange.send(b"first ")
    assert await road.noted(token, "gone") == [[False] * 100]
    await exchange.send(b"and last", last=True)
    assert (await exchange.rest()).body == b"first and last"
    assert await road.noted(token, "gone", 2) == [[False] * 100] * 2


# ---------------------------------------------------------------- D4


@roads("m", "w", "g")
async def test_D4_an_idle_starlette_generator_is_closed(road: Road) -> None:
    took = []
    for _ in range(3):  # the best counts: a machine that stalls is no broken promise
        token, exchange = await begin(road, "starlette idle")
        assert await exchange.head() == 200
        await road.journal(token, "waits")
        began = time.monotonic()
        await exchange.leave()
        notes = await road.journal(token, "closed")
        took.append(next(note.at for note in notes if note.key == "closed") - began)
        await road.journal(token, "over")
    assert min(took) < 0.1
    await check_quiet(road)


@roads("m", "w", "g")
async def test_D4_nothing_that_is_sent_to_nobody_raises(road: Road) -> None:
    token, exchange = await begin(road, "sends to nobody")
    assert await exchange.head() == 200
    await road.journal(token, "waits")
    await exchange.leave()
    await road.journal(token, "sent")
    await road.journal(token, "over")
    assert "raised" not in [note.key for note in await road.journal(token)]
    await check_quiet(road)


@roads("w", "g")
async def test_D4_the_grace_is_a_setting(road: Road) -> None:
    token, exchange = await begin(road, "endless")
    await road.journal(token, "waits")
    await exchange.leave()
    assert await road.noted(token, "raised") == ["ClientDisconnected"]
    (went_on,) = await road.noted(token, "went on")
    assert GRACE <= went_on < 4
    await check_quiet(road)


# ---------------------------------------------------------------- D7: HTTP/2

DATA, HEADERS, SETTINGS = 0, 1, 4  # kinds of frame (RFC 9113 6)
END_STREAM, END_HEADERS, ACK = 1, 4, 1


class HTTP2:
    """A POST over HTTP/2 with prior knowledge: no client at hand uploads while it reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str, headers: dict[str, str]) -> HTTP2:
        """Connect and send the headers."""
        name, _, port = address.rpartition(":")
        made = cls(*await asyncio.open_connection(name, int(port)))
        made._writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        made.send(SETTINGS, stream=0)
        # Literals without indexing or Huffman code, each shorter than 127 bytes (RFC 7541 6.2.2).
        pairs = {":method": "POST", ":scheme": "http", ":path": f"{PREFIX}/", **headers}
        block = b"".join(
            b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in pair)
            for pair in pairs.items()
        )
        made.send(HEADERS, END_HEADERS, block)
        return made

    def send(self, kind: int, flags: int = 0, payload: bytes = b"", *, stream: int = 1) -> None:
        """Send a frame (RFC 9113 4.1)."""
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
        self._writer.write(head + stream.to_bytes(4, "big") + payload)

    async def receive(self) -> tuple[bytes, bool]:
        """The next bytes of the answer, and whether they are the last."""
        while True:
            head = await self._reader.readexactly(9)
            payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags = head[3], head[4]
            if kind == SETTINGS and not flags & ACK:
                self.send(SETTINGS, ACK, stream=0)
            if kind == DATA:
                return payload, bool(flags & END_STREAM)

    async def close(self) -> None:
        """Leave."""
        self._writer.close()
        await self._writer.wait_closed()


# The simulated host speaks HTTP/1.1 alone.
@roads("g", simulated=False)
async def test_D7_over_http_2_an_early_answer_leaves_during_the_upload(road: HTTPRoad) -> None:
    token = road.token()
    site = {":authority": "chat.example.com", "x-case": "early stream", "x-token": token}
    client = await HTTP2.open(road.host.address, site)
    client.send(DATA, payload=b"x" * 1000)
    assert await client.receive() == (b"early", False)
    await road.gate(token, "end")
    # The app and the RPC are done while the client still holds its upload open.
    assert await road.noted(token, "later") == [DISCONNECT]
    await road.journal(token, "over")
    client.send(DATA, payload=b"x" * 1000)  # wakes the host's sender, which finds the RPC ended
    answer, ended = await client.receive()
    while not ended:
        more, ended = await client.receive()
        answer += more
    assert answer == b" end"
    await client.close()
    await check_quiet(road)


# ---------------------------------------------------------------- D8


@roads("m", "w")
async def test_D8_after_many_odd_streams_the_next_request_is_served(road: MessageRoad) -> None:
    for _ in range(50):
        assert (await road.exchange()).code == 3
        assert (await road.exchange(ServeHTTPRequest(body_complete=True))).code == 3
    road.expected.add("the host's first message has no init")
    await check_serves(road)


@roads("m", "w")
async def test_D8_a_stream_that_is_cancelled_before_its_first_message(road: MessageRoad) -> None:
    rpc = await road.stream()
    await rpc.cancel()
    await check_serves(road)
    await check_quiet(road)


@roads("m", "w")
@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("begun", ["", "1"])
async def test_D8_in_each_state_the_app_is_told(
    road: MessageRoad, complete: bool, begun: str
) -> None:
    token = road.token()
    init = build_init("POST", f"/broken?begun={begun}", [("X-Token", token)], length=None)
    rpc = await road.stream(ServeHTTPRequest(init=init, body_chunk=b"x", body_complete=complete))
    if begun:
        message = await rpc.receive()
        assert message is not None
        assert message.body_chunk == b"some"
    await road.journal(token, "event")
    await rpc.send(ServeHTTPRequest(init=init))
    got = await rpc.rest()
    assert (got.code, got.text) == BROKEN
    assert got.body == (b"some" if begun else b"")
    assert (await road.noted(token, "event"))[-1][0] == DISCONNECT
    await road.journal(token, "over")
    assert "raised" not in [note.key for note in await road.journal(token)]
    state = "start sent" if begun else "waiting for http.response.start"
    line = await road.logged("ServeHTTP: the host sent", "error")
    assert repr(state) in line.message
    await check_serves(road)
