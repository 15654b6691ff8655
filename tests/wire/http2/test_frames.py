"""Frames against the ``hyperframe`` library, both ways."""

from __future__ import annotations

from typing import Any

import pytest
from hyperframe import frame as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_asgi.wire.http2 import frames
from mm_asgi.wire.http2.frames import ErrorCode, FrameType, SettingID

from .bare import parse

stream_ids = st.integers(1, frames.MAX_STREAM_ID)
words = st.integers(0, 2**31 - 1)


def read(data: bytes) -> Any:
    """What the library reads, which has to be all of it."""
    found, length = reference.Frame.parse_frame_header(memoryview(data[:9]))
    found.parse_body(memoryview(data[9 : 9 + length]))
    assert len(data) == 9 + length
    return found


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(SettingID), words))
def test_settings(values: dict[SettingID, int]) -> None:
    got = read(frames.settings(values))
    assert (type(got), got.settings, got.flags) == (reference.SettingsFrame, values, set())


@settings(deadline=None)
@given(stream_ids, st.sampled_from(ErrorCode), words, st.binary(min_size=8, max_size=8))
def test_small_frames(stream_id: int, code: ErrorCode, number: int, payload: bytes) -> None:
    got = read(frames.reset(stream_id, code))
    assert (type(got), got.stream_id, got.error_code) == (reference.RstStreamFrame, stream_id, code)
    got = read(frames.window_update(stream_id, number or 1))
    assert (type(got), got.window_increment) == (reference.WindowUpdateFrame, number or 1)
    for ack in (False, True):
        got = read(frames.ping(payload, ack=ack))
        assert (type(got), got.opaque_data) == (reference.PingFrame, payload)
        assert ("ACK" in got.flags) is ack
    got = read(frames.go_away(number, code, "ü" * 200))
    assert (got.last_stream_id, got.error_code) == (number, code)
    assert got.additional_data == ("ü" * 128).encode()


def test_an_acknowledgement() -> None:
    assert read(frames.SETTINGS_ACK).flags == {"ACK"}
    assert read(frames.frame(FrameType.SETTINGS, 0, 0)).flags == set()


@settings(deadline=None)
@given(stream_ids, st.binary(max_size=200), st.booleans(), st.integers(1, 70))
def test_a_block_is_split_at_the_limit(stream_id: int, block: bytes, end: bool, limit: int) -> None:
    data = frames.headers(stream_id, block, end=end, limit=limit)
    parts = parse(data)
    assert b"".join(part.payload for part in parts) == block
    assert all(len(part.payload) <= limit for part in parts)
    assert [part.kind for part in parts] == [1] + [9] * (len(parts) - 1)
    assert len(parts) == max(1, -(-len(block) // limit))
    offset = 0
    for number, part in enumerate(parts):
        got = read(data[offset : offset + 9 + len(part.payload)])
        offset += 9 + len(part.payload)
        assert got.stream_id == stream_id
        assert ("END_STREAM" in got.flags) == (end and number == 0)
        assert ("END_HEADERS" in got.flags) == (number == len(parts) - 1)


@pytest.mark.parametrize("kind", FrameType)
def test_the_numbers_are_the_rfcs(kind: FrameType) -> None:
    assert (
        reference.FRAMES[kind].__name__.lower().startswith(kind.name.replace("_", "").lower()[:4])
    )
