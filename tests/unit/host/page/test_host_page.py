"""The host's page over HTTP: its files, who may ask, users, messages and live events."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mm_asgi.host import HookAnswer, Mattermost
from mm_asgi.host import page as page_package
from mm_asgi.host.http.http_server import HTTPServer
from mm_asgi.host.http.rules import USER_ID, Rules, read_request, rewrite
from mm_asgi.host.page import Page
from mm_asgi.host.page.acts import find_user
from mm_asgi.host.plugin.gate import Gate
from mm_asgi.host.plugin.log import HostLog
from tests.unit.host.mattermost.test_api_hooks import host, with_plugin
from tests.unit.host.mattermost.test_api_state import TOWN
from tests.unit.host.raw_http import ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


STATIC = Path(page_package.__file__).parent / "static"
RULES = Rules(plugin_id="com.example.shop", user="alice")
FORM = "application/x-www-form-urlencoded"


async def gateway(scope: Any, receive: Any, send: Any) -> None:
    """What is not the page's."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@dataclass
class Shown:
    """A page, served, and what stands behind it."""

    mattermost: Mattermost
    plugin: Any  # Client, where there is one
    log: HostLog
    gate: Gate
    page: Page
    client: httpx.AsyncClient

    @property
    def address(self) -> str:
        return str(self.client.base_url).rstrip("/")

    async def say(self, text: str, channel: str = TOWN) -> dict[str, Any]:
        answer = await self.client.post("/_mm/message", json={"channel": channel, "text": text})
        facts: dict[str, Any] = answer.raise_for_status().json()
        return facts


@asynccontextmanager
async def without_plugin() -> AsyncIterator[tuple[Mattermost, None]]:
    yield Mattermost(), None


@asynccontextmanager
async def shown(*, plugin: bool = False) -> AsyncIterator[Shown]:
    async with with_plugin() if plugin else without_plugin() as (mattermost, client_of_api):
        log, gate = HostLog(), Gate()
        made = Page(mattermost, log, gate, RULES, "127.0.0.1")
        server = HTTPServer(made.before(gateway), "127.0.0.1", 0, read_timeout=0, write_timeout=0)
        address = f"http://127.0.0.1:{server.port}"
        try:
            async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
                yield Shown(mattermost, client_of_api, log, gate, made, client)
        finally:
            made.close()
            await server.stop()


class Events:
    """The page's live events."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self, kind: str) -> dict[str, Any]:
        """The next one of a kind."""
        async with asyncio.timeout(10):
            async for line in self._lines:
                if line.startswith("data: "):
                    facts: dict[str, Any] = json.loads(line.removeprefix("data: "))
                    if facts["kind"] == kind:
                        return facts
        raise AssertionError(f"the events ended before one of the kind {kind}")


@asynccontextmanager
async def events(client: httpx.AsyncClient, url: str = "/_mm/events") -> AsyncIterator[Events]:
    async with client.stream("GET", url) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        yield Events(answer)


# -------------------------------------------------------------------- files


async def test_the_page_and_what_is_not_its_own() -> None:
    async with shown() as page:
        for path in ("/", "/_mm", "/_mm/users"):
            answer = await page.client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (302, "/_mm/")
        answer = await page.client.get("/_mm/")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        for file in STATIC.iterdir():
            assert (await page.client.get(f"/_mm/{file.name}")).content == file.read_bytes()
        for path in ("/plugins/com.example.shop/", "/_mmx", "/api/v4/users/me"):
            assert (await page.client.get(path)).status_code == 418
        for path in ("/_mm/app.py", "/_mm/static/page.js", "/_mm/..%2fapp.py"):
            assert (await page.client.get(path)).status_code == 404
        assert (await page.client.delete("/_mm/places")).status_code == 405


def test_the_files_need_nobody_else_and_read_no_html() -> None:
    html = (STATIC / "index.html").read_text()
    for name in re.findall(r'(?:src|href)="([^"#]+)"', html):
        assert name == "/" or (STATIC / name).is_file(), name
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*src=)", html)
    for file in STATIC.glob("*.js"):
        code = file.read_text()
        for name in re.findall(r'from "\./([^"]+)"', code):
            assert (STATIC / name).is_file(), name
        assert not re.search(
            r"(?:inner|outer)HTML\s*=(?!=)|insertAdjacentHTML|document\.write|\beval\(|https?://",
            code,
        )
    assert not re.search(r"url\(|@import", (STATIC / "page.css").read_text())


def test_every_label_and_name_leads_to_an_element() -> None:
    html = (STATIC / "index.html").read_text()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    named = re.findall(r'(?:for|aria-labelledby|aria-describedby|aria-controls)="([^"]+)"', html)
    assert set(named) <= set(ids)
    for script in STATIC.glob("*.js"):
        asked = re.findall(r'byId\("([^"]+)"\)', script.read_text())
        made = re.findall(r'id: "([^"]+)"', script.read_text())
        assert set(asked) <= {*ids, *made}, script.name


# -------------------------------------------------------------------- who may ask


STRANGERS: list[tuple[str, dict[str, str]]] = [
    ("GET", {"Host": "evil.example"}),
    ("GET", {"Host": "evil.example:8065"}),
    ("GET", {"Host": "127.0.0.1.evil.example"}),
    ("GET", {"Host": "[::1"}),
    ("GET", {"Host": ""}),
    ("GET", {"Host": "192.168.1.7"}),
    ("GET", {"Origin": "http://evil.example"}),
    ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
    ("POST", {"Origin": "http://127.0.0.1:1"}),
    ("POST", {"Origin": "null"}),
    ("POST", {"Sec-Fetch-Site": "same-site"}),
    ("POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
    ("POST", {"Content-Type": FORM}),
    ("POST", {"Content-Type": "text/plain"}),
]


async def test_strangers_are_refused() -> None:
    async with shown() as page:
        for method, headers in STRANGERS:
            body = b'{"channel": "town-square", "text": "gotcha"}' if method == "POST" else b""
            path = "/_mm/message" if method == "POST" else "/_mm/places"
            given = {"Host": page.address[7:], "Content-Type": "application/json", **headers}
            lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items())]
            head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
            answer = await ask(page.address, head.encode() + body)
            assert answer.status == 403, (method, headers)
            assert json.loads(answer.body).keys() == {"error"}
        assert not page.mattermost.posts


async def test_this_machines_own_names_are_right_at_any_port() -> None:
    async with shown() as page:
        for name in ("localhost", "LOCALHOST", "[::1]", "127.0.0.1"):
            host = f"{name}:9000"  # a port that is forwarded
            answer = await page.client.post(
                "/_mm/message",
                json={"channel": TOWN, "text": "hello"},
                headers={"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"},
            )
            assert answer.json()["outcome"] == "posted", name


async def test_a_link_from_elsewhere_may_lead_here() -> None:
    async with shown() as page:
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert (await page.client.get("/_mm/", headers=headers)).status_code == 200


# -------------------------------------------------------------------- users


async def test_a_browser_becomes_another_user_nobody_and_the_default_again() -> None:
    async with shown() as page:

        async def me(**wish: str) -> tuple[str, str]:
            answer = await page.client.post("/_mm/user", json=wish)
            answer.raise_for_status()
            facts = (await page.client.get("/_mm/places")).json()["me"]
            return facts["as"], facts["username"]

        places = (await page.client.get("/_mm/places")).json()
        assert places["me"] == {"as": "default", "id": "alice", "username": "alice"}
        assert {"alice", "bob", "sysadmin"} <= {user["username"] for user in places["users"]}
        assert await me(**{"as": "user", "user": "bob"}) == ("cookie", "bob")
        assert dict(page.client.cookies) == {
            "MMAUTHTOKEN": "token-bob", "MMUSERID": "bob", "MMCSRF": "csrf-bob",
        }  # fmt: skip
        assert await me(**{"as": "user", "user": "Dora"}) == ("cookie", "dora")
        assert "dora" in page.mattermost.users
        made = await page.mattermost.add_user("emil")
        assert await me(**{"as": "user", "user": "emil"}) == ("cookie", "emil")
        assert page.client.cookies["MMAUTHTOKEN"] == f"token-{made.id}"
        assert await me(**{"as": "nobody"}) == ("nobody", "")
        facts = await page.say("hello")
        assert (facts["outcome"], facts["hooks"]) == ("refused", [])
        assert "hello" not in [post.message for post in page.mattermost.posts.values()]
        assert await me(**{"as": "default"}) == ("default", "alice")
        assert dict(page.client.cookies) == {}


async def test_what_is_no_user() -> None:
    wishes: list[dict[str, object]] = [
        {"as": "user", "user": "a;Path=/x"}, {"as": "user", "user": ""}, {"as": "root"}, {},
        {"as": "user", "user": "a" * 65}, {"as": "user", "user": 7}, {"as": "user", "user": "ü"},
    ]  # fmt: skip
    async with shown() as page:
        for wish in wishes:
            answer = await page.client.post("/_mm/user", json=wish)
            assert answer.status_code == 400, wish
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "cookie",
    [
        "", "MMAUTHTOKEN=token-bob", "MMAUTHTOKEN=nobody", "MMAUTHTOKEN=", "MMAUTHTOKEN=mfa-bob",
        'a=b; MMAUTHTOKEN="token-bob"; MMAUTHTOKEN=token-eve', "MMAUTHTOKEN=token-", "mmauthtoken=token-x",
    ],
)  # fmt: skip
def test_the_page_knows_the_user_as_the_gateway_does(cookie: str) -> None:
    scope = {
        "raw_path": b"/plugins/com.example.shop/", "query_string": b"", "method": "GET",
        "headers": [(b"host", b"localhost"), (b"cookie", cookie.encode())], "http_version": "1.1",
    }  # fmt: skip
    request = read_request(scope)
    _, user = find_user({"Cookie": [cookie]}, RULES.user)
    rewrite(request, RULES)
    assert [user] == request.header.get(USER_ID, [""])


# -------------------------------------------------------------------- messages


async def test_what_becomes_of_a_post() -> None:
    async with shown(plugin=True) as page:
        facts = await page.say("hello")
        assert (facts["outcome"], facts["text"]) == ("posted", "hello")
        assert [(hook["name"], hook["outcome"]) for hook in facts["hooks"]][:1] == [
            ("MessageWillBePosted", "ok")
        ]
        facts = await page.say("shout hello")
        assert (facts["text"], facts["before"]) == ("HELLO", "shout hello")
        change = {"field": "message", "before": "shout hello", "after": "HELLO"}
        assert (facts["hooks"][0]["outcome"], facts["hooks"][0]["changes"]) == ("changed", [change])
        facts = await page.say("bad word")
        assert (facts["outcome"], facts["text"]) == ("rejected", "mind your words")
        assert [hook["outcome"] for hook in facts["hooks"]] == ["rejected"]
        assert (await page.say("drop it"))["outcome"] == "dismissed"
        facts = await page.say("fail now", channel="town-square")
        assert facts["outcome"] == "posted"
        assert facts["hooks"][0]["outcome"] == "failed"
        assert facts["hooks"][0]["text"] == "INTERNAL: planted"
        posts = (await page.client.get(f"/_mm/posts?{TOWN}")).json()
        assert [post["message"] for post in posts["posts"]] == ["hello", "HELLO", "fail now"]
        assert posts["older"] == 0


async def test_a_hook_that_overruns_is_called_that() -> None:
    async with shown() as page:

        async def overrun(name: str, request: Any) -> HookAnswer:
            code, text = "DEADLINE_EXCEEDED", "Deadline Exceeded"
            return HookAnswer(listed=True, called=True, code=code, message=text, seconds=30.0)

        page.mattermost.hooks.caller = overrun
        facts = await page.say("hello")
        assert (facts["outcome"], facts["hooks"][0]["outcome"]) == ("posted", "overran")
        assert (facts["hooks"][0]["text"], facts["hooks"][0]["ms"]) == ("Deadline Exceeded", 30000)


async def test_what_becomes_of_a_command() -> None:
    async with shown(plugin=True) as page:
        await page.plugin.RegisterCommand(command={"trigger": "weather"})
        assert (await page.client.get("/_mm/places")).json()["commands"][0]["trigger"] == "weather"
        facts = await page.say("/weather oslo")
        assert (facts["outcome"], facts["text"], facts["to"]) == (
            "answered",
            "sunny in oslo",
            "you",
        )
        assert facts["hooks"][0]["outcome"] == "answered"
        assert (await page.say("/weather rome"))["to"] == "all"
        facts = await page.say("/weather nowhere")
        assert (facts["outcome"], facts["id"]) == ("refused", "no.place")
        assert facts["hooks"][0]["outcome"] == "failed"
        facts = await page.say("/nothing")
        assert facts["outcome"] == "refused"
        assert facts["text"].startswith("There is no such command.")
        posts = (await page.client.get(f"/_mm/posts?{TOWN}")).json()["posts"]
        assert [(post["message"], post["ephemeral"]) for post in posts] == [
            ("sunny in oslo", True), ("sunny in rome", False),
        ]  # fmt: skip
        await page.client.post("/_mm/user", json={"as": "user", "user": "bob"})
        posts = (await page.client.get(f"/_mm/posts?{TOWN}")).json()["posts"]
        assert [post["message"] for post in posts] == ["sunny in rome"]


NO_MESSAGES = [
    (b'{"channel": "nowhere", "text": "x"}', 404),
    (b'{"channel": "town-square", "text": " "}', 400),
    (b'{"channel": "town-square", "text": "\\ud800"}', 400),
    (b'{"channel": ["town-square"], "text": "x"}', 400),
    (b'"x"', 400),
    (b"{", 400),
    (b"[" * 100_000, 400),
    (b'{"text": "' + b"x" * 300_000 + b'"}', 413),
]


async def test_what_is_no_message() -> None:
    async with shown() as page:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        for body, status in NO_MESSAGES:
            answer = await page.client.post("/_mm/message", content=body, headers=headers)
            assert answer.status_code == status, body[:60]
            assert answer.json()["error"]
        assert not page.mattermost.posts


async def test_the_latest_posts_and_how_many_more() -> None:
    async with shown() as page:
        for number in range(130):
            await page.mattermost.post("town-square", "alice", f"number {number}")
        posts = (await page.client.get(f"/_mm/posts?{TOWN}")).json()
        assert posts["older"] == 30
        assert [posts["posts"][0]["message"], posts["posts"][-1]["message"]] == [
            "number 30", "number 129",
        ]  # fmt: skip


# -------------------------------------------------------------------- live events


async def test_what_happened_and_then_what_happens() -> None:
    async with shown(plugin=True) as page:
        page.log.host("warn", "before", detail=1)
        await page.say("hello")
        async with events(page.client) as stream:
            snapshot = await stream.next("snapshot")
            assert snapshot["state"]["state"] == "starting"
            assert [line["message"] for line in snapshot["log"]] == ["before"]
            assert snapshot["hooks"][0]["name"] == "MessageWillBePosted"
            facts = await page.say("bad word")
            hook = await stream.next("hook")
            while hook["action"] != facts["action"]:
                hook = await stream.next("hook")
            assert (hook["outcome"], hook["text"]) == ("rejected", "mind your words")
            await page.plugin.failure("GetUser", user_id="nobody")
            call = await stream.next("call")
            assert (call["name"], call["arguments"], call["ok"]) == (
                "GetUser", 'user_id="nobody"', False,
            )  # fmt: skip
            page.mattermost.publish("posted", {}, channel_id=TOWN)
            assert await stream.next("event") == {
                "kind": "event", "name": "posted", "channel": TOWN,
            }  # fmt: skip
            page.log.host("error", "first\nsecond", user_id="bob", exception="Traceback")
            line = await stream.next("log")
            assert (line["message"], line["below"]) == ("first", "second\nTraceback")
            page.gate.fail("it did not start")
            state = await stream.next("state")
            assert (state["state"], state["reason"]) == ("failed", "it did not start")


async def test_a_start_and_a_start_after_a_failed_one_are_told_apart() -> None:
    async with shown() as page, events(page.client) as stream:
        assert (await stream.next("snapshot"))["state"]["state"] == "starting"
        page.gate.close()
        assert (await stream.next("state"))["state"] == "starting"
        page.gate.fail("it did not start")
        failed = await stream.next("state")
        assert (failed["state"], failed["reason"]) == ("failed", "it did not start")
        page.gate.close()
        again = await stream.next("state")
        assert (again["state"], again["reason"], again["starts"]) == ("restarting", "", 0)


async def test_the_end_of_the_host_ends_the_events() -> None:
    async with shown() as page, page.client.stream("GET", "/_mm/events") as answer:
        chunks = answer.aiter_raw()
        await anext(chunks)
        page.page.close()
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in chunks:
                pass
        assert (await page.client.get("/_mm/events")).status_code == 503


@pytest.mark.full
async def test_the_state_of_a_plugin_over_a_restart() -> None:
    async with (
        host(page=True, user="alice") as running,
        httpx.AsyncClient(trust_env=False) as client,
        events(client, f"{running.page_url}events") as stream,
    ):
        first = (await stream.next("snapshot"))["state"]
        assert (first["state"], first["pid"]) == ("running", running.pid)
        assert "MessageWillBePosted" in first["hooks"]
        restart = asyncio.create_task(running.restart())
        seen = [await stream.next("state")]
        while seen[-1]["state"] != "running":
            seen.append(await stream.next("state"))
        await restart
        assert {state["state"] for state in seen[:-1]} == {"restarting"}
        assert seen[-1]["pid"] == running.pid != first["pid"]


@pytest.mark.full
async def test_without_a_page_its_path_is_nobodys() -> None:
    async with host() as running, httpx.AsyncClient(trust_env=False) as client:
        assert running.page_url == ""
        assert (await client.get(f"{running.address}/_mm/")).status_code == 404
        assert (await client.get(f"{running.address}/")).status_code == 404
