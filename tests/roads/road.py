"""What a test can do and see on every road: Road, and the Exchange and the Answer of one request."""

from __future__ import annotations

import ast
import itertools
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import quote

from google.protobuf import json_format

from mm_asgi.host.http import Rules
from tests.contract.apps.registry import Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.roads.line import Line

__all__ = [
    "APP",
    "DEFAULTS",
    "HOST",
    "MESSAGE_SIZE",
    "PLUGIN_ID",
    "ROOT",
    "Answer",
    "Exchange",
    "Headers",
    "HookOutcome",
    "Road",
    "Site",
]

ROOT = Path(__file__).resolve().parents[2]
PLUGIN_ID = "com.example.demo"
HOST = "chat.example.com:8065"
APP = "tests.contract.apps.catalog:app"
# Settings of the plugin on every road, unless a test says other ones.
DEFAULTS: dict[str, object] = {"access_log": True}
MESSAGE_SIZE = 64 * 1024  # bytes: no message of an answer's body is longer
TOKENS = itertools.count(1)

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Site:
    """The server's settings that a request meets before the plugin; timeouts in seconds."""

    subpath: str = "/mm"
    trusted_proxy: str = ""
    read_timeout: float = 300.0
    write_timeout: float = 300.0

    @property
    def rules(self) -> Rules:
        """The same for the simulated host's rewriting."""
        trusted = (self.trusted_proxy,) if self.trusted_proxy else ()
        return Rules(
            plugin_id=PLUGIN_ID, subpath=self.subpath or "/", trusted_proxy_headers=trusted
        )

    def spelled(self, target: str) -> str:
        """A request target; without ``plugins/`` in it, it is below the plugin."""
        return target if "plugins/" in target else self.rules.prefix + target


@dataclass(slots=True)
class Answer:
    """An HTTP answer as a browser gets it; from messages, as the host would write it.

    Attributes:
        broken: it ended before its end, or from messages: the RPC ended non-OK.
        messages: how many the host got, ``flushed`` how many of them it had to flush, and ``end``
            the RPC's status and text. A browser sees none of the three.
    """

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    broken: bool = False
    messages: int = 0
    flushed: int = 0
    end: tuple[int, str] | None = None

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

    @property
    def literal(self) -> Any:
        """The body of the cases ``scope`` and ``state``."""
        assert self.status == 200, self
        return ast.literal_eval(self.body.decode())


class HookOutcome(NamedTuple):
    """A hook's status by name, and its response; None when it failed."""

    code: str
    response: Any

    @property
    def fields(self) -> dict[str, Any]:
        """What is set in the response, as protojson."""
        made: dict[str, Any] = json_format.MessageToDict(
            self.response, preserving_proto_field_name=True
        )
        return made


class Exchange(ABC):
    """One HTTP request under way; ``token`` is the one that ``Road.begin`` gave it."""

    token = ""

    @abstractmethod
    async def send(self, data: bytes, *, last: bool = False) -> None:
        """Send bytes of the request's body."""

    @abstractmethod
    async def cut(self) -> None:
        """End the request's body in the middle, without leaving where the road can."""

    @abstractmethod
    async def head(self) -> Answer:
        """Wait until the answer begins; the answer so far."""

    @abstractmethod
    async def piece(self) -> bytes:
        """Wait for the next bytes of the answer's body; empty at the end."""

    @abstractmethod
    async def rest(self) -> Answer:
        """Wait for the answer's end; the whole answer."""

    @abstractmethod
    async def leave(self) -> None:
        """Go away."""


RELEASED = ("n", "o", "r")


class Road(ABC):
    """A plugin behind a host, and what a test asks of the two.

    Attributes:
        kind: how the road is driven, m, w or g: what is seen on g is seen on s too.
        letter: the road's own.
        site: the server's settings.
        expected: texts and request ids of error lines that the test has seen coming; any other
            error fails it.
    """

    kind: ClassVar[str]

    def __init__(self, site: Site, letter: str = "") -> None:
        self.site = site
        self.letter = letter or self.kind
        self.expected: set[str] = set()
        self.is_down = False
        self._seen_coming: list[Line] = []

    @property
    def is_released(self) -> bool:
        """Whether the host speaks net/rpc, as every released server does."""
        return self.letter in RELEASED

    # ------------------------------------------------------------ what each road does its own way

    @abstractmethod
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

    @abstractmethod
    async def hook(
        self,
        name: str,
        request: dict[str, Any],
        *,
        deadline: float | None = None,
        overruns: bool = False,
    ) -> HookOutcome:
        """Call a hook.

        Args:
            request: its fields, as protojson.
            deadline: seconds that the host waits; None: as it does.
            overruns: the function will not return; a road that can gives it little time.
        """

    @abstractmethod
    async def implemented(self) -> list[str]:
        """The hooks that the plugin lists."""

    @abstractmethod
    def log_lines(self) -> list[Line]:
        """The plugin's log since the test began, as far as it has arrived; see ``lines()``."""

    @abstractmethod
    async def turn(self) -> None:
        """Let the plugin run a little."""

    @abstractmethod
    async def deactivate(self) -> None:
        """Call OnDeactivate, while requests still come."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop the plugin as the host does, to the end."""

    # ------------------------------------------------------------ requests

    def token(self) -> str:
        """A name for one request's notes."""
        return f"{self.letter}{next(TOKENS)}"

    async def http(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        version: str = "1.1",
    ) -> Answer:
        """Make one request, whole."""
        length = len(body)
        exchange = await self.open(method, target, headers, length=length, version=version)
        if body:
            await exchange.send(body, last=True)
        return await exchange.rest()

    async def begin(
        self,
        case: str,
        *,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        **more: Any,
    ) -> Exchange:
        """Begin a request for a case, under a token of its own; ``more`` is for ``open``."""
        token = self.token()
        pairs = [("X-Token", token), *headers]
        exchange = await self.open(method, f"/{quote(case)}", pairs, **more)
        exchange.token = token
        return exchange

    async def ask(self, case: str, **request: Any) -> Answer:
        """Make a request for a case, whole and without a body."""
        return await (await self.begin(case, **request)).rest()

    async def scope(
        self, target: str = "/scope", headers: Headers | None = None, **more: Any
    ) -> dict[str, Any]:
        """The scope that a GET makes."""
        given = [("X-Case", "scope"), *(headers or [])]
        found: dict[str, Any] = (await self.http("GET", target, given, **more)).literal
        return found

    # ------------------------------------------------------------ what the app notes

    async def journal(self, token: str, until: str = "", count: int = 1) -> list[Note]:
        """The notes of a token, once ``count`` of them have the key ``until``."""
        query = f"of={token}&until={until.replace(' ', '+')}&count={count}"
        answer = await self.http("GET", f"/journal?{query}")
        assert answer.status == 200, answer
        return [Note(**note) for note in json.loads(answer.body)]

    async def keys(self, token: str, until: str = "over") -> list[str]:
        """The keys that were noted under a token, once ``until`` is among them."""
        return [note.key for note in await self.journal(token, until)]

    async def noted(self, token: str, key: str, count: int = 1) -> list[Any]:
        """The values noted under a key, once there are that many."""
        return [note.value for note in await self.journal(token, key, count) if note.key == key]

    async def gate(self, token: str, name: str = "open") -> None:
        """Let a case go on that waits for this gate."""
        answer = await self.http("GET", f"/gate?of={token}&name={name.replace(' ', '+')}")
        assert answer.status == 200, answer

    async def request_id(self, token: str) -> str:
        """The id of the request, as its case saw it."""
        (found,) = await self.noted(token, "request")
        return str(found)

    # ------------------------------------------------------------ what the plugin logs

    async def lines(self) -> list[Line]:
        """The plugin's log since the test began, with all that was logged before this call."""
        if self.is_down:
            return self.log_lines()
        mark = f"mark {self.token()}"
        for _ in range(1000):
            if (await self.http("GET", "/log", [("X-Token", mark)])).status == 200:
                break  # any other answer: the plugin has no room
            await self.turn()
        for _ in range(1000):
            if any(line.message == mark for line in self.log_lines()):
                return [line for line in self.log_lines() if not line.message.startswith("mark ")]
            await self.turn()
        raise AssertionError("the log stands still")

    async def logged(self, text: str, level: str, *, token: str = "") -> Line:
        """The one line of the log that has this text; an error is seen coming from now on.

        Args:
            text: in the message or the traceback.
            level: of the line.
            token: of the request in whose context it was logged; empty: of any.
        """
        request_id = await self.request_id(token) if token else ""
        for _ in range(1000):
            lines = await self.lines()
            found = [
                line
                for line in lines
                if (text in line.message or text in str(line.fields.get("exception")))
                and request_id in ("", line.request_id)
            ]
            if found:
                break  # it may come after the answer
            await self.turn()
        assert [line.level for line in found] == [level], (text, lines)
        self._seen_coming += found
        return found[0]

    def errors(self) -> list[Line]:
        """The lines of level error, as far as they have arrived."""
        return [line for line in self.log_lines() if line.level == "error"]

    async def check_no_error(self, token: str) -> None:
        """The request has ended, and nothing of it was logged as an error."""
        assert "over" in await self.keys(token)
        request_id = await self.request_id(token)
        assert [line for line in self.errors() if line.request_id == request_id] == []

    async def check_quiet(self) -> None:
        """Nothing was logged but debug lines and information."""
        assert {line.level for line in await self.lines()} <= {"debug", "info"}

    async def finish(self) -> None:
        """The test is over: nothing that it did not see coming may be in the log."""
        for line in await self.lines():
            seen = line in self._seen_coming or any(
                text in line.message or text == line.request_id for text in self.expected
            )
            assert line.level != "error" or seen, line
