"""A connection without a socket: frames in by hand, frames out as a list, a clock that is set."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from mm_asgi.wire.http2 import frames, hpack
from mm_asgi.wire.http2.connection import Connection
from mm_asgi.wire.http2.frames import ErrorCode, FrameType
from mm_asgi.wire.http2.limits import Limits
from mm_asgi.wire.http2.stream import H2Stream

if TYPE_CHECKING:
    from mm_asgi.wire.http2.fields import HeaderSection
    from mm_asgi.wire.http2.hpack import Field

DATA, HEADERS = int(FrameType.DATA), int(FrameType.HEADERS)
RST_STREAM, GOAWAY = int(FrameType.RST_STREAM), int(FrameType.GOAWAY)
WINDOW_UPDATE = int(FrameType.WINDOW_UPDATE)
END_STREAM, END_HEADERS, PADDED = frames.END_STREAM, frames.END_HEADERS, frames.PADDED

SETTINGS = frames.settings({})
GREETING = frames.PREFACE + SETTINGS

REQUEST: list[Field] = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/test.Wire/Call"),
                        (b"content-type", b"application/grpc"), (b"te", b"trailers")]  # fmt: skip
RESPONSE: list[Field] = [(b":status", b"200"), (b"content-type", b"application/grpc")]


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Frame(NamedTuple):
    """A frame that was sent."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def code(self) -> ErrorCode:
        """The code of a RST_STREAM or GOAWAY."""
        return ErrorCode(struct.unpack(">L", self.payload[-4:] if self.kind == RST_STREAM
                                       else self.payload[4:8])[0])  # fmt: skip


def parse(data: bytes) -> list[Frame]:
    """The frames of ``data``, which holds whole ones."""
    found = []
    while data:
        high, low, kind, flags, stream_id = frames.HEADER.unpack_from(data)
        end = frames.HEADER_SIZE + (high << 8 | low)
        assert len(data) >= end, "cut off"
        found.append(Frame(kind, flags, stream_id, data[frames.HEADER_SIZE : end]))
        data = data[end:]
    return found


def request(
    stream_id: int, *more: Field, end: bool = False, fields: list[Field] = REQUEST
) -> bytes:
    """A request's HEADERS."""
    return frames.headers(stream_id, hpack.encode([*fields, *more]), end=end)


def data(stream_id: int, body: bytes, *, end: bool = False, padding: int | None = None) -> bytes:
    """A DATA frame."""
    flags = END_STREAM if end else 0
    if padding is not None:
        flags |= PADDED
        body = bytes((padding,)) + body + bytes(padding)
    return frames.frame(DATA, flags, stream_id, body)


class Recorder(H2Stream):
    """A stream that writes down what it is told; it credits what it got, if asked to."""

    __slots__ = ("body", "closed", "credits", "ended", "heads", "sent", "trailers")

    def __init__(self, connection: Connection, stream_id: int = 0, *, credits: bool = True) -> None:
        super().__init__(connection, stream_id)
        self.credits = credits
        self.heads: list[HeaderSection] = []
        self.body = b""
        self.trailers: list[Field] | None = None
        self.ended = 0
        self.closed: list[ErrorCode | None] = []
        self.sent: list[Any] = []

    def on_headers(self, head: HeaderSection, *, end: bool) -> None:
        self.heads.append(head)

    def on_data(self, data: memoryview) -> None:
        self.body += data
        if self.credits:
            self.credit(len(data))

    def on_trailers(self, fields: list[Field]) -> None:
        self.trailers = fields

    def on_end(self) -> None:
        self.ended += 1

    def new_token(self) -> object:
        return object()

    def on_sent(self, token: object) -> None:
        assert token is not None
        assert token not in self.sent
        self.sent.append(token)

    def on_closed(self, code: ErrorCode | None) -> None:
        self.closed.append(code)


class Bare:
    """A connection of one side, and the peer's hands."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        client: bool = False,
        credits: bool = True,
        greet: bool = True,
    ) -> None:
        self.clock = Clock()
        self.streams: dict[int, Recorder] = {}
        self._credits = credits
        self.connection = Connection(
            client=client, limits=limits or Limits(), clock=self.clock, accept=self._accept
        )
        self.greeting = self.output()
        if greet:
            self.give(SETTINGS if client else GREETING)
            assert [frame.kind for frame in self.taken()] == [FrameType.SETTINGS]

    def _accept(self, stream_id: int, head: HeaderSection) -> Recorder:
        made = self.streams[stream_id] = Recorder(self.connection, stream_id, credits=self._credits)
        return made

    def open(self, *, block: bytes | None = None) -> Recorder:
        """A stream of this side's own."""
        made = Recorder(self.connection, credits=self._credits)
        self.connection.open_stream(made, block or hpack.encode(REQUEST))
        self.streams[made.id] = made
        return made

    def give(self, *parts: bytes, step: int | None = None) -> None:
        """Let the connection read the frames, ``step`` bytes at a time; by default at once."""
        whole = b"".join(parts)
        for start in range(0, len(whole), step or max(1, len(whole))):
            part = bytearray(whole[start : start + (step or len(whole))])
            self.connection.receive(memoryview(part))
            part[:] = bytes(len(part))  # nothing may have been kept of it

    def output(self) -> bytes:
        """What the connection sent since."""
        return b"".join(self.connection.take())

    def taken(self) -> list[Frame]:
        """The frames that the connection sent since."""
        return parse(self.output())

    @property
    def fault(self) -> ErrorCode | None:
        """What ended the connection; its GOAWAY has been sent."""
        fault = self.connection.fault
        if fault is None:
            return None
        *_, last = self.taken()
        assert (last.kind, last.code) == (GOAWAY, fault.code)
        assert not self.connection.streams
        assert not self.connection.waiting
        return fault.code

    def is_clean(self) -> bool:
        """Whether nothing is left of any stream."""
        return not self.connection.streams and not self.connection.waiting
