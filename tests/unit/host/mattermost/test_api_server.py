"""The PluginAPI service: every RPC answered or refused, and each error where the contract has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import grpc
import pytest

from mm_asgi.host.ids import is_id, new_id, stable_id
from mm_asgi.host.mattermost import table
from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.table import CALLS, IN_RESPONSE, MUST_BE_SENT, REFUSED_UNSET
from mm_asgi.protocol.channel_pb2 import CHANNEL_TYPE_DIRECT, CHANNEL_TYPE_OPEN
from tests.unit.host.mattermost.api_client import METHODS, Client, Failure, connected, contract

TOWN = stable_id("channel demo town-square")
TEAM = stable_id("team demo")
ALWAYS = "grpc-status: UNIMPLEMENTED always"


def channel_of(name: str) -> str:
    """Where the contract has a call's errors: ``response``, ``status``, or ``none``."""
    errors = contract()[name]["errors"]
    if errors.startswith("response field error"):
        return "response"
    return "none" if errors.startswith("none:") else "status"


async def test_each_of_the_236_calls_is_answered_or_unimplemented() -> None:
    assert set(contract()) == set(METHODS)
    assert len(METHODS) == 236
    async with connected() as (_, client):
        for name in METHODS:
            failure = await client.failure(name)
            if name in CALLS:
                assert failure is None or failure.code != "UNIMPLEMENTED", name
                assert not contract()[name]["errors"].startswith(ALWAYS)
            else:
                assert failure == Failure(
                    "status", "UNIMPLEMENTED", f"method {name} not implemented"
                )


def test_errors_in_the_response_are_those_of_the_contract() -> None:
    wanted = {name for name in contract() if channel_of(name) == "response"}
    assert len(wanted) == 31
    ephemeral = {"SendEphemeralPost", "UpdateEphemeralPost", "DeleteEphemeralPost"}
    assert set(IN_RESPONSE) - ephemeral == wanted
    assert {channel_of(name) for name in ephemeral} == {"none"}


def test_fields_that_have_to_be_sent_are_those_of_the_contract() -> None:
    crash, refused = {}, {}
    for name in CALLS:
        notes = contract()[name]["notes"]
        if found := re.search(r"(\w+) unset (?:is not checked|is passed as nil)", notes):
            crash[name] = found[1]
        if found := re.search(r"(\w+) unset: INVALID_ARGUMENT", notes):
            refused[name] = found[1]
    assert crash == MUST_BE_SENT
    assert refused == REFUSED_UNSET


@pytest.mark.parametrize("name", [*MUST_BE_SENT, *REFUSED_UNSET])
async def test_a_field_that_is_not_sent(name: str) -> None:
    async with connected() as (mattermost, client):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(client, name)()
        if name in REFUSED_UNSET:
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        else:
            assert caught.value.code() == grpc.StatusCode.INTERNAL
            assert "a real server would crash here" in str(caught.value.details())
            assert mattermost.log is not None
            assert [line.level for line in mattermost.log.lines("host")] == ["error"]


USER = {"username": "carol", "email": "carol@example.com", "password": "password1"}
POST = {"channel_id": TOWN, "user_id": "alice", "message": "hi"}
OPEN = {"team_id": TEAM, "name": "new", "display_name": "New", "type": CHANNEL_TYPE_OPEN}
MISSING_USER = "app.user.missing_account.const"
MISSING_POST = "app.post.get.app_error"
MISSING_FILE = "app.file_info.get.app_error"
BAD_KEY = "model.plugin_key_value.is_valid.key.app_error"

ERRORS: list[tuple[str, dict[str, Any], int, str]] = [
    ("CreateUser", {"user": USER | {"password": "short"}}, 400, "model.user.is_valid.pwd_min_length.app_error"),
    ("CreateUser", {"user": USER | {"password": "x" * 73}}, 400, "model.user.is_valid.pwd_max_length.app_error"),
    ("CreateUser", {"user": USER | {"username": "no spaces"}}, 400, "model.user.is_valid.username.app_error"),
    ("CreateUser", {"user": USER | {"username": "channel"}}, 400, "model.user.is_valid.username.app_error"),
    ("CreateUser", {"user": USER | {"email": "carol"}}, 400, "model.user.is_valid.email.app_error"),
    ("CreateUser", {"user": USER | {"username": "Alice"}}, 400, "app.user.save.username_exists.app_error"),
    ("CreateUser", {"user": USER | {"email": "BOB@example.com"}}, 400, "app.user.save.email_exists.app_error"),
    ("GetUser", {"user_id": "nobody"}, 404, MISSING_USER),
    ("GetUserByEmail", {"email": "nobody@example.com"}, 404, MISSING_USER),
    ("GetUserByUsername", {"name": "nobody"}, 404, "app.user.get_by_username.app_error"),
    ("DeleteUser", {"user_id": "nobody"}, 404, MISSING_USER),
    ("UpdateUser", {"user": {"id": "nobody"}}, 404, MISSING_USER),
    ("UpdateUser", {"user": {"id": "bob", "username": "alice", "email": "b@x.y"}}, 400, "app.user.save.username_exists.app_error"),
    ("UpdateUserActive", {"user_id": "nobody"}, 404, MISSING_USER),
    ("UpdateUserRoles", {"user_id": "bob", "new_roles": "king"}, 400, "app.role.check_roles_exist.role_not_found"),
    ("GetUsersInChannel", {"channel_id": TOWN}, 400, "plugin.api.get_users_in_channel"),
    ("GetUserStatus", {"user_id": "nobody"}, 404, "app.status.get.missing.app_error"),
    ("UpdateUserStatus", {"user_id": "bob", "status": "asleep"}, 400, "plugin.api.update_user_status.bad_status"),
    ("UpdateUserCustomStatus", {"user_id": "nobody", "custom_status": {}}, 404, MISSING_USER),
    ("RemoveUserCustomStatus", {"user_id": "nobody"}, 404, MISSING_USER),
    ("GetPreferenceForUser", {"user_id": "bob", "category": "a", "name": "b"}, 400, "app.preference.get.app_error"),
    ("UpdatePreferencesForUser", {"user_id": "bob", "preferences": [{"user_id": "alice"}]}, 403, "api.preference.update_preferences.set.app_error"),
    ("DeletePreferencesForUser", {"user_id": "bob", "preferences": [{"user_id": "alice"}]}, 403, "api.preference.delete_preferences.delete.app_error"),
    ("GetTeam", {"team_id": new_id()}, 404, "app.team.get.find.app_error"),
    ("GetTeamByName", {"name": "none"}, 404, "app.team.get_by_name.missing.app_error"),
    ("CreateTeam", {"team": {"name": "demo", "display_name": "x", "type": 1}}, 400, "app.team.save.existing.app_error"),
    ("CreateTeam", {"team": {"id": TEAM}}, 400, "app.team.save.existing.app_error"),
    ("CreateTeam", {"team": {"name": "NO", "display_name": "x", "type": 1}}, 400, "model.team.is_valid.characters.app_error"),
    ("CreateTeam", {"team": {"name": "two", "type": 1}}, 400, "model.team.is_valid.name.app_error"),
    ("CreateTeam", {"team": {"name": "two", "display_name": "x"}}, 400, "model.team.is_valid.type.app_error"),
    ("DeleteTeam", {"team_id": "x"}, 404, "app.team.get.find.app_error"),
    ("CreateTeamMember", {"team_id": TEAM, "user_id": "nobody"}, 404, MISSING_USER),
    ("CreateTeamMembers", {"team_id": "x", "user_ids": ["bob"]}, 404, "app.team.get.find.app_error"),
    ("CreateTeamMembersGracefully", {"team_id": "x"}, 404, "app.team.get.find.app_error"),
    ("GetTeamMember", {"team_id": TEAM, "user_id": "nobody"}, 404, "app.team.get_member.missing.app_error"),
    ("UpdateTeamMemberRoles", {"team_id": TEAM, "user_id": "x"}, 404, "app.team.get_member.missing.app_error"),
    ("CreateChannel", {"channel": OPEN | {"name": "town-square"}}, 400, "store.sql_channel.save_channel.exists.app_error"),
    ("CreateChannel", {"channel": OPEN | {"name": "No!"}}, 400, "model.channel.is_valid.1_or_more.app_error"),
    ("CreateChannel", {"channel": OPEN | {"display_name": "x" * 65}}, 400, "model.channel.is_valid.display_name.app_error"),
    ("CreateChannel", {"channel": OPEN | {"type": 0}}, 400, "model.channel.is_valid.type.app_error"),
    ("CreateChannel", {"channel": OPEN | {"type": CHANNEL_TYPE_DIRECT}}, 400, "store.sql_channel.save.direct_channel.app_error"),
    ("CreateChannel", {"channel": OPEN | {"id": TOWN}}, 400, "store.sql_channel.save_channel.existing.app_error"),
    ("CreateChannel", {"channel": OPEN | {"delete_at": 1}}, 400, "store.sql_channel.save.archived_channel.app_error"),
    ("UpdateChannel", {"channel": OPEN | {"id": TOWN, "name": "off-topic"}}, 400, "store.sql_channel.update.exists.app_error"),
    ("GetChannel", {"channel_id": "x"}, 404, "app.channel.get.existing.app_error"),
    ("GetChannelByName", {"team_id": TEAM, "name": "x"}, 404, "app.channel.get_by_name.missing.app_error"),
    ("GetChannelByNameForTeamName", {"team_name": "x"}, 404, "app.team.get_by_name.missing.app_error"),
    ("GetChannelByNameForTeamName", {"team_name": "demo"}, 404, "app.channel.get_by_name.missing.app_error"),
    ("GetChannelsForTeamForUser", {"user_id": "nobody"}, 404, "app.channel.get_channels.not_found.app_error"),
    ("GetDirectChannel", {"user_id_1": "bob", "user_id_2": "x"}, 400, "api.channel.create_direct_channel.invalid_user.app_error"),
    ("GetGroupChannel", {"user_ids": ["alice", "bob"]}, 400, "api.channel.create_group.bad_size.app_error"),
    ("GetGroupChannel", {"user_ids": ["alice", "bob", "x"]}, 400, "api.channel.create_group.bad_user.app_error"),
    ("DeleteChannel", {"channel_id": TOWN}, 400, "api.channel.delete_channel.cannot.app_error"),
    ("AddChannelMember", {"channel_id": "x", "user_id": "bob"}, 404, "app.channel.get.existing.app_error"),
    ("AddUserToChannel", {"channel_id": TOWN, "user_id": "x"}, 404, MISSING_USER),
    ("DeleteChannelMember", {"channel_id": TOWN, "user_id": "bob"}, 400, "api.channel.remove.default.app_error"),
    ("GetChannelMember", {"channel_id": TOWN, "user_id": "x"}, 404, "app.channel.get_member.missing.app_error"),
    ("UpdateChannelMemberRoles", {"channel_id": TOWN, "user_id": "bob", "new_roles": "king"}, 400, "app.role.check_roles_exist.role_not_found"),
    ("UpdateChannelMemberNotifications", {"channel_id": TOWN, "user_id": "x"}, 404, "app.channel.get_member.missing.app_error"),
    ("PatchChannelMembersNotifications", {"members": [{}] * 201}, 400, "app.channel.patch_channel_members_notify_props.too_many"),
    ("CreatePost", {"post": POST | {"channel_id": "x"}}, 404, "app.channel.get.existing.app_error"),
    ("CreatePost", {"post": POST | {"user_id": "x"}}, 404, MISSING_USER),
    ("CreatePost", {"post": POST | {"root_id": "x"}}, 400, "api.post.create_post.root_id.app_error"),
    ("CreatePost", {"post": POST | {"id": "x"}}, 400, "app.post.save.existing.app_error"),
    ("CreatePost", {"post": POST | {"message": "x" * 16384}}, 400, "model.post.is_valid.message_length.app_error"),
    ("UpdatePost", {"post": {"id": "x"}}, 404, MISSING_POST),
    ("UpdatePost", {"post": {}}, 400, MISSING_POST),
    ("DeletePost", {"post_id": "x"}, 400, MISSING_POST),
    ("GetPost", {"post_id": "x"}, 404, MISSING_POST),
    ("GetPostThread", {"post_id": "x"}, 404, MISSING_POST),
    ("GetPostThread", {}, 400, MISSING_POST),
    ("GetPostsForChannel", {"channel_id": TOWN, "per_page": 1001}, 400, "app.post.get_posts.app_error"),
    ("GetPostsBefore", {"channel_id": TOWN, "per_page": 1001}, 400, "app.post.get_posts_around.get.app_error"),
    ("GetPostsAfter", {"channel_id": TOWN, "per_page": 1001}, 400, "app.post.get_posts_around.get.app_error"),
    ("AddReaction", {"reaction": {"post_id": "x"}}, 404, MISSING_POST),
    ("RemoveReaction", {"reaction": {"post_id": "x"}}, 404, MISSING_POST),
    ("KVSet", {"key": "", "value": b"1"}, 400, BAD_KEY),
    ("KVSet", {"key": "k" * 151, "value": b"1"}, 400, BAD_KEY),
    ("KVSetWithExpiry", {"key": "", "value": b"1"}, 400, BAD_KEY),
    ("KVCompareAndSet", {"key": "", "new_value": b"1"}, 400, BAD_KEY),
    ("KVCompareAndDelete", {"key": "", "old_value": b"1"}, 400, BAD_KEY),
    ("KVSetWithOptions", {"key": "k", "value": b"1", "options": {"old_value": b"0"}}, 400, "model.plugin_kvset_options.is_valid.old_value.app_error"),
    ("GetFileInfo", {"file_id": "x"}, 404, MISSING_FILE),
    ("GetFile", {"file_id": "x"}, 404, MISSING_FILE),
    ("CopyFileInfos", {"file_ids": ["x"]}, 404, MISSING_FILE),
    ("SetFileSearchableContent", {"file_id": "x"}, 404, MISSING_FILE),
    ("GetFileInfos", {"options": {"sort_by": "Colour"}}, 400, "app.file_info.get_with_options.app_error"),
    ("GetFileLink", {"file_id": "x"}, 501, "plugin_api.get_file_link.disabled.app_error"),
    ("ReadFile", {"path": "x"}, 500, "api.file.read_file.app_error"),
    ("UploadFile", {"channel_id": "x"}, 400, "api.file.upload_file.incorrect_channelId.app_error"),
    ("CreateUploadSession", {"upload_session": {"file_size": 10**10}}, 413, "app.upload.create.upload_too_large.app_error"),
    ("CreateUploadSession", {"upload_session": {}}, 400, "model.upload_session.is_valid.file_size.app_error"),
    ("GetUploadSession", {"upload_id": "x"}, 404, "app.upload.get.app_error"),
    ("UploadData", {"upload_session": {"id": "x"}}, 404, "app.upload.get.app_error"),
    ("CreateBot", {"bot": {"username": "no spaces"}}, 400, "model.bot.is_valid.username.app_error"),
    ("CreateBot", {"bot": {"username": "b", "description": "x" * 1025}}, 400, "model.bot.is_valid.description.app_error"),
    ("CreateBot", {"bot": {"username": "bob"}}, 400, "app.user.save.username_exists.app_error"),
    ("PatchBot", {"bot_user_id": "x", "bot_patch": {}}, 404, "store.sql_bot.get.missing.app_error"),
    ("GetBot", {"bot_user_id": "alice"}, 404, "store.sql_bot.get.missing.app_error"),
    ("UpdateBotActive", {"bot_user_id": "x"}, 404, MISSING_USER),
    ("PermanentDeleteBot", {"bot_user_id": "alice"}, 400, "app.bot.permenent_delete.bad_id"),
    ("EnsureBotUser", {"bot": {}}, -1, "passed a bot with no username"),
    ("EnsureBotUser", {"bot": {"username": "no spaces"}}, -1, "failed to create bot"),
    ("ExecuteSlashCommand", {"command_args": {"user_id": "x"}}, 404, MISSING_USER),
    ("ExecuteSlashCommand", {"command_args": {"user_id": "bob", "command": "hi"}}, 400, "api.command.execute_command.format.app_error"),
    ("ExecuteSlashCommand", {"command_args": {"user_id": "bob", "command": "/x"}}, 404, "api.command.execute_command.not_found.app_error"),
    ("RegisterCommand", {"command": {}}, -1, "invalid command"),
    ("CreateCommand", {"cmd": {"trigger": "/x"}}, 400, "model.command.is_valid.trigger.app_error"),
    ("GetCommand", {"command_id": "x"}, -1, "resource Command not found"),
    ("UpdateCommand", {"command_id": "x", "updated_cmd": {}}, -1, "resource Command not found"),
    ("DeleteCommand", {"command_id": "x"}, -1, "resource Command not found"),
    ("SaveConfig", {}, -2, "invalid config JSON"),
    ("SaveConfig", {"config_json": b"[]"}, -2, "invalid config JSON"),
    ("GetPluginStatus", {"id": "x"}, 404, "app.plugin.not_installed.app_error"),
    ("SendMail", {"to": ""}, 400, "plugin_api.send_mail.missing_to"),
    ("SendMail", {"to": "a"}, 400, "plugin_api.send_mail.missing_subject"),
    ("SendMail", {"to": "a", "subject": "b"}, 400, "plugin_api.send_mail.missing_htmlbody"),
    ("OpenInteractiveDialog", {}, 400, "interactive_message.decode_trigger_id.base64_decode_failed"),
]  # fmt: skip
"""Call, request, the AppError's HTTP status (-1: another Go error, -2: the API server's own), id."""

STATUS = {
    400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 413: "RESOURCE_EXHAUSTED",
    500: "INTERNAL", 501: "UNIMPLEMENTED", -2: "INVALID_ARGUMENT",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "fields", "code", "error_id"), ERRORS, ids=[f"{row[0]}-{row[3]}" for row in ERRORS]
)
async def test_an_error_comes_where_the_contract_has_it(
    name: str, fields: dict[str, Any], code: int, error_id: str
) -> None:
    async with connected() as (_, client):
        failure = await client.failure(name, **fields)
        if code == -1:
            with pytest.raises(grpc.aio.AioRpcError, match=f"internal error: {error_id}") as caught:
                await getattr(client, name)(**fields)
            assert caught.value.code() == grpc.StatusCode.INTERNAL
            assert "any other Go error INTERNAL" in contract()[name]["errors"]
        elif channel_of(name) == "response":
            assert failure == Failure("response", str(code), error_id)
        else:
            assert failure == Failure("status", STATUS[code], error_id)


def test_each_call_that_can_fail_is_seen_failing() -> None:
    never = {
        # With what is in memory there is nothing that could go wrong.
        "GetUsers", "GetUsersByIds", "GetUsersByUsernames", "GetUsersInTeam", "SearchUsers",
        "GetUserStatusesByIds", "SetUserStatusTimedDND", "PublishUserTyping", "GetPreferencesForUser",
        "GetTeams", "SearchTeams", "GetTeamsForUser", "GetTeamMembers", "GetTeamMembersForUser",
        "GetTeamStats", "GetPublicChannelsForTeam", "GetChannelStats", "SearchChannels",
        "GetChannelMembers", "GetChannelMembersByIds", "GetChannelMembersForUser", "GetPostsSince",
        "SearchPostsInTeam", "SearchPostsInTeamForUser", "GetReactions", "KVGet", "KVDelete",
        "KVDeleteAll", "KVList", "LoadPluginConfiguration", "GetConfig", "GetUnsanitizedConfig",
        "GetPluginConfig", "GetBundlePath", "GetPlugins", "GetBots", "GetSystemInstallDate",
        "UnregisterCommand", "ListCommands", "ListCustomCommands", "ListPluginCommands",
        "ListBuiltInCommands", "PublishPluginClusterEvent", "RegisterCollectionAndTopic",
    }  # fmt: skip
    elsewhere = {"UpdateTeam", "DeleteTeamMember", "SavePluginConfig"}
    can = {name for name in CALLS if channel_of(name) != "none"}
    assert {row[0] for row in ERRORS} == can - never - elsewhere


def test_every_call_is_driven_by_a_client_in_these_tests() -> None:
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_api_*.py"))
    driven = set(re.findall(r"(?:client|mine)\.([A-Z]\w+)\(", sources))
    assert set(CALLS) - driven == set()


async def test_calls_are_recorded_and_told() -> None:
    async with connected() as (mattermost, client):
        heard: list[Any] = []
        end = mattermost.listen(heard.append)
        await client.KVSet(key="a", value=b"1")
        assert await client.failure("GetUser", user_id="nobody")
        assert await client.failure("GetPost", post_id="x")
        end()
        await client.KVGet(key="a")
        assert [(call.name, call.code, call.error) for call in mattermost.calls] == [
            ("KVSet", "OK", ""),
            ("GetUser", "NOT_FOUND", f"{MISSING_USER}: There is no such user."),
            ("GetPost", "OK", MISSING_POST),
            ("KVGet", "OK", ""),
        ]
        assert heard == list(mattermost.calls)[:3]
        first, failed, in_response, _ = mattermost.calls
        assert (first.request.value, failed.response) == (b"1", None)  # type: ignore[attr-defined]
        assert in_response.response.error.status_code == 404  # type: ignore[union-attr]
        assert first.time <= mattermost.clock.now()
        assert first.seconds >= 0


async def test_a_fault_of_the_server_ends_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(mattermost: object, request: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setitem(table.CALLS, "KVGet", broken)
    async with connected() as (mattermost, client):
        failure = await client.failure("KVGet")
        assert failure == Failure("status", "INTERNAL", "KVGet")
        assert await client.failure("KVSet", key="a", value=b"1") is None
        assert mattermost.log is not None
        assert mattermost.log.lines("host")[0].fields["error"] == "ZeroDivisionError('planted')"


async def test_four_mebibytes_go_in_and_more_comes_out() -> None:
    async with connected() as (mattermost, client):
        failure = await client.failure("UploadFile", data=bytes(4 << 20), filename="a.bin")
        assert failure is not None
        assert failure.code == "RESOURCE_EXHAUSTED"
        assert (await client.UploadFile(data=bytes((4 << 20) - 100))).file_info.size
        info = await mattermost.upload("town-square", "bob", "a.bin", bytes(5 << 20))
        assert len((await client.GetFile(file_id=info.id)).data) == 5 << 20


def test_ids_are_mattermosts() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(map(is_id, made))
    assert stable_id("a") == stable_id("a") != stable_id("b")
    assert is_id(stable_id("a"))
    assert not is_id("alice")


def test_an_app_error_reads_as_the_servers() -> None:
    assert str(AppError("GetUser", MISSING_USER, 404)) == (
        f"GetUser: There is no such user., {MISSING_USER}"
    )


async def test_other_services_are_unimplemented() -> None:
    async with connected() as (_, client):
        assert isinstance(client, Client)
        call: Any = client._channel.unary_unary("/mattermost.pluginapi.v1.PluginAPI/GetMoon")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
