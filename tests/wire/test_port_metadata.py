"""The conformance suite's fourth part: metadata of both sides, and details of a status."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mm_asgi.wire.port import StatusCode

from .roads import blocked_writers, collect, message, number

if TYPE_CHECKING:
    from mm_asgi.wire.port import Metadata

    from .roads import Road

# Repeated names, bytes that base64 has to carry, and all that a text may hold.
METADATA: Metadata = (
    ("x-text", "".join(map(chr, range(0x21, 0x7F)))),
    ("x-twice", "one"),
    ("x-raw-bin", bytes(range(256))),
    ("x-twice", "two, three"),
    ("x-empty-bin", b""),
)
DETAILS = ("grpc-status-details-bin", b"\x08\x05\x12\x04text")


def in_names_order(metadata: Metadata) -> list[tuple[str, str | bytes]]:
    """gRPC promises the order of one name's values only."""
    return sorted(metadata, key=lambda pair: pair[0])


async def test_initial_metadata_leaves_ahead_of_any_message(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    stream.send_metadata(METADATA)
    assert in_names_order(await peer.initial_metadata()) == in_names_order(METADATA)
    await stream.write(message(1))
    assert number(await peer.receive()) == 1
    stream.finish()
    assert await peer.ended() == (StatusCode.OK, "")
    assert peer.trailing_metadata() == ()


async def test_only_the_first_initial_metadata_counts(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    stream.send_metadata([("x-one", "1")])
    stream.send_metadata([("x-two", "2")])
    assert await peer.initial_metadata() == (("x-one", "1"),)
    stream.finish()
    assert await peer.ended() == (StatusCode.OK, "")


async def test_after_the_first_message_initial_metadata_is_ignored(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    writing = asyncio.create_task(stream.write(message(1)))
    await asyncio.sleep(0)
    stream.send_metadata([("x-late", "1")])
    assert number(await peer.receive()) == 1
    await writing
    stream.send_metadata([("x-late", "1")])
    assert await peer.initial_metadata() == ()
    stream.finish([("x-end", "1")])
    assert await peer.ended() == (StatusCode.OK, "")
    stream.send_metadata([("x-late", "1")])
    assert peer.trailing_metadata() == (("x-end", "1"),)


async def test_metadata_in_one_turn_of_the_loop(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    stream.send_metadata([("x-first", "1")])
    writing = asyncio.create_task(stream.write(message(1)))
    await asyncio.sleep(0)
    stream.finish([("x-last", "2")])
    assert await collect(peer) == [1]
    await writing
    assert await peer.ended() == (StatusCode.OK, "")
    assert await peer.initial_metadata() == (("x-first", "1"),)
    assert peer.trailing_metadata() == (("x-last", "2"),)


@pytest.mark.parametrize("messages", [0, 1])
@pytest.mark.parametrize("code", [StatusCode.OK, StatusCode.FAILED_PRECONDITION])
async def test_trailing_metadata_comes_with_the_status(
    road: Road, code: StatusCode, messages: int
) -> None:
    await road.start({})
    peer, stream = await road.pair()
    for i in range(messages):
        await stream.write(message(i))
    assert peer.trailing_metadata() == ()
    if code:
        stream.abort(code, "text", (*METADATA, DETAILS))
    else:
        stream.finish((*METADATA, DETAILS))
    assert await collect(peer) == list(range(messages))
    assert await peer.ended() == (code, "text" if code else "")
    assert in_names_order(peer.trailing_metadata()) == in_names_order((DETAILS, *METADATA))
    assert await peer.initial_metadata() == ()


async def test_only_the_first_ends_metadata_counts(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    stream.abort(StatusCode.ABORTED, "text", [("x-one", "1")])
    stream.abort(StatusCode.DATA_LOSS, "late", [("x-two", "2")])
    stream.finish([("x-three", "3")])
    assert await peer.ended() == (StatusCode.ABORTED, "text")
    assert peer.trailing_metadata() == (("x-one", "1"),)


@pytest.mark.parametrize("code", [StatusCode.OK, StatusCode.ABORTED])
async def test_initial_metadata_is_not_lost_to_an_end_at_once(road: Road, code: StatusCode) -> None:
    await road.start({})
    peer, stream = await road.pair()
    stream.send_metadata([("x-first", "1")])
    if code:
        stream.abort(code, "text", [DETAILS])
    else:
        stream.finish([DETAILS])
    assert await peer.ended() == (code, "text" if code else "")
    assert await peer.initial_metadata() == (("x-first", "1"),)
    assert peer.trailing_metadata() == (DETAILS,)


async def test_metadata_after_an_end_that_dropped_messages(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    stream.send_metadata([("x-first", "1")])
    writers = await blocked_writers(stream)
    stream.abort(StatusCode.ABORTED, "enough", [DETAILS])
    assert await peer.ended() == (StatusCode.ABORTED, "enough")
    assert await peer.initial_metadata() == (("x-first", "1"),)
    assert peer.trailing_metadata() == (DETAILS,)
    await asyncio.gather(*writers)


async def test_metadata_that_changes_after_the_call(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    first, last = [("x-first", "1")], [("x-last", "2")]
    stream.send_metadata(first)
    stream.finish(last)
    first.clear()
    last.clear()
    assert await peer.ended() == (StatusCode.OK, "")
    assert await peer.initial_metadata() == (("x-first", "1"),)
    assert peer.trailing_metadata() == (("x-last", "2"),)


async def test_a_peer_that_left_gets_no_metadata_of_ours(road: Road) -> None:
    await road.start({})
    peer, stream = await road.pair()
    left = asyncio.Event()
    stream.on_cancel(left.set)
    peer.cancel()
    await left.wait()
    stream.send_metadata([("x-first", "1")])
    stream.finish([("x-last", "2")])
    assert (await peer.ended())[0] is StatusCode.CANCELLED
    assert await peer.initial_metadata() == ()
    assert peer.trailing_metadata() == ()
