"""Rows H1 to H5 over net/rpc: what a released server makes of every hook's answer.

The real plugin package calls each hook of a plugin whose functions do one thing after the other,
natural and odd. Go decodes an answer into fixed types; one of a wrong type ends the connection for
all hooks to come, while the health check stays green and nobody restarts the plugin. So after each
round hooks and requests have to be answered as before.

The tests of test_H_hooks.py read the contract's messages, which this host does not have: it shows
the results of the Go method. Where gRPC's host sees nothing, it has the post that it sent. The
simulated host (road r) has both: the contract's messages, with the post that it sent.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from tests.contract.test_H_hooks import (
    BUDGET,
    CHANGED,
    FAILURES,
    GATES,
    HAS_ERROR,
    HAS_REASON,
    HOOKS,
    OTHERWISE,
    PLUGINS,
    REQUESTS,
    answers,
    ask_all,
    do,
    wait_for_errors,
)
from tests.net_hooks import arguments_of
from tests.roads import HTTPRoad, on

POST = {
    "id": "p1",
    "message": "hi",
    "user_id": "u1",
    "create_at": 1_700_000_000_000,
    "is_pinned": True,
    "props": {"a": [1, "b", {"c": None}]},
    "file_ids": ["f1"],
    "metadata": {"priority": {"priority": "urgent"}},
}
"""Gob carries more of it than the contract's message does: nothing of it may be lost."""
SECOND = {"id": "p2", "message": "ho", "remote_id": "r"}
INFO = {"name": "a.txt", "size": 3, "mime_type": "text/plain", "mini_preview": "AQI="}
PUSH = {"message": "m", "badge": 3, "platform": "ios", "is_crt_enabled": True, "sub_type": "calls"}

ARGUMENTS: dict[str, list[Any]] = {
    "ConfigurationWillBeSaved": [{"ServiceSettings": {"SiteURL": "https://mm.example"}}],
    "MessageWillBePosted": [{}, POST],
    "MessageWillBeUpdated": [{}, POST, {"message": "old"}],
    "MessagesWillBeConsumed": [[POST, SECOND]],
    "FileWillBeUploaded": [{}, INFO, base64.b64encode(b"abc").decode()],
    "NotificationWillBePushed": [PUSH, "bob"],
}
"""Where the contract's message says too little; of the other hooks the arguments are REQUESTS'."""

SILENT: dict[str, list[Any]] = {
    "RunDataRetention": [0],
    "ConfigurationWillBeSaved": [None],
    "MessageWillBePosted": [POST, ""],
    "MessageWillBeUpdated": [POST, ""],
    "MessagesWillBeConsumed": [[POST, SECOND]],
    "FileWillBeUploaded": [INFO, "", b""],
    "NotificationWillBePushed": [None, ""],
    "EmailNotificationWillBeSent": [None, ""],
    "UserWillLogIn": [""],
    "ExecuteCommand": [None],
    "OnSharedChannelsSyncMsg": [{}],
    "OnSharedChannelsPing": [False],
    "GenerateSupportData": [None],
}
"""The results of a hook that says nothing; a host has its post or file back. Other hooks have none."""
VALUE: dict[str, list[Any]] = {
    "RunDataRetention": [42],
    "MessageWillBePosted": [{**POST, "message": "hi!"}, ""],
    "MessageWillBeUpdated": [{**POST, "message": "old!"}, ""],
    "MessagesWillBeConsumed": [[{**POST, "message": "read"}]],
    "FileWillBeUploaded": [INFO, "", b"ABC"],
    "NotificationWillBePushed": [{**PUSH, "message": "bob"}, ""],
    "EmailNotificationWillBeSent": [{"subject": "s"}, ""],
    "UserWillLogIn": ["not you, bob"],
    "ExecuteCommand": [{"response_type": "ephemeral", "text": "you typed /weather"}],
    "OnSharedChannelsSyncMsg": [{"users_syncd": ["u"]}],
    "OnSharedChannelsPing": [True],
    "GenerateSupportData": [[{"Filename": "a.txt", "Body": "YQ=="}]],
}
"""ConfigurationWillBeSaved is not here: over net/rpc no config goes back, and the log says so."""
OTHER: dict[str, list[Any]] = {
    "FileWillBeUploaded": [{**INFO, "name": "new.txt"}, "", b"abc!"],
    "ExecuteCommand": [{"response_type": "in_channel", "text": "hi"}],
    "GenerateSupportData": [
        [{"Filename": "b", "Body": "Yg=="}, {"Filename": "c", "Body": "Yw=="}]
    ],
}  # fmt: skip
CLOSED = "refused, because the plugin that has to check this failed"
FAILED = "the plugin failed, see its log"


def said(found: Any) -> Any:
    """Leave out what is zero in Go's structs."""
    if isinstance(found, list):
        return [said(one) for one in found]
    if not isinstance(found, dict):
        return found
    kept = {name: said(one) for name, one in found.items() if name != "props"}
    kept = {name: one for name, one in kept.items() if one not in (None, "", 0, {}, [])}
    if found.get("props"):
        kept["props"] = found["props"]
    return kept


async def results_of_all(road: HTTPRoad, word: str) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """What the host has of every hook while the functions do this: the results, and the errors."""
    await do(road, word)
    results, errors = {}, {}

    async def call(name: str) -> None:
        arguments = ARGUMENTS.get(name) or arguments_of(name, REQUESTS.get(name, {}))
        answer = await road.host.hook(name, *arguments)
        assert answer["listed"], name
        assert answer["message"] == "", f"{name}: the call itself failed"
        found = said(answer["response"])
        if "written" in answer:
            found.append(base64.b64decode(answer["written"] or ""))
        if found:
            results[name] = found
        if answer["error"]:
            errors[name] = answer["error"]

    await asyncio.gather(*map(call, HOOKS))
    return results, errors


async def check_connection(road: HTTPRoad) -> None:
    """Hooks and requests are answered as before, and the host has nothing to complain of."""
    assert await results_of_all(road, "value") == ({**SILENT, **VALUE}, {})
    await do(road, "none")
    answer = await road.host.hook("MessageWillBePosted", {}, POST)
    assert said(answer["response"]) == [POST, ""]
    assert (await road.ask("hello")).body == b"hello"
    assert (await road.host.control("/ping"))["ok"]
    complaints = [line for line in road.host.log_lines("host") if line["level"] == "error"]
    assert complaints == []


@on("n", but="r", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H4_a_hook_that_says_nothing_changes_nothing(road: HTTPRoad) -> None:
    assert await results_of_all(road, "none") == (SILENT, {})
    await check_connection(road)


@on("n", but="r", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H4_a_released_server_has_what_is_returned(road: HTTPRoad) -> None:
    assert await results_of_all(road, "value") == ({**SILENT, **VALUE}, {})
    assert await results_of_all(road, "other") == ({**SILENT, **OTHER}, {})
    await check_connection(road)


@on("n", but="r", plugin=f"{PLUGINS}:threaded", settings=BUDGET)
async def test_H3_threads_answer_a_released_server_alike(road: HTTPRoad) -> None:
    assert await results_of_all(road, "value") == ({**SILENT, **VALUE}, {})
    assert await results_of_all(road, "other") == ({**SILENT, **OTHER}, {})
    await check_connection(road)


def refusals(text: str, *names: str) -> dict[str, list[Any]]:
    """The results of these hooks where they refuse: the text is after the post, or alone."""
    made = {}
    for name in names:
        made[name] = list(SILENT[name])
        made[name][1 if len(made[name]) > 1 else 0] = text
    return made


@on("n", but="r", plugin=f"{PLUGINS}:opened", settings=BUDGET)
@pytest.mark.parametrize(
    ("word", "text"),
    [("reject", "mind your words"), ("reject without a word", "refused by a plugin")],
)
async def test_H5_a_released_server_has_a_refusals_text(
    road: HTTPRoad, word: str, text: str
) -> None:
    results, errors = await results_of_all(road, word)
    assert results == {**SILENT, **refusals(text, *HAS_REASON)}
    assert errors == {name: f"{name}: {text}" for name in HAS_ERROR}
    await check_connection(road)


@on("n", but="r", plugin=f"{PLUGINS}:opened", settings=BUDGET)
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_a_released_server_has_the_default_of_a_hook_that_failed(
    road: HTTPRoad, failure: str
) -> None:
    results, errors = await results_of_all(road, failure)
    assert results == SILENT
    assert errors == {
        name: f"{name}: {CLOSED if name in GATES else FAILED}" for name in HAS_ERROR
    }  # fmt: skip
    lines = await wait_for_errors(road, len(HOOKS))
    assert len(lines) == len(HOOKS)
    assert all("the host got its default" in line.message for line in lines)
    await check_connection(road)


@on("n", but="r", plugin=f"{PLUGINS}:closed", settings=BUDGET)
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_a_gate_that_failed_is_closed_on_a_released_server(
    road: HTTPRoad, failure: str
) -> None:
    results, errors = await results_of_all(road, failure)
    assert results == {**SILENT, **refusals(CLOSED, *HAS_REASON)}
    assert errors == {
        name: f"{name}: {CLOSED if name in GATES else FAILED}" for name in HAS_ERROR
    }  # fmt: skip
    await check_connection(road)


@on("n", but="r", plugin=f"{PLUGINS}:threaded", settings=BUDGET)
@pytest.mark.parametrize("failure", [*FAILURES, "stop"])
async def test_H3_a_thread_that_failed_keeps_no_released_server_waiting(
    road: HTTPRoad, failure: str
) -> None:
    results, errors = await results_of_all(road, failure)
    assert results == SILENT
    assert errors.keys() == HAS_ERROR
    await check_connection(road)


# -------------------------------------------------------------------- the simulated one

SENT = {"id": "p1", "message": "hi"}
UNTOUCHED: dict[str, dict[str, Any]] = {
    "MessageWillBePosted": {"modified_post": SENT},
    "MessageWillBeUpdated": {"modified_post": SENT},
    "MessagesWillBeConsumed": {"posts": [SENT, SENT]},
    "FileWillBeUploaded": {"modified_file_info": {"name": "a.txt"}},
}
"""What the host has of the hooks of REQUESTS that say nothing; of all others it has nothing."""


def with_untouched(answered: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the host has of these answers: no config goes back."""
    found = UNTOUCHED | answered
    found["FileWillBeUploaded"] = {
        **UNTOUCHED["FileWillBeUploaded"],
        **answered.get("FileWillBeUploaded", {}),
    }
    found.pop("ConfigurationWillBeSaved", None)
    return found


@on("r", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H4_a_simulated_server_has_the_post_that_it_sent(road: HTTPRoad) -> None:
    assert answers(await ask_all(road, "none")) == UNTOUCHED
    assert answers(await ask_all(road, "value")) == with_untouched(CHANGED)
    assert answers(await ask_all(road, "other")) == with_untouched(OTHERWISE)
    assert (await road.ask("hello")).body == b"hello"


@on("r", plugin=f"{PLUGINS}:opened", settings=BUDGET)
async def test_H5_a_simulated_server_has_a_refusals_text(road: HTTPRoad) -> None:
    refused = answers(await ask_all(road, "reject"))
    assert refused.keys() == HAS_ERROR | HAS_REASON | UNTOUCHED.keys()
    for name in HAS_REASON:
        assert refused[name]["rejection_reason"] == "mind your words"
    for name in HAS_ERROR:
        assert refused[name]["error"]["message"] == "mind your words"


@on("r", plugin=f"{PLUGINS}:opened", settings=BUDGET)
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_a_simulated_server_has_the_default_of_a_hook_that_failed(
    road: HTTPRoad, failure: str
) -> None:
    found = answers(await ask_all(road, failure))
    assert {name: one for name, one in found.items() if name not in HAS_ERROR} == UNTOUCHED
    assert all(found[name]["error"]["message"] in (CLOSED, FAILED) for name in HAS_ERROR)
    assert len(await wait_for_errors(road, len(HOOKS))) == len(HOOKS)
    assert (await road.host.control("/ping"))["ok"]
    assert answers(await ask_all(road, "none")) == UNTOUCHED
