"""A request's body: parts by permission, an end that a length proves, and streams that end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mm_asgi.netrpc.request_body import RequestBody
from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.gob_types import BOOL
from mm_asgi.wire.netrpc.permits import ALL, WIDER
from mm_asgi.wire.netrpc.yamux_frames import INITIAL_WINDOW
from tests.wire.netrpc.memory_host import MemoryHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Sender:
    """A host that offers a body."""

    def __init__(self, host: MemoryHost) -> None:
        self.host = host
        self.pipe = BytePipe()
        self.number = host.link.offer(self.pipe)

    def body(self, length: int = -1, method: str = "POST") -> RequestBody:
        return RequestBody(self.host.session.link, self.number, length, method)

    async def turn(self) -> None:
        """Return when the plugin has all that was sent to it, and the host its answers."""
        for _ in range(2):
            await self.host.control.call("Control.Ping", BOOL, True)

    async def permitted(self) -> None:
        permit = b""
        while len(permit) < len(ALL):
            permit += await self.pipe.read()
        assert permit == ALL


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    host = await MemoryHost().begin()
    made = Sender(host)
    yield made
    if host.session.link.is_open:
        await made.turn()
        assert len(host.session.link.session.streams) == 4  # the connection's own
    await host.end()


async def test_parts_come_after_the_first_read_alone(sender: Sender) -> None:
    body = sender.body()
    await sender.turn()
    assert sender.pipe.stream is not None  # dialled at once: the host waits 5 s
    assert sender.pipe.take() is None
    reading = asyncio.ensure_future(body.read())
    await sender.permitted()
    sender.pipe.write(b"one")
    assert await reading == (b"one", True)
    sender.pipe.write(b"two")
    assert await body.read() == (b"two", True)
    sender.pipe.close()
    assert await body.read() == (b"", False)
    assert await body.read() is None
    assert sender.pipe.take() is None  # permitted once
    body.close()


async def test_a_length_ends_a_body(sender: Sender) -> None:
    body = sender.body(6)
    reading = asyncio.ensure_future(body.read())
    await sender.permitted()
    sender.pipe.write(b"abc")
    assert await reading == (b"abc", True)
    sender.pipe.write(b"def")
    assert await body.read() == (b"def", False)  # and does not wait for the stream's end
    assert await body.read() is None
    body.close()
    assert await sender.pipe.read() == b""
    sender.pipe.close()


@pytest.mark.parametrize("whole", [True, False])
async def test_fewer_bytes_than_declared_are_a_cut(sender: Sender, *, whole: bool) -> None:
    body = sender.body(6)
    reading = asyncio.ensure_future(body.read())
    await sender.permitted()
    sender.pipe.write(b"abc")
    assert await reading == (b"abc", True)
    if whole:
        sender.pipe.close()
    else:
        sender.pipe.reset()
    assert await body.read() is None
    assert await body.read() is None
    body.close()


async def test_a_reset_is_a_cut_without_a_length_too(sender: Sender) -> None:
    body = sender.body()
    reading = asyncio.ensure_future(body.read())
    await sender.permitted()
    sender.pipe.reset()
    assert await reading is None
    body.close()


@pytest.mark.parametrize(
    ("length", "method"), [(0, "POST"), (-1, "GET"), (-1, "HEAD")], ids=["empty", "get", "head"]
)
async def test_no_body_is_closed_in_one_frame(sender: Sender, length: int, method: str) -> None:
    body = sender.body(length, method)
    assert await body.read() == (b"", False)
    assert await body.read() is None
    assert await sender.pipe.read() == b""
    sender.pipe.close()


async def test_a_get_with_a_length_has_a_body(sender: Sender) -> None:
    body = sender.body(3, "GET")
    reading = asyncio.ensure_future(body.read())
    await sender.permitted()
    sender.pipe.write(b"abc")
    assert await reading == (b"abc", False)
    body.close()
    sender.pipe.close()


@pytest.mark.parametrize(
    ("length", "window"),
    [
        (-1, INITIAL_WINDOW + WIDER),
        (INITIAL_WINDOW + 1, INITIAL_WINDOW + WIDER),
        (INITIAL_WINDOW, INITIAL_WINDOW),
    ],
    ids=["unknown", "large", "small"],
)
async def test_what_comes_unread_is_bounded(sender: Sender, length: int, window: int) -> None:
    body = sender.body(length)
    reading = asyncio.ensure_future(body.read())
    await sender.permitted()
    await sender.turn()
    assert sender.pipe.stream is not None
    assert sender.pipe.stream.send_window == window - 4  # the acknowledgement of the dial
    reading.cancel()
    body.close()
    sender.pipe.close()


async def test_an_unread_body_is_closed(sender: Sender) -> None:
    body = sender.body(3)
    body.close()
    body.close()
    assert await body.read() is None
    assert await sender.pipe.read() == b""  # its end, and no permission
    sender.pipe.close()


async def test_who_reads_when_the_request_ends_waits_no_more(sender: Sender) -> None:
    body = sender.body()
    readers = [asyncio.ensure_future(body.read()) for _ in range(2)]
    await sender.permitted()
    body.close()
    assert await asyncio.gather(*readers) == [None, None]
    sender.pipe.close()


async def test_two_readers_get_parts_of_their_own(sender: Sender) -> None:
    body = sender.body(6)
    first, second = (asyncio.ensure_future(body.read()) for _ in range(2))
    await sender.permitted()
    sender.pipe.write(b"abc")
    assert await first == (b"abc", True)
    sender.pipe.write(b"def")
    assert await second == (b"def", False)
    body.close()
    sender.pipe.close()


async def test_a_cancelled_reader_loses_nothing(sender: Sender) -> None:
    body = sender.body(3)
    reading = asyncio.ensure_future(body.read())
    await sender.permitted()
    reading.cancel()
    sender.pipe.write(b"abc")
    assert await body.read() == (b"abc", False)
    assert sender.pipe.take() is None  # permitted once
    body.close()
    sender.pipe.close()


async def test_a_body_is_gone_with_its_host(sender: Sender) -> None:
    sender.host.link.close()
    await sender.host.session.link.closed
    assert await sender.body(3).read() is None
