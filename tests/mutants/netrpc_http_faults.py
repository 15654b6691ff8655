"""The planted faults of ServeHTTP over net/rpc: the writer's calls, the body, comments for events."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["NETRPC_HTTP_FAULTS"]

EXCHANGE, CALLS = "mm_asgi/netrpc/http_exchange.py", "mm_asgi/netrpc/response_calls.py"
BODY, PADDING = "mm_asgi/netrpc/request_body.py", "mm_asgi/netrpc/event_padding.py"
WIRE = "mm_asgi/netrpc/plugin_wire.py"

ANSWERED = ("tests/unit/netrpc/test_response_calls.py",)
READ = ("tests/unit/netrpc/test_request_body.py",)
PADDED = ("tests/unit/netrpc/test_event_padding.py",)
WIRED = ("tests/unit/netrpc/test_plugin_wire.py",)

NETRPC_HTTP_FAULTS: tuple[Fault, ...] = (
    Fault(
        "netrpc: the host waits for the streams of a request that was refused",
        "mm_asgi/netrpc/http_exchange.py",
        "            _take_up_in_vain(call, session)\n",
        "",
        ("tests/unit/netrpc/test_response_calls.py",),
    ),
    Fault(
        "netrpc: the writer's calls do not wait for each other",
        CALLS,
        "            self._caller.send(method, kind, value, self._answered)\n",
        "            self._move(ResponseMove.ANSWERED)\n"
        "            self._caller.send(method, kind, value, lambda value, error: None)\n"
        "            asyncio.get_running_loop().call_soon(self.run)\n",
        ANSWERED,
        "each_call_waits",
    ),
    Fault(
        "netrpc: a response is left to the garbage collector",
        "mm_asgi/wire/netrpc/mux_link.py",
        "                stream.owner = None  # each holds the other, and nothing else is told\n",
        "                pass\n",
        ANSWERED,
        "garbage_collector",
    ),
    Fault(
        "netrpc: a megabyte is copied before it is sent",
        "mm_asgi/wire/netrpc/live_calls.py",
        "        if size < LARGE * len(parts) or stream is None:\n",
        "        if True:\n",
        ("tests/wire/netrpc/test_live.py",),
        "where_they_lie",
    ),
    Fault(
        "netrpc: what is before bytes counts them wrong",
        "mm_asgi/wire/netrpc/gob_writer.py",
        "        return write_uint(len(body) + size) + body\n",
        "        return write_uint(size) + body\n",
        ("tests/wire/netrpc/test_rpc.py",),
        "where_they_lie",
    ),
    Fault(
        "netrpc: a 200 costs a call",
        CALLS,
        "        if status != 200 or not has_body:\n",
        "        if True:\n",
        ANSWERED,
    ),
    Fault(
        "netrpc: what is known of the host is forgotten",
        CALLS,
        "        self._habits = habits\n        self._on_end",
        "        self._habits = HostHabits()\n        self._on_end",
        ANSWERED,
    ),
    Fault(
        "netrpc: the host's Vary is lost",
        CALLS,
        '            if name == "Vary" and name in headers:',
        "            if False:",
        ANSWERED,
    ),
    Fault(
        "netrpc: the end is pushed by a comment",
        CALLS,
        "            if self.is_closing and not self._steps:\n",
        "            if not self._habits.has_no_flush and self.is_closing and not self._steps:\n",
        ANSWERED,
        "pushed_by_comments",
    ),
    Fault(
        "netrpc: a write behind an abort leaves",
        EXCHANGE,
        "        if writer.is_over or writer.is_closing:\n",
        "        if writer.is_over:\n",
        ANSWERED,
    ),
    Fault(
        "netrpc: an answer that is cut looks whole",
        EXCHANGE,
        "            writer.cut()\n",
        "            writer.close()\n            writer.run()\n",
        ANSWERED,
    ),
    Fault(
        "netrpc: a writer that nobody took up is an empty 200",
        EXCHANGE,
        "        if writer.is_begun and writer.is_taken:\n",
        "        if writer.is_begun:\n",
        ANSWERED,
    ),
    Fault(
        "netrpc: a client that leaves at the end is told of",
        EXCHANGE,
        "        if left and not writer.is_closing:\n",
        "        if left:\n",
        ANSWERED,
    ),
    Fault(
        "netrpc: a request is over before its last answer",
        EXCHANGE,
        "        await exchange.wait_ended()\n",
        "        pass\n",
        ANSWERED,
    ),
    Fault(
        "netrpc: a body that is too short looks whole",
        BODY,
        "            if self._length >= 0 or self._is_lost or self._is_closed:",
        "            if self._is_lost or self._is_closed:",
        READ,
    ),
    Fault(
        "netrpc: an unread body stays open",
        BODY,
        "            self._pipe.discard()\n",
        "            pass\n",
        READ,
        "fewer_bytes or unread",
    ),
    Fault(
        "netrpc: a comment cuts an event",
        PADDING,
        "        if self._is_pushed or (self._tail and not self._tail.endswith(_BLANK_LINES)):\n",
        "        if self._is_pushed:\n",
        PADDED,
    ),
    Fault(
        "netrpc: the setting event-padding is not looked at",
        WIRE,
        "HTTPCalls(serving.http, pads_events=pads_events)",
        "HTTPCalls(serving.http, pads_events=True)",
        WIRED,
        "padded_as",
    ),
)
