"""Rows H1 to H5: every hook, what its answers mean, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from mm_asgi.host import AppError, HookAnswer, Mattermost
from mm_asgi.host.plugin.log import HostLog
from tests.contract.hook_roads import GoHookRoad, MemoryHookRoad, Outcome, wait_for_errors
from tests.go_host import go_missing_reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.message import Message

    from tests.contract.hook_roads import HookRoad

pytestmark = pytest.mark.asyncio(loop_scope="module")

go = [
    pytest.mark.full,
    pytest.mark.timeout(90),
    pytest.mark.skipif(go_missing_reason() is not None, reason="needs Go"),
]
# kind of plugin, road, wire
opened = pytest.mark.parametrize(
    "road",
    [
        pytest.param(("opened", "m", ""), id="m"),
        pytest.param(("opened", "g", "native"), id="g-native", marks=go),
        pytest.param(("opened", "g", "grpcio"), id="g-grpcio", marks=go),
    ],
    indirect=True,
)
closed = pytest.mark.parametrize(
    "road",
    [
        pytest.param(("closed", "m", ""), id="m"),
        pytest.param(("closed", "g", "native"), id="g-native", marks=go),
    ],
    indirect=True,
)
threaded = pytest.mark.parametrize(
    "road",
    [
        pytest.param(("threaded", "m", ""), id="m"),
        pytest.param(("threaded", "g", "native"), id="g-native", marks=go),
        pytest.param(("threaded", "g", "grpcio"), id="g-grpcio", marks=go),
    ],
    indirect=True,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[dict[tuple[str, ...], Any]]:
    """The hosts that run, so that each is started once."""
    hosts: dict[tuple[str, ...], Any] = {}
    yield hosts
    for host in hosts.values():
        await host.__aexit__(None, None, None)


@pytest_asyncio.fixture(loop_scope="module")
async def road(request: pytest.FixtureRequest, running: dict[tuple[str, ...], Any]) -> HookRoad:
    kind, road, wire = key = request.param
    if key not in running:
        made: Any = MemoryHookRoad(kind) if road == "m" else GoHookRoad(f"scripted:{kind}", wire)
        running[key] = await made.__aenter__()
    found: HookRoad = running[key]
    return found


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


async def ask_all(road: HookRoad, word: str) -> dict[str, Outcome]:
    """What becomes of every hook while the functions do this."""
    await road.do(word)

    async def ask(name: str) -> Outcome:
        request = dict(REQUESTS.get(name, {}))
        if HOOKS[name]["notes"].startswith("host fills plugin_context"):
            request["plugin_context"] = {"request_id": f"request-{name}"}
        return await road.hook(name, request)

    outcomes = await asyncio.gather(*map(ask, HOOKS))
    return dict(zip(HOOKS, outcomes, strict=True))


def answers(outcomes: dict[str, Outcome]) -> dict[str, dict[str, Any]]:
    """The responses that say something."""
    assert {name for name, outcome in outcomes.items() if outcome.code != "OK"} == set()
    return {name: outcome.fields for name, outcome in outcomes.items() if outcome.fields}


# -------------------------------------------------------------------- H1


@opened
async def test_H1_every_hook_that_is_registered_is_listed(road: HookRoad) -> None:
    assert len(ROWS) == 40
    assert sorted(road.implemented) == sorted([*ROWS, "ServeHTTP"])


# -------------------------------------------------------------------- H4 and what answers mean


@opened
async def test_H4_None_leaves_everything_unset(road: HookRoad) -> None:
    # The ping's empty answer means unhealthy, and is logged as no answer.
    assert answers(await ask_all(road, "none")) == {}


@opened
async def test_H4_a_value_goes_where_the_host_reads_it(road: HookRoad) -> None:
    assert answers(await ask_all(road, "value")) == CHANGED


@opened
async def test_H4_other_natural_values(road: HookRoad) -> None:
    assert answers(await ask_all(road, "other")) == OTHERWISE


# -------------------------------------------------------------------- H5


@opened
async def test_H5_a_refusal_is_where_the_host_keeps_it(road: HookRoad) -> None:
    refused = answers(await ask_all(road, "reject"))
    assert refused.keys() == HAS_ERROR | HAS_REASON
    for name in HAS_REASON:
        assert refused[name] == {"rejection_reason": "mind your words"}
    for name in HAS_ERROR:
        error = refused[name]["error"]
        assert (error["id"], error["where"], error["status_code"]) == ("mind your words", name, 400)
        assert "detailed_error" not in error


@opened
async def test_H5_a_refusal_without_a_text_refuses_too(road: HookRoad) -> None:
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


@opened
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_a_failed_hook_is_answered_as_if_the_host_could_not_ask(
    road: HookRoad, failure: str
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
    await road.do("none")


@closed
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_fail_closed_refuses_with_a_fixed_text(road: HookRoad, failure: str) -> None:
    assert_defaults(answers(await ask_all(road, failure)), closed=True)
    await road.do("none")


@opened
async def test_H2_the_answer_comes_before_the_hosts_deadline(road: HookRoad) -> None:
    await road.do("hang")
    outcome = await road.hook("MessageWillBePosted", {"post": POST}, 0.4)
    assert (outcome.code, outcome.fields) == ("OK", {})
    await road.do("none")


in_memory = pytest.mark.parametrize(
    "road", [pytest.param(("opened", "m", ""), id="m")], indirect=True
)


@contextlib.asynccontextmanager
async def mattermost_over(road: MemoryHookRoad) -> AsyncIterator[Mattermost]:
    """A Mattermost whose hooks go to the plugin."""

    async def call(name: str, request: Message) -> HookAnswer:
        outcome = await road.call(name, request)
        return HookAnswer(listed=True, called=True, code=outcome.code, response=outcome.response)

    mattermost = Mattermost("demo", log=HostLog())
    mattermost.hooks.caller = call
    yield mattermost
    await mattermost.settled()
    await mattermost.hooks.close()


@in_memory
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_a_filter_that_fails_never_blocks_a_users_post(
    road: MemoryHookRoad, failure: str
) -> None:
    await road.do(failure)
    async with mattermost_over(road) as mattermost:
        post = await mattermost.post("town-square", "alice", "hello")
        assert mattermost.posts[post.id].message == "hello"
        await road.do("value")
        post = await mattermost.post("town-square", "alice", "hello")
        assert mattermost.posts[post.id].message == "hello!"
        await road.do("reject")
        with pytest.raises(AppError, match="mind your words"):
            await mattermost.post("town-square", "alice", "hello")
    await road.do("none")


# -------------------------------------------------------------------- H3


@threaded
async def test_H3_functions_in_threads_answer_alike(road: HookRoad) -> None:
    assert answers(await ask_all(road, "value")) == CHANGED
    refused = answers(await ask_all(road, "reject"))
    assert refused.keys() == HAS_ERROR | HAS_REASON


@threaded
@pytest.mark.parametrize("failure", [*FAILURES, "stop"])
async def test_H3_a_thread_that_fails_or_overruns_keeps_nobody_waiting(
    road: HookRoad, failure: str
) -> None:
    assert_defaults(answers(await ask_all(road, failure)), closed=False)
    await road.do("none")
    assert answers(await ask_all(road, "none")) == {}


async def test_async_functions_run_on_the_loop_others_in_threads() -> None:
    for kind, thread in (("opened", "main"), ("threaded", "other")):
        async with MemoryHookRoad(kind) as road:
            await ask_all(road, "none")
            assert road.script.threads == {thread}


# -------------------------------------------------------------------- a large file

LARGE = 200 * 2**20


@pytest.mark.full
@pytest.mark.timeout(180)
@pytest.mark.skipif(go_missing_reason() is not None, reason="needs Go")
async def test_a_file_of_200_MiB_is_judged_and_changed() -> None:
    content = os.urandom(2**20) * 200
    async with GoHookRoad("files:plugin", "native", budget=28) as road:

        async def judge(content: bytes) -> tuple[int, str, int]:
            outcome = await road.hook("FileWillBeUploaded", upload("judge", content))
            size, digest, peak = outcome.fields["rejection_reason"].split()
            return int(size), digest, int(peak)

        before = (await judge(b"a"))[2]
        size, digest, peak = await judge(content)
        assert (size, digest) == (LARGE, hashlib.sha256(content).hexdigest())
        # Both factors stand in docs/how-to/hooks.md.
        assert (peak - before) / LARGE < 2.3
        changed = await road.hook("FileWillBeUploaded", upload("change", content))
        is_whole = changed.response.modified_content == content[::-1]  # apart: no diff of 200 MiB
        assert is_whole
        assert ((await judge(b"a"))[2] - before) / LARGE < 5.3


def upload(name: str, content: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    return {"file_info": {"name": name}, "file_content": encoded}
