"""Rows H1 to H5: the hooks that released servers alone have, on their wire and on gRPC.

After each round of answers the connection has to live on, as test_H_released.py says.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from mm_asgi.hooks import HOOKS
from tests.contract.apps.hooks import LONG, ODD
from tests.contract.test_A_hooks import BUSY, SETTINGS
from tests.contract.test_H_hooks import BUDGET, FAILURES, PLUGINS, do, wait_for_errors
from tests.contract.test_H_released import CLOSED, said
from tests.roads import HTTPRoad, Road, on

if TYPE_CHECKING:
    from collections.abc import Collection

RELEASED = {hook.rpc: hook.name for hook in HOOKS.values() if hook.since}
LISTED = ["OnActivate", "OnDeactivate", "OnConfigurationChange", "ServeHTTP"]

MEMBER = {"channel_id": "c1", "user_id": "u1", "roles": "channel_user", "notify_props": {"a": "b"}}
TEAM_MEMBER = {"team_id": "t1", "user_id": "u1", "roles": "team_user"}
ARGUMENTS: dict[str, list[Any]] = {
    "ChannelMemberWillBeAdded": [MEMBER],
    "TeamMemberWillBeAdded": [TEAM_MEMBER],
    "ChannelWillBeArchived": [{"id": "c1", "name": "town", "type": "O"}],
    "FileWillBeDownloaded": [{"id": "f1", "name": "a.txt"}, "u1", "thumbnail"],
}
SILENT: dict[str, list[Any]] = {
    "ChannelMemberWillBeAdded": [MEMBER, ""],
    "TeamMemberWillBeAdded": [TEAM_MEMBER, ""],
    "ChannelWillBeArchived": [""],
    "FileWillBeDownloaded": [""],
}
"""What the host goes on with when the function says nothing: the member that it asked about."""
VALUE: dict[str, list[Any]] = {
    "ChannelMemberWillBeAdded": [{**MEMBER, "roles": "channel_guest"}, ""],
    "TeamMemberWillBeAdded": [{**TEAM_MEMBER, "roles": "team_guest"}, ""],
    "ChannelWillBeArchived": ["town stays"],
    "FileWillBeDownloaded": ["no thumbnail of a.txt for u1"],
}
OTHER: dict[str, list[Any]] = {
    "ChannelMemberWillBeAdded": [
        {
            **MEMBER,
            "user_id": "u9",
            "msg_count": 2**63 - 1,
            "last_viewed_at": -(2**63),
            "notify_props": {"a": "b", "": "\N{SNOWMAN}"},
        },
        "",
    ],
    "TeamMemberWillBeAdded": [{**TEAM_MEMBER, "delete_at": -1}, ""],
    "ChannelWillBeArchived": [""],
    "FileWillBeDownloaded": [LONG],
}
"""A new member and a blanked field are laid over the member that the host asked about."""
TEXTS = {"ChannelWillBeArchived", "FileWillBeDownloaded"}
"""They take a text, which refuses; the other two take a member."""


@on("m", "g", but="sn", plugin=f"{PLUGINS}:released", settings=BUDGET)
async def test_H1_grpc_lists_no_hook_that_released_servers_alone_have(road: Road) -> None:
    assert sorted(await road.implemented()) == sorted(LISTED)


@on("m", plugin=f"{PLUGINS}:released", settings=BUDGET, alone=True)
async def test_H1_the_log_says_once_which_are_never_called(road: Road) -> None:
    # On m alone: other hosts have asked which hooks there are before the test's log begins.
    for _ in range(2):
        await road.implemented()
    [line] = [line for line in await road.lines() if "never calls the hook" in line.message]
    assert line.level == "warn"
    for name in RELEASED.values():
        assert name in line.message


@on("n", but="or", plugin=f"{PLUGINS}:released", settings=BUDGET)
async def test_H1_a_released_server_has_all_of_them_listed(road: HTTPRoad) -> None:
    assert sorted(await road.implemented()) == sorted([*LISTED, *RELEASED])


@on("n", but="r", plugin=BUSY, settings=SETTINGS)
@pytest.mark.parametrize("below", ["", "/sub"])
async def test_H1_the_metrics_app_answers_the_metrics_listener(road: HTTPRoad, below: str) -> None:
    assert "ServeMetrics" in await road.implemented()
    root = f"{urlsplit(road.host.plugin_url).path}/metrics"
    got = await road.host.control("/metrics", {"path": root + below})
    assert got["status"] == 200
    facts = json.loads(base64.b64decode(got["body_base64"]))
    assert (facts["path"], facts["root_path"], facts["method"]) == (root + below, root, "GET")
    assert facts["state"]["fixed"] == "from lifespan"


@on("m", plugin=BUSY, settings=SETTINGS, alone=True)
async def test_H1_over_grpc_no_metrics_are_listed_and_the_log_says_so_once(road: Road) -> None:
    for _ in range(2):
        assert "ServeMetrics" not in await road.implemented()
    [line] = [
        line for line in await road.lines() if "never asks for the plugin's metrics" in line.message
    ]
    assert line.level == "info"


async def results_of_all(road: HTTPRoad, word: str) -> dict[str, list[Any]]:
    await do(road, word)
    context = {"RequestId": "r"}
    asked = [road.host.hook(name, context, *ARGUMENTS[name]) for name in RELEASED]
    answers = dict(zip(RELEASED, await asyncio.gather(*asked), strict=True))
    for name, answer in answers.items():
        assert (answer["listed"], answer["message"]) == (True, ""), name
    return {name: said(answer["response"]) for name, answer in answers.items()}


def refusals(text: str, names: Collection[str] = RELEASED) -> dict[str, list[Any]]:
    return {name: [*found[:-1], text] if name in names else found for name, found in SILENT.items()}


async def check_connection(road: HTTPRoad) -> None:
    """Hooks and requests are answered as before, and the host has nothing to complain of."""
    assert await results_of_all(road, "value") == VALUE
    assert await results_of_all(road, "none") == SILENT
    assert (await road.ask("hello")).body == b"hello"
    assert (await road.host.control("/ping"))["ok"]
    complaints = [line for line in road.host.log_lines("host") if line["level"] == "error"]
    assert complaints == []


@on("n", but="or", plugin=f"{PLUGINS}:released", settings=BUDGET)
async def test_H4_a_released_server_has_what_they_return(road: HTTPRoad) -> None:
    road.expected.add("blank")
    assert await results_of_all(road, "none") == SILENT
    assert await results_of_all(road, "value") == VALUE
    assert await results_of_all(road, "other") == OTHER
    await check_connection(road)


@on("n", but="or", plugin=f"{PLUGINS}:released_threaded", settings=BUDGET)
async def test_H3_their_threads_answer_alike(road: HTTPRoad) -> None:
    road.expected.add("blank")
    assert await results_of_all(road, "other") == OTHER
    for failure in (*FAILURES, "stop"):
        assert await results_of_all(road, failure) == SILENT
    await check_connection(road)


@on("n", but="or", plugin=f"{PLUGINS}:released", settings=BUDGET)
async def test_H5_a_released_server_has_their_refusal(road: HTTPRoad) -> None:
    assert await results_of_all(road, "reject") == refusals("mind your words")
    assert await results_of_all(road, "reject without a word") == refusals("refused by a plugin")
    await check_connection(road)


@on("n", but="or", plugin=f"{PLUGINS}:released", settings=BUDGET)
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_one_that_failed_lets_through(road: HTTPRoad, failure: str) -> None:
    assert await results_of_all(road, failure) == SILENT
    lines = await wait_for_errors(road, len(RELEASED))
    assert len(lines) == len(RELEASED)
    assert all("the host got its default" in line.message for line in lines)
    await check_connection(road)


@on("n", but="or", plugin=f"{PLUGINS}:released_closed", settings=BUDGET)
@pytest.mark.parametrize("failure", FAILURES)
async def test_H2_one_that_failed_closed_refuses(road: HTTPRoad, failure: str) -> None:
    assert await results_of_all(road, failure) == refusals(CLOSED)
    await check_connection(road)


@on("n", but="or", plugin=f"{PLUGINS}:released_closed", settings=BUDGET)
@pytest.mark.parametrize("odd", ODD)
async def test_H2_an_odd_answer_of_theirs_refuses_and_ends_no_connection(
    road: HTTPRoad, odd: str
) -> None:
    expected = refusals(CLOSED)
    if odd == "a text":
        expected |= {name: ["no"] for name in TEXTS}
    assert await results_of_all(road, odd) == expected
    await check_connection(road)
