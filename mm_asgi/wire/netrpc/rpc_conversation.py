"""Go's net/rpc on one stream, either side, without the stream: bytes in, calls and outcomes out.

A conversation is one gob stream each way. A call is two values, a Request (method and number) and
the arguments; its answer is a Response (method, number, error) and the body. Numbers are the
caller's, and answers come in any order: Go starts a goroutine for every call, so that of calls
sent together the last one often runs first, and whoever needs an order waits for each answer.

An error is a text in the Response, and its body is an empty struct that means nothing. It is a
value here as well: what a call was refused with is part of an Outcome. What raises is only a
stream that cannot go on, since behind one unreadable value there is no next one. That cuts both
ways: Go's client ends its connection over a body that it cannot decode, so ``reply()`` writes
values of given types alone, and raises before the header has left when a value is none of those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.gob_reader import INCOMPLETE, GobReader
from mm_asgi.wire.netrpc.gob_scope import GobLimits, TypeScope
from mm_asgi.wire.netrpc.gob_types import STRING, UINT64, GobType, StructOf
from mm_asgi.wire.netrpc.gob_writer import GobWriter, SentTypes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "NOTHING",
    "AnswerSide",
    "CallSide",
    "GobBook",
    "IncomingCall",
    "Outcome",
]

REQUEST: Final = StructOf("Request", [("ServiceMethod", STRING), ("Seq", UINT64)])
RESPONSE: Final = StructOf(
    "Response", [("ServiceMethod", STRING), ("Seq", UINT64), ("Error", STRING)]
)
NOTHING: Final = StructOf("")
"""``struct{}``: the arguments or the reply of a method that has none, and the body of an error."""

_LAST_NUMBER: Final = 2**64 - 1


class KnownAnswers:
    """Answers that were read before, by their bytes.

    A request's response is a few calls on a stream of its own, and the host answers most of them
    with the same bytes each time: definitions, number, nothing. What was read once in a scope is
    looked up the next time. Small answers to a stream's first calls are asked for and kept, and of
    these the ones of plain values: the numbers of later calls never come again.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[tuple[TypeScope, bytes], tuple[TypeScope, list[Outcome]]] = {}

    def find(self, scope: TypeScope, data: bytes) -> tuple[TypeScope, list[Outcome]] | None:
        """Return the scope behind these bytes and the outcomes in them, or None."""
        return self._kept.get((scope, data))

    def keep(self, before: TypeScope, data: bytes, after: TypeScope, made: list[Outcome]) -> None:
        """Keep what some whole answers were, unless they are not plain."""
        if all(_is_plain(one.value) for one in made):
            if len(self._kept) >= _KNOWN_ANSWERS:
                del self._kept[next(iter(self._kept))]  # the oldest
            self._kept[before, data] = after, made


_KNOWN_BYTES: Final = 512
_KNOWN_ANSWERS: Final = 256
_KNOWN_CALLS: Final = 4


def _is_plain(value: Any) -> bool:
    """Whether a value, or a flat copy of it, can be given out twice."""
    if isinstance(value, dict):
        return all(isinstance(one, bool | int | str) for one in value.values())
    return value is None or isinstance(value, bool | int | str)


def _copied(outcome: Outcome) -> Outcome:
    """Return an outcome with a value of its own: whoever called may change it."""
    value = outcome.value
    return outcome._replace(value=dict(value)) if isinstance(value, dict) else outcome


class GobBook:
    """What all gob streams of a session share: types that were compiled, types that are sent.

    Args:
        registered: the types that interfaces may hold, by the host's names for them.
        limits: what one stream may cost.

    Attributes:
        answers: answers that were read before.
    """

    def __init__(
        self, registered: Mapping[str, GobType] | None = None, limits: GobLimits | None = None
    ) -> None:
        self._registered = registered or {}
        self._limits = limits or GobLimits()
        self._scope = TypeScope()
        self._sent = SentTypes()
        self.answers = KnownAnswers()

    def reader(self) -> GobReader:
        """Return the reader of a fresh stream."""
        return GobReader(self._scope, self._limits)

    def writer(self) -> GobWriter:
        """Return the writer of a fresh stream."""
        return GobWriter(self._sent, self._registered)


class IncomingCall(NamedTuple):
    """A call that the other side made.

    Attributes:
        method: service and method, such as ``Plugin.MessageWillBePosted``.
        number: the caller's, for the answer.
        arguments: as GobReader reads them; of a struct a dict.
    """

    method: str
    number: int
    arguments: Any


class Outcome(NamedTuple):
    """The answer to a call that this side made.

    Attributes:
        number: the call's.
        value: the reply, as GobReader reads it; None where the call was refused.
        error: what it was refused with; None where it was not.
    """

    number: int
    value: Any
    error: str | None


class _Pairs:
    """Headers and bodies of one stream, in turn."""

    __slots__ = ("_header", "reader")

    def __init__(self, reader: GobReader) -> None:
        self.reader = reader
        self._header: dict[str, Any] | None = None

    @property
    def is_between(self) -> bool:
        """Whether the next byte begins a header."""
        return self._header is None and self.reader.is_between

    def receive(self, data: bytes) -> Iterator[tuple[dict[str, Any], Any]]:
        reader = self.reader
        reader.feed(data)
        while (value := reader.take()) is not INCOMPLETE:
            if self._header is not None:
                header, self._header = self._header, None
                yield header, value
            elif isinstance(value, dict):
                self._header = value
            else:
                raise HostProtocolError(
                    f"net/rpc: a header of type {type(value).__name__}, expected a struct"
                )


class AnswerSide:
    """The side of a conversation that is called.

    Args:
        book: what the session's streams share.
    """

    __slots__ = ("_pairs", "_writer")

    def __init__(self, book: GobBook) -> None:
        self._pairs = _Pairs(book.reader())
        self._writer = book.writer()

    def receive(self, data: bytes) -> Iterator[IncomingCall]:
        """Take bytes of the stream; yield the calls that are whole now.

        Raises:
            HostProtocolError: the stream cannot go on. The calls before were yielded.
        """
        for header, arguments in self._pairs.receive(data):
            method, number = header.get("ServiceMethod", ""), header.get("Seq", 0)
            if not isinstance(method, str) or not isinstance(number, int):
                raise HostProtocolError(
                    f"net/rpc: a request with the method {method!r:.60} and the number"
                    f" {number!r:.60}, expected a string and an unsigned number"
                )
            yield IncomingCall(method, number, arguments)

    def reply(self, call: IncomingCall, kind: GobType, value: Any) -> bytes:
        """Return the bytes of an answer.

        Raises:
            TypeError, ValueError: the value is not of that type. The stream is as it was, and the
                call can still be refused.
        """
        # The body before the header is sent: a header without a body would end the connection. But
        # the types that a stream defines have to leave in the order in which they were defined.
        writer = self._writer
        mark = writer.mark()
        try:
            head = writer.encode(RESPONSE, {"ServiceMethod": call.method, "Seq": call.number})
            return head + writer.encode(kind, value)
        except BaseException:
            writer.rewind(mark)
            raise

    def refuse(self, call: IncomingCall, text: str) -> bytes:
        """Return the bytes of an error; an empty text would be no error for Go."""
        writer = self._writer
        safe = (text or "error").encode("utf-8", "replace").decode()
        response = {"ServiceMethod": call.method, "Seq": call.number, "Error": safe}
        return writer.encode(RESPONSE, response) + writer.encode(NOTHING, {})


class CallSide:
    """The side of a conversation that calls.

    Args:
        book: what the session's streams share.

    Attributes:
        pending: the numbers of calls that have no outcome yet.
    """

    __slots__ = ("_known", "_next", "_pairs", "_writer", "pending")

    def __init__(self, book: GobBook) -> None:
        self._known = book.answers
        self._pairs = _Pairs(book.reader())
        self._writer = book.writer()
        self._next = 0
        self.pending: set[int] = set()

    def call(self, method: str, kind: GobType, value: Any) -> tuple[int, bytes]:
        """Return a call's number and its bytes.

        Raises:
            TypeError, ValueError: the value is not of that type. The stream is as it was.
        """
        number = self._next
        writer = self._writer
        mark = writer.mark()
        try:
            head = writer.encode(REQUEST, {"ServiceMethod": method, "Seq": number})
            data = head + writer.encode(kind, value)
        except BaseException:
            writer.rewind(mark)
            raise
        self._next = number + 1 if number < _LAST_NUMBER else 0
        self.pending.add(number)
        return number, data

    def call_with_bytes(self, method: str, size: int) -> tuple[int, bytes]:
        """Return a call's number and what comes before its arguments, which are ``size`` bytes."""
        number = self._next
        head = self._writer.encode(REQUEST, {"ServiceMethod": method, "Seq": number})
        self._next = number + 1 if number < _LAST_NUMBER else 0
        self.pending.add(number)
        return number, head + self._writer.encode_before_bytes(size)

    def receive(self, data: bytes) -> Iterator[Outcome]:
        """Take bytes of the stream; yield the outcomes that are whole now.

        The answer to a call that is not pending is dropped, as Go does.

        Raises:
            HostProtocolError: the stream cannot go on. The outcomes before were yielded.
        """
        for outcome in self._outcomes(data):
            if outcome.number in self.pending:
                self.pending.discard(outcome.number)
                yield outcome

    def _outcomes(self, data: bytes) -> Iterator[Outcome]:
        pairs = self._pairs
        is_first = self._next <= _KNOWN_CALLS and len(data) <= _KNOWN_BYTES
        if not (is_first and pairs.is_between):
            yield from self._read(data)
            return
        before = pairs.reader.scope
        found = self._known.find(before, data)
        if found is not None:
            pairs.reader.scope = found[0]
            for outcome in found[1]:
                yield _copied(outcome)
            return
        made = []
        for outcome in self._read(data):
            made.append(_copied(outcome))
            yield outcome
        if pairs.is_between:
            self._known.keep(before, data, pairs.reader.scope, made)

    def _read(self, data: bytes) -> Iterator[Outcome]:
        for header, value in self._pairs.receive(data):
            number, error = header.get("Seq", 0), header.get("Error", "")
            if not isinstance(number, int) or not isinstance(error, str):
                raise HostProtocolError(
                    f"net/rpc: a response with the number {number!r:.60} and the error"
                    f" {error!r:.60}, expected an unsigned number and a string"
                )
            yield Outcome(number, None if error else value, error or None)
