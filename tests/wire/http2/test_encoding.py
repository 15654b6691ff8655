"""gzip, by whoever means harm."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from mm_asgi.wire.http2.encoding import EncodingError, deflate, inflate
from mm_asgi.wire.http2.rpc import MessageTooLarge

MEBIBYTE = 2**20
# Without the time of day: it is in the names of the tests.
PACKED = gzip.compress(b"x", mtime=0)


@pytest.mark.parametrize("data", [b"", b"x", b"y" * MEBIBYTE])
def test_what_was_deflated_comes_back(data: bytes) -> None:
    assert inflate(deflate(data), MEBIBYTE) == data
    assert inflate(bytearray(gzip.compress(data)), MEBIBYTE) == data


def test_a_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(bytes(200 * MEBIBYTE))
    tracemalloc.start()
    try:
        with pytest.raises(MessageTooLarge):
            inflate(bomb, MEBIBYTE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MEBIBYTE


def test_a_message_may_have_members_but_not_without_end() -> None:
    member = gzip.compress(b"x")
    assert inflate(member * 16, 100) == b"x" * 16
    with pytest.raises(EncodingError, match="more than 16 members"):
        inflate(member * 17, 100)
    with pytest.raises(EncodingError, match="more than 16 members"):
        inflate(gzip.compress(b"") * 100_000, MEBIBYTE)
    with pytest.raises(MessageTooLarge):
        inflate(member * 16, 15)


@pytest.mark.parametrize("data", [b"", b"x", PACKED[:-1], PACKED + b"rubbish", b"\x1f\x8b"])
def test_what_is_no_gzip(data: bytes) -> None:
    with pytest.raises(EncodingError):
        inflate(data, MEBIBYTE)
