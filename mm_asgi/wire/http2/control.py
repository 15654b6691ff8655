"""The frames that carry no payload of an RPC: RFC 9113 sections 6.3 to 6.9.

Each handler takes the connection and writes its attributes, as a method would; connection.py tells
the theory.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.http2 import hpack
from mm_asgi.wire.http2.frames import (
    ACK,
    DEFAULT_FRAME_SIZE,
    DEFAULT_WINDOW,
    LARGEST_FRAME_SIZE,
    MAX_STREAM_ID,
    MAX_WINDOW,
    PREFACE,
    SETTINGS_ACK,
    ConnectionFault,
    ErrorCode,
    FrameType,
    SettingID,
    StreamFault,
    ping,
    settings,
    window_update,
)
from mm_asgi.wire.http2.stream import StreamStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.wire.http2.connection import Connection
    from mm_asgi.wire.http2.limits import Limits

__all__ = ["PRIORITY_SIZE", "preface", "priority", "receive", "without_padding"]

PRIORITY_SIZE: Final = 5
_UINT32: Final = struct.Struct(">L")
_SETTING: Final = struct.Struct(">HL")


def receive(
    connection: Connection, kind: int, flags: int, stream_id: int, payload: memoryview
) -> None:
    """Take a frame that is neither DATA, HEADERS nor CONTINUATION.

    Raises:
        ConnectionFault: it ends the connection.
        StreamFault: it ends its stream.
    """
    connection.guard.idle_frame()
    handler = _HANDLERS.get(kind)
    if handler is not None:  # section 4.1: an unknown type is ignored
        handler(connection, flags, stream_id, payload)


def preface(limits: Limits, *, client: bool) -> bytes:
    """Return the bytes that a side sends first (section 3.4)."""
    values = {
        SettingID.INITIAL_WINDOW_SIZE: limits.stream_window,
        SettingID.MAX_HEADER_LIST_SIZE: limits.header_list,
    }
    if client:
        values[SettingID.ENABLE_PUSH] = 0
    else:
        values[SettingID.MAX_CONCURRENT_STREAMS] = limits.streams
    if limits.frame_size != DEFAULT_FRAME_SIZE:
        values[SettingID.MAX_FRAME_SIZE] = limits.frame_size
    first = (PREFACE if client else b"") + settings(values)
    if limits.connection_window > DEFAULT_WINDOW:
        first += window_update(0, limits.connection_window - DEFAULT_WINDOW)
    return first


def without_padding(payload: memoryview) -> memoryview:
    """Return a payload without its padding, which may hold anything (section 6.1)."""
    size = len(payload)
    if not size or payload[0] >= size:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding as long as its frame")
    return payload[1 : size - payload[0]]


def priority(stream_id: int, payload: memoryview) -> bool:
    """Return whether a priority field makes a stream depend on itself (RFC 7540 section 5.3.1).

    The rest of the field is ignored, as RFC 9113 section 5.3.2 says.
    """
    if len(payload) < PRIORITY_SIZE:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a priority field is cut off")
    (dependency,) = _UINT32.unpack_from(payload)
    return bool(dependency & MAX_STREAM_ID == stream_id)


def _priority(connection: Connection, flags: int, stream_id: int, payload: memoryview) -> None:
    """Take PRIORITY (section 6.3)."""
    if not stream_id:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
    if len(payload) != PRIORITY_SIZE:
        raise StreamFault(stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY has not 5 bytes")
    if priority(stream_id, payload):
        raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "it depends on itself")


def _reset(connection: Connection, flags: int, stream_id: int, payload: memoryview) -> None:
    """Take RST_STREAM (section 6.4).

    It is no fault on a stream that is closed: the host resets each stream that it has the answer of.
    """
    _expect_size(payload, 4, "RST_STREAM")
    stream = connection.streams.get(stream_id)
    if stream is None:
        if connection.ids.is_idle(stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"RST_STREAM on idle {stream_id}")
        return
    (code,) = _UINT32.unpack_from(payload)
    stream.drop_pending()
    stream.move(StreamStep.RECEIVE_RESET)
    stream.on_closed(ErrorCode(code) if code <= max(ErrorCode) else ErrorCode.INTERNAL_ERROR)
    if not stream.begun and not connection.ids.is_own(stream_id):
        connection.guard.broken()


def _settings(connection: Connection, flags: int, stream_id: int, payload: memoryview) -> None:
    """Take SETTINGS (section 6.5)."""
    _expect_connection(stream_id, "SETTINGS")
    if flags & ACK:
        _expect_size(payload, 0, "an acknowledgement of SETTINGS")
        return
    if len(payload) % _SETTING.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS is cut off")
    for key, value in _SETTING.iter_unpack(payload):
        setting = _SETTINGS.get(key)
        if setting is not None:
            setting(connection, value)
    connection.has_settings = True
    connection.reply(SETTINGS_ACK)
    connection.pump()


def _header_table_size(connection: Connection, value: int) -> None:
    # Our encoder uses no table. It has to announce a smaller one all the same, and after several
    # changes the smallest of them (RFC 7541 section 4.2): 0 is right in each case.
    if value < hpack.DEFAULT_TABLE_SIZE:
        connection.block_prefix = hpack.table_size_update(0)


def _enable_push(connection: Connection, value: int) -> None:
    if value > 1:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH is {value}")


def _max_streams(connection: Connection, value: int) -> None:
    connection.peer_streams = value


def _initial_window(connection: Connection, value: int) -> None:
    """Change the windows of all open streams (section 6.9.2)."""
    if value > MAX_WINDOW:
        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE is {value}")
    change = value - connection.peer_stream_window
    if not change:
        return
    connection.guard.window_changes(len(connection.streams))
    connection.peer_stream_window = value
    for stream in list(connection.streams.values()):
        try:
            stream.grow_send_window(change)
        except StreamFault as fault:
            raise ConnectionFault(fault.code, fault.text) from None


def _max_frame_size(connection: Connection, value: int) -> None:
    if not DEFAULT_FRAME_SIZE <= value <= LARGEST_FRAME_SIZE:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"MAX_FRAME_SIZE is {value}")
    connection.peer_frame_size = value


def _push_promise(connection: Connection, flags: int, stream_id: int, payload: memoryview) -> None:
    """Refuse a push (section 8.4): a client may never push, and our settings forbid servers to."""
    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, which neither side may send")


def _ping(connection: Connection, flags: int, stream_id: int, payload: memoryview) -> None:
    """Answer a PING, or take the answer to ours (section 6.7)."""
    _expect_connection(stream_id, "PING")
    _expect_size(payload, 8, "PING")
    if flags & ACK:
        connection.pinged(bytes(payload))
    else:
        connection.reply(ping(bytes(payload), ack=True))


def _go_away(connection: Connection, flags: int, stream_id: int, payload: memoryview) -> None:
    """Take GOAWAY, and close this side's streams that the peer will not serve (section 6.8)."""
    _expect_connection(stream_id, "GOAWAY")
    if len(payload) < 8:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY has under 8 bytes")
    last = _UINT32.unpack_from(payload)[0] & MAX_STREAM_ID
    connection.peer_last = last
    for number in [number for number in connection.streams if number > last]:
        stream = connection.streams.get(number)  # an owner called before may have ended it
        if stream is not None and connection.ids.is_own(number):  # it will not be served
            stream.drop_pending()
            stream.move(StreamStep.RECEIVE_RESET)
            stream.on_closed(ErrorCode.REFUSED_STREAM)


def _window_update(connection: Connection, flags: int, stream_id: int, payload: memoryview) -> None:
    """Open the connection's or a stream's window (section 6.9)."""
    _expect_size(payload, 4, "WINDOW_UPDATE")
    increment = _UINT32.unpack_from(payload)[0] & MAX_WINDOW
    if not stream_id:
        if not increment:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        if connection.send_window + increment > MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "window over 2**31 - 1")
        connection.send_window += increment
    elif stream := connection.streams.get(stream_id):
        if not increment:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        stream.grow_send_window(increment)
    elif connection.ids.is_idle(stream_id):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"WINDOW_UPDATE on idle {stream_id}")
    connection.pump()


def _expect_connection(stream_id: int, what: str) -> None:
    if stream_id:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{what} on stream {stream_id}")


def _expect_size(payload: memoryview, size: int, what: str) -> None:
    if len(payload) != size:
        raise ConnectionFault(
            ErrorCode.FRAME_SIZE_ERROR, f"{what} has {len(payload)} bytes, expected {size}"
        )


_HANDLERS: Final[dict[int, Callable[[Any, int, int, memoryview], None]]] = {
    FrameType.PRIORITY: _priority,
    FrameType.RST_STREAM: _reset,
    FrameType.SETTINGS: _settings,
    FrameType.PUSH_PROMISE: _push_promise,
    FrameType.PING: _ping,
    FrameType.GOAWAY: _go_away,
    FrameType.WINDOW_UPDATE: _window_update,
}

_SETTINGS: Final[dict[int, Callable[[Any, int], None]]] = {
    SettingID.HEADER_TABLE_SIZE: _header_table_size,
    SettingID.ENABLE_PUSH: _enable_push,
    SettingID.MAX_CONCURRENT_STREAMS: _max_streams,
    SettingID.INITIAL_WINDOW_SIZE: _initial_window,
    SettingID.MAX_FRAME_SIZE: _max_frame_size,
}
