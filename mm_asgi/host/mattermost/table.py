"""Every call that is here, and where its errors come back."""

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
"""Their errors come in the response's field ``error``, with gRPC OK; all others' as a gRPC status.

The three calls for ephemeral posts never fail.
"""

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
"""A server does not check that the field is there: without it, it dereferences nil and may end."""

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
"""The API server refuses the call without the field: INVALID_ARGUMENT."""
