"""Rows A1, H2 and H3 over net/rpc: plugins that call the API of the released server that calls them.

The API is on the connection that the hooks come on. It has no address and cannot go away alone, so
calls are failed and held one by one in place of a server that stops.
"""

from __future__ import annotations

from typing import Any

from tests.contract.test_A_hooks import BUSY, SETTINGS, outcome
from tests.roads import HTTPRoad, on


@on("n", but="r", plugin=BUSY, settings=SETTINGS)
async def test_H3_a_thread_calls_the_blocking_api_of_a_released_server(road: HTTPRoad) -> None:
    road.expected.add("the hook message_will_be_updated failed: LookupError: seen before")

    async def updated(message: str) -> Any:
        post = {"id": "a-post", "message": message}
        answer = await road.host.hook("MessageWillBeUpdated", {}, post, {"message": "one"})
        assert answer["ok"]
        return answer["response"][0]["message"]

    assert await updated("two") == "two (was: one)"
    assert await updated("three") == "three"  # it raises, and nothing is changed
    await road.logged("seen before", "error")


@on("n", but="r", plugin=BUSY, settings=SETTINGS)
async def test_H2_a_call_that_a_released_server_fails_or_holds_blocks_no_post(
    road: HTTPRoad,
) -> None:
    go = road.api
    await go.calls()
    try:
        for fault in ({"message": "the database is away"}, {"hold": True}):
            await go.fail("GetUser", **fault)
            answer = await go.post("alice", "who")
            road.expected.add(answer["request_id"])
            assert (answer["error"], answer["post"]["message"]) == (None, "who")
    finally:
        await go.heal()
    assert (await go.post("alice", "who"))["post"]["message"] == "alice@example.com"


@on("n", but="r", plugin=BUSY, settings=SETTINGS, alone=True)
async def test_A1_a_command_is_registered_at_each_activation_of_a_released_server(
    road: HTTPRoad,
) -> None:
    go = road.api

    async def whoami() -> str:
        return outcome(await go.command("bob", "/whoami"), "response", "text")

    assert await whoami() == "bob@example.com"
    await road.host.control("/deactivate")
    assert await whoami() == "api.command.execute_command.not_found.app_error"
    await go.fail("RegisterCommand", message="no more commands")
    assert (await road.host.control("/activate"))[
        "event"
    ] == "ready"  # the plugin runs all the same
    await road.logged("/whoami is not registered", "warn")
    await go.heal()
    await road.host.control("/deactivate")
    await go.calls()
    assert (await road.host.control("/activate"))["event"] == "ready"
    assert "RegisterCommand" in await go.names()
    assert await whoami() == "bob@example.com"


@on("n", but="r", plugin=BUSY, settings=SETTINGS, alone=True)
async def test_A1_a_released_server_takes_what_is_shown_while_a_command_is_typed(
    road: HTTPRoad,
) -> None:
    made = [call for call in await road.api.calls() if call["call"] == "RegisterCommand"]
    [command] = [
        call["arguments"][0] for call in made if call["arguments"][0]["trigger"] == "issue"
    ]
    assert [call["error"] for call in made] == [""] * len(made)
    list_, close = command["autocomplete_data"]["SubCommands"]
    assert command["autocomplete_data"]["HelpText"] == "Work with issues"
    [which] = list_["Arguments"]
    assert (which["Type"], which["Required"], which["HelpText"]) == ("StaticList", True, "Which")
    assert which["Data"]["PossibleArguments"] == [
        {"Item": "open", "Hint": "", "HelpText": ""},
        {"Item": "all", "Hint": "slow", "HelpText": ""},
    ]
    found, why = close["Arguments"]
    assert close["RoleID"] == "system_admin"
    assert (found["Type"], found["Data"]) == ("DynamicList", {"FetchURL": "/suggest"})
    assert (why["Name"], why["Required"]) == ("reason", False)
    assert (why["Type"], why["Data"]["Hint"]) == ("TextInput", "[reason]")


@on("n", but="or", plugin=BUSY, settings=SETTINGS)
async def test_A1_a_toast_reaches_a_released_server(road: HTTPRoad) -> None:
    await road.api.calls()
    said = outcome(await road.api.command("bob", "/toast"), "response", "text")
    [call] = [call for call in await road.api.calls() if call["call"] == "SendToastMessage"]
    assert call["arguments"] == ["bob", "", "done", {"position": "top-left"}]
    assert said == call["error"]  # the host has no window to show it in


@on("g", but="sn", plugin=BUSY, settings=SETTINGS, api=True)
async def test_A1_over_grpc_a_toast_says_which_servers_have_it(road: HTTPRoad) -> None:
    said = outcome(await road.api.command("bob", "/toast"), "response", "text")
    assert said == (
        "SendToastMessage: released servers alone have this call, and this one loads plugins over gRPC"
    )
    assert outcome(await road.api.command("bob", "/issue a b"), "response", "text") == "a b"


@on("o", plugin=BUSY, settings=SETTINGS)
async def test_A1_an_older_server_says_which_has_the_call(road: HTTPRoad) -> None:
    said = outcome(await road.api.command("bob", "/toast"), "response", "text")
    assert said == (
        "SendToastMessage: this Mattermost server has no such call; servers have it since 11.5"
    )
