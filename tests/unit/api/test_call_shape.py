"""The rules of a call: what only reads, what is sent always, what the host would not take."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from google.protobuf.message import Message

from mm_asgi import errors, types
from mm_asgi.api import facts
from mm_asgi.api.call_shape import REQUEST_LIMIT, CallShape
from mm_asgi.errors import ResourceExhausted
from mm_asgi.protocol import api_pb2

RPCS = [rpc.name for rpc in api_pb2.DESCRIPTOR.services_by_name["PluginAPI"].methods]

READS = """
    CountPropertyFields CountPropertyFieldsForTarget GetBot GetBots GetBundlePath GetChannel
    GetChannelByName GetChannelByNameForTeamName GetChannelMember GetChannelMembers
    GetChannelMembersByIds GetChannelMembersForUser GetChannelSidebarCategories GetChannelStats
    GetChannelsForTeamForUser GetCloudLimits GetCommand GetConfig GetDiagnosticId GetEmoji
    GetEmojiByName GetEmojiImage GetEmojiList GetFile GetFileInfo GetFileInfos GetFileLink GetGroup
    GetGroupByName GetGroupByRemoteID GetGroupMemberUsers GetGroupSyncable GetGroupSyncables
    GetGroups GetGroupsBySource GetGroupsForUser GetLDAPUserAttributes GetLicense GetOAuthApp
    GetPluginConfig GetPluginID GetPluginStatus GetPlugins GetPost GetPostThread GetPostsAfter
    GetPostsBefore GetPostsForChannel GetPostsSince GetPreferenceForUser GetPreferencesForUser
    GetProfileImage GetPropertyField GetPropertyFieldByName GetPropertyFields GetPropertyGroup
    GetPropertyValue GetPropertyValues GetPublicChannelsForTeam GetReactions GetServerVersion
    GetSession GetSystemInstallDate GetTeam GetTeamByName GetTeamIcon GetTeamMember GetTeamMembers
    GetTeamMembersForUser GetTeamStats GetTeams GetTeamsForUser GetTeamsUnreadForUser GetTelemetryId
    GetUnsanitizedConfig GetUploadSession GetUser GetUserByEmail GetUserByUsername GetUserStatus
    GetUserStatusesByIds GetUsers GetUsersByIds GetUsersByUsernames GetUsersInChannel GetUsersInTeam
    HasPermissionTo HasPermissionToChannel HasPermissionToTeam IsEnterpriseReady KVGet KVList
    ListBuiltInCommands ListCommands ListCustomCommands ListPluginCommands LoadPluginConfiguration
    ReadFile SearchChannels SearchPostsInTeam SearchPostsInTeamForUser SearchPropertyFields
    SearchPropertyValues SearchTeams SearchUsers
""".split()  # fmt: skip


def test_what_only_reads() -> None:
    assert sorted(facts.READS) == READS


def test_a_request_of_four_mebibytes_goes_and_one_byte_more_does_not() -> None:
    call = CallShape("api_file_bot", "UploadFile")
    rest = call.request({"data": b"x" * (4 * 2**20 - 100), "channel_id": "c", "filename": ""})
    fill = "n" * (REQUEST_LIMIT - rest.ByteSize() - 2)
    fields: dict[str, Any] = {"data": b"x" * (4 * 2**20 - 100), "channel_id": "c"}
    assert call.request({**fields, "filename": fill}).ByteSize() == 4194304
    with pytest.raises(
        errors.ResourceExhausted, match="UploadFile: the request has 4194305"
    ) as caught:
        call.request({**fields, "filename": fill + "n"})
    assert caught.value.status_code == 413


@pytest.mark.parametrize(
    ("file", "name", "fields", "sent"),
    [
        ("api_kv_config", "PublishWebSocketEvent", {"event": "e", "broadcast": None}, ["payload", "broadcast"]),
        ("api_channel_post", "CreatePost", {"post": None}, ["post"]),
        ("api_file_bot", "GetFileInfos", {"options": None}, ["options"]),
        ("api_user_team", "GetUsers", {"view_restrictions": None}, []),
        ("api_user_team", "GetUsers", {"view_restrictions": types.ViewUsersRestrictions()}, ["view_restrictions"]),
    ],
)  # fmt: skip
def test_message_fields_are_always_sent(
    file: str, name: str, fields: dict[str, Any], sent: list[str]
) -> None:
    request = CallShape(file, name).request(fields)
    messages = [f.name for f in request.DESCRIPTOR.fields if f.message_type]
    assert [field for field in messages if request.HasField(field)] == sent


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"user_id": 5},
            "GetUserStatusesByIds: user_id=5 does not fit the field: Protocol message",
        ),
        ({"user_ids": "abc"}, "GetUserStatusesByIds: user_ids is one str, expected several"),
        ({"user_ids": [5]}, r"GetUserStatusesByIds: user_ids=\[5\] does not fit the field"),
        ({"user_ids": 5}, "GetUserStatusesByIds: user_ids=5 does not fit the field"),
    ],
)
def test_a_value_that_does_not_fit_is_named(fields: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        CallShape("api_user_team", "GetUserStatusesByIds").request(fields)


def test_a_dict_is_as_good_as_a_struct() -> None:
    values = {"a": {"b": [1, None, True]}}
    struct = types.Struct()
    struct.update(values)
    call = CallShape("api_kv_config", "SavePluginConfig")
    assert call.request({"config": values}) == call.request({"config": struct})


def test_types_are_messages_and_enums_by_name() -> None:
    for name in types.__all__:
        value = getattr(types, name)
        is_message = isinstance(value, type) and issubclass(value, Message)
        assert is_message or value.DESCRIPTOR.values_by_name, name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        types.Nothing  # type: ignore[attr-defined] # noqa: B018


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


LOADED = (
    "print(sorted(n.rpartition('.')[2] for n in sys.modules if n.endswith('_pb2')),"
    " 'grpc' in sys.modules, 'google.protobuf' in sys.modules)"
)


def test_the_package_loads_nothing_until_a_name_is_used() -> None:
    code = (
        "import sys, mm_asgi.api, mm_asgi.types\nprint('mm_asgi.api.aio' in sys.modules)\n" + LOADED
    )
    assert run(code) == "False\n[] False False"


def test_both_faces_load_no_messages() -> None:
    code = "import sys\nfrom mm_asgi.api import API, AsyncAPI\nAPI(), AsyncAPI()\n" + LOADED
    assert run(code) == "[] False False"


def test_a_call_loads_the_messages_of_its_group() -> None:
    code = (
        "import sys\nfrom mm_asgi.api import API\nfrom mm_asgi.errors import Unavailable\n"
        "try:\n    API('').get_team(team_id='x')\nexcept Unavailable: pass\n" + LOADED
    )
    assert run(code).startswith(
        "['api_user_team_pb2', 'common_pb2', 'struct_pb2', 'team_pb2', 'user_pb2'] False"
    )


def test_unknown_names_of_the_package() -> None:
    import mm_asgi.api

    assert dir(mm_asgi.api) == ["API", "AsyncAPI"]
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        mm_asgi.api.Nothing  # type: ignore[attr-defined] # noqa: B018


def test_over_net_rpc_a_request_has_no_limit() -> None:
    shape = CallShape("api_kv_config", "InstallPlugin")
    fields = {"file_data": bytes(6 * 2**20), "replace": True}
    with pytest.raises(ResourceExhausted, match="it was not sent"):
        shape.request(fields)
    assert len(shape.request(fields, bounded=False).file_data) == 6 * 2**20  # type: ignore[attr-defined]
