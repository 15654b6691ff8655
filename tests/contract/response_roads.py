"""The roads of the response rows: an app is asked over memory, raw messages or real HTTP.

m: Dispatch on the memory wire. w: raw messages from the Go host to a plugin process. g: HTTP
through the Go host to the same process. What an exchange can tell depends on the road: only m and
w see messages and the RPC's status, only g sees what a browser sees.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from mm_asgi.grpc_hooks import SERVICE, methods
from mm_asgi.observe.logs import HclogHandler
from mm_asgi.plugin import Plugin
from mm_asgi.protocol.hooks_common_pb2 import PluginContext
from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequest, ServeHTTPRequestInit
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
from tests.contract.apps_response import app as response_app
from tests.contract.simulated import SimulatedHost
from tests.go_host import GoHost
from tests.wire.memory import MemoryPeer, MemoryServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Answer", "Exchange", "HostRoad", "Line", "MemoryRoad", "Road", "Roads"]

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path(__file__).parent / "response_plugin"
PLUGIN_ID = "com.example.demo"
PREFIX = f"/plugins/{PLUGIN_ID}"
MARKS = itertools.count(1)

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Answer:
    """What came of a request.

    Attributes:
        status: of the HTTP answer; 0 when there was none.
        messages: how many messages, and ``end`` the RPC's status; roads m and w only.
        broken: a browser got less than it was promised; road g only.
    """

    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    messages: int = 0
    flushed: int = 0
    end: tuple[int, str] | None = None
    broken: bool = False

    def header(self, name: str) -> str | None:
        """The only value of a header; None: not there."""
        values = self.all(name)
        assert len(values) < 2, f"{name}: {values}"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """All values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name]

    def text(self) -> str:
        """Everything that left for the peer, as one text."""
        return f"{self.headers} {self.body!r} {self.end}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the plugin's log, as the host gets it."""

    level: str
    message: str
    fields: dict[str, Any]

    @property
    def request_id(self) -> str:
        return str(self.fields.get("request_id", ""))


class Exchange(Protocol):
    """One request under way."""

    mark: str

    async def head(self) -> Answer:
        """Wait for the first thing to come; the answer so far."""

    async def piece(self) -> bytes:
        """The next bytes of the body as they come; empty at the end."""

    async def rest(self) -> Answer:
        """All of it, to the end."""

    async def leave(self) -> None:
        """Go away in the middle."""


class Road:
    """What all roads do the same way.

    Attributes:
        letter: the road's.
        kind: how it is driven: m, w or g.
        expected: request ids whose error lines a test has looked at.
    """

    kind = ""
    letter = ""

    def __init__(self) -> None:
        self.expected: set[str] = set()

    async def open(
        self,
        app: str,
        *,
        method: str = "GET",
        headers: Headers | None = None,
        query: str = "",
    ) -> Exchange:
        """Send a request without a body."""
        raise NotImplementedError

    def lines(self) -> list[Line]:
        """The plugin's log so far."""
        raise NotImplementedError

    async def turn(self) -> None:
        """Let the plugin run a little."""
        raise NotImplementedError

    async def deactivate(self) -> None:
        """OnDeactivate, while requests still come."""
        raise NotImplementedError

    async def stop(self) -> None:
        """The end as the host makes it."""
        raise NotImplementedError

    async def close(self) -> None:
        """The end of it all."""
        raise NotImplementedError

    async def ask(self, app: str, **request: Any) -> Answer:
        """One request, whole."""
        return await (await self.open(app, **request)).rest()

    async def notes(self, mark: str, until: str = "over") -> list[str]:
        """What the app of that request noted, once ``until`` is among it."""
        answer = await self.ask("journal", query=f"of={mark}&until={until.replace(' ', '+')}")
        assert answer.status == 200, answer
        notes: list[str] = json.loads(answer.body)
        return notes

    async def open_gate(self, mark: str) -> None:
        """Let the app of that request go on."""
        assert (await self.ask("open_gate", query=f"of={mark}")).status == 200

    async def logged(self, text: str, *, level: str = "", mark: str = "", times: int = 1) -> Line:
        """A line with this text, of that request if a mark is given: it may come after the answer."""
        request_id = await self.request_id(mark) if mark else ""
        self.expected.add(request_id)
        for _ in range(1000):
            found = [
                line
                for line in self.lines()
                if (text in line.message or text in str(line.fields.get("exception")))
                and level in ("", line.level)
                and request_id in ("", line.request_id)
            ]
            if len(found) >= times:
                assert len(found) == times, found
                return found[0]
            await self.turn()
        raise AssertionError(f"{text!r} was not logged; errors: {self.errors()}")

    async def request_id(self, mark: str) -> str:
        """What the app of that request was told its id is."""
        return (await self.notes(mark, ""))[0].removeprefix("request ")

    def errors(self) -> list[Line]:
        """Lines of level error."""
        return [line for line in self.lines() if line.level == "error"]


def request_message(
    app: str, mark: str, method: str, headers: Headers, query: str
) -> ServeHTTPRequest:
    """The first and only message of a request without a body."""
    target = f"/{app}?mark={mark}&{query}"
    return ServeHTTPRequest(
        init=ServeHTTPRequestInit(
            method=method,
            url=target,
            request_uri=PREFIX + target,
            proto="HTTP/1.1",
            proto_major=1,
            proto_minor=1,
            host="chat.example.com",
            remote_addr="192.0.2.1:5555",
            headers=[HTTPHeader(key=name, values=[value]) for name, value in headers],
            plugin_context=PluginContext(request_id=f"id-{mark}"),
        ),
        body_complete=True,
    )


def add(answer: Answer, message: Any) -> bytes:
    """Put a message's facts into the answer; gives its bytes."""
    if message.HasField("init"):
        assert not answer.messages, "a second init"
        answer.status = message.init.status_code
        answer.headers = [(h.key, value) for h in message.init.headers for value in h.values]
    assert len(message.body_chunk) <= 64 * 1024
    answer.messages += 1
    answer.flushed += message.flush
    answer.body += message.body_chunk
    return bytes(message.body_chunk)


# ---------------------------------------------------------------- m


class MemoryExchange:
    """A request on the memory wire."""

    def __init__(self, peer: MemoryPeer, mark: str) -> None:
        self.mark = mark
        self._peer = peer
        self._answer = Answer()

    async def head(self) -> Answer:
        await self.piece()
        return self._answer

    async def piece(self) -> bytes:
        message = await self._peer.receive()
        return b"" if message is None else add(self._answer, message)

    async def rest(self) -> Answer:
        while (message := await self._peer.receive()) is not None:
            add(self._answer, message)
        code, text = await self._peer.ended()
        self._answer.end = (int(code), text)
        return self._answer

    async def leave(self) -> None:
        self._peer.cancel()


class MemoryRoad(Road):
    """A plugin on the memory wire, its log caught as the host would get it."""

    kind = letter = "m"

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = Settings(**settings)
        self.serving = Serving(self.settings, PLUGIN_ID, load=lambda: Plugin(response_app).freeze())
        self.server = MemoryServer()
        self._prefix = f"m{next(MARKS)}-"  # in this process all roads' lines come together
        self._lines: list[Line] = []
        self._handler = HclogHandler(self._write)
        self._level = logging.getLogger().level

    async def start(self) -> MemoryRoad:
        """Activate."""
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(logging.DEBUG)
        await self.server.start(None, methods(self.serving))
        assert await self.serving.life.activate() is None
        return self

    async def open(
        self,
        app: str,
        *,
        method: str = "GET",
        headers: Headers | None = None,
        query: str = "",
        window: int | None = None,
    ) -> MemoryExchange:
        """The same, with a window of messages beyond which a write blocks."""
        mark = f"{self._prefix}{next(MARKS)}"
        peer = self.server.open(SERVICE + "ServeHTTP", window=window)
        peer.send(request_message(app, mark, method, headers or [], query))
        peer.half_close()
        return MemoryExchange(peer, mark)

    def lines(self) -> list[Line]:
        return self._lines

    def _write(self, written: bytes) -> None:
        entry = json.loads(written)
        fields = {name: value for name, value in entry.items() if not name.startswith("@")}
        line = Line(entry["@level"], entry["@message"], fields)
        if not line.request_id or line.request_id.startswith(f"id-{self._prefix}"):
            self._lines.append(line)

    async def turn(self) -> None:
        await asyncio.sleep(0)

    async def deactivate(self) -> None:
        await self.serving.life.deactivate(self.settings.drain)

    async def stop(self) -> None:
        await self.deactivate()

    async def close(self) -> None:
        await self.serving.life.deactivate(0.0)
        await self.server.stop(0.0)
        root = logging.getLogger()
        root.removeHandler(self._handler)
        root.setLevel(self._level)


# ---------------------------------------------------------------- w and g


def start_host(kind: str, **settings: object) -> GoHost | SimulatedHost:
    """A road's host with the response apps, not started."""
    env = {f"MM_ASGI_{name.upper()}": str(value) for name, value in settings.items()}
    env = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **env}
    if kind == "s":
        return SimulatedHost(PLUGIN, "start_responses.py", plugin_id=PLUGIN_ID, env=env)
    return GoHost(
        PLUGIN, "start_responses.py", plugin_id=PLUGIN_ID, env=env, flags=["-log-level=debug"]
    )


class RawExchange:
    """A stream of raw messages that the Go host drives step by step."""

    def __init__(self, host: GoHost, number: str, mark: str) -> None:
        self.mark = mark
        self._host = host
        self._path = f"/raw/{number}"
        self._closed = False
        self._answer = Answer()

    async def _do(self, step: dict[str, Any]) -> bytes:
        done = await self._host.control(self._path, [step])
        pieces = [add(self._answer, _parsed(facts["message"])) for facts in done["messages"]]
        if done["status"]:
            self._answer.end = (done["status"]["number"], done["status"]["message"])
            assert done["trailers"] is None or "secret" not in str(done["trailers"])
        return b"".join(pieces)

    async def head(self) -> Answer:
        await self.piece()
        return self._answer

    async def piece(self) -> bytes:
        return await self._do({"recv": 1})

    async def rest(self) -> Answer:
        await self._do({"recv": "all"})
        assert self._answer.end is not None
        await self.leave()
        return self._answer

    async def leave(self) -> None:
        if not self._closed:
            self._closed = True
            await self._host.control(f"{self._path}/close")


def _parsed(message: dict[str, Any]) -> Any:
    """A protojson answer as a message."""
    # Imported here: only this road needs it.
    from google.protobuf import json_format

    from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPResponse

    return json_format.ParseDict(message, ServeHTTPResponse())


class HTTPExchange:
    """A request of a browser."""

    def __init__(self, client: httpx.AsyncClient, request: httpx.Request, mark: str) -> None:
        self.mark = mark
        self._answer = Answer()
        self._sending = asyncio.create_task(client.send(request, stream=True))
        self._pieces: AsyncIterator[bytes] | None = None

    async def head(self) -> Answer:
        response = await self._sending
        self._answer.status = response.status_code
        self._answer.headers = response.headers.multi_items()
        return self._answer

    async def piece(self) -> bytes:
        if self._pieces is None:
            await self.head()
            self._pieces = (await self._sending).aiter_raw()
        try:
            piece = await anext(self._pieces, b"")
        except httpx.RemoteProtocolError:
            self._answer.broken = True
            return b""
        self._answer.body += piece
        return piece

    async def rest(self) -> Answer:
        while await self.piece():
            pass
        await (await self._sending).aclose()
        return self._answer

    async def leave(self) -> None:
        if self._sending.done():
            await (await self._sending).aclose()
        else:
            self._sending.cancel()
            await asyncio.wait([self._sending])


class HostRoad(Road):
    """One of the roads through a host: raw messages, or HTTP as a browser has it."""

    def __init__(self, kind: str, host: GoHost | SimulatedHost) -> None:
        super().__init__()
        self.letter = kind
        # What a browser sees is the same on s as on g.
        self.kind = "g" if kind == "s" else kind
        self.host: Any = host
        self._client = httpx.AsyncClient(base_url=host.plugin_url, trust_env=False, timeout=30)

    async def open(
        self,
        app: str,
        *,
        method: str = "GET",
        headers: Headers | None = None,
        query: str = "",
    ) -> Exchange:
        mark = f"{self.kind}{next(MARKS)}"
        if self.kind == "w":
            return await self._open_raw(app, mark, method, headers or [], query)
        request = self._client.build_request(
            method, f"/{app}?mark={mark}&{query}", headers=headers or []
        )
        return HTTPExchange(self._client, request, mark)

    async def _open_raw(
        self, app: str, mark: str, method: str, headers: Headers, query: str
    ) -> RawExchange:
        data = request_message(app, mark, method, headers, query).SerializeToString()
        steps = [{"send_hex": data.hex()}, {"close_send": True}]
        opened = await self.host.control("/raw/open", steps)
        return RawExchange(self.host, opened["id"], mark)

    def lines(self) -> list[Line]:
        return [
            Line(line.get("level", ""), line["message"], line.get("fields") or {})
            for line in self.host.log_lines("plugin")
        ]

    async def turn(self) -> None:
        await self.host.control("/ping")

    async def deactivate(self) -> None:
        await self.host.control("/hook/OnDeactivate")

    async def stop(self) -> None:
        await self.host.stop()
        await self.host.wait_gone()

    async def close(self) -> None:
        await self._client.aclose()


class Roads:
    """The roads that a module's tests use; started when they are asked for first."""

    def __init__(self) -> None:
        self._hosts: dict[str, GoHost | SimulatedHost] = {}
        self._roads: dict[tuple[str, str], Road] = {}

    async def get(self, kind: str, **settings: object) -> Road:
        """The road of that kind to a plugin with these settings."""
        wanted = str(sorted(settings.items()))
        road = self._roads.get((kind, wanted))
        if road is None:
            if kind == "m":
                road = await MemoryRoad(**settings).start()
            else:
                key = f"{'simulated' if kind == 's' else 'go'} {wanted}"
                if key not in self._hosts:
                    self._hosts[key] = host = start_host(kind, **settings)
                    await host.start()
                road = HostRoad(kind, self._hosts[key])
            self._roads[kind, wanted] = road
        return road

    async def close(self) -> None:
        """Stop all; no request may have logged an error that its test did not look at."""
        for road in self._roads.values():
            await road.close()
        for host in self._hosts.values():
            try:
                if host.running:
                    await host.stop()
                    await host.wait_gone()
            finally:
                await host.close()
        expected = set().union(*(road.expected for road in self._roads.values()))
        for road in self._roads.values():
            for line in road.errors():
                assert line.request_id in expected, line
