"""Rows H1 to H5: every hook, what its answers mean, and what becomes of one that fails.

Not on s: what the simulated host makes of hooks is in tests/unit/host, for all of them. Not on n: a
released server has no messages, and a post comes back whole; test_H_released.py holds these rows there.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.host import AppError, HookAnswer, Mattermost
from mm_asgi.host.plugin.log import HostLog
from tests.contract.apps.hooks import SCRIPTS
from tests.roads import HookOutcome, Line, MemoryRoad, Road, on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.message import Message

PLUGINS = "tests.contract.apps.hooks"
# What takes too long has this time on g; on m the road has its own.
BUDGET = {"hook_budget": 1}
OVERRUNS = ("hang", "stubborn")


# -------------------------------------------------------------------- what the host says of them


def _rows() -> dict[str, dict[str, str]]:
    table = Path(__file__).parents[2] / "proto" / "tables" / "hooks.tsv"
    with table.open() as file:
        return {row["hook"]: row for row in csv.DictReader(file, delimiter="\t")}


LIFE = ("OnActivate", "OnDeactivate", "OnConfigurationChange")
ROWS = {name: row for name, row in _rows().items() if name not in ("Implemented", "ServeHTTP")}
HOOKS = {name: row for name, row in ROWS.items() if name not in LIFE}
HAS_ERROR = {name for name, row in HOOKS.items() if row["error_field"].startswith("error(1)")}
HAS_REASON = {name for name, row in HOOKS.items() if "rejection_reason" in row["error_field"]}
# Those of HAS_ERROR whose error refuses something; the others only fail.
GATES = {"ConfigurationWillBeSaved", "OnSAMLLogin"}

POST = {"id": "p1", "message": "hi"}
REQUESTS: dict[str, dict[str, Any]] = {
    "RunDataRetention": {"now_time": 40, "batch_size": 2},
    "ConfigurationWillBeSaved": {"new_config": {"config_json": "eyJhIjoxfQ=="}},
    "MessageWillBePosted": {"post": POST},
    "MessageWillBeUpdated": {"new_post": POST, "old_post": {"message": "old"}},
    "MessagesWillBeConsumed": {"posts": [POST, POST]},
    "FileWillBeUploaded": {"file_info": {"name": "a.txt"}, "file_content": "YWJj"},
    "NotificationWillBePushed": {"push_notification": {"message": "m"}, "user_id": "bob"},
    "UserWillLogIn": {"user": {"username": "bob"}},
    "ExecuteCommand": {"args": {"command": "/weather"}},
}
CHANGED: dict[str, dict[str, Any]] = {
    "RunDataRetention": {"deleted_count": "42"},
    "ConfigurationWillBeSaved": {"modified_config": {"config_json": "e30="}},
    "MessageWillBePosted": {"modified_post": {"id": "p1", "message": "hi!"}},
    "MessageWillBeUpdated": {"modified_post": {"id": "p1", "message": "old!"}},
    "MessagesWillBeConsumed": {"posts": [{"id": "p1", "message": "read"}]},
    "FileWillBeUploaded": {"modified_content": "QUJD"},
    "NotificationWillBePushed": {"modified_notification": {"message": "bob"}},
    "EmailNotificationWillBeSent": {"modified_content": {"subject": "s"}},
    "UserWillLogIn": {"rejection_reason": "not you, bob"},
    "ExecuteCommand": {"response": {"response_type": "ephemeral", "text": "you typed /weather"}},
    "OnSharedChannelsSyncMsg": {"response": {"users_syncd": ["u"]}},
    "OnSharedChannelsPing": {"healthy": True},
    "GenerateSupportData": {"files": [{"filename": "a.txt", "data": "YQ=="}]},
}
OTHERWISE: dict[str, dict[str, Any]] = {
    "FileWillBeUploaded": {"modified_content": "YWJjIQ==", "modified_file_info": {"name": "new.txt"}},
    "ExecuteCommand": {"response": {"response_type": "in_channel", "text": "hi"}},
    "GenerateSupportData": {
        "files": [{"filename": "b", "data": "Yg=="}, {"filename": "c", "data": "Yw=="}]
    },
}  # fmt: skip


async def do(road: Road, word: str) -> None:
    """Order what every function does from now on."""
    assert (await road.http("GET", f"/do/{word.replace(' ', '%20')}")).status == 200
    # Of a function that fails the log says so, maybe only when a later order lets it go.
    road.expected.add("the hook ")


async def wait_for_errors(road: Road, count: int) -> list[Line]:
    """The errors in the log, once there are so many."""
    until = time.monotonic() + 10
    while len(found := road.errors()) < count:
        assert time.monotonic() < until, found
        await road.turn()
    return found


async def ask_all(road: Road, word: str) -> dict[str, HookOutcome]:
    """What becomes of every hook while the functions do this."""
    await do(road, word)

    async def ask(name: str) -> HookOutcome:
        request = dict(REQUESTS.get(name, {}))
        if HOOKS[name]["notes"].startswith("host fills plugin_context"):
            request["plugin_context"] = {"request_id": f"request-{name}"}
        return await road.hook(name, request, overruns=word in OVERRUNS)

    outcomes = await asyncio.gather(*map(ask, HOOKS))
    return dict(zip(HOOKS, outcomes, strict=True))


def answers(outcomes: dict[str, HookOutcome]) -> dict[str, dict[str, Any]]:
    """The responses that say something."""
    assert {name for name, outcome in outcomes.items() if outcome.code != "OK"} == set()
    return {name: outcome.fields for name, outcome in outcomes.items() if outcome.fields}


# -------------------------------------------------------------------- H1


@on("m", "g", "r", but="s", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H1_every_hook_that_is_registered_is_listed(road: Road) -> None:
    assert len(ROWS) == 40
    assert sorted(await road.implemented()) == sorted([*ROWS, "ServeHTTP"])


# -------------------------------------------------------------------- H4 and what answers mean


@on("m", "g", but="sn", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H4_None_leaves_everything_unset(road: Road) -> None:
    # The ping's empty answer means unhealthy, and is logged as no answer.
    assert answers(await ask_all(road, "none")) == {}


@on("m", "g", but="sn", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H4_a_value_goes_where_the_host_reads_it(road: Road) -> None:
    assert answers(await ask_all(road, "value")) == CHANGED


@on("m", "g", but="sn", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H4_other_natural_values(road: Road) -> None:
    assert answers(await ask_all(road, "other")) == OTHERWISE


# -------------------------------------------------------------------- H5


@on("m", "g", but="sn", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H5_a_refusal_is_where_the_host_keeps_it(road: Road) -> None:
    refused = answers(await ask_all(road, "reject"))
    assert refused.keys() == HAS_ERROR | HAS_REASON
    for name in HAS_REASON:
        assert refused[name] == {"rejection_reason": "mind your words"}
    for name in HAS_ERROR:
        error = refused[name]["error"]
        assert (error["id"], error["where"], error["status_code"]) == ("mind your words", name, 400)
        assert "detailed_error" not in error


@on("m", "g", but="sn", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H5_a_refusal_without_a_text_refuses_too(road: Road) -> None:
    refused = answers(await ask_all(road, "reject without a word"))
    assert refused.keys() == HAS_ERROR | HAS_REASON
    for name in HAS_REASON:
        assert refused[name] == {"rejection_reason": "refused by a plugin"}


# -------------------------------------------------------------------- H2

FAILURES = ["raise", "exit", "cancel", "hang", "stubborn", "nonsense"]


def assert_defaults(got: dict[str, dict[str, Any]], *, closed: bool) -> None:
    """Filters let through or refuse by a fixed text; what has an error field has one."""
    if not closed:
        assert got.keys() == HAS_ERROR
    else:
        assert got.keys() == HAS_ERROR | HAS_REASON
    for name, fields in got.items():
        error = fields.get("error", {"id": fields.get("rejection_reason"), "status_code": 500})
        text = "refused, because the plugin that has to check this failed"
        if name in HAS_ERROR - GATES:
            text = "the plugin failed, see its log"
        assert (error["id"], error["status_code"]) == (text, 500)
    assert "secret" not in str(got)


@on("m", "g", but="sn", plugin=f"{PLUGINS}:opened", settings=BUDGET)
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_a_failed_hook_is_answered_as_if_the_host_could_not_ask(
    road: Road, failure: str
) -> None:
    assert_defaults(answers(await ask_all(road, failure)), closed=False)
    lines = await wait_for_errors(road, len(HOOKS))
    assert len(lines) == len(HOOKS)
    for name, row in HOOKS.items():
        said = [line for line in lines if line.message.split()[2].replace("_", "") == name.lower()]
        assert len(said) == 1, name
        assert "the host got its default" in said[0].message
        if row["notes"].startswith("host fills plugin_context"):
            assert said[0].fields["request_id"] == f"request-{name}"
    await do(road, "none")


@on("m", "g", but="sn", plugin=f"{PLUGINS}:closed", settings=BUDGET, one_wire=True)
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_fail_closed_refuses_with_a_fixed_text(road: Road, failure: str) -> None:
    assert_defaults(answers(await ask_all(road, failure)), closed=True)
    await do(road, "none")


@on("m", "g", but="sn", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H2_the_answer_comes_before_the_hosts_deadline(road: Road) -> None:
    await do(road, "hang")
    outcome = await road.hook("MessageWillBePosted", {"post": POST}, deadline=0.4)
    assert (outcome.code, outcome.fields) == ("OK", {})
    await do(road, "none")


@contextlib.asynccontextmanager
async def mattermost_over(road: MemoryRoad) -> AsyncIterator[Mattermost]:
    """A Mattermost whose hooks go to the plugin."""

    async def call(name: str, request: Message) -> HookAnswer:
        overruns = SCRIPTS["opened"].word in OVERRUNS
        outcome = await road.call(name, request, overruns=overruns)
        return HookAnswer(listed=True, called=True, code=outcome.code, response=outcome.response)

    mattermost = Mattermost("demo", log=HostLog())
    mattermost.hooks.caller = call
    yield mattermost
    await mattermost.settled()
    await mattermost.hooks.close()


@on("m", plugin=f"{PLUGINS}:opened")
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_a_filter_that_fails_never_blocks_a_users_post(
    road: MemoryRoad, failure: str
) -> None:
    await do(road, failure)
    async with mattermost_over(road) as mattermost:
        post = await mattermost.post("town-square", "alice", "hello")
        assert mattermost.posts[post.id].message == "hello"
        await do(road, "value")
        post = await mattermost.post("town-square", "alice", "hello")
        assert mattermost.posts[post.id].message == "hello!"
        await do(road, "reject")
        with pytest.raises(AppError, match="mind your words"):
            await mattermost.post("town-square", "alice", "hello")
    await do(road, "none")


# -------------------------------------------------------------------- H3


@on("m", "g", but="sn", plugin=f"{PLUGINS}:threaded", settings=BUDGET)
async def test_H3_functions_in_threads_answer_alike(road: Road) -> None:
    assert answers(await ask_all(road, "value")) == CHANGED
    refused = answers(await ask_all(road, "reject"))
    assert refused.keys() == HAS_ERROR | HAS_REASON


@on("m", "g", but="sn", plugin=f"{PLUGINS}:threaded", settings=BUDGET)
@pytest.mark.parametrize("failure", [*FAILURES, "stop"])
async def test_H3_a_thread_that_fails_or_overruns_keeps_nobody_waiting(
    road: Road, failure: str
) -> None:
    assert_defaults(answers(await ask_all(road, failure)), closed=False)
    await do(road, "none")
    assert answers(await ask_all(road, "none")) == {}


@pytest.mark.asyncio(loop_scope="session")
async def test_async_functions_run_on_the_loop_others_in_threads() -> None:
    for kind, thread in (("opened", "main"), ("threaded", "other")):
        SCRIPTS[kind].threads.clear()
        async with MemoryRoad(f"{PLUGINS}:{kind}") as road:
            await ask_all(road, "none")
            assert SCRIPTS[kind].threads == {thread}


# -------------------------------------------------------------------- a large file

LARGE = 200 * 2**20


@on(
    "g",
    but="s",
    plugin="tests.contract.apps.files:plugin",
    settings={"hook_budget": 28},
    one_wire=True,
    alone=True,
)
@pytest.mark.timeout(180)
async def test_a_file_of_200_MiB_is_judged_and_changed(road: Road) -> None:
    content = os.urandom(2**20) * 200

    async def judge(content: bytes) -> tuple[int, str, int]:
        outcome = await road.hook("FileWillBeUploaded", upload("judge", content))
        size, digest, peak = outcome.fields["rejection_reason"].split()
        return int(size), digest, int(peak)

    before = (await judge(b"a"))[2]
    size, digest, peak = await judge(content)
    assert (size, digest) == (LARGE, hashlib.sha256(content).hexdigest())
    # The factors stand in docs/how-to/hooks.md.
    assert (peak - before) / LARGE < 2.3
    changed = await road.hook("FileWillBeUploaded", upload("change", content))
    is_whole = changed.response.modified_content == content[::-1]  # apart: no diff of 200 MiB
    assert is_whole
    factor = 3.3 if road.letter in "no" else 5.3
    assert ((await judge(b"a"))[2] - before) / LARGE < factor


def upload(name: str, content: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    return {"file_info": {"name": name}, "file_content": encoded}
