"""The host's writer: one call at a time, as few as there can be, and an end that says the truth."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.bridge.exchange import CHUNK_SIZE, Abort
from mm_asgi.errors import PLUGIN_FAILED
from mm_asgi.netrpc.event_padding import PADDING
from mm_asgi.netrpc.http_exchange import NetRPCExchange
from mm_asgi.netrpc.request_body import RequestBody
from mm_asgi.netrpc.response_calls import LARGEST_WRITE, LOOK_AGAIN, HostHabits, ResponseCalls
from mm_asgi.wire.netrpc import dials
from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.live_calls import RPCCaller
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING
from mm_asgi.wire.netrpc.yamux_stream import MuxStream

from .go_writer import GoWriter, Requested, head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NO_FLUSH = "rpc: can't find method Plugin.Flush"
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


@pytest.fixture
async def host() -> AsyncIterator[Requested]:
    made = await Requested().begin()
    yield made
    await made.end()


async def settle_headers(host: Requested) -> None:
    """Answer once: the host is asked for its headers only now and then."""

    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(), b"", more=False, flush=False)

    assert await host.ask(host.writer(), serve) == ""


# ---------------------------------------------------------------- which calls


async def test_each_call_waits_for_the_answer_to_the_last(host: Requested) -> None:
    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(201, (b"x-one", b"1")), b"a", more=True, flush=True)
        for part in (b"b", b"c"):
            await exchange.write(None, part, more=True, flush=True)
        await exchange.write(None, b"d", more=False, flush=False)

    writer = host.writer()
    assert await host.ask(writer, serve) == ""
    assert writer.most == 1
    assert writer.names == ["Header", "SyncHeader", "WriteHeader", "Write"]
    assert writer.calls[1:] == [
        ("SyncHeader", {"X-One": ["1"]}),
        ("WriteHeader", 201),
        ("Write", b"abcd"),
    ]


async def test_what_is_over_is_freed_without_the_garbage_collector(host: Requested) -> None:
    """A tenth of the time of many small requests went into cycles."""

    async def serve(exchange: NetRPCExchange) -> None:
        exchange.on_left(exchange.see_it_end)
        assert await exchange.read() == (b"", False)
        await exchange.write(head(length=5), b"hello", more=False, flush=False)

    await settle_headers(host)
    gc.collect()
    gc.disable()
    kinds = {NetRPCExchange, ResponseCalls, RequestBody, RPCCaller, MuxStream}
    before = {id(found) for found in gc.get_objects() if type(found) in kinds}
    try:
        assert await host.ask(host.writer(), serve) == ""
        host.tasks.clear()
        for _ in range(2):  # the ends of its streams were exchanged, then
            await host.host.control.call("Control.Ping", NOTHING, {})
        left = [found for found in gc.get_objects() if type(found) in kinds]
    finally:
        gc.enable()
    assert [found for found in left if id(found) not in before] == []


async def test_a_small_answer_is_two_calls(host: Requested) -> None:
    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(length=5), b"hello", more=False, flush=False)

    await settle_headers(host)
    writer = host.writer()
    assert await host.ask(writer, serve) == ""
    assert writer.calls == [("SyncHeader", {"Content-Length": ["5"]}), ("Write", b"hello")]


async def test_a_200_without_a_body_needs_its_status(host: Requested) -> None:
    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(), b"", more=False, flush=False)

    writer = host.writer()
    assert await host.ask(writer, serve) == ""
    assert writer.names == ["Header", "SyncHeader", "WriteHeader"]
    assert writer.calls[-1] == ("WriteHeader", 200)


async def test_the_request_ends_when_the_last_write_was_answered(host: Requested) -> None:
    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(), b"all", more=False, flush=False)

    await settle_headers(host)
    writer = host.writer()
    asked = asyncio.ensure_future(host.ask(writer, serve))
    await writer.until(lambda: "SyncHeader" in writer.names)
    writer.may_answer.clear()
    await writer.has_calls.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asked.done()
    assert sum(task.done() for task in host.tasks) == 1  # a stop waits for this one too
    writer.may_answer.set()
    assert await asked == ""
    assert writer.written == [b"all"]


async def test_parts_that_wait_are_one_write_with_one_flush(host: Requested) -> None:
    writer = host.writer()

    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(), b"0", more=True, flush=True)
        for part in (b"1", b"2", b"3", b"4"):
            await exchange.write(None, part, more=True, flush=True)
        await writer.until(lambda: "Flush" in writer.names)
        await exchange.write(None, b"", more=False, flush=False)

    assert await host.ask(writer, serve) == ""
    assert writer.names == ["Header", "SyncHeader", "Write", "Flush"]
    assert writer.written == [b"01234"]


async def test_the_app_waits_while_a_mebibyte_waits(host: Requested) -> None:
    writer = host.writer()
    writer.may_answer.clear()
    sent = 0

    async def serve(exchange: NetRPCExchange) -> None:
        nonlocal sent
        for number in range(40):
            begin = head() if number == 0 else None
            await exchange.write(begin, bytes(CHUNK_SIZE), more=number < 39, flush=False)
            sent += CHUNK_SIZE

    asked = asyncio.ensure_future(host.ask(writer, serve))
    await writer.has_calls.wait()
    for _ in range(50):
        await asyncio.sleep(0)
    assert LARGEST_WRITE - CHUNK_SIZE <= sent <= LARGEST_WRITE
    writer.may_answer.set()
    assert await asked == ""
    assert sum(map(len, writer.written)) == 40 * CHUNK_SIZE
    assert max(map(len, writer.written)) == LARGEST_WRITE
    assert writer.most == 1


async def test_a_send_that_is_cancelled_leaves_whole(host: Requested) -> None:
    writer = host.writer()
    writer.may_answer.clear()
    parts = [bytes([number]) * CHUNK_SIZE for number in range(16)]

    async def serve(exchange: NetRPCExchange) -> None:
        for part in parts[:-1]:
            begin = head() if part is parts[0] else None
            await exchange.write(begin, part, more=True, flush=False)
        sending = asyncio.ensure_future(
            exchange.write(None, parts[-1], more=True, flush=False)  # which is one too many
        )
        await asyncio.sleep(0)
        assert not sending.done()
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        assert sending.cancelled()
        writer.may_answer.set()
        await exchange.write(None, b"end", more=False, flush=False)

    assert await host.ask(writer, serve) == ""
    assert b"".join(writer.written) == b"".join(parts) + b"end"


# ---------------------------------------------------------------- the host's own headers


async def test_the_hosts_own_headers_stay_and_the_apps_win(host: Requested) -> None:
    async def serve(exchange: NetRPCExchange) -> None:
        fields = (b"x-kept", b"app"), (b"vary", b"Cookie")
        await exchange.write(head(200, *fields), b"x", more=False, flush=False)

    writer = host.writer()
    writer.own = {"X-Kept": ["host"], "Vary": ["Origin"], "X-Ratelimit-Limit": ["9"]}
    assert await host.ask(writer, serve) == ""
    assert writer.calls[1][1] == {
        "X-Kept": ["app"],
        "Vary": ["Origin", "Cookie"],
        "X-Ratelimit-Limit": ["9"],
    }


async def test_headers_are_asked_for_where_some_may_be_lost(host: Requested) -> None:
    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(), b"x", more=False, flush=False)

    await settle_headers(host)
    plain, cross = host.writer(), host.writer()
    assert await host.ask(plain, serve) == ""
    assert await host.ask(cross, serve, Header={"Origin": ["https://chat.example.com"]}) == ""
    assert "Header" not in plain.names
    assert "Header" in cross.names


def test_the_host_is_looked_at_again() -> None:
    habits = HostHabits()
    assert habits.asks_headers(100.0, has_origin=False)
    habits.saw_headers(False)
    assert not habits.asks_headers(100.0 + LOOK_AGAIN - 0.1, has_origin=False)
    assert habits.asks_headers(100.0 + LOOK_AGAIN, has_origin=False)
    habits.saw_headers(True)
    assert habits.asks_headers(100.1 + LOOK_AGAIN, has_origin=False)


# ---------------------------------------------------------------- errors


async def test_a_refused_write_is_a_client_that_left_once(host: Requested) -> None:
    writer = host.writer()
    writer.refused["Write"] = "write tcp: broken pipe"
    left = []
    gone = asyncio.Event()

    def note() -> None:
        left.append(1)
        gone.set()

    async def serve(exchange: NetRPCExchange) -> None:
        exchange.on_left(note)
        await exchange.write(head(), b"a", more=True, flush=True)
        await gone.wait()
        for _ in range(3):  # returns as any other
            await exchange.write(None, bytes(CHUNK_SIZE), more=True, flush=True)
        exchange.abort(Abort.CUT)

    assert await host.ask(writer, serve) == ""
    assert left == [1]
    assert writer.names == ["Header", "SyncHeader", "Write"]


async def test_who_asks_late_learns_that_the_client_left(host: Requested) -> None:
    writer = host.writer()
    writer.refused["Write"] = "write tcp: broken pipe"
    left = []

    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(), b"a", more=True, flush=True)
        await exchange.wait_ended()
        exchange.on_left(lambda: left.append(1))

    assert await host.ask(writer, serve) == ""
    await asyncio.gather(*host.tasks)
    assert left == [1]


async def test_a_last_write_that_is_refused_tells_nobody(host: Requested) -> None:
    writer = host.writer()
    writer.refused["Write"] = "write tcp: broken pipe"
    left = []

    async def serve(exchange: NetRPCExchange) -> None:
        exchange.on_left(lambda: left.append(1))
        await exchange.write(head(), b"a", more=False, flush=False)

    assert await host.ask(writer, serve) == ""
    assert left == []


async def test_a_host_without_flush_is_asked_once_and_pushed_by_comments(host: Requested) -> None:
    first, second = host.writer(), host.writer()
    first.refused["Flush"] = second.refused["Flush"] = NO_FLUSH

    def serve(writer: GoWriter) -> Any:
        async def events(exchange: NetRPCExchange) -> None:
            await exchange.write(head(200, EVENTS), b"data: 1\n\n", more=True, flush=True)
            await writer.until(lambda: PADDING in writer.written)
            await exchange.write(None, b"data: 2\n\n", more=True, flush=True)
            await writer.until(lambda: writer.written.count(PADDING) == 2)
            await exchange.write(None, b"data: 3\n\n", more=True, flush=True)
            await exchange.write(None, b"", more=False, flush=False)

        return events

    for writer in (first, second):
        assert await host.ask(writer, serve(writer)) == ""
        assert writer.written == [
            b"data: 1\n\n",
            PADDING,
            b"data: 2\n\n",
            PADDING,
            b"data: 3\n\n",  # the end pushes too
        ]
    assert "Flush" in first.names
    assert "Flush" not in second.names


@pytest.mark.parametrize("fields", [(), (EVENTS, (b"content-encoding", b"gzip"))])
async def test_only_plain_events_are_padded(host: Requested, fields: Any) -> None:
    writer = host.writer()
    writer.refused["Flush"] = NO_FLUSH

    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(200, *fields), b"data: 1\n\n", more=True, flush=True)
        await writer.until(lambda: "Flush" in writer.names)
        await exchange.write(None, b"data: 2\n\n", more=True, flush=True)
        await exchange.write(None, b"", more=False, flush=False)

    assert await host.ask(writer, serve) == ""
    assert writer.written == [b"data: 1\n\n", b"data: 2\n\n"]


async def test_padding_is_off_where_the_setting_says_so() -> None:
    host = await Requested().begin(pads_events=False)
    writer = host.writer()
    writer.refused["Flush"] = NO_FLUSH

    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(200, EVENTS), b"data: 1\n\n", more=True, flush=True)
        await writer.until(lambda: "Flush" in writer.names)
        await exchange.write(None, b"data: 2\n\n", more=False, flush=False)

    assert await host.ask(writer, serve) == ""
    assert writer.written == [b"data: 1\n\n", b"data: 2\n\n"]
    await host.end()


# ---------------------------------------------------------------- ends that are none


async def test_an_abort_before_the_head_is_a_refusal(host: Requested) -> None:
    async def serve(exchange: NetRPCExchange) -> None:
        exchange.abort(Abort.FAILED)
        await exchange.write(head(), b"late", more=False, flush=False)

    writer = host.writer()
    assert await host.ask(writer, serve) == PLUGIN_FAILED
    assert writer.calls == []


async def test_an_app_that_answers_nothing_is_a_refusal(host: Requested) -> None:
    async def serve(exchange: NetRPCExchange) -> None:
        pass

    assert await host.ask(host.writer(), serve) == PLUGIN_FAILED


async def test_a_failure_of_ours_is_a_refusal(host: Requested) -> None:
    async def serve(exchange: NetRPCExchange) -> None:
        raise ZeroDivisionError

    assert await host.ask(host.writer(), serve) == PLUGIN_FAILED
    (task,) = host.tasks
    with pytest.raises(ZeroDivisionError):
        await task


@pytest.mark.parametrize("refused", [None, "feature not supported"])
async def test_an_abort_after_the_head_breaks_the_connection(
    host: Requested, refused: str | None
) -> None:
    """HTTP/2 refuses to be taken over; the answer just ends."""
    writer = host.writer()
    if refused is not None:
        writer.refused["HijackResponse"] = refused

    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(), b"a part", more=True, flush=False)
        exchange.abort(Abort.CUT)
        exchange.abort(Abort.CUT)
        await exchange.write(None, b"late", more=True, flush=True)

    assert await host.ask(writer, serve) == ""
    close = ["HjConnClose"] if refused is None else []
    assert writer.names == ["Header", "SyncHeader", "Write", "HijackResponse", *close]
    assert writer.written == [b"a part"]


async def test_an_abort_within_a_length_sends_less(host: Requested) -> None:
    writer = host.writer()

    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(length=100), b"a part", more=True, flush=False)
        exchange.abort(Abort.TOO_SHORT)
        await exchange.write(None, bytes(94), more=False, flush=False)

    assert await host.ask(writer, serve) == ""
    assert writer.names == ["Header", "SyncHeader", "Write"]
    assert writer.written == [b"a part"]


async def test_an_answer_that_nobody_took_is_an_error(
    host: Requested, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an error the client would get an empty 200."""

    async def serve(exchange: NetRPCExchange) -> None:
        await exchange.write(head(), b"all", more=False, flush=False)

    monkeypatch.setattr(dials, "DIAL_TIMEOUT", 0.05)
    writer = host.writer()
    host.host.link.withdraw(writer.number)
    assert await host.ask(writer, serve) == PLUGIN_FAILED
    assert writer.calls == []


async def test_a_request_that_cannot_be_read_is_refused(
    host: Requested, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(exchange: NetRPCExchange) -> None:
        raise AssertionError("served")

    length = "9" * 5000  # more digits than int() takes
    writer, body = host.writer(), BytePipe()
    number = host.host.link.offer(body)
    refused = await host.ask(writer, serve, number, Header={"Content-Length": [length]})
    assert refused == PLUGIN_FAILED
    for offered in (writer.number, number):  # both were dialled: the host waits 5 s for each
        assert not host.host.link.withdraw(offered)
    body.close()
    assert "the request cannot be read" in caplog.text
