"""Rows R1 to R17 by name, each on every road on which it can be seen.

What one request and its answer can show stands in the table of the contract's apps, OUTCOMES; ROWS
says which of its apps belong to which row, and test_outcome takes them all, one by one. The other
tests are for what takes time, order, settings or a client.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.contract.apps.catalog import JOURNAL, OUTCOMES, Outcome
from tests.roads import (
    LETTERS,
    PLUGIN_ID,
    Answer,
    Each,
    Exchange,
    MemoryRoad,
    Road,
    on,
    spread,
    ways,
)
from tests.roads.host_road import HostRoad

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

OK = (0, "")
LENGTH = "content-length"
PREFIX = f"/mm/plugins/{PLUGIN_ID}"


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


# ---------------------------------------------------------------- the table


async def hold(road: Road, name: str) -> None:
    """Ask one app of the table and look at all that came of it."""
    outcome = OUTCOMES[name]
    exchange = await road.begin(name.partition(" ")[0], method=outcome.method)
    answer = await exchange.rest()
    check_answer(answer, outcome, road)
    assert f"secret-{exchange.token}" not in answer.text()
    await check_log(road, exchange, outcome)
    # Whatever it was: the next request is served.
    assert (await road.ask("hello")).body == b"hello"


def is_net_https(header: str, value: str | None, road: Road) -> bool:
    """Whether net/http gives a body without a length this header, which is not the app's.

    Over net/rpc small pieces arrive there as one, together with the end: it counts them itself.
    """
    if road.kind != "g":
        return False
    return header == "transfer-encoding" or (road.is_released and (header, value) == (LENGTH, None))


def check_answer(answer: Answer, outcome: Outcome, road: Road) -> None:
    assert answer.status == outcome.status
    if road.letter == "o" and (outcome.cut or outcome.end is not None):
        assert outcome.body.startswith(answer.body)  # what the server had not sent is lost
    else:
        assert answer.body == outcome.body
    for header, value in outcome.headers.items():
        if not is_net_https(header, value, road):
            assert answer.header(header) == value, header
    if road.kind == "g":
        # A released server would end what is cut as if it were whole: so the connection is broken.
        broken = outcome.cut or (road.is_released and outcome.end is not None)
        assert answer.broken is broken
        return
    assert answer.end == ((0, "") if outcome.end is None else (13, outcome.end))
    if outcome.messages is not None:
        assert answer.messages == outcome.messages
    if outcome.status == 500:
        assert answer.header("content-type") == "text/plain; charset=utf-8"


async def check_log(road: Road, exchange: Exchange, outcome: Outcome) -> None:
    notes = await road.journal(exchange.token, "over")
    assert tuple(note.value for note in notes if note.key == "send raised") == outcome.saw
    if outcome.log is None:
        return
    secret = f"secret-{exchange.token}"
    if "a task of the app" in outcome.log:  # not in the request's context
        line = await road.logged(secret, "error")
    else:
        line = await road.logged(outcome.log, "error", token=exchange.token)
        assert [o for o in road.errors() if o.request_id == line.request_id] == [line]
    assert line.message == outcome.log
    if outcome.secret:
        assert secret in line.fields["exception"]


async def hold_row(road: Road, row: str) -> None:
    for name in ROWS[row]:
        if not LETTERS[road.letter].is_left_out(road.letter, OUTCOMES[name].but):
            await hold(road, name)


def outcomes() -> list[ParameterSet]:
    """Each app of the table on each road on which it can be seen."""
    return [
        pytest.param(*way.values, name, id=f"{way.id}-{name}", marks=way.marks)
        for letter in spread("m", "w", "g")
        for way in ways(letter, one_wire=True)
        for name, outcome in OUTCOMES.items()
        if not LETTERS[letter].is_left_out(letter, outcome.but)
    ]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(("road", "name"), outcomes(), indirect=["road"])
async def test_outcome(road: Road, name: str) -> None:
    await hold(road, name)


async def test_every_app_of_the_table_belongs_to_a_row() -> None:
    assert set().union(*ROWS.values()) == set(OUTCOMES)


# ---------------------------------------------------------------- R1, R2, R3: what leaves when


@on("m", "w", one_wire=True)
async def test_R1_a_small_answer_is_one_message(road: Road) -> None:
    for name in ROWS["R1"]:
        answer = await road.ask(name)
        assert (answer.messages, answer.flushed, answer.end) == (1, 0, OK)


@on("m", "w", "g", one_wire=True)
async def test_R1_small_answers(road: Road) -> None:
    await hold_row(road, "R1")


# On n nothing tells of the client's leaving, which ends these; R2 has a test of its own there.
@on("m", "w", "g", but="n", one_wire=True)
async def test_R1_the_head_of_an_idle_stream_comes_by_itself(road: Road) -> None:
    exchange = await road.begin("idle")
    head = await exchange.head()
    assert (head.status, head.header("content-type")) == (200, "text/event-stream")
    assert (head.body, head.flushed) == (b"", head.messages)
    await exchange.leave()
    await road.check_no_error(exchange.token)


@on("m")
async def test_R1_the_hold_is_5_ms(road: Road) -> None:
    began = asyncio.get_running_loop().time()
    exchange = await road.begin("idle")
    await exchange.head()
    # No upper bound but for a stall: a busy machine may be late, never early.
    assert 0.004 < asyncio.get_running_loop().time() - began < 2
    await exchange.leave()


@on("m")
@pytest.mark.usefixtures("long_hold")
async def test_R1_a_held_start_goes_with_the_body(road: Road) -> None:
    exchange = await road.begin("waits_held")
    await road.keys(exchange.token, "waits")
    await road.gate(exchange.token)
    answer = await exchange.rest()
    assert (answer.messages, answer.flushed, answer.body) == (1, 0, b"ok")


@on("m", "w", "g", but="o", one_wire=True)
async def test_R1_a_body_after_the_hold(road: Road) -> None:
    exchange = await road.begin("waits_held")
    await exchange.head()
    await road.gate(exchange.token)
    answer = await exchange.rest()
    assert (answer.status, answer.body) == (200, b"ok")
    if road.kind != "g":
        assert (answer.messages, answer.flushed, answer.end) == (2, 1, OK)
        assert answer.header("content-length") is None


@on("m")
@pytest.mark.usefixtures("long_hold")
async def test_R2_an_empty_body_sends_the_head(road: Road) -> None:
    exchange = await road.begin("idle_told")
    head = await exchange.head()
    assert (head.status, head.messages, head.flushed, head.body) == (200, 1, 1, b"")
    await exchange.leave()
    await road.check_no_error(exchange.token)


@on("m", "w", "g", but="n", one_wire=True)
async def test_R2_the_head_comes(road: Road) -> None:
    exchange = await road.begin("idle_told")
    assert (await exchange.head()).status == 200
    await exchange.leave()
    await road.check_no_error(exchange.token)


@on("m", "w", "g", but="o", one_wire=True)
async def test_R3_each_event_comes_when_it_is_sent(road: Road) -> None:
    exchange = await road.begin("ticks")
    for number in range(3):
        if number or road.kind == "g":
            piece = await exchange.piece()
        else:
            piece = (await exchange.head()).body  # the head came with it
        assert piece == b"data: %d\n\n" % number
        await road.gate(exchange.token, f"tick {number}")
    answer = await exchange.rest()
    if road.kind != "g":
        assert (answer.messages, answer.flushed, answer.end) == (4, 3, OK)


@on("o")
async def test_R3_without_flush_comments_push_each_event(road: Road) -> None:
    exchange = await road.begin("ticks")
    seen = b""
    for number in range(3):
        while b"data: %d\n\n" % number not in seen:
            seen += await exchange.piece()
        await road.gate(exchange.token, f"tick {number}")
    answer = await exchange.rest()
    events = [line for line in answer.body.splitlines() if line and not line.startswith(b":")]
    assert events == [b"data: 0", b"data: 1", b"data: 2"]
    assert len(answer.body) > 3 * 4096  # each was pushed out of the server's buffer


@on("m", "w", "g", one_wire=True)
async def test_R3_chunks(road: Road) -> None:
    await hold_row(road, "R3")


@on("m")
@pytest.mark.parametrize("app", ["cut_in_the_middle", "cut_in_the_queue"])
async def test_R3_an_event_that_was_cut_ends_the_rpc(road: Road, app: str) -> None:
    assert isinstance(road, MemoryRoad)
    exchange = await road.begin(app, window=1)
    assert len((await exchange.head()).body) == 64 * 1024
    await road.gate(exchange.token)
    assert await road.noted(exchange.token, "send raised") == ["CancelledError"]
    answer = await exchange.rest()
    assert answer.end == (13, "the app's response was cut")
    assert b"small" not in answer.body


# ---------------------------------------------------------------- R4 to R13: the table


@on("m", "w", "g", one_wire=True)
async def test_R4_answers_without_a_body(road: Road) -> None:
    await hold_row(road, "R4")


@on("m", "w", "g", one_wire=True)
async def test_R5_a_wrong_content_length(road: Road) -> None:
    await hold_row(road, "R5")


@on("m", "w", "g", one_wire=True)
async def test_R6_content_length_of_a_whole_body(road: Road) -> None:
    await hold_row(road, "R6")


@on("m", "w", "g", one_wire=True)
async def test_R7_wrong_events(road: Road) -> None:
    await hold_row(road, "R7")


@on("m", "w", "g", one_wire=True)
async def test_R7_a_send_after_the_end_is_a_debug_line(road: Road) -> None:
    exchange = await road.begin("sends_after_the_end")
    await exchange.rest()
    await road.check_no_error(exchange.token)
    text = "a send after the end of the response was ignored"
    request_id = await road.request_id(exchange.token)
    said = [
        line for line in await road.lines() if (line.message, line.request_id) == (text, request_id)
    ]
    assert {line.level for line in said} <= {"debug"}
    if road.kind == "m":
        assert said


@on("m", "w", "g", one_wire=True)
async def test_R8_an_exception_before(road: Road) -> None:
    await hold_row(road, "R8")


@on("m", "w", "g", one_wire=True)
async def test_R9_an_exception_after(road: Road) -> None:
    await hold_row(road, "R9")


@on("m", "w", "g", one_wire=True)
async def test_R10_a_return_without_an_answer(road: Road) -> None:
    await hold_row(road, "R10")


@on("m", "w", "g", one_wire=True)
async def test_R11_exceptions_that_are_none(road: Road) -> None:
    await hold_row(road, "R11")


@on("w", "g", settings={"loop": Each(("asyncio", "uvloop"))}, one_wire=True)
async def test_R11_sys_exit_in_a_task_on_each_loop(road: Road) -> None:
    await hold(road, "exits_in_a_task")


@on("m", "w", "g", one_wire=True)
async def test_R12_header_bytes_that_are_not_utf8(road: Road) -> None:
    await hold_row(road, "R12")


@on("m", "w", "g", one_wire=True)
async def test_R13_hop_by_hop_headers(road: Road) -> None:
    await hold_row(road, "R13")


# ---------------------------------------------------------------- R14: background tasks


@on("m", "w", "g", one_wire=True)
async def test_R14_work_after_the_answer(road: Road) -> None:
    exchange = await road.begin("background")
    answer = await exchange.rest()
    assert (answer.body, answer.end) == (b"ok", None if road.kind == "g" else OK)
    assert "done" not in await road.keys(exchange.token, "works")
    await road.gate(exchange.token)
    assert "done" in await road.keys(exchange.token)
    await road.check_no_error(exchange.token)


@on("m", "w", "g", one_wire=True)
async def test_R14_work_that_raises(road: Road) -> None:
    exchange = await road.begin("background_raises")
    answer = await exchange.rest()
    assert (answer.status, answer.body, answer.broken) == (200, b"ok", False)
    await road.gate(exchange.token)
    line = await road.logged("the app raised RuntimeError", "error", token=exchange.token)
    assert f"secret-{exchange.token}" in line.fields["exception"]


# The simulated host stops as dev does, within 2 s.
@on("m", "w", "g", but="s", settings={"drain": 0.5}, alone=True, one_wire=True)
async def test_R14_a_stop_waits_for_work(road: Road) -> None:
    assert (await road.ask("background_works")).body == b"ok"
    await road.stop()
    messages = [line.message for line in road.log_lines()]
    assert "the work was done" in messages
    assert not [message for message in messages if message.startswith("drain:")]


@on("m", "w", "g", settings={"drain": 0.5}, alone=True, one_wire=True)
async def test_R14_a_stop_cancels_endless_work_and_names_it(road: Road) -> None:
    exchange = await road.begin("background")
    await exchange.rest()
    await road.stop()
    (line,) = [line for line in road.log_lines() if line.message.startswith("drain:")]
    assert line.message == (
        f"drain: 1 tasks were still running and are cancelled: GET {PREFIX}/background"
    )
    assert line.level == "warn"
    if road.kind == "m":
        assert "cancelled" in [note.key for note in await JOURNAL.until(exchange.token, "over")]


@on("m", "w", "g", settings={"drain": 0.5}, alone=True, one_wire=True)
async def test_R14_a_stop_ends_when_an_app_swallows_the_cancel(road: Road) -> None:
    exchange = await road.begin("swallows_cancel")
    await road.keys(exchange.token, "waits")
    # The app is at fault: its error line may reach the host's log after all else.
    road.expected.add(await road.request_id(exchange.token))
    stop = asyncio.create_task(road.deactivate())
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


@on("m", "w", "g", but="n", settings={"limit_concurrency": 3}, alone=True, one_wire=True)
async def test_R15_more_requests_than_the_limit(road: Road) -> None:
    await until_served(road)
    held = [await road.begin("idle_told") for _ in range(3)]
    for exchange in held:
        assert (await exchange.head()).status == 200
    for _ in range(2):
        check_503(road, await road.ask("hello"))
    check_503(road, await road.ask("hello", method="HEAD"), body=b"")
    if isinstance(road, HostRoad):
        assert (await road.host.control("/ping"))["ok"]
    for exchange in held:
        await exchange.leave()
    await until_served(road)
    await road.logged("limit_concurrency: more than 3 requests at once", "warn")


@on("m", settings={"limit_concurrency": 0})
async def test_R15_a_limit_of_0_is_none(road: Road) -> None:
    assert (await road.ask("hello")).status == 200


@on("m", "w", "g", but="o", settings={"drain": 0.5}, alone=True, one_wire=True)
async def test_R15_503_while_draining(road: Road) -> None:
    held = await road.begin("idle_plain")
    await held.head()
    stop = asyncio.create_task(road.deactivate())
    for _ in range(1000):
        answer = await road.ask("hello")
        if answer.status != 200:
            break
    check_503(road, answer)
    await held.leave()
    await stop
    check_503(road, await road.ask("hello"))


@on("m")
async def test_R15_503_before_the_start_up_has_ended() -> None:
    road = await MemoryRoad(startup_wait=0.0).start()
    check_503(road, await road.ask("hello"))
    await road.close()


# ---------------------------------------------------------------- R16, R17


@on("m", "w", "g", alone=True, one_wire=True)
async def test_R16_an_upgrade_is_served_as_plain_http(road: Road) -> None:
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    for _ in range(2):
        answer = await road.ask("upgrade", headers=upgrade)
        # The app's own answer, and it saw no header of the hop.
        assert (answer.status, answer.body) == (426, b"")
    await road.logged("a client asked for an upgrade (WebSocket)", "warn")


@on("m", "w", "g", alone=True, one_wire=True)
async def test_R17_cookies_are_kept(road: Road) -> None:
    for _ in range(2):
        assert (await road.ask("cookies")).all("set-cookie") == [
            "wide=1; Path=/; HttpOnly",
            "bare=2",
            "narrow=3; Path=/elsewhere",
            "odd=4;path = / ;Path=/",
        ]
    for name in ("wide", "odd"):
        line = await road.logged(f"cookie {name} has Path=/", "warn")
        assert 'cookie-path = "root"' in line.message
    assert len([line for line in await road.lines() if line.message.startswith("cookie ")]) == 2


@on("m", "w", "g", settings={"cookie_path": "root"}, one_wire=True)
async def test_R17_cookies_get_the_plugins_path(road: Road) -> None:
    await until_served(road)
    assert (await road.ask("cookies")).all("set-cookie") == [
        f"wide=1; HttpOnly; Path={PREFIX}",
        f"bare=2; Path={PREFIX}",
        "narrow=3; Path=/elsewhere",
        f"odd=4; Path={PREFIX}",
    ]
    assert [line for line in await road.lines() if line.message.startswith("cookie ")] == []
