"""request.py reads what protobuf reads, and refuses what protobuf refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.bridge.request import BodyMessage, RequestParser, header_fields
from mm_asgi.protocol.hooks_common_pb2 import PluginContext
from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequest, ServeHTTPRequestInit

if TYPE_CHECKING:
    from mm_asgi.protocol.hooks_http_read_pb2 import ServeHTTPRequest as ReadRequest

TEXTS = st.text(max_size=12) | st.sampled_from(["x" * 127, "x" * 128, "\u00fc" * 9000])
HEADERS = st.builds(HTTPHeader, key=TEXTS, values=st.lists(TEXTS, max_size=3))
INITS = st.builds(
    ServeHTTPRequestInit,
    plugin_context=st.none()
    | st.builds(
        PluginContext,
        session_id=TEXTS,
        request_id=TEXTS,
        ip_address=TEXTS,
        accept_language=TEXTS,
        user_agent=TEXTS,
    ),
    method=TEXTS,
    url=TEXTS,
    proto=TEXTS,
    proto_major=st.integers(0, 2**31 - 1),
    proto_minor=st.integers(0, 2**31 - 1),
    headers=st.lists(HEADERS, max_size=4),
    host=TEXTS,
    remote_addr=TEXTS,
    request_uri=TEXTS,
    content_length=st.integers(-1, 2**63 - 1),
)
MESSAGES = st.builds(
    ServeHTTPRequest,
    init=st.none() | INITS,
    body_chunk=st.binary(max_size=20) | st.sampled_from([b"x" * 127, b"x" * 128, b"x" * 20_000]),
    body_complete=st.booleans(),
)


def same(read: BodyMessage | ReadRequest, sent: ServeHTTPRequest) -> None:
    assert read.HasField("init") == sent.HasField("init")
    assert (read.body_chunk, read.body_complete) == (sent.body_chunk, sent.body_complete)
    assert type(read.body_chunk) is bytes
    if isinstance(read, BodyMessage) or not read.HasField("init"):
        return
    for name in ("method", "url", "proto", "host", "remote_addr", "request_uri", "proto_major",
                 "proto_minor", "content_length"):  # fmt: skip
        assert getattr(read.init, name) == getattr(sent.init, name)
    for name in ("session_id", "request_id", "ip_address", "accept_language", "user_agent"):
        assert getattr(read.init.plugin_context, name) == getattr(sent.init.plugin_context, name)
    headers = [header_fields(header) for header in read.init.headers]
    assert headers == [
        (header.key, [value.encode() for value in header.values]) for header in sent.init.headers
    ]


@given(sent=MESSAGES)
def test_any_message_is_read_as_protobuf_reads_it(sent: ServeHTTPRequest) -> None:
    data = sent.SerializeToString()
    same(RequestParser.FromString(data), sent)
    same(RequestParser.FromString(bytearray(data)), sent)


@given(sent=MESSAGES, extra=st.sampled_from([b"\x20\x07", b"\x2a\x02ab", b"\xfa\x07\x01x",
                                             b"\x25abcd", b"\x21abcdefgh"]))  # fmt: skip
def test_fields_of_a_later_host_are_passed_over(sent: ServeHTTPRequest, extra: bytes) -> None:
    data = extra + sent.SerializeToString() + extra
    assert ServeHTTPRequest.FromString(data).body_chunk == sent.body_chunk
    same(RequestParser.FromString(data), sent)


@given(data=st.binary(max_size=40) | st.builds(
    lambda sent, cut: sent.SerializeToString()[:cut], MESSAGES, st.integers(0, 60)))  # fmt: skip
def test_what_protobuf_refuses_is_refused_and_nothing_else_raises(data: bytes) -> None:
    try:
        ServeHTTPRequest.FromString(data)
    except DecodeError:
        good = False
    else:
        good = True
    try:
        read = RequestParser.FromString(data)
        for header in read.init.headers if read.init is not None else ():
            header_fields(header)
    except DecodeError:
        return  # a header with a field of a later host is refused, which protobuf passes over
    assert good


@pytest.mark.parametrize(
    "data",
    [b"\x0a", b"\x0a\x05ab", b"\x12\x7f", b"\x0a\x02\x12\x05", b"\x18", b"\x0f\x01", b"\x02\x00",
     b"\x0a\x04\x12\x02\xff\xfe", b"\x18" + b"\xff" * 11],
)  # fmt: skip
def test_broken_messages(data: bytes) -> None:
    with pytest.raises(DecodeError):
        ServeHTTPRequest.FromString(data)
    with pytest.raises(DecodeError):
        RequestParser.FromString(data)


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05ab", b"\x12\x02\xff\xfe", b"\x0a\x01\xff"])
def test_broken_headers(data: bytes) -> None:
    with pytest.raises(DecodeError):
        HTTPHeader.FromString(data)
    with pytest.raises(DecodeError):
        header_fields(data)
