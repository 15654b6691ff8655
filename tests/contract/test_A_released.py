"""Rows A1, H2 and H3 over net/rpc: plugins that call the API of the released server that calls them.

The API is on the connection that the hooks come on. It has no address and cannot go away alone, so
calls are failed and held one by one in place of a server that stops.
"""

from __future__ import annotations

from typing import Any

from tests.contract.test_A_hooks import BUSY, SETTINGS, outcome
from tests.roads import HTTPRoad, on


@on("n", plugin=BUSY, settings=SETTINGS)
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


@on("n", plugin=BUSY, settings=SETTINGS)
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


@on("n", plugin=BUSY, settings=SETTINGS, alone=True)
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
