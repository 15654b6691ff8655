"""The page's live events against slow, stuck and many readers; messages and texts made short."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost import journal as journal_module
from mm_asgi.host.mattermost.journal import APICall, HookCall, Journal
from mm_asgi.host.page import feed as feed_module
from mm_asgi.host.page.brief import brief
from mm_asgi.host.page.feed import READERS, WAITING, Feed
from mm_asgi.host.page.happened import call_facts, hook_facts, line_facts
from mm_asgi.host.plugin import log as log_module
from mm_asgi.host.plugin.hook_client import HookAnswer
from mm_asgi.host.plugin.log import KEPT as LOG_KEPT
from mm_asgi.host.plugin.log import HostLog
from mm_asgi.host.plugin.stderr import LogLine
from mm_asgi.protocol import api_kv_config_pb2, api_user_team_pb2, hooks_message_pb2
from mm_asgi.protocol.post_pb2 import Post
from mm_asgi.protocol.user_pb2 import User

if TYPE_CHECKING:
    import pytest


class Client:
    """One that reads when the test lets it."""

    def __init__(self, feed: Feed) -> None:
        self.got: list[dict[str, Any]] = []
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.news = asyncio.Event()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.served = asyncio.create_task(feed.serve(self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone
        return {"type": "http.disconnect"}

    async def _send(self, data: bytes) -> None:
        await self.may_read.wait()
        self.got += [json.loads(text) for text in re.findall(r"data: (.+)\n\n", data.decode())]
        self.news.set()

    async def wait_for(self, number: int) -> dict[str, Any]:
        """Wait until an event with this number has come."""
        async with asyncio.timeout(10):
            while not any(event["n"] == number for event in self.got):
                self.news.clear()
                await self.news.wait()
        return self.got[-1]

    async def leave(self) -> None:
        self._gone.set_result(None)
        async with asyncio.timeout(10):
            await self.served


async def test_a_slow_reader_gets_a_snapshot_in_place_of_what_it_missed() -> None:
    latest = 0
    feed = Feed(lambda: {"kind": "snapshot", "n": latest})
    slow, quick = Client(feed), Client(feed)
    await slow.wait_for(0)
    await quick.wait_for(0)
    slow.may_read.clear()
    text = "x" * 1000
    count = 3 * WAITING // 1000
    for latest in range(1, count + 1):
        feed.send({"kind": "log", "n": latest, "text": text})
        if latest % 50 == 0:
            await quick.wait_for(latest)
    await quick.wait_for(count)
    assert [event["n"] for event in quick.got] == list(range(count + 1))
    slow.may_read.set()
    await slow.wait_for(count)
    assert slow.got[-1] == {"kind": "snapshot", "n": count}
    # What waited when it fell behind is at most what may wait.
    assert sum(len(event.get("text", "")) for event in slow.got) <= WAITING
    feed.send({"kind": "log", "n": count + 1})
    assert (await slow.wait_for(count + 1))["kind"] == "log"
    await slow.leave()
    await quick.leave()
    assert not feed.watched


async def test_a_stuck_reader_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "STUCK", 0.01)
    feed = Feed(lambda: {"n": 0})
    stuck = Client(feed)
    stuck.may_read.clear()
    async with asyncio.timeout(10):
        await stuck.served
    assert not feed.watched


async def test_silence_is_broken_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "HEARTBEAT", 0.01)
    feed = Feed(lambda: {"n": 0})
    sent: asyncio.Queue[bytes] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    served = asyncio.create_task(feed.serve(receive, sent.put))
    async with asyncio.timeout(10):
        while await sent.get() != b": still here\n\n":
            pass
        gone.set()
        await served


async def test_so_many_readers_and_no_more() -> None:
    feed = Feed(lambda: {"n": 0})
    clients = [Client(feed) for _ in range(READERS)]
    for client in clients:
        await client.wait_for(0)
    assert feed.full
    await clients[0].leave()
    assert not feed.full
    feed.close()
    async with asyncio.timeout(10):
        await asyncio.gather(*(client.served for client in clients))
    assert feed.full  # no reader is taken any more


# -------------------------------------------------------------------- what is shown, in short


def test_a_message_in_short() -> None:
    post = Post(id="p", message='say "hi"\n', file_ids=[str(n) for n in range(8)])
    post.props.update({"from_bot": "true"})
    assert brief(post) == (
        'id="p", message="say \\"hi\\"\\n",'
        ' props={fields={from_bot: {string_value="true"}}},'
        ' file_ids=["0", "1", "2", "3", "4", 3 more]'
    )
    request = api_user_team_pb2.CreateUserRequest(user=User(username="eve", password="1234"))
    assert brief(request) == 'user={username="eve", password=…}'
    pair = api_kv_config_pb2.KVSetRequest(key="k", value=b"x" * 4_000_000)
    assert brief(pair) == 'key="k", value=<4000000 bytes>'


def test_a_long_message_is_cut() -> None:
    text = brief(Post(message="a" * 1_000_000, user_id="alice"), 100)
    assert len(text) == 100
    assert text.endswith("…")


def test_a_long_line_is_cut_and_its_facts_told() -> None:
    fields = {"user_id": "bob", "request_id": "r", "stack": "s" * 9000, "n": 1, "none": None}
    line = LogLine(source="plugin", level="info", message="m" * 9000, fields=fields, time=1.5)
    facts = line_facts(line)
    assert (len(facts["message"]), len(facts["below"])) == (4000, 4000)
    assert (facts["user"], facts["request"], facts["fields"]) == ("bob", "r", "n=1")
    said = {"method": "GET", "path": "/", "status": 200, "ms": 3.1, "bytes": 5}
    line = LogLine(
        source="plugin",
        level="info",
        message="GET / 200 in 3.1 ms",
        module="mm_asgi.access",
        fields=said,
    )
    assert line_facts(line)["fields"] == "bytes=5"
    assert facts["time"] == 1500


def answered(request: Any, response: Any = None, **more: Any) -> dict[str, Any]:
    name = type(request).__name__.removesuffix("Request")
    answer = HookAnswer(listed=True, called=True, response=response, **more)
    return hook_facts(HookCall(name=name, request=request, answer=answer))


def test_what_a_hook_changed() -> None:
    pb = hooks_message_pb2
    new, old = Post(id="p", message="new"), Post(id="p", message="old")
    request = pb.MessageWillBeUpdatedRequest(new_post=new, old_post=old)
    changed = Post(id="p", message="newer", is_pinned=True)
    facts = answered(request, pb.MessageWillBeUpdatedResponse(modified_post=changed))
    assert facts["outcome"] == "changed"
    assert facts["changes"] == [
        {"field": "is_pinned", "before": "False", "after": "True"},
        {"field": "message", "before": "new", "after": "newer"},
    ]
    # The same post again is no change.
    facts = answered(request, pb.MessageWillBeUpdatedResponse(modified_post=new))
    assert (facts["outcome"], facts["changes"]) == ("ok", [])
    file = hooks_message_pb2.FileWillBeUploadedRequest(file_content=b"abc")
    facts = answered(file, hooks_message_pb2.FileWillBeUploadedResponse(modified_content=b"ABCD"))
    assert facts["changes"] == [{"field": "content", "before": "", "after": "<4 bytes>"}]


def test_a_hook_that_failed() -> None:
    request = hooks_message_pb2.MessageWillBePostedRequest()
    failed = answered(request, code="INTERNAL", message="planted")
    assert (failed["outcome"], failed["text"]) == ("failed", "INTERNAL: planted")
    assert answered(request, code="DEADLINE_EXCEEDED")["outcome"] == "overran"
    assert answered(request, error="")["text"] == "an error without a text"


def test_a_call_that_failed() -> None:
    request = api_kv_config_pb2.KVGetRequest(key="k")
    for code, error in (("OK", "some.app_error"), ("NOT_FOUND", ""), ("INTERNAL", "text")):
        assert not call_facts(APICall(name="KVGet", request=request, code=code, error=error))["ok"]
    facts = call_facts(APICall(name="KVGet", request=request, seconds=0.0123))
    assert (facts["ok"], facts["ms"], facts["arguments"]) == (True, 12.3, 'key="k"')


# -------------------------------------------------------------------- what is kept


def test_large_calls_are_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "KEPT_SIZE", 400_000)
    journal = Journal()
    request = api_kv_config_pb2.KVSetRequest(key="k", value=b"x" * 100_000)
    for number in range(10):
        journal.add(APICall(name=f"large {number}", request=request))
    assert [call.name for call in journal.calls] == ["large 7", "large 8", "large 9"]
    journal.add(APICall(name="small", request=api_kv_config_pb2.KVGetRequest(key="k")))
    assert len(journal.calls) == 4


async def test_long_lines_are_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "KEPT_SIZE", 400_000)
    log = HostLog()
    text = "x" * 100_000
    for number in range(10):
        log.host("info", text, number=number)
    assert [line.fields["number"] for line in log.lines()] == [6, 7, 8, 9]
    for number in range(LOG_KEPT + 5):
        log.host("info", "short", number=number)
    lines = log.lines()
    assert (len(lines), lines[0].fields["number"]) == (LOG_KEPT, 5)
    log.close()
    assert [line async for line in log] == lines
