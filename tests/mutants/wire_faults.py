"""The planted faults of the port and of the native wire's server."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["WIRE_FAULTS"]

PORT = "mm_asgi/wire/port.py"
WIRE = ("tests/wire",)
HTTP2 = ("tests/wire/http2",)
H2_CONNECTION = "mm_asgi/wire/http2/connection.py"
H2_STREAM = "mm_asgi/wire/http2/stream.py"
H2_CALL, H2_SERVER = "mm_asgi/wire/http2/call.py", "mm_asgi/wire/http2/server.py"

WIRE_FAULTS: tuple[Fault, ...] = (
    # ---------------------------------------------------------------- wire
    Fault(
        "wire: a cancelled read loses its message",
        PORT,
        "                if waiter.done() and not waiter.cancelled():\n                    self._wake_one()\n",
        "",
        WIRE,
    ),
    Fault(
        "wire: cancelled readers pile up",
        PORT,
        "                with contextlib.suppress(ValueError):\n                    self._waiters.remove(waiter)\n",
        "",
        WIRE,
    ),
    # ---------------------------------------------------------------- the native wire
    Fault(
        "http2: received bytes are not credited to the connection",
        H2_CONNECTION,
        "        if self._receive_window * 2 < limit:\n",
        "        if False:\n",
        HTTP2,
        "dropped_data_is_credited",
    ),
    Fault(
        "http2: a stop does not wait for an RPC",
        H2_SERVER,
        "        calls.opened(call)\n",
        "",
        WIRE,
        "stop",
    ),
    Fault(
        "http2: the clock of an RPC's deadline is not set",
        H2_CALL,
        "            self._timer = loop.call_at(self.deadline, self.expire)\n",
        "",
        WIRE,
        "deadline",
    ),
    Fault(
        "http2: a lost connection leaves its streams open",
        "mm_asgi/wire/http2/sending.py",
        "                stream.move(StreamStep.LOSE_CONNECTION)\n",
        "",
        HTTP2,
        "lost or gone or fault or random",
    ),
    Fault(
        "http2: padding is not credited to its stream",
        H2_CONNECTION,
        "            stream.credit(size - len(payload))\n",
        "            pass\n",
        HTTP2,
        "padding_is_credited or random_programs",
    ),
    Fault(
        "http2: the end of a frame that came in parts is lost",
        H2_CONNECTION,
        "        end = not self._rest and bool(self._rest_flags & END_STREAM)\n",
        "        end = False\n",
        HTTP2,
        "frame_in_parts",
    ),
    Fault(
        "http2: DATA after the end is taken",
        H2_CONNECTION,
        "            stream.move(StreamStep.RECEIVE_DATA)\n",
        "            pass\n",
        HTTP2,
        "test_a_fault_of_a_stream or what_a_peer_sends",
    ),
    Fault(
        "http2: a request's Content-Length is not held",
        H2_CONNECTION,
        "        stream.move(StreamStep.RECEIVE_HEADERS)\n        stream.expected = head.length\n",
        "        stream.move(StreamStep.RECEIVE_HEADERS)\n",
        HTTP2,
        "content_length",
    ),
    Fault(
        "http2: streams that the peer breaks do not count",
        H2_CONNECTION,
        "            self.guard.broken()\n",
        "            pass\n",
        HTTP2,
        "makes_us_reset or malformed_requests_count",
    ),
    Fault(
        "http2: requests that are taken back do not count",
        "mm_asgi/wire/http2/control.py",
        "        connection.guard.broken()\n",
        "        pass\n",
        HTTP2,
        "rapid_reset",
    ),
    Fault(
        "http2: heads are kept although the table has changed",
        "mm_asgi/wire/http2/blocks.py",
        "                self._heads.clear()\n",
        "",
        HTTP2,
        "head_is_forgotten",
    ),
    Fault(
        "http2: a table size update may stand anywhere",
        "mm_asgi/wire/http2/hpack.py",
        "at_start=not size",
        "at_start=True",
        HTTP2,
        "what_cannot_be_decoded",
    ),
    Fault(
        "http2: trailers overtake what waits",
        H2_STREAM,
        '        if self._pending:\n            self._end = block or b""\n        elif block:\n',
        "        if block:\n",
        HTTP2,
        "pending_bytes_leave_before or random_programs",
    ),
    Fault(
        "http2: a reset wakes no writer",
        H2_STREAM,
        "            self.drop_pending()\n            self.connection.reply(reset(",
        "            self.connection.reply(reset(",
        HTTP2,
        "whoever_waits_is_told",
    ),
    Fault(
        "http2: a window that SETTINGS took back sends on",
        "mm_asgi/wire/http2/sending.py",
        "if stream.waits and stream.send_window > 0:",
        "if stream.waits:",
        HTTP2,
        "settings_took_back",
    ),
    Fault(
        "http2: a peer that does not read is read on",
        "mm_asgi/wire/http2/transport.py",
        "        elif connection.is_paused and self._reads:\n"
        "            self._stop_reading_if_replies_pile_up()\n"
        "        elif connection.waiting:\n"
        "            connection.pump()\n",
        "        elif connection.waiting:\n"
        "            connection.pump()\n"
        "        elif connection.is_paused and self._reads:\n"
        "            self._stop_reading_if_replies_pile_up()\n",
        HTTP2,
        "ping_flood_that_nobody_reads",
    ),
    Fault(
        "http2: a peer's half-close is not told",
        "mm_asgi/wire/http2/transport.py",
        "        self.flush()\n        self.close()\n        self.connection.lose()\n",
        "",
        HTTP2,
        "half_closes",
    ),
    Fault(
        "http2: a status repeats all of the path",
        "mm_asgi/wire/http2/rpc.py",
        'return text[:_ECHOED].encode("ascii", "replace").decode("ascii")',
        "return text",
        HTTP2,
        "answers_of_fill_no_memory",
    ),
)
