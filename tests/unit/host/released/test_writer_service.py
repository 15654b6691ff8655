"""The host's side of one answer: what a plugin may call, in which order calls are served."""

from __future__ import annotations

from typing import Any

import pytest

from mm_asgi.host.http.writer import ResponseWriter
from mm_asgi.host.plugin.log import HostLog
from mm_asgi.host.released.writer_service import WriterService
from mm_asgi.wire.netrpc.rpc_conversation import GobBook, IncomingCall
from mm_asgi.wire.netrpc.shapes import registered_types


class StillAnswer:
    """An Answer that sends nothing on."""

    def __init__(self) -> None:
        self.writer = ResponseWriter("GET")
        self.is_gone = False

    async def pass_on(self) -> bool:
        return False

    def cut(self) -> None:
        self.is_gone = True


class Called:
    """A service, with what its calls are answered."""

    def __init__(self, *, flush: bool = True) -> None:
        self.answer = StillAnswer()
        self.began = 0
        book = GobBook(registered_types())
        answer: Any = self.answer
        log = HostLog(None)
        self.service = WriterService(book, answer, log, flush=flush, on_begin=self._begin)
        self.answers: list[str] = []
        owner: Any = self.service.owner
        owner.reply = lambda call, kind, value: self.answers.append(f"{call.method} done")
        owner.refuse = lambda call, text: self.answers.append(f"{call.method}: {text}")

    def _begin(self) -> None:
        self.began += 1

    def call(self, method: str, value: Any = None) -> None:
        call = IncomingCall(f"Plugin.{method}", len(self.answers) + 1, value)
        self.service._take(call, self.service.owner)

    async def settle(self) -> list[str]:
        worker = self.service._worker
        assert worker is not None
        await worker
        return [text.removeprefix("Plugin.") for text in self.answers]


async def test_an_answer_is_built_from_its_calls() -> None:
    made = Called()
    for method, value in (("SyncHeader", {"X-A": ["1"]}), ("WriteHeader", 201), ("Write", b"hi")):
        made.call(method, value)
        await made.settle()
    assert made.answers == [
        f"Plugin.{name} done" for name in ("SyncHeader", "WriteHeader", "Write")
    ]
    assert (made.answer.writer.started, made.answer.writer.written, made.began) == (True, 2, 1)


async def test_calls_that_were_not_waited_for_are_served_in_the_worst_order() -> None:
    """Go serves each call in a goroutine of its own: who relies on the order is to see it here."""
    made = Called()
    made.call("SyncHeader", {"X-A": ["1"]})
    made.call("WriteHeader", 404)
    made.call("Write", b"hi")
    assert await made.settle() == ["Write done", "WriteHeader done", "SyncHeader done"]


@pytest.mark.parametrize("flush", [True, False])
async def test_a_server_before_flush_refuses_it(*, flush: bool) -> None:
    made = Called(flush=flush)
    made.call("Flush")
    expected = "Flush done" if flush else "Flush: rpc: can't find method Plugin.Flush"
    assert await made.settle() == [expected]


async def test_after_a_hijack_nothing_is_written() -> None:
    made = Called()
    for method, value in (("HijackResponse", None), ("Write", b"hi"), ("HjConnClose", None)):
        made.call(method, value)
        await made.settle()
    assert made.answers[1] == "Plugin.Write: http: connection has been hijacked"
    assert made.answer.is_gone


async def test_a_status_that_is_none_is_refused() -> None:
    made = Called()
    made.call("WriteHeader", 99)
    assert await made.settle() == ["WriteHeader: invalid http status code"]
    assert not made.answer.writer.started


async def test_when_the_handler_has_returned_every_call_is_refused() -> None:
    made = Called()
    await made.service.end()
    made.call("Write", b"hi")
    assert made.answers == ["Plugin.Write: http: the handler has returned"]
