"""gRPC's own layer: messages cut from DATA, metadata, time-outs, status."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_asgi.wire.http2.fields import request_head
from mm_asgi.wire.http2.hpack import Decoder, Field
from mm_asgi.wire.http2.rpc import (
    PREFIX,
    MessageReader,
    MessageTooLarge,
    RequestFacts,
    decode_metadata,
    encode_metadata,
    encode_timeout,
    encode_trailers,
    is_grpc,
    read_status,
)
from mm_asgi.wire.port import StatusCode

from .bare import REQUEST

LIMIT = 1000


@settings(deadline=None)
@given(
    messages=st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=LIMIT)), max_size=8),
    cuts=st.lists(st.integers(0, 5000)),
)
def test_messages_come_out_however_they_are_cut(
    messages: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    whole = b"".join(PREFIX.pack(flag, len(body)) + body for flag, body in messages)
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    reader = MessageReader(LIMIT)
    got: list[tuple[int, bytes]] = []
    for start, end in zip(edges, edges[1:], strict=False):
        got += [(flag, bytes(body)) for flag, body in reader.feed(memoryview(whole)[start:end])]
        assert reader.under_way <= max(reader.need, PREFIX.size)
    assert got == messages
    assert (reader.under_way, reader.need) == (0, 0)


@pytest.mark.parametrize("cut", [5, 6, 100])
def test_a_message_that_is_too_large_is_refused_at_its_prefix(cut: int) -> None:
    reader = MessageReader(LIMIT)
    data = PREFIX.pack(0, LIMIT + 1) + bytes(cut - 5)
    assert reader.feed(memoryview(data[:4])) == []
    with pytest.raises(MessageTooLarge) as error:
        reader.feed(memoryview(data[4:]))
    assert error.value.size == LIMIT + 1


@pytest.mark.parametrize(
    "name", ["", ":path", "a b", "a\r\nb", "a:b", "Ä", "te", "grpc-status", "content-type", "a/b"]
)
def test_metadata_names_that_cannot_be_sent(name: str) -> None:
    with pytest.raises(ValueError, match=r"metadata|ascii"):
        encode_metadata([(name, "x")])


@pytest.mark.parametrize("value", ["\n", "ü", b"bytes", "\x7f"])
def test_metadata_values_that_cannot_be_sent(value: str | bytes) -> None:
    with pytest.raises(ValueError, match="metadata"):
        encode_metadata([("x", value)])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.from_regex(r"[0-9a-z_.]{1,9}-bin", fullmatch=True), st.binary())
        | st.tuples(
            st.from_regex(r"x[0-9a-z_.]{1,9}", fullmatch=True),
            st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)),
        )
    )
)
def test_metadata_comes_back(pairs: list[tuple[str, str | bytes]]) -> None:
    assert decode_metadata(encode_metadata(pairs)) == pairs


def test_joined_and_broken_binary_metadata() -> None:
    fields = [(b"a-bin", b"YQ,YmM=,?"), (b"b-bin", b"A"), (b"te", b"trailers")]
    assert decode_metadata(fields) == [("a-bin", b"a"), ("a-bin", b"bc"), ("a-bin", b"")]


@settings(deadline=None)
@given(st.sampled_from(StatusCode), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_status_comes_back(code: StatusCode, text: str) -> None:
    fields = Decoder(10**6).decode(encode_trailers(code, text, (), only=True))
    assert read_status(fields[2:]) == (code, text)
    for _, value in fields:
        assert value == value.strip(b" ")
        assert all(0x20 <= octet <= 0x7E for octet in value)


@pytest.mark.parametrize(
    ("value", "code"), [(b"0", 0), (b"16", 16), (b"17", 2), (b"-1", 2), (b"007", 2), (b"", 2)]
)
def test_odd_statuses(value: bytes, code: int) -> None:
    assert read_status([(b"grpc-status", value)]) == (StatusCode(code), "")
    assert read_status([(b"x", value)]) is None


@settings(deadline=None)
@given(st.floats(0, 3600 * 10**7))
def test_a_timeout_comes_back(seconds: float) -> None:
    encoded = encode_timeout(seconds)
    assert len(encoded) <= 9
    got = facts((b"grpc-timeout", encoded)).timeout
    assert got is not None
    assert math.isclose(got, seconds, rel_tol=1e-4, abs_tol=1e-8)
    assert got > 0


@pytest.mark.parametrize("value", [b"", b"1", b"s", b"-1S", b"123456789S", b"1x", b"1.5S"])
def test_a_malformed_timeout(value: bytes) -> None:
    assert facts((b"grpc-timeout", value)).fault


def facts(*more: Field) -> RequestFacts:
    return RequestFacts(request_head([*REQUEST, *more]))


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc; charset=utf-8", True),
        (b"application/grpc-web", False),
        (b"text/plain", False),
    ],
)
def test_what_grpc_is(kind: bytes, answer: bool) -> None:
    line = REQUEST[:3]
    assert is_grpc(request_head([*line, (b"content-type", kind)])) is answer
    assert not is_grpc(request_head(line))
    assert not is_grpc(request_head([(b":method", b"PUT"), *line[1:], (b"content-type", kind)]))
