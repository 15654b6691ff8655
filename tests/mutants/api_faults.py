"""The planted faults of the client of the host's API."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["API_FAULTS"]

CALLS = "mm_asgi/api/call_shape.py"
CONNECTION = "mm_asgi/api/api_connection.py"
CHANNEL = "tests/wire/grpcio_channel.py"
FAILURES = "mm_asgi/api/failures.py"
FACTS = "mm_asgi/api/facts.py"
GENERATE = "proto/generate.py"
API = ("tests/unit/api",)
GENERATED = ("tests/proto",)
CHANNELS = ("tests/wire/test_channel.py",)

API_FAULTS: tuple[Fault, ...] = (
    Fault(
        "A2: the wire's own way to the API is passed over",
        "mm_asgi/api/api_connection.py",
        "        if callable(self._source):\n",
        "        if False:\n",
        ("tests/unit/api/test_api_connection.py",),
        "open_the_channel",
    ),
    Fault(
        "API: every call is repeated",
        CALLS,
        "self.is_read = name in READS",
        "self.is_read = True",
        API,
        "repeated or reads",
    ),
    Fault(
        "API: a call that creates a channel counts as a read",
        FACTS,
        '        "GetEmoji",\n',
        '        "GetDirectChannel",\n        "GetEmoji",\n',
        API,
        "reads",
    ),
    Fault(
        "generate: a file that nothing generates any more is overlooked",
        GENERATE,
        "sorted(fresh.keys() | found.keys())",
        "sorted(fresh.keys())",
        GENERATED,
        "difference",
    ),
    Fault(
        "generate: a check writes",
        GENERATE,
        "    if not check:\n",
        "    if True:\n",
        GENERATED,
        "check",
    ),
    Fault(
        "generate: a channel that a call creates is only read",
        "proto/api.toml",
        'not_reads = ["GetDirectChannel", ',
        "not_reads = [",
        GENERATED,
        "tree",
    ),
    Fault(
        "API: the limit of a request is a byte too low",
        CALLS,
        "> REQUEST_LIMIT:",
        ">= REQUEST_LIMIT:",
        API,
        "mebibytes",
    ),
    Fault(
        "API: a message field that is left out stays unset",
        CALLS,
        "            getattr(message, name).SetInParent()",
        "            pass",
        API,
        "always_sent",
    ),
    Fault(
        "API: the error in an answer is overlooked",
        CONNECTION,
        'if response.HasField("error"):',
        "if False:",
        API,
        "error_in",
    ),
    Fault(
        "API: there is no deadline",
        CONNECTION,
        "limit = timeout or None",
        "limit = None",
        API,
        "deadline",
    ),
    Fault(
        "API: a read is repeated past its deadline",
        CONNECTION,
        " or (left is not None and left <= pause)",
        "",
        API,
        "past_its_deadline",
    ),
    Fault(
        "API: a status's id stays in its message",
        FAILURES,
        "elif match := _ID.fullmatch(error.text):",
        "elif match := None:",
        API,
        "status",
    ),
    Fault(
        "API: calls go over another channel than was given",
        CONNECTION,
        "self._open_channel(target)",
        "_open_native(target)",
        API,
        "channel_is",
    ),
    Fault(
        "API: a closed connection opens again",
        CONNECTION,
        "        self._closed = True\n        channel, self._channel",
        "        channel, self._channel",
        API,
        "close or runtime",
    ),
    Fault(
        "channel: grpcio's cancel is taken for the task's",
        CHANNEL,
        "            if is_cancelled():",
        "            if True:",
        CHANNELS,
        "close",
    ),
    Fault(
        "channel: a cancelled read cancels the RPC",
        CHANNEL,
        "data = await asyncio.shield(self._reading)",
        "data = await self._reading",
        CHANNELS,
        "ends_no_rpc",
    ),
    Fault(
        "channel: a write passes the one before it",
        CHANNEL,
        "            if self._writing is not None:  # whoever started it was cancelled\n                await asyncio.shield(self._writing)\n",
        "",
        CHANNELS,
        "ends_no_rpc",
    ),
)
