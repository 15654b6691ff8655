"""Much for long through the Go hosts: afterwards nothing is left, in the plugin or in the host.

Each run is done twice. The first warms up what may stay (caches, pools, the allocator's arenas), and
the second has to leave everything as it found it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import logging
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.test_volume import (
    MEBIBYTE,
    download,
    expected_digest,
    host_class,
    memory,
    request_head,
    upload,
    visit,
    what_is_left,
)
from tests.roads.letters import LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.roads.process.real_host import RealHost

logger = logging.getLogger(__name__)

GROWTH = 8.0  # MiB that a second run may add
FEW = 20  # objects of a class, goroutines of the host
KEPT = {"mm_asgi.wire.netrpc.rpc_conversation.Outcome": 256}
"""Objects of a class that may stay: the answers of the host that a plugin knows by their bytes."""
SETTLED = 60.0  # s
REQUESTS, LEAVING, WORKERS = 20_000, 2_000, 64
AT_ONCE = 1_000
STREAMS = 500
BLOCKS = 100  # MiB, four times each way at once


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            letter,
            marks=[
                pytest.mark.nightly,
                pytest.mark.timeout(900),
                pytest.mark.skipif(
                    bool(LETTERS[letter].missing), reason=str(LETTERS[letter].missing)
                ),
            ],
        )
        for letter in ("g", "n", "o")
    ],
)
def host(request: pytest.FixtureRequest) -> Iterator[RealHost]:
    with host_class(request.param)("volume:app", log_level="warning") as host:
        yield host.start()


@dataclass(frozen=True)
class Traces:
    """What there is in the plugin, and of it in the host.

    Attributes:
        plugin: the names of its tasks, and its file descriptors.
        requests: those that the host takes for open.
        goroutines: the host's.
        objects: the plugin's, of each class of mm_asgi.
        rss: MiB of the plugin.
    """

    plugin: dict[str, Any]
    requests: int
    goroutines: int
    objects: Counter[str]
    rss: float

    @classmethod
    def of(cls, host: RealHost) -> Traces:
        objects = Counter(json.loads(host.get("/objects").body))
        stats = host.control("/stats", method="GET")
        rss = memory(host.pid, "VmRSS") / MEBIBYTE
        return cls(what_is_left(host), stats["open"], stats["goroutines"], objects, rss)

    def grown(self, before: Traces) -> dict[str, int]:
        grown = self.objects - before.objects
        return {name: n for name, n in grown.items() if n > KEPT.get(name, FEW)}


def settle(
    host: RealHost,
    idle: dict[str, Any],
    before: Traces | None = None,
    urge: Callable[[], object] = int,
) -> Traces:
    """Wait until the plugin is as idle as at first, and nothing is there that was not before."""
    until = time.monotonic() + SETTLED
    while True:
        urge()
        now = Traces.of(host)
        grown = {} if before is None else now.grown(before)
        is_idle = (now.plugin, now.requests) == (idle, 0) and not grown
        if is_idle and (before is None or now.goroutines <= before.goroutines + FEW):
            return now
        if time.monotonic() > until:
            raise AssertionError((idle, now.plugin, now.requests, grown, now.goroutines))


def twice(host: RealHost, run: Callable[[], object], *, urge: Callable[[], object] = int) -> None:
    """Do it twice; the second time leaves nothing."""
    idle = what_is_left(host)
    run()
    before = settle(host, idle, urge=urge)
    began = time.monotonic()
    run()
    seconds = time.monotonic() - began
    after = settle(host, idle, before, urge)
    logger.info(
        "%.1f s; RSS %.1f, then %.1f MiB; goroutines %d, then %d; descriptors %d, tasks %d",
        seconds, before.rss, after.rss, before.goroutines, after.goroutines,
        after.plugin["fds"], len(after.plugin["tasks"]),
    )  # fmt: skip
    assert after.rss - before.rss < GROWTH
    assert [line for line in host.log() if line.level in ("warn", "error")] == []


def test_20_000_requests_of_which_2_000_are_left_leave_nothing_behind(host: RealHost) -> None:
    chance = random.Random(11)

    async def work(plans: Iterator[float | None], ends: Counter[str]) -> None:
        for plan in plans:
            ends[await visit(host, plan, chunks=5)] += 1

    async def run_all() -> Counter[str]:
        plans = [None] * (REQUESTS - LEAVING) + [chance.random() for _ in range(LEAVING)]
        chance.shuffle(plans)
        ends: Counter[str] = Counter()
        turns = iter(plans)
        await asyncio.gather(*(work(turns, ends) for _ in range(WORKERS)))
        return ends

    def run() -> None:
        ends = asyncio.run(run_all())
        logger.info("%s", ends)
        assert ends["whole"] >= REQUESTS - LEAVING
        assert ends["left"] > LEAVING // 2

    twice(host, run)


def test_1_000_requests_at_once_leave_nothing_behind(host: RealHost) -> None:
    async def one() -> bytes:
        reader, writer = await connect(host, f"together/{AT_ONCE}", "Connection: close")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def run_all() -> list[bytes]:
        return await asyncio.gather(*(one() for _ in range(AT_ONCE)))

    def run() -> None:
        answers = asyncio.run(run_all())
        assert all(answer.endswith(b"together") for answer in answers)

    twice(host, run)


def test_500_event_streams_whose_clients_leave_leave_nothing_behind(host: RealHost) -> None:
    async def run_all() -> None:
        opened = await asyncio.gather(*(connect(host, "stream") for _ in range(STREAMS)))
        await asyncio.gather(*(reader.readuntil(b"data: ") for reader, _ in opened))
        assert host_stats(host)["open"] >= STREAMS
        number = (await asyncio.to_thread(host.get, "/pulse")).body
        event = b"data: %b\n\n" % number
        await asyncio.gather(*(reader.readuntil(event) for reader, _ in opened))
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in opened))

    def run() -> None:
        asyncio.run(run_all())

    # Over net/rpc an app hears that a client has left when it sends.
    twice(host, run, urge=lambda: host.get("/pulse"))


def test_100_MiB_each_way_four_times_at_once_leave_nothing_behind(host: RealHost) -> None:
    digest = expected_digest(BLOCKS)

    def run() -> None:
        gc.collect()
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            up = [threads.submit(upload, host, BLOCKS) for _ in range(4)]
            down = [threads.submit(download, host, BLOCKS) for _ in range(4)]
        assert {one.result() for one in up} == {f"{BLOCKS * MEBIBYTE} {digest}"}
        assert {one.result() for one in down} == {(BLOCKS * MEBIBYTE, digest)}

    twice(host, run)


def host_stats(host: RealHost) -> dict[str, Any]:
    return host.control("/stats", method="GET")


async def connect(
    host: RealHost, path: str, *headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    name, _, port = host.go.address.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    writer.write(request_head(host, path, *headers))
    return reader, writer
