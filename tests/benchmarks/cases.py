"""What is measured: for each case an app, a load, and the figures that are taken from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.api import api_calls
from tests.benchmarks.apps import raw
from tests.benchmarks.load import Load, hook_load, http_load
from tests.benchmarks.startup import measure_start
from tests.benchmarks.targets import BARE, GO, GO_PLUGIN, HTTP, WIRE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.benchmarks.processes import Running
    from tests.benchmarks.targets import Target

MIB, GIB = 1 << 20, 1 << 30
CONNECTIONS = 32
HOOK = "MessageHasBeenPosted"
WARM_SHARE = 0.2
"""A warm-up's length, as a share of a round's."""


@dataclass(frozen=True)
class Options:
    """How much of everything.

    Attributes:
        rounds: of the short cases; the long ones take `long_rounds`.
        seconds: of one round of requests.
        size: MiB of a large body.
        streams: event streams open at once.
        events: that each of them gets, one a second.
    """

    rounds: int = 5
    long_rounds: int = 3
    seconds: float = 1.5
    size: int = 1024
    streams: int = 1000
    events: int = 5


@dataclass(frozen=True)
class Metric:
    """A figure: its column's title with the unit, and the digits after the point."""

    key: str
    title: str
    digits: int


RATE = Metric("rate", "req/s", 0)
P50 = Metric("p50", "p50 ms", 3)
P99 = Metric("p99", "p99 ms", 3)
CPU = Metric("cpu", "CPU us/req", 1)
PEAK = Metric("peak", "peak RSS MiB", 1)
REQUESTS = (RATE, P50, P99, CPU, PEAK)
TRANSFER = (Metric("rate", "MiB/s", 0), Metric("cpu", "CPU s/GiB", 2), PEAK)
STREAMS = (
    Metric("cpu", "CPU us/event", 1), Metric("total", "CPU s", 2),
    Metric("late", "late ms", 0), PEAK,
)  # fmt: skip
START = (Metric("start", "start ms", 0), Metric("rss", "idle RSS MiB", 1))
HOOKS = (
    Metric("rate", "calls/s", 0), P50, P99, Metric("cpu", "CPU us/call", 1),
    Metric("hello", "hello us/req", 1), Metric("ratio", "call/hello", 2),
)  # fmt: skip

Sample = dict[str, float]
"""One round of one target: a figure for each of the case's metrics, and `errors`."""


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: for --only; `hello` there means hello-1 too.
        title: a sentence, with the options' names in braces.
        app: what is served, module:attribute.
        kinds: of the targets that take part.
        metrics: the columns.
        measure: a round; its float is the share of a full round (a warm-up's is less than 1).
        measure_start: instead, for a case that starts the process itself.
        long: takes `long_rounds`.
    """

    name: str
    title: str
    app: str
    kinds: tuple[str, ...]
    metrics: tuple[Metric, ...]
    measure: Callable[[Running, Options, float], Awaitable[Sample]] | None = None
    measure_start: Callable[[Target, str], Awaitable[Sample]] | None = None
    long: bool = False

    @property
    def group(self) -> str:
        return self.name.partition("-")[0]


def requests(path: str, connections: int, size: int = -1) -> Callable[..., Awaitable[Sample]]:
    """Requests over so many connections; an answer of another size than `size` is an error."""

    async def measure(running: Running, options: Options, share: float) -> Sample:
        return _per_turn(
            await http_load(
                running,
                path,
                connections=connections,
                duration=f"{options.seconds * share}s",
                expect_bytes=size,
            )
        )

    return measure


def _per_turn(load: Load) -> Sample:
    return {
        "rate": load.count / load.seconds,
        "p50": load.p50 / 1000,
        "p99": load.p99 / 1000,
        "cpu": load.cpu / load.count * 1e6,
        "peak": load.peak,
        "errors": load.errors,
    }


async def upload(running: Running, options: Options, share: float) -> Sample:
    size = int(options.size * share) * MIB
    load = await http_load(
        running, "up", count=1, method="POST", body=size, expect_bytes=len(str(size))
    )
    return _transfer(load, size)


async def download(running: Running, options: Options, share: float) -> Sample:
    size = int(options.size * share) * MIB
    load = await http_load(running, f"down?bytes={size}", count=1, expect_bytes=size)
    return _transfer(load, size)


def _transfer(load: Load, size: int) -> Sample:
    return {
        "rate": size / MIB / load.seconds,
        "cpu": load.cpu / (size / GIB),
        "peak": load.peak,
        "errors": load.errors,
    }


async def streams(running: Running, options: Options, share: float) -> Sample:
    """All streams at once, from their opening to their end; a warm-up is one event each."""
    events = options.events if share >= 1 else 1
    load = await http_load(
        running,
        f"events?count={events}",
        connections=options.streams,
        count=options.streams,
        expect_bytes=events * raw.EVENT_SIZE,
    )
    return {
        "cpu": load.cpu / (load.count * events) * 1e6,
        "total": load.cpu,
        "late": load.longest / 1000 - (events - 1) * raw.PERIOD * 1000,
        "peak": load.peak,
        "errors": load.errors,
    }


async def hooks(running: Running, options: Options, share: float) -> Sample:
    """The hook, and right before it hello in the same process, to compare with."""
    hello = await requests("hello", CONNECTIONS, len(raw.HELLO))(running, options, share)
    call = _per_turn(await hook_load(running, HOOK, CONNECTIONS, options.seconds * share))
    errors = call["errors"] + hello["errors"]
    return {**call, "hello": hello["cpu"], "ratio": call["cpu"] / hello["cpu"], "errors": errors}


RAW = "tests.benchmarks.apps.raw:app"
ITEM = "tests.benchmarks.apps.item:app"
HOOKED = "tests.benchmarks.apps.hooked:plugin"
PLUGINS = (WIRE, GO_PLUGIN)
ALL, CARRYING, SERVING = (*PLUGINS, BARE, GO, HTTP), (*PLUGINS, GO, HTTP), (*PLUGINS, HTTP)
SIZE = len(raw.HELLO)

CASES = (
    Case("hello", "raw ASGI hello, 32 connections", RAW, ALL, REQUESTS, requests("hello", CONNECTIONS, SIZE)),
    Case("hello-1", "raw ASGI hello, 1 connection", RAW, ALL, REQUESTS, requests("hello", 1, SIZE)),
    Case("json", "FastAPI JSON, 32 connections", ITEM, SERVING, REQUESTS, requests("item", CONNECTIONS)),
    Case("json-1", "FastAPI JSON, 1 connection", ITEM, SERVING, REQUESTS, requests("item", 1)),
    Case("up", "{size} MiB up", RAW, CARRYING, TRANSFER, upload, long=True),
    Case("down", "{size} MiB down, 64 KiB chunks", RAW, CARRYING, TRANSFER, download, long=True),
    Case("sse", "{streams} event streams, {events} events each, one a second", RAW, SERVING, STREAMS, streams, long=True),
    Case("start", "exec to handshake (plugin, app not imported) or first answer (server), FastAPI app", ITEM, (WIRE, HTTP), START, measure_start=measure_start, long=True),
    Case("api", "an API call to grpc-go, 32 at a time (grpcio: grpc.aio's bare stub; net/rpc: to its own host)", "", PLUGINS, REQUESTS, measure_start=api_calls(CONNECTIONS), long=True),
    Case("api-1", "the same, one at a time", "", PLUGINS, REQUESTS, measure_start=api_calls(1), long=True),
    Case("hook", f"{HOOK}, 32 at a time, beside raw hello", HOOKED, PLUGINS, HOOKS, hooks),
)  # fmt: skip
