"""Much through the Go hosts: 1 GiB each way, 200 clients, who leaves and who waits."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import logging
import random
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.apps.process.volume import BLOCK
from tests.roads.letters import LETTERS
from tests.roads.process.real_host import RealHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark.structures import ParameterSet

pytestmark = pytest.mark.timeout(120)
logger = logging.getLogger(__name__)

MEBIBYTE = 1 << 20
GROWTH = 32 * MEBIBYTE
BLOCKS = 1024
CLIENTS = 200
NOTICED = 0.1  # s until the app is told that its client left (row D4)


def host_class(letter: str) -> type[RealHost]:
    found = LETTERS[letter].process
    assert found is not None
    assert issubclass(found, RealHost)
    return found


def letters(*names: str) -> list[ParameterSet]:
    return [pytest.param(name, marks=LETTERS[name].marks()) for name in names]


@pytest.fixture(scope="module", params=letters("g", "n", "o"))
def host(request: pytest.FixtureRequest) -> Iterator[RealHost]:
    with host_class(request.param)("volume:app") as host:
        yield host.start()


over_grpc = pytest.mark.parametrize("host", letters("g"), indirect=True)
"""Over net/rpc no host says that a client has left (docs/behaviour.md, "On a released server")."""


def request_head(host: RealHost, path: str, *headers: str, method: str = "GET") -> bytes:
    prefix = host.go.plugin_url.removeprefix(host.go.http)
    lines = [f"{method} {prefix}/{path} HTTP/1.1", "Host: chat.example.com", *headers, "", ""]
    return "\r\n".join(lines).encode()


def connect(host: RealHost) -> socket.socket:
    name, _, port = host.go.address.partition(":")
    return socket.create_connection((name, int(port)), timeout=30)


def connection(host: RealHost) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(host.go.address, timeout=60)


def path_of(host: RealHost, path: str) -> str:
    return host.go.plugin_url.removeprefix(host.go.http) + path


def memory(pid: int, name: str) -> int:
    """VmRSS or VmHWM of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


class Growth:
    """How far a process's memory rises above what it was at first."""

    def __init__(self, pid: int) -> None:
        if not Path(f"/proc/{pid}/clear_refs").exists():
            pytest.skip("no /proc: nothing here tells a process's peak memory")
        self._pid = pid
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # resets VmHWM
        self._before = memory(pid, "VmRSS")

    def bytes(self) -> int:
        return memory(self._pid, "VmHWM") - self._before


def expected_digest(blocks: int) -> str:
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(BLOCK)
    return digest.hexdigest()


def upload(host: RealHost, blocks: int) -> str:
    client = connection(host)
    headers = {"Content-Length": str(blocks * len(BLOCK))}
    client.request("POST", path_of(host, "/upload"), (BLOCK for _ in range(blocks)), headers)
    answer = client.getresponse().read().decode()
    client.close()
    return answer


def download(host: RealHost, blocks: int) -> tuple[int, str]:
    client = connection(host)
    client.request("GET", path_of(host, f"/download/{blocks}"))
    response = client.getresponse()
    digest, length = hashlib.sha256(), 0
    while chunk := response.read(MEBIBYTE):
        digest.update(chunk)
        length += len(chunk)
    client.close()
    return length, digest.hexdigest()


def test_1_GiB_up_arrives_whole_and_takes_no_memory(host: RealHost) -> None:
    upload(host, 8)
    growth = Growth(host.pid)
    began = time.monotonic()
    assert upload(host, BLOCKS) == f"{BLOCKS * MEBIBYTE} {expected_digest(BLOCKS)}"
    seconds, grown = time.monotonic() - began, growth.bytes() / MEBIBYTE
    logger.info("%.1f s, memory grew by %.1f MiB", seconds, grown)
    assert growth.bytes() < GROWTH


def test_1_GiB_down_arrives_whole_and_takes_no_memory(host: RealHost) -> None:
    download(host, 8)
    growth = Growth(host.pid)
    began = time.monotonic()
    assert download(host, BLOCKS) == (BLOCKS * MEBIBYTE, expected_digest(BLOCKS))
    seconds, grown = time.monotonic() - began, growth.bytes() / MEBIBYTE
    logger.info("%.1f s, memory grew by %.1f MiB", seconds, grown)
    assert growth.bytes() < GROWTH


def test_events_arrive_one_by_one(host: RealHost) -> None:
    with host.client() as client, client.stream("GET", "/events/5") as response:
        chunks = response.iter_text()
        for number in range(5):
            # The app makes the next event only when this one was read here.
            host.bell.wait(f"event {number}")
            host.bell.release(f"event {number}")
            assert next(chunks) == f"data: {number}\n\n"
        assert list(chunks) == []


@over_grpc
@pytest.mark.parametrize("kind", ["stream", "silent"])
def test_the_app_hears_within_100_ms_that_its_client_left(host: RealHost, kind: str) -> None:
    taken = []
    for count in range(1, 11):
        with connect(host) as client:
            client.sendall(request_head(host, f"listen/{kind}"))
            host.bell.wait(f"listen {kind}", count=count)
        taken.append(-time.monotonic() + host.bell.wait(f"left {kind}", count=count))
    logger.info("told after %s ms", [round(seconds * 1000, 1) for seconds in taken])
    assert max(taken) < NOTICED


@over_grpc
def test_the_app_hears_within_100_ms_that_its_client_left_in_the_body(host: RealHost) -> None:
    before = host.bell.names.count("upload began")
    taken = []
    for count in range(1, 11):
        with connect(host) as client:
            head = request_head(host, "upload", "Content-Length: 1000", method="POST")
            client.sendall(head + b"half a body")
            host.bell.wait("upload began", count=before + count)
        taken.append(host.bell.wait("upload left", count=count) - time.monotonic())
    logger.info("told after %s ms", [round(seconds * 1000, 1) for seconds in taken])
    assert max(taken) < NOTICED


def test_200_clients_of_whom_half_leave_leave_nothing_behind(host: RealHost) -> None:
    before = what_is_left(host)
    opened = host.control("/stats", method="GET")["opened"]
    chance = random.Random(3)
    plans = [None] * (CLIENTS // 2) + [chance.random() for _ in range(CLIENTS // 2)]
    chance.shuffle(plans)
    ends = asyncio.run(visit_all(host, plans))
    assert ends.count("whole") >= CLIENTS // 2
    stats = host.control("/stats", method="GET")
    assert stats["opened"] - opened > CLIENTS // 2
    until = time.monotonic() + 10
    while host.control("/stats", method="GET")["open"] or what_is_left(host) != before:
        assert time.monotonic() < until, (what_is_left(host), before)


def test_an_app_that_ends_because_its_client_left_is_no_error(host: RealHost) -> None:
    """Row D4, seen in the log: every test before this one had clients who left."""
    assert [line for line in host.log() if line.level in ("warn", "error")] == []


def what_is_left(host: RealHost) -> dict[str, Any]:
    left: dict[str, Any] = json.loads(host.get("/left").body)
    return left


async def visit_all(host: RealHost, plans: list[float | None]) -> list[str]:
    """All at once; what became of each: whole or left."""
    gate = asyncio.Barrier(len(plans))
    return await asyncio.gather(*(visit(host, plan, gate) for plan in plans))


async def visit(
    host: RealHost, plan: float | None, gate: asyncio.Barrier | None = None, chunks: int = 20
) -> str:
    """One client; a plan is the share of the whole exchange after which it leaves."""
    body = b"b" * 50_000
    head = request_head(host, f"mixed/{chunks}", f"Content-Length: {len(body)}", method="POST")
    sent = head + body
    name, _, port = host.go.address.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    try:
        if gate is not None:
            await gate.wait()
        if plan is not None and plan < 0.3:
            writer.write(sent[: int(len(sent) * plan / 0.3)])
            await writer.drain()
            return "left"
        writer.write(sent)
        received = 0
        last = b""
        while data := await reader.read(2000):
            received += len(data)
            last = last[-3:] + data  # the end may come in two reads
            if b"end\n" in last:
                return "whole"
            if plan is not None and received > 2000 * chunks * (plan - 0.3) / 0.7:
                return "left"
        raise AssertionError(f"the answer was cut after {received} bytes")
    finally:
        writer.close()
        await writer.wait_closed()
