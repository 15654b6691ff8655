"""Row H1: the hooks that released servers alone have, on their wire and on gRPC."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from mm_asgi.hooks import HOOKS
from tests.contract.test_A_hooks import BUSY, SETTINGS
from tests.contract.test_H_hooks import BUDGET, PLUGINS, do
from tests.contract.test_H_released import said
from tests.roads import HTTPRoad, Road, on

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


@on("n", but="o", plugin=f"{PLUGINS}:released", settings=BUDGET)
async def test_H1_a_released_server_has_all_of_them_listed(road: HTTPRoad) -> None:
    assert sorted(await road.implemented()) == sorted([*LISTED, *RELEASED])


@on("n", plugin=BUSY, settings=SETTINGS)
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
    results = {}
    for name in RELEASED:
        answer = await road.host.hook(name, {"RequestId": "r"}, *ARGUMENTS[name])
        assert (answer["listed"], answer["message"]) == (True, ""), name
        results[name] = said(answer["response"])
    return results


def refusals(text: str) -> dict[str, list[Any]]:
    return {name: [*found[:-1], text] for name, found in SILENT.items()}


@on("n", but="o", plugin=f"{PLUGINS}:released", settings=BUDGET)
async def test_H4_a_released_server_has_what_they_return(road: HTTPRoad) -> None:
    assert await results_of_all(road, "none") == SILENT
    assert await results_of_all(road, "value") == VALUE
    assert await results_of_all(road, "none") == SILENT


@on("n", but="o", plugin=f"{PLUGINS}:released", settings=BUDGET)
async def test_H5_a_released_server_has_their_refusal(road: HTTPRoad) -> None:
    assert await results_of_all(road, "reject") == refusals("mind your words")
    assert await results_of_all(road, "reject without a word") == refusals("refused by a plugin")


@on("n", but="o", plugin=f"{PLUGINS}:released", settings=BUDGET)
@pytest.mark.parametrize("failure", ["raise", "hang", "nonsense"])
async def test_H2_one_that_failed_lets_through(road: HTTPRoad, failure: str) -> None:
    assert await results_of_all(road, failure) == SILENT
    await do(road, "none")
