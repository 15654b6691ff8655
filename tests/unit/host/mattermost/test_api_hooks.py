"""State and hooks together: what a call or a user does reaches the plugin, and what it says counts."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest

from mm_asgi.host import AppError, HookCall, Host, Mattermost
from mm_asgi.host.plugin.hook_client import HookClient
from mm_asgi.host.plugin.host_connection import HostConnection
from mm_asgi.host.plugin.log import HostLog
from mm_asgi.protocol.channel_pb2 import CHANNEL_TYPE_OPEN
from tests.unit.host.mattermost.api_client import Client, connected
from tests.unit.host.mattermost.hook_plugin import DISMISS, METHODS, HookServer
from tests.unit.host.mattermost.test_api_state import TEAM, TOWN, make_channel, make_post, make_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ALL = [name for name in METHODS if name not in ("Implemented", "ServeHTTP")]


@asynccontextmanager
async def with_plugin(listed: list[str] | None = None) -> AsyncIterator[tuple[Mattermost, Client]]:
    """A Mattermost whose hooks go to `HookServer` over a real connection."""
    log = HostLog()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((HookServer(ALL if listed is None else listed),))
    with tempfile.TemporaryDirectory() as folder:
        target = f"unix:{folder}/s"
        server.add_insecure_port(target)
        await server.start()
        connection = HostConnection(target, log)
        hooks = HookClient(connection, log)
        await hooks.learn()
        try:
            async with connected() as (mattermost, client):
                mattermost.hooks.caller = hooks.call
                yield mattermost, client
        finally:
            await connection.close()
            await server.stop(None)


async def told(mattermost: Mattermost, *names: str) -> list[Any]:
    """The requests of these hooks, once all have come."""
    await mattermost.settled()
    return [hook.request for hook in mattermost.hook_calls if hook.name in names]


def hook_names(mattermost: Mattermost) -> list[str]:
    return [hook.name for hook in mattermost.hook_calls]


# -------------------------------------------------------------------- posts


async def test_a_posts_hooks_in_their_order() -> None:
    async with with_plugin() as (mattermost, client):
        post = await make_post(client, "hello", props={"n": 1})
        will, has = await told(mattermost, "MessageWillBePosted", "MessageHasBeenPosted")
        assert hook_names(mattermost) == ["MessageWillBePosted", "MessageHasBeenPosted"]
        assert (will.post.id, will.post.message) == ("", "hello")
        assert (has.post.id, has.post.message) == (post.id, "hello")
        # The host carries no props to a hook, and its own calls have an empty context.
        assert not will.post.HasField("props")
        assert will.HasField("plugin_context")
        assert will.plugin_context.request_id == ""
        assert not will.HasField("context")


async def test_a_plugin_changes_a_post_and_that_costs_its_props() -> None:
    async with with_plugin() as (mattermost, client):
        post = await make_post(client, "shout hello", props={"n": 1})
        assert (post.message, dict(post.props)) == ("HELLO", {})
        assert mattermost.posts[post.id].message == "HELLO"
        (has,) = await told(mattermost, "MessageHasBeenPosted")
        assert has.post.message == "HELLO"


async def test_a_changed_posts_metadata_is_put_back() -> None:
    async with with_plugin() as (_, client):
        metadata = {"priority": {"priority": "urgent"}}
        post = await make_post(client, "shout hello", metadata=metadata)
        assert post.metadata.priority.priority == "urgent"


@pytest.mark.parametrize(
    ("message", "error_id"),
    [("bad word", "Post rejected by plugin. mind your words"), ("drop this", DISMISS)],
)
async def test_a_plugin_refuses_a_post(message: str, error_id: str) -> None:
    async with with_plugin() as (mattermost, client):
        given = {"channel_id": TOWN, "user_id": "alice", "message": message}
        failure = await client.failure("CreatePost", post=given)
        assert failure is not None
        assert (failure.code, failure.id) == ("400", error_id)
        with pytest.raises(AppError) as caught:
            await mattermost.post("town-square", "alice", message)
        assert (caught.value.id, caught.value.where) == (error_id, "createPost")
        await mattermost.settled()
        assert not mattermost.posts
        assert hook_names(mattermost) == ["MessageWillBePosted"] * 2


async def test_a_hook_that_fails_lets_the_post_through() -> None:
    async with with_plugin() as (mattermost, client):
        post = await make_post(client, "fail now")
        assert mattermost.posts[post.id].message == "fail now"
        answer = mattermost.hook_calls[0].answer
        assert (answer.code, answer.message) == ("INTERNAL", "planted")


async def test_only_listed_hooks_are_called() -> None:
    async with with_plugin(["MessageHasBeenPosted"]) as (mattermost, client):
        await make_post(client, "bad word")
        await told(mattermost)
        assert hook_names(mattermost) == ["MessageHasBeenPosted"]


async def test_edits() -> None:
    async with with_plugin() as (mattermost, client):
        post = await make_post(client, "first")
        post.message = "shout second"
        assert (await client.UpdatePost(post=post)).post.message == "SECOND"
        will, has = await told(mattermost, "MessageWillBeUpdated", "MessageHasBeenUpdated")
        assert (will.old_post.message, will.new_post.message) == ("first", "shout second")
        assert (has.old_post.message, has.new_post.message) == ("first", "SECOND")
        # The word that drops a new post is a reason like any other here.
        for message, reason in (("bad x", "mind your words"), ("drop x", DISMISS)):
            post.message = message
            failure = await client.failure("UpdatePost", post=post)
            assert failure is not None
            assert failure.id == f"Post rejected by plugin. {reason}"
        assert mattermost.posts[post.id].message == "SECOND"


async def test_a_user_posts_edits_reacts_and_deletes() -> None:
    async with with_plugin() as (mattermost, client):
        post = await mattermost.post("town-square", "bob", "shout hi")
        await mattermost.react(post.id, "alice", "wave")
        await mattermost.edit_post(post.id, "hi all")
        await mattermost.delete_post(post.id)
        await mattermost.settled()
        assert sorted(hook_names(mattermost)) == [
            "MessageHasBeenDeleted", "MessageHasBeenPosted", "MessageHasBeenUpdated",
            "MessageWillBePosted", "MessageWillBeUpdated", "ReactionHasBeenAdded",
        ]  # fmt: skip
        contexts = [hook.request.plugin_context for hook in mattermost.hook_calls]  # type: ignore[attr-defined]
        assert all(len(context.request_id) == 26 for context in contexts)
        (deleted,) = await told(mattermost, "MessageHasBeenDeleted")
        assert (deleted.post.message, deleted.post.delete_at) == ("hi all", 0)
        with pytest.raises(KeyError):
            await mattermost.post("no-such-channel", "bob", "hi")
        assert client is not None


# -------------------------------------------------------------------- the other hooks


async def test_reactions_files_and_preferences() -> None:
    async with with_plugin() as (mattermost, client):
        post = await make_post(client, "tea?")
        tea = {"post_id": post.id, "user_id": "bob", "emoji_name": "tea"}
        await client.AddReaction(reaction=tea)
        await client.RemoveReaction(reaction=tea)
        added, removed = await told(mattermost, "ReactionHasBeenAdded", "ReactionHasBeenRemoved")
        assert added.reaction.emoji_name == removed.reaction.emoji_name == "tea"

        made = await client.UploadFile(data=b"hello", channel_id=TOWN, filename="a.txt")
        assert (await client.GetFile(file_id=made.file_info.id)).data == b"HELLO"
        renamed = await client.UploadFile(data=b"rename", filename="a.txt")
        assert renamed.file_info.name == "renamed.txt"
        failure = await client.failure("UploadFile", data=b"virus")
        assert failure is not None
        assert failure.id == "api.file.upload_file.rejected_by_plugin.app_error"

        row = {"user_id": "bob", "category": "a", "name": "b", "value": "c"}
        await client.UpdatePreferencesForUser(user_id="bob", preferences=[row])
        (changed,) = await told(mattermost, "PreferencesHaveChanged")
        assert changed.preferences[0].value == "c"


async def test_users_teams_and_channels() -> None:
    async with with_plugin() as (mattermost, client):
        user = await make_user(client, "carol")
        await client.UpdateUserActive(user_id=user.id, active=False)
        created, gone = await told(mattermost, "UserHasBeenCreated", "UserHasBeenDeactivated")
        assert (created.user.username, gone.user.username) == ("carol", "carol")
        await client.UpdateUserActive(user_id=user.id, active=True)

        await client.CreateTeamMembers(team_id=TEAM, user_ids=[user.id], requestor_id="bob")
        (joined,) = await told(mattermost, "UserHasJoinedTeam")
        assert (joined.team_member.user_id, joined.actor.username) == (user.id, "bob")
        channel = await make_channel(client, "fruit", CHANNEL_TYPE_OPEN)
        (made,) = await told(mattermost, "ChannelHasBeenCreated")
        assert made.channel == channel
        asked = {"channel_id": channel.id, "user_id": user.id}
        await client.AddChannelMember(**asked)
        await client.DeleteChannelMember(**asked)
        await client.AddUserToChannel(**asked, as_user_id="bob")
        alone, invited = await told(mattermost, "UserHasJoinedChannel")
        assert not alone.HasField("actor")
        assert invited.actor.username == "bob"
        (left,) = await told(mattermost, "UserHasLeftChannel")
        assert (left.channel_member.user_id, left.HasField("actor")) == (user.id, False)
        # The server's own posts reach the message hooks, too.
        said = [request.post.type for request in await told(mattermost, "MessageHasBeenPosted")]
        assert said == [
            "system_join_team", "system_join_channel", "system_leave_channel",
            "system_add_to_channel",
        ]  # fmt: skip

        for requestor in ("bob", user.id):
            await client.DeleteTeamMember(team_id=TEAM, user_id=user.id, requestor_id=requestor)
            await client.CreateTeamMember(team_id=TEAM, user_id=user.id)
        by_bob, by_self = await told(mattermost, "UserHasLeftTeam")
        assert (by_bob.actor.username, by_self.HasField("actor")) == ("bob", False)


async def test_a_plugin_cannot_stop_somebody_from_joining() -> None:
    async with with_plugin() as (mattermost, client):
        bad = await client.CreateBot(bot={"username": "bad"})
        assert bad.bot.user_id
        await client.CreateTeamMember(team_id=TEAM, user_id=bad.bot.user_id)
        await mattermost.settled()
        # "bad joined the team." is refused by the plugin.
        assert (TOWN, bad.bot.user_id) in mattermost.channel_members
        assert not mattermost.posts
        assert mattermost.log is not None
        assert [line.message for line in mattermost.log.lines("host")] == [
            "Failed to post join/leave message"
        ]


async def test_configuration_is_asked_about_and_told() -> None:
    async with with_plugin() as (mattermost, client):
        await mattermost.save_plugin_config({"size": "tiny"})
        plugins = mattermost.config["PluginSettings"]["Plugins"]
        assert plugins == {"com.example.demo": {"size": "small"}}
        assert hook_names(mattermost) == ["ConfigurationWillBeSaved", "OnConfigurationChange"]
        for value in ("forbidden", "nonsense"):
            with pytest.raises(AppError, match=r"app\.save_config\.plugin_hook_error"):
                await mattermost.save_plugin_config({"size": value})
        failure = await client.failure("SaveConfig", config_json=b'{"a": "forbidden"}')
        assert failure is not None
        assert failure.id == "app.save_config.plugin_hook_error"
        config = (await client.GetPluginConfig()).config
        config.update({"size": "forbidden"})
        failure = await client.failure("SavePluginConfig", config=config)
        assert failure is not None
        assert failure.code == "INVALID_ARGUMENT"
        assert mattermost.config["PluginSettings"]["Plugins"] == plugins


async def test_commands() -> None:
    async with with_plugin() as (mattermost, client):
        await client.RegisterCommand(command={"trigger": "weather"})
        mattermost.site_url = "http://here"

        async def run(command: str) -> Any:
            return await mattermost.execute_command("alice", "town-square", command)

        answer = await run("/Weather paris")
        assert (answer.text, answer.type) == ("sunny in paris", "")
        assert mattermost.triggers[answer.trigger_id] == "alice"
        (shown,) = mattermost.ephemeral_posts.values()
        assert (shown.message, shown.user_id) == ("sunny in paris", "alice")
        (asked,) = await told(mattermost, "ExecuteCommand")
        assert (asked.args.team_id, asked.args.site_url) == (TEAM, "http://here")
        assert asked.plugin_context.ip_address == "127.0.0.1"

        await run("/weather rome")
        (post,) = mattermost.posts.values()
        assert (post.message, post.channel_id) == ("sunny in rome", TOWN)
        assert (await run("/weather ")).text == ""
        assert len(mattermost.ephemeral_posts) == 1
        for command, status, error_id in (
            ("/weather nowhere", 500, "no.place"),
            ("/weather silence", 404, "api.command.execute_command.not_found.app_error"),
            ("/weather storm", 500, "plugin.grpc.execute_command.error"),
        ):
            with pytest.raises(AppError) as caught:
                await run(command)
            assert (caught.value.status_code, caught.value.id) == (status, error_id)
        args = {"user_id": "bob", "channel_id": TOWN, "team_id": TEAM, "command": "/weather oslo"}
        response = (await client.ExecuteSlashCommand(command_args=args)).response
        assert response.text == "sunny in oslo"


async def test_a_command_whose_hook_is_not_listed() -> None:
    async with with_plugin([]) as (mattermost, client):
        await client.RegisterCommand(command={"trigger": "weather"})
        with pytest.raises(AppError, match=r"model\.plugin_command\.error"):
            await mattermost.execute_command("alice", "town-square", "/weather")


async def test_listeners_hear_of_hooks() -> None:
    async with with_plugin() as (mattermost, client):
        heard: list[Any] = []
        mattermost.listen(heard.append)
        await make_post(client, "hi")
        await mattermost.settled()
        kinds = [type(entry).__name__ for entry in heard]
        assert sorted(kinds) == ["APICall", "Event", "HookCall", "HookCall"]
        hook = next(entry for entry in heard if isinstance(entry, HookCall))
        assert hook.answer.ok


# -------------------------------------------------------------------- a whole host


def host(**options: Any) -> Host:
    return Host(
        argv=[sys.executable, "hook_plugin.py"],
        directory=Path(__file__).parent,
        env={"HOOK_PLUGIN_CHANNEL": TOWN},
        **options,
    )


async def test_a_plugin_process_uses_the_api_and_its_state_outlives_it() -> None:
    async with host() as running:
        mattermost = running.mattermost
        assert mattermost.site_url == running.address
        # What it posted in OnActivate reached no hook: it was not active yet.
        assert [post.message for post in mattermost.posts.values()] == ["I am up"]
        assert not mattermost.hook_calls
        answered = asyncio.Event()
        mattermost.listen(lambda entry: answered.set() if len(mattermost.posts) == 3 else None)
        await mattermost.post("town-square", "alice", "ping")
        async with asyncio.timeout(10):
            await answered.wait()
        await mattermost.settled()
        # Its own call ran its own filter.
        assert [post.message for post in mattermost.posts.values()][1:] == ["ping", "PONG"]
        answer = await mattermost.execute_command("alice", "town-square", "/weather oslo")
        assert answer.text == "sunny in oslo"
        assert [call.name for call in mattermost.calls] == [
            "RegisterCommand", "CreatePost", "CreatePost",
        ]  # fmt: skip

        await mattermost.add_user("carol")
        await running.restart()
        assert mattermost.kv["last words"] == b"bye"
        assert "carol" in [user.username for user in mattermost.users.values()]
        assert len(mattermost.plugin_commands) == 1
        mattermost.kv.clear()
    # OnDeactivate could still call.
    assert mattermost.kv["last words"] == b"bye"
    await mattermost.post("town-square", "alice", "bad, and nobody minds any more")


async def test_who_comes_through_the_gateway_is_a_user(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(
        "async def app(scope, receive, send):\n"
        "    await send({'type': 'http.response.start', 'status': 204})\n"
        "    await send({'type': 'http.response.body'})\n"
    )
    (tmp_path / "plugin.json").write_text('{"name": "Made", "version": "1.0.0"}')
    env = {"MM_ASGI_LIFESPAN": "off"}
    async with (
        Host("made:app", directory=tmp_path, user="dora", env=env) as running,
        httpx.AsyncClient() as client,
    ):
        assert running.mattermost.users["dora"].id == "dora"
        assert running.mattermost.manifest["name"] == "Made"
        token = {"Authorization": "Bearer token-emil"}
        assert (await client.get(running.url + "/", headers=token)).status_code == 204
        assert running.mattermost.users["emil"].id == "emil"


async def test_another_api_or_none(tmp_path: Path) -> None:
    (tmp_path / "plugin.json").write_text("no JSON")
    program = "import os, sys; sys.exit(repr(os.environ.get('MATTERMOST_PLUGIN_API_TARGET')))"
    for target, seen in (("", "''"), ("127.0.0.1:1", "'127.0.0.1:1'"), (None, "'127.0.0.1:")):
        made = Host(
            argv=[sys.executable, "-c", program],
            directory=tmp_path,
            api_target=target,
            keep_failed=True,
        )
        async with made as running:
            assert running.mattermost.manifest == {}
            assert any(seen in line.message for line in running.log.lines("plugin"))
