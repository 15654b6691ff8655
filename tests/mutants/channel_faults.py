"""The planted faults of the native wire's client, and of its gzip."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["CHANNEL_FAULTS"]

HTTP2 = "mm_asgi/wire/http2/"
CHANNEL, CALL = HTTP2 + "channel.py", HTTP2 + "client_call.py"
STREAM, TRANSPORT = HTTP2 + "stream_call.py", HTTP2 + "client_transport.py"
TESTS = ("tests/wire/http2/test_channel_connection.py", "tests/wire/http2/test_channel_answers.py")

CHANNEL_FAULTS: tuple[Fault, ...] = (
    Fault(
        "channel: a refused RPC is sent again and again",
        CALL,
        "return not self.begun and not self.has_retried",
        "return not self.begun",
        TESTS,
        "no_third",
    ),
    Fault(
        "channel: an RPC whose answer has begun is sent again",
        CALL,
        "return not self.begun and not self.has_retried",
        "return not self.has_retried",
        TESTS,
        "has_begun",
    ),
    Fault(
        "channel: an RPC that ends closes the connection that is being made",
        "mm_asgi/wire/http2/channel.py",
        "transport is not self._ready and transport.is_taken",
        "transport is not self._ready and transport.greeted.done()",
        TESTS,
        "takes_no_connection_along",
    ),
    Fault(
        "channel: RPCs begin on a connection that the server leaves",
        TRANSPORT,
        "            and connection.peer_last is None\n",
        "",
        TESTS,
        "leaving_server",
    ),
    Fault(
        "channel: the server's limit of streams is not kept",
        TRANSPORT,
        "return most is None or len(connection.streams) < most",
        "return True",
        TESTS,
        "full_server or makes_room",
    ),
    Fault(
        "channel: a left connection is closed under its RPCs",
        CHANNEL,
        "        if not transport.calls:\n            transport.goodbye()",
        "        transport.goodbye()",
        TESTS,
        "leaving_server",
    ),
    Fault(
        "channel: a connection with an open RPC counts as idle",
        TRANSPORT,
        "if opened == self._opened_before and not connection.streams:",
        "if opened == self._opened_before:",
        TESTS,
        "idle",
    ),
    Fault(
        "channel: no pause after a connection that failed",
        CHANNEL,
        "self._retry_at = started + self._backoff.pause(self._failures)",
        "self._retry_at = started",
        TESTS,
        "what_is_no_server or backoff_says",
    ),
    Fault(
        "channel: a success does not end the backoff",
        CHANNEL,
        "                    self._failures = 0\n                    break",
        "                    break",
        TESTS,
        "backoff_says",
    ),
    Fault(
        "channel: a cancelled call goes on at the server",
        CHANNEL,
        "            call.cancel()\n            raise",
        "            raise",
        TESTS,
        "cancel_is_heard or makes_room",
    ),
    Fault(
        "channel: the deadline is not told to the server",
        CALL,
        "return self._block + timeout_field(max(left, _LEAST_TIMEOUT))",
        "return self._block",
        TESTS,
        "deadline_is_heard",
    ),
    Fault(
        "channel: OK without a message is an answer",
        CALL,
        'return super().fault_of_messages() or "the answer has a status and no message"',
        'return super().fault_of_messages() or ""',
        TESTS,
        "answer_that_is_wrong",
    ),
    Fault(
        "channel: of two answers the last one counts",
        CALL,
        "        if self._answer is not None:\n            self._leave(",
        "        if False:\n            self._leave(",
        TESTS,
        "answer_that_is_wrong",
    ),
    Fault(
        "channel: a second try leaves out what was written",
        STREAM,
        "log, self._log = self._log or [], []",
        "log, self._log = [], []",
        TESTS,
        "what_was_written",
    ),
    Fault(
        "channel: what came before an error is lost",
        STREAM,
        "        self._inbox.end()",
        "        self._inbox.end(drop=True)",
        TESTS,
        "before_the_end",
    ),
    Fault(
        "channel: a server that ends first is written to for ever",
        CALL,
        "            self.reset(ErrorCode.NO_ERROR)",
        "            pass",
        TESTS,
        "before_the_end",
    ),
    Fault(
        "gzip: a message may grow to anything",
        HTTP2 + "encoding.py",
        "part = inflater.decompress(rest, limit - size + 1)",
        "part = inflater.decompress(rest)\n            limit = max(limit, size + len(part))",
        TESTS,
        "answer_that_is_wrong",
    ),
    Fault(
        "gzip: each member may be as large as the whole",
        HTTP2 + "encoding.py",
        "        if size > limit:",
        "        if len(part) > limit:",
        TESTS,
        "answer_that_is_wrong",
    ),
    Fault(
        "gzip: a message that is cut off is taken",
        HTTP2 + "encoding.py",
        "        if not inflater.eof:",
        "        if False:",
        TESTS,
        "answer_that_is_wrong",
    ),
)
