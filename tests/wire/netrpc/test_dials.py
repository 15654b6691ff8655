"""Dials that come later than their offer: kept alive by the link, and given to their owner."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from mm_asgi.wire.netrpc import dials
from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.gob_types import BOOL
from mm_asgi.wire.netrpc.stream_owner import StreamOwner

from .live_host import PathListener, Running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mm_asgi.wire.netrpc.yamux_stream import MuxStream

pytestmark = pytest.mark.skipif(
    not dials.__file__.endswith(".py"), reason="the tests change what is compiled"
)


class Offered(StreamOwner):
    """What the host offers: says when it was dialled, and when its bytes are here."""

    def __init__(self) -> None:
        self.dialled = asyncio.Event()
        self.ended = asyncio.Event()
        self.bytes = b""

    def stream_opened(self, stream: MuxStream) -> None:
        self.stream = stream
        self.dialled.set()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.bytes += data

    def stream_ended(self, *, whole: bool) -> None:
        self.ended.set()


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(dials, "EXPECTED", 0.01)
    made = Running(PathListener(tmp_path / "s"))
    await made.endpoint.start(made.listener)
    await made.begin()
    yield made
    made.host.close()
    await made.endpoint.stop(1)
    await made.host.closed


async def expected(running: Running, count: int = 1) -> list[tuple[int, Offered]]:
    """Offers of the host that the link has dialled, each for somebody who comes later."""
    offers = []
    for _ in range(count):
        offered = Offered()
        number = running.host.offer(offered)
        running.session.link.expect(number)
        offers.append((number, offered))
    for _, offered in offers:
        await offered.dialled.wait()
    return offers


async def test_an_expected_offer_is_dialled_before_its_owner_is_there(running: Running) -> None:
    [(number, offered)] = await expected(running)
    pipe = BytePipe(first=b"first ")
    running.session.link.dial(number, pipe)
    pipe.write(b"and more")
    await pipe.wait_taken()
    pipe.close()
    await offered.ended.wait()
    assert offered.bytes == b"first and more"
    assert len(running.session.link._dials) == 0


async def test_one_that_is_dialled_in_time_is_dialled_once(running: Running) -> None:
    offered, pipe = Offered(), BytePipe()
    number = running.host.offer(offered)
    running.session.link.expect(number)
    running.session.link.dial(number, pipe)
    await pipe.wait_taken()
    later = await expected(running, 3)
    assert len(running.session.link.session.streams) == 4 + 1 + len(later)


async def test_what_came_before_its_owner_is_kept_for_it(running: Running) -> None:
    [(number, offered)] = await expected(running)
    assert offered.stream is not None
    offered.stream.write(b"early ")
    offered.stream.write(b"bytes")
    offered.stream.close()
    await running.control.call("Control.Ping", BOOL, True)  # behind it on one connection
    pipe = BytePipe()
    running.session.link.dial(number, pipe)
    found = b""
    while part := await pipe.read():
        found += part
    assert found == b"early bytes"


async def test_one_in_vain_is_ended_by_its_owner(running: Running) -> None:
    [(number, offered)] = await expected(running)
    running.session.link.dial(number, StreamOwner(), fin=True)
    await offered.ended.wait()
    assert len(running.session.link._dials) == 0


async def test_one_that_the_host_reset_is_lost_to_its_owner(running: Running) -> None:
    [(number, offered)] = await expected(running)
    assert offered.stream is not None
    offered.stream.reset()
    await running.control.call("Control.Ping", BOOL, True)  # behind it on one connection
    pipe = BytePipe()
    running.session.link.dial(number, pipe)
    with pytest.raises(ConnectionError):
        await pipe.wait_taken()
    with pytest.raises(ConnectionError):
        await pipe.read()


async def test_without_a_connection_it_is_lost_too(running: Running) -> None:
    number = running.host.offer(StreamOwner())
    running.session.link.expect(number)
    running.session.link.abort()
    await running.session.link.closed
    with pytest.raises(ConnectionError):
        running.session.link.dial(number, BytePipe())


async def test_a_dial_that_the_loop_is_late_for_waits_for_what_came_meanwhile(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """A loop that stood still finds the clock and the acknowledgement at once, in any order."""
    caplog.set_level(logging.WARNING)
    loop = asyncio.get_running_loop()
    link = running.session.link
    offered, pipe = Offered(), BytePipe()
    link.dial(running.host.offer(offered), pipe)
    clock = link._dials
    clock._loop = Late(loop)  # type: ignore[assignment]
    clock._look()  # 100 s later, and nothing was read yet
    await pipe.wait_taken()
    assert caplog.records == []


class Late:
    """The loop, a hundred seconds on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.call_later = loop.call_later
        self.call_at = loop.call_at
        self._loop = loop

    def time(self) -> float:
        return self._loop.time() + 100
