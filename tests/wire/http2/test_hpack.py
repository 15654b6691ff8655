"""HPACK: RFC 7541's own examples, and the ``hpack`` library in both directions."""

from __future__ import annotations

import itertools

import hpack as reference
import pytest
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_asgi.wire.http2 import hpack, huffman
from mm_asgi.wire.http2.hpack import Decoder, Field, HeaderListTooLarge, HPACKError

PLENTY = 10**6

# RFC 7541 appendix C: an example is a list of blocks for one decoder, each with its fields and the
# size of the dynamic table after it.
Example = list[tuple[str, list[tuple[str, str]], int]]
_GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")]
_SECURE = [(":method", "GET"), (":scheme", "https"), (":path", "/index.html"),
           (":authority", "www.example.com"), ("custom-key", "custom-value")]  # fmt: skip
_REQUESTS = [_GET, [*_GET, ("cache-control", "no-cache")], _SECURE]
_DATE = "Mon, 21 Oct 2013 20:13:2{} GMT"
_COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"


def _response(status: str, second: int, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [(":status", status), ("cache-control", "private"), ("date", _DATE.format(second)),
            ("location", "https://www.example.com"), *more]  # fmt: skip


_RESPONSES = [_response("302", 1), _response("307", 1),
              _response("200", 2, ("content-encoding", "gzip"), ("set-cookie", _COOKIE))]  # fmt: skip

EXAMPLES: dict[str, tuple[int, Example]] = {
    "C.2.1": (4096, [("400a637573746f6d2d6b65790d637573746f6d2d686561646572",
                      [("custom-key", "custom-header")], 55)]),
    "C.2.2": (4096, [("040c2f73616d706c652f70617468", [(":path", "/sample/path")], 0)]),
    "C.2.3": (4096, [("100870617373776f726406736563726574", [("password", "secret")], 0)]),
    "C.2.4": (4096, [("82", [(":method", "GET")], 0)]),
    "C.3": (4096, [
        ("828684410f7777772e6578616d706c652e636f6d", _REQUESTS[0], 57),
        ("828684be58086e6f2d6361636865", _REQUESTS[1], 110),
        ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", _REQUESTS[2], 164),
    ]),
    "C.4": (4096, [
        ("828684418cf1e3c2e5f23a6ba0ab90f4ff", _REQUESTS[0], 57),
        ("828684be5886a8eb10649cbf", _REQUESTS[1], 110),
        ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", _REQUESTS[2], 164),
    ]),
    "C.5": (256, [
        ("4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d"
         "546e1768747470733a2f2f7777772e6578616d706c652e636f6d", _RESPONSES[0], 222),
        ("4803333037c1c0bf", _RESPONSES[1], 222),
        ("88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f"
         "6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b"
         "2076657273696f6e3d31", _RESPONSES[2], 215),
    ]),
    "C.6": (256, [
        ("488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad17186"
         "3c78f0b97c8e9ae82ae43d3", _RESPONSES[0], 222),
        ("4883640effc1c0bf", _RESPONSES[1], 222),
        ("88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335"
         "dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
         _RESPONSES[2], 215),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_rfc(name: str) -> None:
    capacity, blocks = EXAMPLES[name]
    decoder = Decoder(PLENTY, capacity)
    for block, fields, size in blocks:
        assert decoder.decode(bytes.fromhex(block)) == [
            (field.encode(), value.encode()) for field, value in fields
        ]
        assert decoder._size == size
        assert size == sum(len(n) + len(v) + 32 for n, v in decoder._table)


@pytest.mark.parametrize(
    ("value", "mask", "encoded"),
    [(10, 0x1F, "0a"), (1337, 0x1F, "1f9a0a"), (42, 0xFF, "2a"), (31, 0x1F, "1f00")],
)
def test_the_integers_of_the_rfc(value: int, mask: int, encoded: str) -> None:
    """Appendix C.1."""
    octets = bytes.fromhex(encoded)
    assert hpack._integer(octets, 0, mask) == (value, len(octets))
    assert hpack._number(value, 0, mask) == octets


# ---------------------------------------------------------------- against the library

names = st.sampled_from([b"x", b"accept", b":path", b"cookie", b"grpc-timeout"]) | st.binary(
    max_size=20
)
field_lists = st.lists(st.tuples(names, st.binary(max_size=60)), max_size=12)


@settings(deadline=None)
@given(
    blocks=st.lists(st.tuples(field_lists, st.booleans(), st.none() | st.integers(0, 4096))),
)
def test_what_the_library_encodes(
    blocks: list[tuple[list[Field], bool, int | None]],
) -> None:
    encoder = reference.Encoder()
    decoder = Decoder(PLENTY)
    for fields, huffman_coded, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        before = decoder.changes
        block = encoder.encode(fields, huffman=huffman_coded)
        assert decoder.decode(block) == fields
        table = [(bytes(n), bytes(v)) for n, v in encoder.header_table.dynamic_entries]
        assert decoder._table == table
        assert decoder._size == encoder.header_table._current_size
        if decoder.changes == before:  # such a block always means the same
            assert decoder.decode(block) == fields


@settings(deadline=None)
@given(blocks=st.lists(field_lists))
def test_what_the_library_decodes(blocks: list[list[Field]]) -> None:
    decoder = reference.Decoder(max_header_list_size=PLENTY)
    own = Decoder(PLENTY)
    for fields in blocks:
        block = hpack.encode(fields)
        assert [tuple(field) for field in decoder.decode(block, raw=True)] == fields
        assert own.decode(block) == fields
        assert own.changes == 0


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_bytes_of_any_kind(block: bytes) -> None:
    """Either both refuse them or both read the same."""
    decoder = reference.Decoder(max_header_list_size=PLENTY)
    try:
        expected = [tuple(field) for field in decoder.decode(block, raw=True)]
    except reference.HPACKError:
        expected = None
    except Exception:  # noqa: BLE001  the library fails in other ways too
        expected = None
    try:
        got = Decoder(PLENTY).decode(block)
    except HPACKError:
        return
    if expected is not None:
        assert got == expected


# ---------------------------------------------------------------- refused

REFUSED = {
    "index 0": "80",
    "an index that is nowhere": "be",
    "a name that is nowhere": "7e0161",
    "cut in an index": "ff",
    "cut in a name": "4003",
    "cut in a value": "4001610561",
    "a literal without a value": "400161",
    "an integer over 35 bits": "ff" + "80" * 5 + "01",
    "a string longer than the block": "007fffffffff0f",
    "a table over the limit": "3fe21f",
    "a size update after a field": "8220",
    "EOS": "400161" + "84ffffffff",
    "eight bits of padding": "400161" + "82" + "1fff",
    "padding of zeros": "400161" + "81" + "18",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_decoded(name: str) -> None:
    with pytest.raises(HPACKError):
        Decoder(PLENTY).decode(bytes.fromhex(REFUSED[name]))


def test_size_updates_come_first_and_may_be_two() -> None:
    decoder = Decoder(PLENTY)
    decoder.decode(bytes.fromhex("40016101624001630164"))
    assert len(decoder._table) == 2
    decoder.decode(bytes.fromhex("203fe11f82"))
    assert (decoder._table, decoder._size, decoder._capacity) == ([], 0, 4096)
    decoder.decode(bytes.fromhex("3f00"))
    assert decoder._capacity == 31


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = Decoder(PLENTY, 100)
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder._size == 34
    decoder.decode(b"\x40\x01a\x64" + b"y" * 100)
    assert (decoder._table, decoder._size) == ([], 0)


def test_a_list_over_the_limit_still_moves_the_table() -> None:
    decoder = Decoder(100)
    with pytest.raises(HeaderListTooLarge, match="136 bytes"):
        decoder.decode(b"\x40\x01a\x01b" * 4)
    assert len(decoder._table) == 4
    assert decoder.decode(b"\xbe\xbf") == [(b"a", b"b")] * 2


# ---------------------------------------------------------------- Huffman


def test_the_code_is_the_libraries() -> None:
    assert huffman.LENGTHS == tuple(REQUEST_CODES_LENGTH)
    for symbol, (code, length) in enumerate(zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)):
        if symbol == huffman.EOS:
            continue
        bits = f"{code:0{length}b}"
        whole = bits + "1" * (-length % 8)
        assert huffman.decode(int(whole, 2).to_bytes(len(whole) // 8, "big")) == bytes((symbol,))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_huffman_comes_back(data: bytes) -> None:
    encoder = reference.huffman.HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
    assert huffman.decode(encoder.encode(data)) == data


def test_short_strings_of_any_bits() -> None:
    """All strings of two bytes: a string is refused, or its code is what it was read from."""
    encoder = reference.huffman.HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
    accepted = 0
    for first, second in itertools.product(range(256), repeat=2):
        data = bytes((first, second))
        try:
            text = huffman.decode(data)
        except huffman.HuffmanError:
            continue
        accepted += 1
        assert encoder.encode(text) == data
    assert 5_000 < accepted < 60_000
