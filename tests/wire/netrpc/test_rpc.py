"""net/rpc without a stream: calls and outcomes by number, errors as values; and the broker."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.broker import MuxBroker, NumberReader, write_number
from mm_asgi.wire.netrpc.gob_types import BYTES, INT, STRING, StructOf
from mm_asgi.wire.netrpc.gob_values import Registered
from mm_asgi.wire.netrpc.rpc_conversation import (
    NOTHING,
    AnswerSide,
    CallSide,
    GobBook,
    IncomingCall,
    Outcome,
)

from .mux_pair import cut
from .shapes import NOTE, REGISTERED

# A machine that is busy is no failure of what is tested.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ARGS = StructOf("Args", [("Text", STRING), ("Count", INT)])

# What Go 1.26's net/rpc client sends first: Plugin.Echo, number 0, Args{"hi", 2}.
GO_CALL = bytes.fromhex(
    "2e7f030101075265717565737401ff80000102010d536572766963654d6574686f64010c00010353657101060000"
    "0010ff80010b506c7567696e2e4563686f0025ff81030101044172677301ff82000102010454657874010c000105"
    "436f756e74010400000009ff8201026869010400"
)


@pytest.fixture
def book() -> GobBook:
    return GobBook(REGISTERED)


def test_go_s_first_call(book: GobBook) -> None:
    expected = [IncomingCall("Plugin.Echo", 0, {"Text": "hi", "Count": 2})]
    assert list(AnswerSide(book).receive(GO_CALL)) == expected
    side = AnswerSide(book)
    assert [call for part in cut(GO_CALL, (3,)) for call in side.receive(part)] == expected


def test_calls_are_answered_in_any_order(book: GobBook) -> None:
    caller, answerer = CallSide(book), AnswerSide(book)
    calls: list[IncomingCall] = []
    for index in range(5):
        number, data = caller.call("Plugin.Echo", ARGS, {"Text": str(index)})
        assert number == index
        calls += answerer.receive(data)
    random.Random(3).shuffle(calls)
    found = {}
    for call in calls:
        for outcome in caller.receive(answerer.reply(call, STRING, call.arguments["Text"])):
            found[outcome.number] = outcome.value
    assert found == {index: str(index) for index in range(5)}
    assert not caller.pending


def test_an_error_is_a_value(book: GobBook) -> None:
    caller, answerer = CallSide(book), AnswerSide(book)
    _, data = caller.call("Plugin.Fail", NOTHING, {})
    (call,) = answerer.receive(data)
    assert call == IncomingCall("Plugin.Fail", 0, {})
    assert list(caller.receive(answerer.refuse(call, "no"))) == [Outcome(0, None, "no")]
    _, data = caller.call("Plugin.Fail", NOTHING, {})
    (call,) = answerer.receive(data)
    # Go takes an empty text for success, and what is no text would end the connection.
    assert list(caller.receive(answerer.refuse(call, ""))) == [Outcome(1, None, "error")]
    _, data = caller.call("Plugin.Fail", NOTHING, {})
    (call,) = answerer.receive(data)
    assert list(caller.receive(answerer.refuse(call, "a\ud800"))) == [Outcome(2, None, "a?")]


def test_a_reply_of_a_wrong_type_leaves_nothing_and_can_be_refused(book: GobBook) -> None:
    caller, answerer = CallSide(book), AnswerSide(book)
    _, data = caller.call("Plugin.Echo", ARGS, {})
    (call,) = answerer.receive(data)
    with pytest.raises(TypeError, match="Args.Count: expected int"):
        answerer.reply(call, ARGS, {"Count": "5"})
    assert list(caller.receive(answerer.refuse(call, "bad"))) == [Outcome(0, None, "bad")]
    _, data = caller.call("Plugin.Echo", ARGS, {})
    (call,) = answerer.receive(data)
    assert list(caller.receive(answerer.reply(call, ARGS, {"Count": 5})))[0].value == {"Count": 5}


def test_a_call_of_a_wrong_type_leaves_nothing(book: GobBook) -> None:
    caller, answerer = CallSide(book), AnswerSide(book)
    with pytest.raises(ValueError, match="Args has no field 'Txt'"):
        caller.call("Plugin.Echo", ARGS, {"Txt": "x"})
    assert not caller.pending
    number, data = caller.call("Plugin.Echo", ARGS, {"Text": "x"})
    assert number == 0
    assert list(answerer.receive(data)) == [IncomingCall("Plugin.Echo", 0, {"Text": "x"})]


@pytest.mark.parametrize("cuts", [(), (5,)])
def test_an_answer_that_was_read_before_is_read_the_same_again(
    book: GobBook, cuts: tuple[int, ...]
) -> None:
    """Streams whose host answers with the same bytes: the second is not read, but looked up."""
    found = []
    for _ in range(3):
        caller, answerer = CallSide(book), AnswerSide(book)
        for expected in ({"Text": "a", "Count": 1}, {"Text": "b"}, {}):
            _, data = caller.call("Plugin.Echo", ARGS, {})
            (call,) = answerer.receive(data)
            reply = answerer.reply(call, ARGS, expected)
            [outcome] = [one for part in cut(reply, cuts) for one in caller.receive(part)]
            assert outcome.value == expected
            found.append(outcome.value)
            outcome.value["Text"] = "changed by who called"
    assert len({id(value) for value in found}) == 9
    assert not caller.pending


def test_a_long_stream_leaves_room_for_the_answers_of_short_ones(book: GobBook) -> None:
    """The API's calls are on one stream, and the bytes of their answers never come again."""
    caller, answerer = CallSide(book), AnswerSide(book)
    short = CallSide(book)
    _, data = short.call("Plugin.Echo", NOTHING, {})
    (call,) = AnswerSide(book).receive(data)
    reply = AnswerSide(book).reply(call, STRING, "a")
    before = short._pairs.reader.scope
    assert list(short.receive(reply)) == [Outcome(0, "a", None)]
    for _ in range(300):
        _, data = caller.call("Plugin.Echo", NOTHING, {})
        (call,) = answerer.receive(data)
        list(caller.receive(answerer.reply(call, NOTHING, {})))
    assert book.answers.find(before, reply) is not None


def test_an_answer_is_looked_up_with_the_types_of_its_own_stream_alone(book: GobBook) -> None:
    caller, answerer = CallSide(book), AnswerSide(book)
    for kind, value in ((ARGS, {"Text": "a"}), (STRING, "s"), (ARGS, {"Text": "a"})):
        _, data = caller.call("Plugin.Echo", NOTHING, {})
        (call,) = answerer.receive(data)
        reply = answerer.reply(call, kind, value)
        [outcome] = caller.receive(reply)
        assert outcome.value == value
    with pytest.raises(HostProtocolError):  # without the definitions before it
        list(CallSide(book).receive(reply))


def test_an_answer_to_no_call_is_dropped(book: GobBook) -> None:
    caller, answerer = CallSide(book), AnswerSide(book)
    call = IncomingCall("Plugin.Echo", 7, {})
    assert list(caller.receive(answerer.reply(call, STRING, "x"))) == []
    assert list(caller.receive(answerer.refuse(call, "x"))) == []


def test_interfaces_hold_registered_types(book: GobBook) -> None:
    caller, answerer = CallSide(book), AnswerSide(book)
    note = {"Props": {"n": Registered("*main.Note", {"Id": "x"})}}
    _, data = caller.call("Plugin.Echo", NOTE, note)
    (call,) = answerer.receive(data)
    assert call.arguments == note


@pytest.mark.parametrize(
    ("header", "value", "text"),
    [
        (STRING, "x", "a header of type str, expected a struct"),
        (StructOf("R", [("ServiceMethod", INT)]), {"ServiceMethod": 5}, "the method 5"),
        (StructOf("R", [("Seq", STRING)]), {"Seq": "5"}, "the number '5'"),
    ],
)
def test_a_header_of_another_shape_ends_the_stream(
    book: GobBook, header: Any, value: Any, text: str
) -> None:
    writer = book.writer()
    data = writer.encode(header, value) + writer.encode(STRING, "body")
    with pytest.raises(HostProtocolError, match=text):
        list(AnswerSide(book).receive(data))


def test_a_response_of_another_shape_ends_the_stream(book: GobBook) -> None:
    writer = book.writer()
    kind = StructOf("R", [("Error", INT)])
    data = writer.encode(kind, {"Error": 5}) + writer.encode(STRING, "body")
    with pytest.raises(HostProtocolError, match="the error 5"):
        list(CallSide(book).receive(data))


def test_what_came_before_a_fault_is_yielded(book: GobBook) -> None:
    calls = AnswerSide(book).receive(GO_CALL + b"\x00")
    assert next(calls).method == "Plugin.Echo"
    with pytest.raises(HostProtocolError, match="a message of 0 bytes"):
        next(calls)


@settings(CALM, max_examples=200)
@given(data=st.binary(max_size=200), at=st.integers(0, len(GO_CALL)))
def test_any_bytes_are_calls_or_the_named_error(data: bytes, at: int) -> None:
    stream = GO_CALL[:at] + data + GO_CALL[at:]
    try:
        for call in AnswerSide(GobBook()).receive(stream):
            assert isinstance(call.method, str)
    except HostProtocolError:
        pass


# ---------------------------------------------------------------- the broker


def test_numbers_are_four_bytes_little_endian() -> None:
    assert write_number(0x01020304) == b"\x04\x03\x02\x01"
    assert NumberReader().receive(b"\x04\x03\x02\x01rest") == (0x01020304, b"rest")


def test_a_number_may_come_in_pieces() -> None:
    reader = NumberReader()
    assert [reader.receive(bytes((n,))) for n in (1, 0, 0)] == [None] * 3
    assert reader.receive(b"\x00x") == (1, b"x")


def test_an_acknowledgement_is_of_the_number_that_was_dialled() -> None:
    assert NumberReader(5).receive(write_number(5)) == (5, b"")
    with pytest.raises(HostProtocolError, match="the dial of 5 was acknowledged as 6"):
        NumberReader(5).receive(write_number(6))


def test_an_offer_is_taken_once() -> None:
    broker: MuxBroker[str] = MuxBroker()
    assert broker.offer("mine") == 1
    assert broker.claim(1) == "mine"
    assert broker.claim(1) is None
    assert broker.offer("other") == 2
    assert broker.withdraw(2)
    assert not broker.withdraw(2)
    assert broker.claim(2) is None


def test_numbers_begin_anew_past_the_open_offers_and_never_are_zero() -> None:
    broker: MuxBroker[str] = MuxBroker()
    broker.offer("mine")
    broker._last = 2**32 - 2
    assert broker.offer("mine") == 2**32 - 1
    assert broker.offer("mine") == 2


@pytest.mark.parametrize("size", [0, 1, 127, 128, 70_000])
def test_bytes_are_called_with_where_they_lie(size: int) -> None:
    """What is sent before them is the same as when they are written into the message."""
    whole, apart = CallSide(GobBook(REGISTERED)), CallSide(GobBook(REGISTERED))
    for _ in range(2):  # with the definitions, and without
        value = b"x" * size
        number, data = whole.call("Plugin.Write", BYTES, value)
        assert apart.call_with_bytes("Plugin.Write", size) == (number, data[: len(data) - size])
        assert data.endswith(value)
    assert apart.pending == whole.pending
