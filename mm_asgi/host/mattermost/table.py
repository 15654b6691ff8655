"""The table of all API calls that are simulated, and where each returns its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost.calls import (
    bots,
    channels,
    config,
    files,
    kv,
    members,
    permissions,
    post_lists,
    posts,
    reactions,
    slash_commands,
    statuses,
    system,
    teams,
    uploads,
    users,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CALLS", "IN_RESPONSE", "MUST_BE_SENT", "REFUSED_UNSET"]

IN_RESPONSE = frozenset(
    (*posts.CALLS, *post_lists.CALLS, *reactions.CALLS, *kv.CALLS, *files.CALLS)
)
"""Calls that return errors in the response's field ``error``, with gRPC OK. All others fail with a gRPC
status. The three calls for ephemeral posts never fail."""

CALLS: Mapping[str, Callable[..., Any]] = {
    **users.CALLS,
    **statuses.CALLS,
    **permissions.CALLS,
    **teams.CALLS,
    **channels.CALLS,
    **members.CALLS,
    **posts.CALLS,
    **post_lists.CALLS,
    **reactions.CALLS,
    **kv.CALLS,
    **config.CALLS,
    **files.CALLS,
    **uploads.CALLS,
    **bots.CALLS,
    **slash_commands.CALLS,
    **system.CALLS,
}

MUST_BE_SENT = {
    "CreateUser": "user",
    "UpdateUser": "user",
    "UpdateUserCustomStatus": "custom_status",
    "CreateTeam": "team",
    "UpdateTeam": "team",
    "CreateChannel": "channel",
    "UpdateChannel": "channel",
    "CreatePost": "post",
    "UpdatePost": "post",
    "AddReaction": "reaction",
    "RemoveReaction": "reaction",
    "SendEphemeralPost": "post",
    "UpdateEphemeralPost": "post",
    "PublishWebSocketEvent": "broadcast",
    "GetFileInfos": "options",
}
"""Fields that a server does not check: without them it dereferences nil and may end."""

REFUSED_UNSET = {
    "SavePluginConfig": "config",
    "CreateBot": "bot",
    "PatchBot": "bot_patch",
    "EnsureBotUser": "bot",
    "RegisterCommand": "command",
    "ExecuteSlashCommand": "command_args",
    "CreateCommand": "cmd",
    "UpdateCommand": "updated_cmd",
    "CreateUploadSession": "upload_session",
    "UploadData": "upload_session",
}
"""Fields without which the API server refuses the call: INVALID_ARGUMENT."""
