"""The page's HTTP: its files, the state as JSON, live events, and the acts of a person.

GET  /_mm/            the page; / and /_mm/users redirect to it
GET  /_mm/places      the browser's user, all users, teams, channels, commands
GET  /_mm/posts?ID    a channel's posts
GET  /_mm/events      a snapshot, then each new thing, as server-sent events
POST /_mm/user        {"as": "user", "user": "bob"}, {"as": "nobody"} or {"as": "default"}
POST /_mm/message     {"channel": ID, "text": "hello"}
"""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_asgi.host.http.headers import make_header
from mm_asgi.host.mattermost.journal import APICall, HookCall
from mm_asgi.host.page.acts import Refused, find_user, login_cookies, send_text
from mm_asgi.host.page.feed import Feed
from mm_asgi.host.page.guard import refusal
from mm_asgi.host.page.happened import call_facts, hook_facts, line_facts
from mm_asgi.host.page.page_state import TABLE, GateStep, PageState
from mm_asgi.host.page.places import place_facts, posts_facts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from mm_asgi.host.http.headers import Header
    from mm_asgi.host.http.rules import Rules
    from mm_asgi.host.mattermost.journal import Event
    from mm_asgi.host.mattermost.mattermost import Mattermost
    from mm_asgi.host.plugin.gate import Gate
    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.host.plugin.stderr import LogLine

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["PATH", "Page"]

PATH = "/_mm/"
"""The page's path. No plugin can have it: their paths are all below /plugins/."""

LONGEST_BODY = 256 * 1024
"""Bytes; a message has 16383 characters at most, each of up to 12 bytes in JSON."""

SHOWN = 200
"""Log lines, hooks and calls in a snapshot; a guess at how far a person looks back."""

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Page:
    """The ASGI app at ``/_mm/``; the gateway gets all other requests.

    Args:
        mattermost, log, gate: those of the host.
        rules: the plugin's id and path, and the default user.
        listens: the address or name that the server listens on.
    """

    def __init__(
        self, mattermost: Mattermost, log: HostLog, gate: Gate, rules: Rules, listens: str
    ) -> None:
        self._mm = mattermost
        self._log = log
        self._gate = gate
        self._rules = rules
        self._listens = listens
        self._state = PageState.STARTING
        self._since = _now()
        self._starts = 0
        self._feed = Feed(self._snapshot)
        folder = Path(__file__).parent / "static"
        self._files = {file.name: file.read_bytes() for file in folder.iterdir()}
        self._stop_listening = [mattermost.listen(self._note_entry), log.listen(self._note_line)]
        gate.on_change = self._note_state

    def close(self) -> None:
        """End the live events."""
        for stop in self._stop_listening:
            stop()
        self._stop_listening.clear()
        self._feed.close()

    def before(self, gateway: ASGIApp) -> ASGIApp:
        """Return an ASGI app that serves the page, and hands all other requests to the gateway."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope["path"]
            if path in ("/", PATH[:-1]) or path.startswith(PATH):
                await self._serve_request(scope, receive, send)
            else:
                await gateway(scope, receive, send)

        return app

    # ---------------------------------------------------------------- live events

    def _note_entry(self, entry: APICall | HookCall | Event) -> None:
        if not self._feed.watched:
            return
        if isinstance(entry, APICall):
            self._feed.send(call_facts(entry))
        elif isinstance(entry, HookCall):
            self._feed.send(hook_facts(entry))
        else:
            self._feed.send({"kind": "event", "name": entry.name, "channel": entry.channel_id})

    def _note_line(self, line: LogLine) -> None:
        if self._feed.watched:
            self._feed.send(line_facts(line))

    def _note_state(self) -> None:
        step = self._gate_step()
        state = TABLE[self._state, step]
        if step is GateStep.OPENED:
            self._starts += 1
        if state is not self._state:
            self._state, self._since = state, _now()
        self._feed.send(self._state_facts())

    def _gate_step(self) -> GateStep:
        if self._gate.plugin is not None:
            return GateStep.OPENED
        return GateStep.HELD if self._gate.holds else GateStep.REFUSED

    def _state_facts(self) -> dict[str, Any]:
        plugin = self._gate.plugin
        return {
            "kind": "state",
            "state": self._state.value,
            "since": self._since,
            "starts": self._starts,
            "reason": self._gate.failure[:8000] if self._state is PageState.FAILED else "",
            "pid": plugin.process.pid if plugin is not None else 0,
            "hooks": list(plugin.hooks.names) if plugin is not None else [],
        }

    def _snapshot(self) -> dict[str, Any]:
        return {
            "kind": "snapshot",
            "state": self._state_facts(),
            "log": [line_facts(line) for line in _latest_of(self._log.lines())],
            "hooks": [hook_facts(hook) for hook in _latest_of(self._mm.hook_calls)],
            "calls": [call_facts(call) for call in _latest_of(self._mm.calls)],
        }

    # ---------------------------------------------------------------- HTTP

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = make_header(
            (k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]
        )
        method, path = scope["method"], scope["path"]
        if sentence := refusal(method, header, self._listens):
            await _send_failure(send, 403, sentence)
        elif path in ("/", PATH[:-1], PATH + "users"):
            await _send_answer(send, 302, "text/plain", b"", [("Location", PATH)])
        elif method in ("GET", "HEAD"):
            await self._send_file_or_facts(scope, header, receive, send)
        elif method == "POST" and path in (PATH + "user", PATH + "message"):
            await self._do_act(path.removeprefix(PATH), header, receive, send)
        else:
            await _send_failure(send, 405, f"{method} is not for {path[:100]}")

    async def _send_file_or_facts(
        self, scope: Scope, header: Header, receive: Receive, send: Send
    ) -> None:
        name = scope["path"].removeprefix(PATH) or "index.html"
        if name in self._files:
            await _send_answer(send, 200, _KINDS[Path(name).suffix], self._files[name])
        elif name == "places":
            await _send_json(send, self._place_facts(header))
        elif name == "posts":
            channel = scope["query_string"].decode("latin-1")
            _, user = find_user(header, self._rules.user)
            await _send_json(send, posts_facts(self._mm, channel, user))
        elif name == "events" and scope["method"] == "GET":
            await self._stream_events(receive, send)
        else:
            await _send_failure(send, 404, "there is no such page")

    def _place_facts(self, header: Header) -> dict[str, Any]:
        kind, user_id = find_user(header, self._rules.user)
        if user_id:
            self._mm.log_in(user_id)
        user = self._mm.users.get(user_id)
        return {
            "plugin": self._rules.plugin_id,
            "app": f"{self._rules.prefix}/",
            "me": {"as": kind, "id": user_id, "username": user.username if user else ""},
            "default": self._rules.user,
            **place_facts(self._mm),
        }

    async def _stream_events(self, receive: Receive, send: Send) -> None:
        if self._feed.full:
            await _send_failure(send, 503, "too many pages are open, or the host is being stopped")
            return
        await _send_start(send, 200, [("Content-Type", "text/event-stream")])

        async def pass_on(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        await self._feed.serve(receive, pass_on)

    async def _do_act(self, what: str, header: Header, receive: Receive, send: Send) -> None:
        try:
            given = await _read_json(receive)
            if what == "user":
                kind, user = _text_field(given, "as"), _text_field(given, "user")
                lines = login_cookies(self._mm, kind, user)
                await _send_json(send, {"as": kind}, [("Set-Cookie", line) for line in lines])
            else:
                _, user = find_user(header, self._rules.user)
                channel, text = _text_field(given, "channel"), _text_field(given, "text")
                await _send_json(send, await send_text(self._mm, user, channel, text))
        except Refused as exc:
            await _send_failure(send, exc.status, str(exc))


def _latest_of(entries: Any) -> list[Any]:
    return list(itertools.islice(entries, max(0, len(entries) - SHOWN), None))


def _now() -> int:
    return int(time.time() * 1000)


async def _read_json(receive: Receive) -> dict[str, Any]:
    body = bytearray()
    while True:
        event = await receive()
        body += event.get("body", b"")
        if len(body) > LONGEST_BODY:
            raise Refused(413, f"the body has more than {LONGEST_BODY} bytes")
        if not event.get("more_body", False):
            break
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise Refused(400, "the body is not a JSON object")
    return given


def _text_field(given: dict[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise Refused(400, f"{name} is not a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        # JSON can spell half of a surrogate pair, protobuf cannot.
        raise Refused(400, f"{name} is not a Unicode text") from None
    return value


async def _send_json(
    send: Send, facts: dict[str, Any], pairs: Iterable[tuple[str, str]] = ()
) -> None:
    await _send_answer(send, 200, "application/json", json.dumps(facts).encode(), pairs)


async def _send_failure(send: Send, status: int, sentence: str) -> None:
    await _send_answer(send, status, "application/json", json.dumps({"error": sentence}).encode())


async def _send_answer(
    send: Send, status: int, kind: str, body: bytes, pairs: Iterable[tuple[str, str]] = ()
) -> None:
    length = ("Content-Length", str(len(body)))
    await _send_start(send, status, [("Content-Type", kind), length, *pairs])
    await send({"type": "http.response.body", "body": body})


async def _send_start(send: Send, status: int, pairs: Iterable[tuple[str, str]]) -> None:
    headers = [
        (name.lower().encode(), value.encode("latin-1"))
        for name, value in (*pairs, *_HEADERS.items())
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
