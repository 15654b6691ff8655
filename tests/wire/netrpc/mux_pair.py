"""Two yamux sessions joined without a connection, and what arrived on each side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.wire.netrpc.yamux_session import (
    DataReceived,
    MuxSession,
    SessionFailed,
    StreamDrained,
    StreamFinished,
    StreamOpened,
    StreamReset,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_asgi.wire.netrpc.yamux_session import MuxEvent
    from mm_asgi.wire.netrpc.yamux_stream import MuxStream


class Side:
    """One session and its owner: keeps what came, by stream."""

    def __init__(self, *, client: bool, backlog: int = 120, max_streams: int = 4096) -> None:
        self.session = MuxSession(client=client, backlog=backlog, max_streams=max_streams)
        self.streams: dict[int, MuxStream] = {}
        self.received: dict[int, bytearray] = {}
        self.ended: dict[int, str] = {}
        self.events: list[MuxEvent] = []
        self.failure = ""
        self.consumes = True

    def open(self, first: bytes = b"", *, fin: bool = False) -> MuxStream:
        stream = self.session.open(first, fin=fin)
        self._add(stream)
        return stream

    def _add(self, stream: MuxStream) -> None:
        self.streams[stream.id] = stream
        self.received[stream.id] = bytearray()
        self.ended.pop(stream.id, None)  # a number may come again once its stream is over

    def take(self) -> bytes:
        return b"".join(self.session.take())

    def receive(self, data: bytes) -> list[MuxEvent]:
        events = self.session.receive(data)
        self.note(events)
        return events

    def note(self, events: list[MuxEvent]) -> None:
        self.events += events
        for event in events:
            match event:
                case StreamOpened(stream):
                    self._add(stream)
                case DataReceived(stream, data):
                    assert stream.id not in self.ended, "bytes after the end"
                    self.received[stream.id] += data
                    if self.consumes:
                        stream.consume(len(data))
                case StreamFinished(stream):
                    assert self.ended.setdefault(stream.id, "finished") == "finished"
                case StreamReset(stream):
                    assert self.ended.get(stream.id) != "reset"
                    self.ended[stream.id] = "reset"
                case StreamDrained(stream):
                    assert stream.queued == 0
                case SessionFailed(error):
                    self.failure = str(error)
                case _:
                    pass


class Pair:
    """A host's session and a plugin's."""

    def __init__(self) -> None:
        self.host = Side(client=True)
        self.plugin = Side(client=False)

    def sides(self) -> Iterator[tuple[Side, Side]]:
        yield self.host, self.plugin
        yield self.plugin, self.host

    def move(self, cuts: tuple[int, ...] = ()) -> bool:
        """Carry what waits on both sides, cut into reads; return whether there was anything."""
        moved = False
        for sender, receiver in self.sides():
            data = sender.take()
            moved = moved or bool(data)
            for part in cut(data, cuts):
                receiver.receive(part)
        return moved

    def settle(self) -> None:
        """Carry until nothing is left to be sent."""
        while self.move():
            pass


def cut(data: bytes, cuts: tuple[int, ...]) -> Iterator[bytes]:
    """``data`` in pieces, whose sizes repeat; without sizes in one."""
    if not cuts:
        if data:
            yield data
        return
    position, turn = 0, 0
    while position < len(data):
        size = cuts[turn % len(cuts)]
        turn += 1
        yield data[position : position + size]
        position += size
