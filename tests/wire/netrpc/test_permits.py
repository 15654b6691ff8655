"""Bodies by permission: what is sent, and read, and where both end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.gob_types import BOOL
from mm_asgi.wire.netrpc.permits import (
    ALL,
    Permits,
    TooMuch,
    read_all,
    read_permitted,
    send_permitted,
)

from .memory_host import MemoryHost
from .mux_pair import cut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def varint(number: int) -> bytes:
    """What Go's binary.PutVarint writes."""
    left = (number << 1) ^ (number >> 63)
    made = bytearray()
    while left >= 0x80:
        made.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*made, left])


# ---------------------------------------------------------------- the numbers


@given(
    st.lists(st.integers(0, 2**63 - 1), max_size=8),
    st.lists(st.integers(1, 12), max_size=4).map(tuple),
)
def test_permissions_are_read_however_they_are_cut(
    numbers: list[int], cuts: tuple[int, ...]
) -> None:
    permits = Permits()
    data = b"".join(varint(number) for number in numbers)
    found = [one for part in cut(data, cuts) for one in permits.receive(part)]
    assert found == numbers


def test_the_largest_permission_is_go_s_own() -> None:
    assert varint(2**63 - 1) == ALL
    assert list(Permits().receive(ALL)) == [2**63 - 1]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (varint(-1), "permission to send -1 bytes, expected 0 or more"),
        (varint(-(2**63)), "permission to send -9223372036854775808 bytes"),
        (b"\xfe" * 9 + b"\x03", "permission to send"),  # 65 bits
        (b"\x80" * 11, "more than ten bytes"),
    ],
)
def test_what_is_no_permission_is_an_error(data: bytes, text: str) -> None:
    with pytest.raises(HostProtocolError, match=text):
        list(Permits().receive(data))


def test_the_error_comes_before_an_eleventh_byte_is_waited_for() -> None:
    permits = Permits()
    assert list(permits.receive(b"\x80" * 9)) == []
    with pytest.raises(HostProtocolError):
        list(permits.receive(b"\x80"))


# ---------------------------------------------------------------- on a stream


class Ends:
    """Both ends of one stream: the plugin's, which offered it, and the host's."""

    def __init__(self, host: MemoryHost) -> None:
        self.host = host
        self.here, self.there = BytePipe(), BytePipe()
        self.number = host.session.link.offer(self.here)

    def dial(self) -> BytePipe:
        self.host.link.dial(self.number, self.there)
        return self.there

    async def take(self, size: int) -> bytes:
        """Read so many bytes at the host."""
        found = b""
        while len(found) < size:
            part = await self.there.read()
            assert part, f"the stream ended after {len(found)} of {size} bytes"
            found += part
        return found


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    host = await MemoryHost().begin()
    yield Ends(host)
    await host.end()


async def settled(host: MemoryHost) -> None:
    """Carry everything that was written to the other side and back."""
    for _ in range(2):
        await host.control.call("Control.Ping", BOOL, True)


async def test_no_more_is_sent_than_permitted(ends: Ends) -> None:
    sent = asyncio.create_task(send_permitted(ends.here, b"0123456789"))
    there = ends.dial()
    await settled(ends.host)
    assert there.take() is None
    for number, part in ((3, b"012"), (0, b""), (5, b"34567")):
        there.write(varint(number))
        assert await ends.take(len(part)) == part
        await settled(ends.host)
        assert there.take() is None
    there.write(varint(4))
    assert await read_all(there, 100) == b"89"
    await sent


async def test_a_body_larger_than_the_window_arrives_whole(ends: Ends) -> None:
    body = bytes(range(256)) * 5000
    sent = asyncio.create_task(send_permitted(ends.here, body))
    ends.dial().write(ALL)
    assert await read_all(ends.there, len(body)) == body
    await sent


async def test_an_empty_body_ends_at_once(ends: Ends) -> None:
    sent = asyncio.create_task(send_permitted(ends.here, b""))
    ends.dial()
    assert await ends.there.read() == b""
    await sent


async def test_a_host_that_has_read_enough_ends_the_sending(ends: Ends) -> None:
    sent = asyncio.create_task(send_permitted(ends.here, b"0123456789"))
    ends.dial().write(varint(4))
    assert await ends.take(4) == b"0123"
    ends.there.close()
    await sent
    assert await ends.there.read() == b""


async def test_a_wrong_permission_ends_the_stream(ends: Ends) -> None:
    sent = asyncio.create_task(send_permitted(ends.here, b"0123456789"))
    ends.dial().write(varint(-1))
    with pytest.raises(HostProtocolError):
        await sent
    with pytest.raises(ConnectionError):
        await ends.there.read()


async def test_a_reset_in_the_middle_is_an_error(ends: Ends) -> None:
    sent = asyncio.create_task(send_permitted(ends.here, bytes(1_000_000)))
    ends.dial().write(ALL)
    await ends.take(1)
    ends.there.reset()
    with pytest.raises(ConnectionError):
        await sent


async def test_a_sender_that_is_cancelled_leaves_nothing_queued(ends: Ends) -> None:
    """A host that has closed its side gives no window back."""
    sent = asyncio.create_task(send_permitted(ends.here, bytes(1_000_000)))
    ends.dial().write(ALL)
    await ends.take(1)
    ends.there.close()
    await settled(ends.host)
    assert ends.here.stream is not None
    assert ends.here.stream.queued
    sent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sent
    assert ends.here.stream.is_over


async def test_a_body_is_read_by_one_permission(ends: Ends) -> None:
    there = ends.dial()
    await ends.here.wait_taken()
    read = asyncio.create_task(read_permitted(ends.here, 10))
    assert await ends.take(len(ALL)) == ALL
    there.write(b"01234")
    there.write(b"56789")
    there.close()
    assert await read == b"0123456789"
    assert await there.read() == b""  # this side ended too


async def test_a_body_over_the_limit_is_stopped(ends: Ends) -> None:
    """The host is not let send the rest of a file that nobody takes."""
    there = ends.dial()
    await ends.here.wait_taken()
    read = asyncio.create_task(read_permitted(ends.here, 10))
    there.write(bytes(1_000_000))
    with pytest.raises(TooMuch, match="more than 10 bytes"):
        await read
    with pytest.raises(ConnectionError):
        await there.drain()


async def test_a_body_of_the_limit_is_taken(ends: Ends) -> None:
    ends.dial().write(bytes(10))
    ends.there.close()
    assert len(await read_all(ends.here, 10)) == 10


async def test_a_body_that_is_reset_is_an_error(ends: Ends) -> None:
    there = ends.dial()
    await ends.here.wait_taken()
    read = asyncio.create_task(read_permitted(ends.here, 10))
    there.write(b"01234")
    await settled(ends.host)
    there.reset()
    with pytest.raises(ConnectionError):
        await read


async def test_a_reader_that_is_cancelled_stops_the_host(ends: Ends) -> None:
    there = ends.dial()
    await ends.here.wait_taken()
    read = asyncio.create_task(read_all(ends.here, 2**40))
    there.write(b"0")
    await settled(ends.host)
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    there.write(bytes(1_000_000))
    with pytest.raises(ConnectionError):
        await there.drain()
