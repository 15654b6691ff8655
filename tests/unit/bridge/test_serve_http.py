"""serve_http.py reads and writes what protobuf does, and refuses what protobuf refuses."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.bridge.response import ResponseHead
from mm_asgi.bridge.scope import Mount, build_http
from mm_asgi.bridge.serve_http import (
    BodyMessage,
    GRPCExchange,
    RequestParser,
    encode_field,
    encode_head,
    encode_response,
    header_fields,
)
from mm_asgi.protocol.hooks_common_pb2 import PluginContext
from mm_asgi.protocol.hooks_http_pb2 import (
    HTTPHeader,
    ServeHTTPRequest,
    ServeHTTPRequestInit,
    ServeHTTPResponse,
    ServeHTTPResponseInit,
)
from mm_asgi.protocol.hooks_http_read_pb2 import ServeHTTPRequest as ReadRequest
from tests.wire.memory import MemoryStream

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
        (header.key.encode(), [value.encode() for value in header.values])
        for header in sent.init.headers
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


# ---------------------------------------------------------------- the exchange


def exchange_of(init: ServeHTTPRequestInit) -> GRPCExchange:
    first = ServeHTTPRequest(init=init)
    return GRPCExchange(MemoryStream(), ReadRequest.FromString(first.SerializeToString()))


@given(init=INITS, underscores=st.booleans(), root_path=st.sampled_from([None, "/mm/plugins/x"]))
def test_the_scope_with_kept_headers_is_the_one_of_the_facts(
    init: ServeHTTPRequestInit, underscores: bool, root_path: str | None
) -> None:
    mount = Mount("demo", root_path, None, underscores)
    exchange = exchange_of(init)
    for _ in range(2):  # read, then kept
        assert exchange.scope(mount, {"a": 1}) == build_http(exchange.request, mount, {"a": 1})


@pytest.mark.parametrize("size", [1, 200])
def test_a_kept_header_is_kept_apart_for_each_setting(size: int) -> None:
    header = HTTPHeader(key="X_Trace", values=["v" * size])
    exchange = exchange_of(ServeHTTPRequestInit(url="/", headers=[header]))
    for _ in range(2):
        for underscores, headers in ((True, [(b"x_trace", b"v" * size)]), (False, [])):
            built = exchange.scope(Mount("demo", underscores=underscores), {})
            assert built.scope["headers"] == headers


def test_a_request_that_was_not_read_has_no_name_of_its_own() -> None:
    exchange = exchange_of(ServeHTTPRequestInit(method="POST", url="/a?b=SECRET"))
    assert exchange.name == "ServeHTTP"
    exchange.scope(Mount("demo"), {})
    assert exchange.name == "POST /plugins/demo/a"


def test_there_is_no_connection_to_take_over() -> None:
    assert exchange_of(ServeHTTPRequestInit()).upgrade() is None


# ---------------------------------------------------------------- responses

FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"x-a", b"set-cookie", b"x" * 127, b"x" * 128]),
        TEXTS.map(str.encode) | st.binary(max_size=80),
    ),
    max_size=4,
)
HEADS = st.builds(
    ResponseHead,
    status=st.integers(200, 999),
    headers=FIELDS,
    length=st.none() | st.integers(0, 10**18 - 1),
    bodiless=st.just(False),  # these three are not for the wire
    head_request=st.just(False),
    sets_cookies=st.just(False),
)
CHUNKS = st.binary(max_size=20) | st.sampled_from([127, 128, 4096, 4097, 65536]).map(bytes)


def as_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def as_message(head: ResponseHead | None) -> ServeHTTPResponseInit | None:
    """The init as protobuf objects."""
    if head is None:
        return None
    headers = [HTTPHeader(key=k.decode(), values=[as_text(v)]) for k, v in head.headers]
    if head.length is not None:
        headers.append(HTTPHeader(key="content-length", values=[str(head.length)]))
    return ServeHTTPResponseInit(status_code=head.status, headers=headers)


@given(head=st.none() | HEADS, chunk=CHUNKS, view=st.booleans(), complete=st.booleans(),
       flush=st.booleans())  # fmt: skip
def test_any_response_is_written_as_protobuf_writes_it(
    head: ResponseHead | None, chunk: bytes, view: bool, complete: bool, flush: bool
) -> None:
    encoded = encode_response(
        encode_head(head) if head is not None else b"",
        memoryview(chunk) if view else chunk,
        complete=complete,
        flush=flush,
    )
    whole = ServeHTTPResponse(
        init=as_message(head), body_chunk=chunk, body_complete=complete, flush=flush
    )
    assert encoded.SerializeToString() == whole.SerializeToString()
    assert encoded.size == whole.ByteSize()


@pytest.mark.parametrize("size", [0, 63, 64, 65, 127, 128, 20_000])
def test_a_header_of_any_size_is_an_element_of_headers(size: int) -> None:
    header = HTTPHeader(key="x-a", values=["v" * size])
    init = ServeHTTPResponseInit(headers=[header])
    # An empty string is a value too, which protobuf's repeated fields keep.
    assert encode_field(b"x-a", b"v" * size) == init.SerializeToString()
