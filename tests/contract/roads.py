"""The roads of the contract tests: apps.py's app behind four hosts, with one interface.

m: Dispatch on the memory wire, in this process. w: raw messages from the Go host to a plugin
process. g: HTTP through the Go host and net/http to the same process. s: HTTP through the simulated
host, by the same tests as g. w, g and s once for each wire.
On m and w ``http()`` does to a request what the host does to it, by the simulated host's rules.

    @roads("m", "w", "g")
    async def test_S1_...(road: Road) -> None:
        answer = await road.http("GET", "/scope")
"""

from __future__ import annotations

import ast
import asyncio
import itertools
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import h11
import pytest
from google.protobuf import json_format

from mm_asgi.grpc_hooks import SERVICE, methods
from mm_asgi.host.http.rules import Rules, read_request, rewrite, route
from mm_asgi.observe.logs import HclogHandler
from mm_asgi.plugin import Plugin
from mm_asgi.protocol.hooks_common_pb2 import PluginContext
from mm_asgi.protocol.hooks_http_pb2 import (
    HTTPHeader,
    ServeHTTPRequest,
    ServeHTTPRequestInit,
    ServeHTTPResponse,
)
from mm_asgi.serving import Serving
from mm_asgi.settings import TABLE, Settings
from tests.contract import apps
from tests.contract.simulated import SimulatedHost
from tests.go_host import GoHost, go_missing_reason
from tests.wire.memory import MemoryPeer, MemoryServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.apps import Note

__all__ = [
    "PLUGIN_ID",
    "PREFIX",
    "RPC",
    "Answer",
    "Exchange",
    "GoRoad",
    "HTTPRoad",
    "Headers",
    "Line",
    "MemoryRPC",
    "MemoryRoad",
    "MessageRoad",
    "Messages",
    "RawRoad",
    "Road",
    "build_init",
    "roads",
]

ROOT = Path(__file__).resolve().parents[2]
PLUGIN_ID = "com.example.demo"
SUBPATH = "/mm"
PREFIX = f"{SUBPATH}/plugins/{PLUGIN_ID}"
HOST = "chat.example.com:8065"
WIRES = next(row for row in TABLE if row.name == "wire").choices
TOKENS = itertools.count(1)

Headers = list[tuple[str, str]]


def roads(*kinds: str, simulated: bool = True) -> pytest.MarkDecorator:
    """Run a test that takes ``road`` on these roads; all but m are in the full tier.

    What is seen on g is seen on s too; ``simulated=False`` is for what the simulated host does
    not do, and the test says why.
    """
    reason = go_missing_reason()
    full = [
        pytest.mark.full,
        pytest.mark.timeout(120),  # the first test of a run builds the host
        pytest.mark.skipif(bool(reason), reason=str(reason)),
    ]
    params = [
        pytest.param(
            (kind, wire), id=f"{kind}-{wire}" if wire else kind, marks=full if wire else []
        )
        for kind in kinds
        for wire in ([""] if kind == "m" else WIRES)
    ]
    if simulated and "g" in kinds:
        params += [
            pytest.param(("s", wire), id=f"s-{wire}", marks=[pytest.mark.full]) for wire in WIRES
        ]
    return pytest.mark.parametrize("road", params, indirect=True)


@dataclass(slots=True)
class Answer:
    """An HTTP answer as a browser gets it; on roads m and w as the host would write it.

    Attributes:
        broken: it ended before its end, or on m and w: the RPC ended non-OK after its first message.
    """

    status: int
    headers: Headers
    body: bytes
    broken: bool = False

    def header(self, name: str) -> str | None:
        """The only value of a header; None: not there."""
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) < 2, f"{name}: {values}"
        return values[0] if values else None

    @property
    def literal(self) -> Any:
        """The body of the cases ``scope`` and ``state``."""
        assert self.status == 200, self
        return ast.literal_eval(self.body.decode())


@dataclass(slots=True)
class Messages:
    """All that came of one RPC."""

    messages: list[ServeHTTPResponse] = field(default_factory=list)
    code: int = -1
    text: str = ""

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        return b"".join(message.body_chunk for message in self.messages)

    def answer(self) -> Answer:
        """What the host writes of it."""
        if not self.messages:
            return Answer(502, [], b"Bad Gateway\n")
        init = self.messages[0].init
        headers = [(header.key, value) for header in init.headers for value in header.values]
        return Answer(init.status_code or 200, headers, self.body, broken=self.code != 0)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the plugin's log, as the host gets it."""

    level: str
    message: str
    fields: dict[str, Any]


class Exchange:
    """One HTTP request under way."""

    async def send(self, data: bytes, *, last: bool = False) -> None:
        """Bytes of the request's body."""
        raise NotImplementedError

    async def cut(self) -> None:
        """End the request's body in the middle, without leaving where the road can."""
        raise NotImplementedError

    async def head(self) -> int:
        """Wait until the answer begins; its status."""
        raise NotImplementedError

    async def rest(self) -> Answer:
        """The answer, to its end."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Go away."""
        raise NotImplementedError


class Road:
    """What all roads do the same way.

    Attributes:
        kind: m, w or g, which stands for s too.
        expected: texts of error lines that the test has seen coming; any other fails it.
    """

    kind = ""

    def __init__(self) -> None:
        self.expected: set[str] = set()

    def token(self) -> str:
        """A name for one request's notes."""
        return f"{self.kind}{next(TOKENS)}"

    async def open(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        length: int | None = 0,
        version: str = "1.1",
    ) -> Exchange:
        """Begin a request.

        Args:
            target: as the client spells it; without ``plugins/`` in it, below the plugin.
            length: bytes of the body, which are sent by the exchange; None: not known.
            version: of HTTP.
        """
        raise NotImplementedError

    def log_lines(self) -> list[Line]:
        """The plugin's log since the test began; see ``lines()``."""
        raise NotImplementedError

    async def turn(self) -> None:
        """Let the plugin run a little."""
        raise NotImplementedError

    async def http(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        version: str = "1.1",
    ) -> Answer:
        """One request, whole."""
        length = len(body)
        exchange = await self.open(method, target, headers, length=length, version=version)
        if body:
            await exchange.send(body, last=True)
        return await exchange.rest()

    async def scope(
        self, target: str = "/scope", headers: Headers | None = None, **more: Any
    ) -> dict[str, Any]:
        """The scope that a GET makes."""
        given = [("X-Case", "scope"), *(headers or [])]
        found: dict[str, Any] = (await self.http("GET", target, given, **more)).literal
        return found

    async def journal(self, token: str, until: str = "", count: int = 1) -> list[Note]:
        """The notes of a token, once ``count`` of them have the key ``until``."""
        query = f"of={token}&until={until.replace(' ', '+')}&count={count}"
        notes = json.loads((await self.http("GET", f"/journal?{query}")).body)
        return [apps.Note(**note) for note in notes]

    async def noted(self, token: str, key: str, count: int = 1) -> list[Any]:
        """The values noted under a key, once there are that many."""
        return [note.value for note in await self.journal(token, key, count) if note.key == key]

    async def gate(self, token: str, name: str) -> None:
        """Let a case go on that waits for this gate."""
        answer = await self.http("GET", f"/gate?of={token}&name={name.replace(' ', '+')}")
        assert answer.status == 200

    async def lines(self) -> list[Line]:
        """The plugin's log since the test began, with all that was logged before this call."""
        mark = f"mark {self.token()}"
        await self.http("GET", "/log", [("X-Token", mark)])
        for _ in range(1000):
            if any(line.message == mark for line in self.log_lines()):
                return [line for line in self.log_lines() if not line.message.startswith("mark ")]
            await self.turn()
        raise AssertionError("the log stands still")

    async def logged(self, text: str, level: str) -> Line:
        """The one line of the log that has this text; an error is expected from now on."""
        found = [line for line in await self.lines() if text in line.message]
        assert [line.level for line in found] == [level], await self.lines()
        self.expected.add(text)
        return found[0]

    async def finish(self) -> None:
        """The test is over: nothing that it did not see coming may be in the log."""
        for line in await self.lines():
            seen = any(text in line.message for text in self.expected)
            assert line.level != "error" or seen, line


# ---------------------------------------------------------------- m and w: messages


def build_init(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]] = (),
    *,
    length: int | None = 0,
    version: str = "1.1",
) -> ServeHTTPRequestInit:
    """What the host makes of a request: stripped, set and rewritten."""
    path, mark, query = spelled(target).partition("?")
    pairs = [("Host", HOST), *headers] if not _has_host(headers) else list(headers)
    framing = (
        ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
    )
    if length != 0:
        pairs.append(framing)
    request = read_request(
        {
            "method": method,
            "raw_path": path.encode("latin-1"),
            "query_string": (mark and query).encode("latin-1"),
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in pairs],
            "http_version": version,
            "client": ("192.0.2.1", 5555),
        }
    )
    rules = Rules(plugin_id=PLUGIN_ID, subpath=SUBPATH)
    assert route(request.url, rules).kind == "plugin", "the host does not pass this on"
    context = rewrite(request, rules).context
    return ServeHTTPRequestInit(
        method=request.method,
        url=_utf8(str(request.url)),
        proto=f"HTTP/{version}" if "." in version else f"HTTP/{version}.0",
        proto_major=request.protocol[0],
        proto_minor=request.protocol[1],
        host=_utf8(request.host),
        remote_addr=request.remote_addr,
        request_uri=_utf8(request.request_uri),
        content_length=request.content_length,
        headers=[
            HTTPHeader(key=name, values=[_utf8(value) for value in values])
            for name, values in request.header.items()
        ],
        plugin_context=PluginContext(
            session_id=context.session_id,
            request_id=context.request_id,
            ip_address=context.ip_address,
            accept_language=context.accept_language,
            user_agent=context.user_agent,
        ),
    )


def spelled(target: str) -> str:
    """A request target; without ``plugins/`` in it, it is below the plugin."""
    return target if "plugins/" in target else PREFIX + target


def _has_host(headers: Sequence[tuple[str, str]]) -> bool:
    return any(name.lower() == "host" for name, _ in headers)


def _utf8(text: str) -> str:
    return text.encode("latin-1").decode("utf-8")


class RPC:
    """One ServeHTTP stream from the host's side."""

    async def send(self, *messages: ServeHTTPRequest) -> bool:
        """Send messages; False: flow control holds one back."""
        raise NotImplementedError

    async def half_close(self) -> None:
        """Send no more."""
        raise NotImplementedError

    async def receive(self) -> ServeHTTPResponse | None:
        """The next message; None: the RPC has ended."""
        raise NotImplementedError

    async def rest(self) -> Messages:
        """All messages up to the end, those received before too, and the status."""
        raise NotImplementedError

    async def cancel(self) -> None:
        """Leave."""
        raise NotImplementedError


class MessageRoad(Road):
    """m and w: what passes are messages."""

    async def stream(self, *messages: ServeHTTPRequest) -> RPC:
        """Open a stream and send messages on it."""
        raise NotImplementedError

    async def exchange(self, *messages: ServeHTTPRequest) -> Messages:
        """One RPC with all its messages."""
        rpc = await self.stream(*messages)
        await rpc.half_close()
        return await rpc.rest()

    async def open(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        length: int | None = 0,
        version: str = "1.1",
    ) -> Exchange:
        init = build_init(method, target, headers, length=length, version=version)
        rpc = await self.stream(ServeHTTPRequest(init=init, body_complete=length == 0))
        if length == 0:
            await rpc.half_close()
        return RPCExchange(rpc)


class RPCExchange(Exchange):
    """A request on a stream, sent as the host sends it."""

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc

    async def send(self, data: bytes, *, last: bool = False) -> None:
        size = 64 * 1024
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        await self._rpc.send(*(ServeHTTPRequest(body_chunk=chunk) for chunk in chunks))
        if last:
            await self._rpc.send(ServeHTTPRequest(body_complete=True))
            await self._rpc.half_close()

    async def cut(self) -> None:
        await self._rpc.half_close()

    async def head(self) -> int:
        message = await self._rpc.receive()
        assert message is not None
        return message.init.status_code

    async def rest(self) -> Answer:
        return (await self._rpc.rest()).answer()

    async def leave(self) -> None:
        await self._rpc.cancel()


class MemoryRPC(RPC):
    """A stream on the memory wire."""

    def __init__(self, peer: MemoryPeer) -> None:
        self.peer = peer

    async def send(self, *messages: ServeHTTPRequest) -> bool:
        for message in messages:
            self.peer.send(message)
        return True

    async def half_close(self) -> None:
        self.peer.half_close()

    async def receive(self) -> ServeHTTPResponse | None:
        message: ServeHTTPResponse | None = await self.peer.receive()
        return message

    async def rest(self) -> Messages:
        code, text = await self.peer.ended()
        return Messages(list(self.peer.messages), int(code), text)

    async def cancel(self) -> None:
        self.peer.cancel()


class MemoryRoad(MessageRoad):
    """m: a plugin in this process, its log caught as the host would get it."""

    kind = "m"

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = Settings(**settings)
        self.serving = Serving(self.settings, PLUGIN_ID, load=lambda: Plugin(apps.app).freeze())
        self._server = MemoryServer()
        self._lines: list[Line] = []
        self._handler = HclogHandler(self._write)
        self._level = logging.getLogger().level

    async def __aenter__(self) -> Self:
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(logging.DEBUG)
        await self._server.start(None, methods(self.serving))
        assert await self.serving.life.activate() is None
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                await self.finish()
        finally:
            await self.serving.life.deactivate(0.0)
            await self._server.stop(0.0)
            root = logging.getLogger()
            root.removeHandler(self._handler)
            root.setLevel(self._level)

    async def stream(self, *messages: ServeHTTPRequest, window: int | None = None) -> MemoryRPC:
        peer = self._server.open(SERVICE + "ServeHTTP", window=window)
        rpc = MemoryRPC(peer)
        await rpc.send(*messages)
        return rpc

    def log_lines(self) -> list[Line]:
        return list(self._lines)

    def _write(self, written: bytes) -> None:
        entry = json.loads(written)
        fields = {name: value for name, value in entry.items() if not name.startswith("@")}
        self._lines.append(Line(entry["@level"], entry["@message"], fields))

    async def turn(self) -> None:
        await asyncio.sleep(0)


# ---------------------------------------------------------------- w and g: the Go host


def start_host(
    kind: str, wire: str, *, read_timeout: float = 300.0, write_timeout: float = 300.0
) -> GoHost | SimulatedHost:
    """The host of a road with the contract apps, not started."""
    limits: dict[str, Any] = {"read_timeout": read_timeout, "write_timeout": write_timeout}
    facts: dict[str, Any] = {
        "plugin_id": PLUGIN_ID,
        "subpath": SUBPATH,
        "env": {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MM_ASGI_WIRE": wire,
            "MM_ASGI_ACCESS_LOG": "on",
        },
    }
    folder, start_file = Path(__file__).parent / "plugin", "start_contract.py"
    if kind == "s":
        return SimulatedHost(folder, start_file, **limits, **facts)
    flags = [f"-{name.replace('_', '-')}={seconds}s" for name, seconds in limits.items()]
    return GoHost(folder, start_file, flags=["-log-level=debug", *flags], **facts)


class GoRoad(Road):
    """What the two roads through the Go host share."""

    def __init__(self, host: GoHost | SimulatedHost) -> None:
        super().__init__()
        self.host: Any = host
        self._seen = len(host.log_lines("plugin"))

    def log_lines(self) -> list[Line]:
        return [
            Line(line.get("level", ""), line["message"], line.get("fields") or {})
            for line in self.host.log_lines("plugin")[self._seen :]
        ]

    async def turn(self) -> None:
        await self.host.control("/ping")

    async def inter_plugin(self, path: str, **order: Any) -> Answer:
        """A request of another plugin, which never was on a socket."""
        order = {"path": path, **order}
        got = await self.host.control("/interplugin", order)
        headers = [(name, value) for name, values in got["headers"].items() for value in values]
        # protojson's and Go's bytes are base64.
        body = json_format.ParseDict({"body_chunk": got["body_base64"]}, ServeHTTPResponse())
        return Answer(got["status"], headers, body.body_chunk)


class RawRPC(RPC):
    """A stream that the Go host drives step by step."""

    def __init__(self, host: GoHost, number: str) -> None:
        self._host = host
        self._path = f"/raw/{number}"
        self._got = Messages()
        self._closed = False

    async def _do(self, *steps: dict[str, Any]) -> list[str | None]:
        if self._closed:
            return []
        done = await self._host.control(self._path, list(steps))
        for facts in done["messages"]:
            self._got.messages.append(json_format.ParseDict(facts["message"], ServeHTTPResponse()))
        if done["status"]:
            self._got.code, self._got.text = done["status"]["number"], done["status"]["message"]
        return [step["error"] for step in done["steps"]]

    async def send(self, *messages: ServeHTTPRequest) -> bool:
        errors = await self._do(*map(_send_step, messages)) if messages else []
        return not any(error and "held back" in error for error in errors)

    async def half_close(self) -> None:
        await self._do({"close_send": True})

    async def receive(self) -> ServeHTTPResponse | None:
        before = len(self._got.messages)
        await self._do({"recv": 1})
        return self._got.messages[before] if len(self._got.messages) > before else None

    async def rest(self) -> Messages:
        await self._do({"recv": "all"})
        assert self._got.code >= 0, "the RPC did not end"
        if not self._closed:
            self._closed = True
            await self._host.control(f"{self._path}/close")
        return self._got

    async def cancel(self) -> None:
        await self._do({"cancel": True})


def _send_step(message: ServeHTTPRequest) -> dict[str, Any]:
    # As bytes: JSON takes no text that is half a character, nor wrong messages.
    return {"send_hex": message.SerializeToString().hex(), "timeout_ms": 500}


class RawRoad(GoRoad, MessageRoad):
    """w: raw messages to a plugin process."""

    kind = "w"

    async def stream(self, *messages: ServeHTTPRequest) -> RawRPC:
        opened = await self.host.control("/raw/open", list(map(_send_step, messages)))
        return RawRPC(self.host, opened["id"])


class HTTPRoad(GoRoad):
    """g: what a browser does and sees."""

    kind = "g"

    async def open(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        length: int | None = 0,
        version: str = "1.1",
    ) -> HTTPExchange:
        # Written by hand: no client sends each target and header as it is given.
        lines = [f"{method} {spelled(target)} HTTP/{version}"]
        if not _has_host(headers):
            lines.append(f"Host: {HOST}")
        lines += [f"{name}: {value}" for name, value in headers]
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif length:
            lines.append(f"Content-Length: {length}")
        name, _, port = self.host.address.rpartition(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return HTTPExchange(reader, writer, method, chunked=length is None)


class HTTPExchange(Exchange):
    """A request on a connection of its own."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        *,
        chunked: bool,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._chunked = chunked
        self._parser = h11.Connection(h11.CLIENT)
        # h11 has to know of a HEAD; what is sent for it goes nowhere.
        self._parser.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
        self._parser.send(h11.EndOfMessage())
        self._answer: Answer | None = None

    async def send(self, data: bytes, *, last: bool = False) -> None:
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            data += b"0\r\n\r\n" if last else b""
        self._writer.write(data)
        await self._writer.drain()

    async def cut(self) -> None:
        if self._chunked:
            self._writer.write(b"no chunk size\r\n")  # net/http: malformed, and no cancel
        else:
            self._writer.write_eof()

    async def head(self) -> int:
        while self._answer is None:
            event = await self._event()
            if isinstance(event, h11.Response):
                headers = [
                    (name.decode(), value.decode("latin-1")) for name, value in event.headers
                ]
                self._answer = Answer(event.status_code, headers, b"")
        return self._answer.status

    async def rest(self) -> Answer:
        await self.head()
        assert self._answer is not None
        try:
            while not isinstance(event := await self._event(), h11.EndOfMessage):
                assert isinstance(event, h11.Data)
                self._answer.body += event.data
        except (h11.RemoteProtocolError, ConnectionError):
            self._answer.broken = True
        await self.leave()
        return self._answer

    async def _event(self) -> Any:
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            self._parser.receive_data(await self._reader.read(64 * 1024))
        return event

    async def leave(self) -> None:
        self._writer.close()
