"""Rows R1 to R17 by name, each on every road on which it can be seen.

What one request and its answer can show stands in apps_response.py's table; ROWS says which of its
apps belong to which row. The other tests are for what takes time, order, settings or a client.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from mm_asgi.bridge.http import Holds
from mm_asgi.grpc_hooks import methods
from tests.contract.apps_response import JOURNAL, OUTCOMES
from tests.contract.response_roads import Answer, HostRoad, MemoryRoad, Road, Roads
from tests.contract.test_R_apps import FULL, hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMORY = pytest.param("m")
RAW = pytest.param("w", marks=FULL)
HTTP = pytest.param("g", marks=FULL)
SIMULATED = pytest.param("s", marks=pytest.mark.full)
everywhere = pytest.mark.parametrize("kind", [MEMORY, RAW, HTTP, SIMULATED])
in_memory = pytest.mark.parametrize("kind", [MEMORY])
on_messages = pytest.mark.parametrize("kind", [MEMORY, RAW])
through_the_host = pytest.mark.parametrize("kind", [RAW, HTTP, SIMULATED])

OK = (0, "")
ROOT = "/plugins/com.example.demo"
# A second plugin, for rows that need other settings than the defaults.
OTHER = {"limit_concurrency": 3, "cookie_path": "root", "disconnect_grace": 0.0}


def rows(*prefixes: str) -> list[str]:
    """The apps of the table whose names begin so."""
    return [name for name in OUTCOMES if name.startswith(prefixes)]


ROWS = {
    "R1": ["hello", "no_keys", "status_999", "status_enum"],
    "R3": rows("many_chunks", "megabyte", "empty_chunks", "declared_chunks", "concurrent_sends"),
    "R4": ["hello HEAD", "declared HEAD", "declared_head HEAD", "no_content", "not_modified"],
    "R5": rows("short", "long", "declared"),
    "R6": rows("empty", "hello", "megabyte", "no_content"),
    "R7": [
        *rows("bad_", "held_", "headers_", "buffers", "length_with_spaces"),
        *("body_before_start", "second_start_late", "recovers", "sends_after_the_end"),
    ],
    "R8": ["raises", "raises HEAD", "raises_held"],
    "R9": [*rows("raises_late", "returns_unfinished"), "raises_after_the_end"],
    "R10": ["returns_nothing", "returns_held"],
    "R11": rows("exits", "interrupts", "cancels", "raises_generator", "raises_un", "raises_group"),
    "R12": ["headers_not_ascii"],
    "R13": ["headers_hop_by_hop"],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def roads() -> AsyncIterator[Roads]:
    made = Roads()
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def road(roads: Roads, kind: str) -> Road:
    """The kind's road to the plugin with the default settings."""
    return await roads.get(kind)


@pytest_asyncio.fixture(loop_scope="module")
async def other(roads: Roads, kind: str) -> Road:
    """The kind's road to the plugin with the settings OTHER."""
    return await roads.get(kind, **OTHER)


@pytest_asyncio.fixture(loop_scope="module")
async def alone(kind: str) -> AsyncIterator[Road]:
    """A road to a plugin of the test's own, which it may stop."""
    made = Roads()
    yield await made.get(kind, drain=0.5)
    await made.close()


@pytest.fixture
def long_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start is held until a body event comes."""
    monkeypatch.setattr(Holds, "add", lambda self, cycle: None)


async def hold_row(road: Road, row: str) -> None:
    for name in ROWS[row]:
        if road.letter in OUTCOMES[name].roads:
            await hold(road, name)


async def no_error(road: Road, mark: str) -> None:
    """The request has ended and nothing of it was logged as an error."""
    assert "over" in await road.notes(mark)
    request_id = await road.request_id(mark)
    assert [line for line in road.errors() if line.request_id == request_id] == []


async def test_every_app_of_the_table_belongs_to_a_row() -> None:
    assert set().union(*ROWS.values()) == set(OUTCOMES)


# ---------------------------------------------------------------- R1, R2, R3: what leaves when


@on_messages
async def test_R1_a_small_answer_is_one_message(road: Road) -> None:
    for name in ROWS["R1"]:
        answer = await road.ask(name)
        assert (answer.messages, answer.flushed, answer.end) == (1, 0, OK)


@everywhere
async def test_R1_small_answers(road: Road) -> None:
    await hold_row(road, "R1")


@everywhere
async def test_R1_the_head_of_an_idle_stream_comes_by_itself(road: Road) -> None:
    exchange = await road.open("idle")
    head = await exchange.head()
    assert (head.status, head.header("content-type")) == (200, "text/event-stream")
    assert (head.body, head.flushed) == (b"", head.messages)
    await exchange.leave()
    await no_error(road, exchange.mark)


@in_memory
async def test_R1_the_hold_is_5_ms(road: Road) -> None:
    began = asyncio.get_running_loop().time()
    exchange = await road.open("idle")
    await exchange.head()
    # No upper bound but for a stall: a busy machine may be late, never early.
    assert 0.004 < asyncio.get_running_loop().time() - began < 2
    await exchange.leave()


@in_memory
@pytest.mark.usefixtures("long_hold")
async def test_R1_a_held_start_goes_with_the_body(road: Road) -> None:
    exchange = await road.open("waits_held")
    await road.notes(exchange.mark, "waits")
    await road.open_gate(exchange.mark)
    answer = await exchange.rest()
    assert (answer.messages, answer.flushed, answer.body) == (1, 0, b"ok")


@everywhere
async def test_R1_a_body_after_the_hold(road: Road) -> None:
    exchange = await road.open("waits_held")
    await exchange.head()
    await road.open_gate(exchange.mark)
    answer = await exchange.rest()
    assert (answer.status, answer.body) == (200, b"ok")
    if road.kind != "g":
        assert (answer.messages, answer.flushed, answer.end) == (2, 1, OK)
        assert answer.header("content-length") is None


@in_memory
@pytest.mark.usefixtures("long_hold")
async def test_R2_an_empty_body_sends_the_head(road: Road) -> None:
    exchange = await road.open("idle_told")
    head = await exchange.head()
    assert (head.status, head.messages, head.flushed, head.body) == (200, 1, 1, b"")
    await exchange.leave()
    await no_error(road, exchange.mark)


@everywhere
async def test_R2_the_head_comes(road: Road) -> None:
    exchange = await road.open("idle_told")
    assert (await exchange.head()).status == 200
    await exchange.leave()
    await no_error(road, exchange.mark)


@everywhere
async def test_R3_each_event_comes_when_it_is_sent(road: Road) -> None:
    exchange = await road.open("ticks")
    for number in range(3):
        if number or road.kind == "g":
            piece = await exchange.piece()
        else:
            piece = (await exchange.head()).body  # the head came with it
        assert piece == b"data: %d\n\n" % number
        await road.ask("tick", query=f"of={exchange.mark}&number={number}")
    answer = await exchange.rest()
    if road.kind != "g":
        assert (answer.messages, answer.flushed, answer.end) == (4, 3, OK)


@everywhere
async def test_R3_chunks(road: Road) -> None:
    await hold_row(road, "R3")


@in_memory
@pytest.mark.parametrize("app", ["cut_in_the_middle", "cut_in_the_queue"])
async def test_R3_an_event_that_was_cut_ends_the_rpc(road: Road, app: str) -> None:
    assert isinstance(road, MemoryRoad)
    exchange = await road.open(app, window=1)
    assert len((await exchange.head()).body) == 64 * 1024
    await road.open_gate(exchange.mark)
    await road.notes(exchange.mark, "send raised CancelledError")
    answer = await exchange.rest()
    assert answer.end == (13, "the app's response was cut")
    assert b"small" not in answer.body


# ---------------------------------------------------------------- R4 to R13: the table


@everywhere
async def test_R4_answers_without_a_body(road: Road) -> None:
    await hold_row(road, "R4")


@everywhere
async def test_R5_a_wrong_content_length(road: Road) -> None:
    await hold_row(road, "R5")


@everywhere
async def test_R6_content_length_of_a_whole_body(road: Road) -> None:
    await hold_row(road, "R6")


@everywhere
async def test_R7_wrong_events(road: Road) -> None:
    await hold_row(road, "R7")


@everywhere
async def test_R7_a_send_after_the_end_is_a_debug_line(road: Road) -> None:
    exchange = await road.open("sends_after_the_end")
    await exchange.rest()
    await no_error(road, exchange.mark)
    text = "a send after the end of the response was ignored"
    request_id = await road.request_id(exchange.mark)
    said = [line for line in road.lines() if (line.message, line.request_id) == (text, request_id)]
    assert {line.level for line in said} <= {"debug"}
    if road.kind == "m":
        assert said


@everywhere
async def test_R8_an_exception_before(road: Road) -> None:
    await hold_row(road, "R8")


@everywhere
async def test_R9_an_exception_after(road: Road) -> None:
    await hold_row(road, "R9")


@everywhere
async def test_R10_a_return_without_an_answer(road: Road) -> None:
    await hold_row(road, "R10")


@everywhere
async def test_R11_exceptions_that_are_none(road: Road) -> None:
    await hold_row(road, "R11")


@through_the_host
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_R11_sys_exit_in_a_task_on_each_loop(roads: Roads, kind: str, loop: str) -> None:
    await hold(await roads.get(kind, loop=loop), "exits_in_a_task")


@everywhere
async def test_R12_header_bytes_that_are_not_utf8(road: Road) -> None:
    await hold_row(road, "R12")


@everywhere
async def test_R13_hop_by_hop_headers(road: Road) -> None:
    await hold_row(road, "R13")


# ---------------------------------------------------------------- R14: background tasks


@everywhere
async def test_R14_work_after_the_answer(road: Road) -> None:
    exchange = await road.open("background")
    answer = await exchange.rest()
    assert (answer.body, answer.end) == (b"ok", None if road.kind == "g" else OK)
    assert "done" not in await road.notes(exchange.mark, "works")
    await road.open_gate(exchange.mark)
    assert "done" in await road.notes(exchange.mark)
    await no_error(road, exchange.mark)


@everywhere
async def test_R14_work_that_raises(road: Road) -> None:
    exchange = await road.open("background_raises")
    answer = await exchange.rest()
    assert (answer.status, answer.body, answer.broken) == (200, b"ok", False)
    await road.open_gate(exchange.mark)
    line = await road.logged("the app raised RuntimeError", level="error", mark=exchange.mark)
    assert f"secret-{exchange.mark}" in line.fields["exception"]


@pytest.mark.parametrize("kind", [MEMORY, RAW, HTTP])  # s stops as dev does, within 2 s
async def test_R14_a_stop_waits_for_work(alone: Road) -> None:
    assert (await alone.ask("background_works")).body == b"ok"
    await alone.stop()
    messages = [line.message for line in alone.lines()]
    assert "the work was done" in messages
    assert not [message for message in messages if message.startswith("drain:")]


@everywhere
async def test_R14_a_stop_cancels_endless_work_and_names_it(alone: Road) -> None:
    exchange = await alone.open("background")
    await exchange.rest()
    await alone.stop()
    (line,) = [line for line in alone.lines() if line.message.startswith("drain:")]
    assert line.message == (
        f"drain: 1 tasks were still running and are cancelled: GET {ROOT}/background"
    )
    assert line.level == "warn"
    if alone.kind == "m":
        assert "cancelled" in await JOURNAL.until(exchange.mark, "over")


@everywhere
async def test_R14_a_stop_ends_when_an_app_swallows_the_cancel(alone: Road) -> None:
    exchange = await alone.open("swallows_cancel")
    await alone.notes(exchange.mark, "waits")
    # The app is at fault: its error line may reach the host's log after all else.
    alone.expected.add(await alone.request_id(exchange.mark))
    stop = asyncio.create_task(alone.deactivate())
    answer = await exchange.rest()
    await stop
    assert answer.status in (500, 503)
    assert answer.end in (None, OK)


# ---------------------------------------------------------------- R15: 503


def check_503(road: Road, answer: Answer, *, body: bytes = b"Service Unavailable") -> None:
    assert (answer.status, answer.body) == (503, body)
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert answer.header("content-length") == "19"
    assert answer.header("retry-after") == "1"
    if road.kind != "g":
        assert (answer.messages, answer.end) == (1, OK)


async def until_served(road: Road) -> None:
    """Ask until the plugin has room again; each turn lets it notice who left."""
    for _ in range(1000):
        if (await road.ask("hello")).status == 200:
            return
        await road.turn()
    raise AssertionError("still full")


@everywhere
async def test_R15_more_requests_than_the_limit(other: Road) -> None:
    await until_served(other)
    held = [await other.open("idle_told") for _ in range(3)]
    for exchange in held:
        assert (await exchange.head()).status == 200
    for _ in range(2):
        check_503(other, await other.ask("hello"))
    check_503(other, await other.ask("hello", method="HEAD"), body=b"")
    if isinstance(other, HostRoad):
        assert (await other.host.control("/ping"))["ok"]
    for exchange in held:
        await exchange.leave()
    await until_served(other)
    line = await other.logged("limit_concurrency: more than 3 requests at once")
    assert line.level == "warn"


@in_memory
async def test_R15_a_limit_of_0_is_none(roads: Roads, kind: str) -> None:
    road = await roads.get(kind, limit_concurrency=0)
    assert (await road.ask("hello")).status == 200


@everywhere
async def test_R15_503_while_draining(alone: Road) -> None:
    held = await alone.open("idle_plain")
    await held.head()
    stop = asyncio.create_task(alone.deactivate())
    for _ in range(1000):
        answer = await alone.ask("hello")
        if answer.status != 200:
            break
    check_503(alone, answer)
    await held.leave()
    await stop
    check_503(alone, await alone.ask("hello"))


@in_memory
async def test_R15_503_before_the_start_up_has_ended(kind: str) -> None:
    road = MemoryRoad(startup_wait=0.0)
    await road.server.start(None, methods(road.serving))
    check_503(road, await road.ask("hello"))
    await road.close()


# ---------------------------------------------------------------- R16, R17


@everywhere
async def test_R16_an_upgrade_is_served_as_plain_http(road: Road) -> None:
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    for _ in range(2):
        answer = await road.ask("upgrade", headers=upgrade)
        # The app's own answer, and it saw no header of the hop.
        assert (answer.status, answer.body) == (426, b"")
    line = await road.logged("a client asked for an upgrade (WebSocket)")
    assert line.level == "warn"


@everywhere
async def test_R17_cookies_are_kept(road: Road) -> None:
    for _ in range(2):
        assert (await road.ask("cookies")).all("set-cookie") == [
            "wide=1; Path=/; HttpOnly",
            "bare=2",
            "narrow=3; Path=/elsewhere",
            "odd=4;path = / ;Path=/",
        ]
    for name in ("wide", "odd"):
        line = await road.logged(f"cookie {name} has Path=/")
        assert line.level == "warn"
        assert 'cookie-path = "root"' in line.message
    assert len([line for line in road.lines() if line.message.startswith("cookie ")]) == 2


@everywhere
async def test_R17_cookies_get_the_plugins_path(other: Road) -> None:
    await until_served(other)
    assert (await other.ask("cookies")).all("set-cookie") == [
        f"wide=1; HttpOnly; Path={ROOT}",
        f"bare=2; Path={ROOT}",
        "narrow=3; Path=/elsewhere",
        f"odd=4; Path={ROOT}",
    ]
    await other.turn()
    assert [line for line in other.lines() if line.message.startswith("cookie ")] == []


# ---------------------------------------------------------------- the client leaves (D4, D5)


@everywhere
@pytest.mark.parametrize("app", ["left_waiting", "left_streaming"])
async def test_D4_the_client_leaves(road: Road, app: str) -> None:
    exchange = await road.open(app)
    await road.notes(exchange.mark, "waits")
    await exchange.leave()
    assert "left" in await road.notes(exchange.mark)
    await no_error(road, exchange.mark)


@in_memory
@pytest.mark.usefixtures("long_hold")
async def test_D4_the_client_leaves_before_a_held_start(road: Road) -> None:
    exchange = await road.open("left_held")
    await road.notes(exchange.mark, "waits")
    await exchange.leave()
    assert "left" in await road.notes(exchange.mark)
    assert (await exchange.rest()).messages == 0
    await no_error(road, exchange.mark)


@everywhere
async def test_D5_the_client_leaves_after_the_answer(road: Road) -> None:
    exchange = await road.open("left_complete")
    assert (await exchange.rest()).body == b"ok"
    await exchange.leave()
    assert "left" in await road.notes(exchange.mark)
    await no_error(road, exchange.mark)


@everywhere
@pytest.mark.parametrize(
    "app", ["told_plain", "told_in_group", "told_as_cause", "told_as_context", "told_and_broken"]
)
async def test_D4_an_app_is_told_by_its_send(other: Road, app: str) -> None:
    await until_served(other)
    exchange = await other.open(app)
    await other.notes(exchange.mark, "waits")
    await exchange.leave()
    assert "send raised ClientDisconnected" in await other.notes(exchange.mark)
    if app == "told_and_broken":  # a fault of its own beside it
        line = await other.logged("the app raised", level="error", mark=exchange.mark)
        assert f"secret-{exchange.mark}" in line.fields["exception"]
    else:
        await no_error(other, exchange.mark)
