"""Members of channels, and joining a team; after app/channel.go and app/team.go.

When a user joins or leaves, the server writes a post ("alice joined the channel."). The plugin's message
hooks get it like any other; its type begins with ``system_``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.calls import posts
from mm_asgi.host.mattermost.calls.channels import DEFAULT, is_private_talk
from mm_asgi.host.mattermost.calls.channels import need as need_channel
from mm_asgi.host.mattermost.calls.users import check_roles
from mm_asgi.host.mattermost.calls.users import need as need_user
from mm_asgi.host.mattermost.named import page_of
from mm_asgi.host.mattermost.seed import DEFAULT_CHANNELS
from mm_asgi.protocol.api_channel_post_pb2 import ChannelMember
from mm_asgi.protocol.channel_pb2 import CHANNEL_TYPE_PRIVATE
from mm_asgi.protocol.post_pb2 import Post
from mm_asgi.protocol.team_pb2 import TeamMember

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_channel_post_pb2 as pb
    from mm_asgi.protocol.channel_pb2 import Channel
    from mm_asgi.protocol.hooks_common_pb2 import PluginContext
    from mm_asgi.protocol.user_pb2 import User

__all__ = ["CALLS", "join_team"]

MOST_AT_ONCE = 200
"""Members in one PatchChannelMembersNotifications; app.UpdateMultipleMaximum."""


async def join_team(
    mm: ServerState,
    team_id: str,
    user_id: str,
    actor: User | None = None,
    context: PluginContext | None = None,
) -> TeamMember:
    """Add a user to a team and its default channels; a member stays one."""
    member = mm.team_members.get((team_id, user_id))
    if member is not None and not member.delete_at:
        return member
    user, now = need_user(mm, user_id), mm.clock.now()
    member = TeamMember(
        team_id=team_id, user_id=user_id, roles="team_user", scheme_user=True, create_at=now
    )
    mm.team_members[team_id, user_id] = member
    mm.publish("added_to_team", {"team_id": team_id, "user_id": user_id}, user_id=user_id)
    mm.hooks.notify("UserHasJoinedTeam", context, team_member=member, actor=actor)
    for channel in list(mm.channels.values()):
        if channel.team_id == team_id and channel.name in DEFAULT_CHANNELS:
            _save(mm, channel.id, user_id)
            if channel.name == DEFAULT:
                await _post_notice(
                    mm, channel, user, "system_join_team", f"{user.username} joined the team."
                )
    return member


async def add(mm: ServerState, channel_id: str, user_id: str, actor_id: str = "") -> ChannelMember:
    """Add a user to a channel; a member stays one."""
    channel = need_channel(mm, channel_id)
    existing = mm.channel_members.get((channel_id, user_id))
    if existing is not None:
        return existing
    user = need_user(mm, user_id)
    actor = need_user(mm, actor_id) if actor_id else None
    _check_team(mm, channel, user_id)
    if is_private_talk(channel):
        raise AppError("AddUserToChannel", "api.channel.add_user_to_channel.type.app_error", 400)
    member = _save(mm, channel_id, user_id)
    mm.hooks.notify("UserHasJoinedChannel", channel_member=member, actor=actor)
    if actor is None or actor_id == user_id:
        text = f"{user.username} joined the channel."
        await _post_notice(mm, channel, user, "system_join_channel", text)
    else:
        text = f"{user.username} added to the channel by {actor.username}."
        await _post_notice(mm, channel, actor, "system_add_to_channel", text)
    return member


def _check_team(mm: ServerState, channel: Channel, user_id: str) -> None:
    member = mm.team_members.get((channel.team_id, user_id))
    if member is None:
        raise AppError("AddUserToChannel", "app.team.get_member.missing.app_error", 404)
    if member.delete_at:
        failed = "api.channel.add_user.to.channel.failed.deleted.app_error"
        raise AppError("AddUserToChannel", failed, 400)


def _save(mm: ServerState, channel_id: str, user_id: str) -> ChannelMember:
    member = ChannelMember(
        channel_id=channel_id,
        user_id=user_id,
        roles="channel_user",
        scheme_user=True,
        last_update_at=mm.clock.now(),
        notify_props={
            "desktop": "default",
            "email": "default",
            "mark_unread": "all",
            "push": "default",
            "ignore_channel_mentions": "default",
        },
    )
    mm.channel_members[channel_id, user_id] = member
    mm.publish("user_added", {"user_id": user_id}, channel_id=channel_id)
    return member


async def _post_notice(mm: ServerState, channel: Channel, user: User, kind: str, text: str) -> None:
    """Write the server's own post. If a plugin refuses it, only the log has it."""
    post = Post(channel_id=channel.id, user_id=user.id, type=kind, message=text)
    post.props.update({"username": user.username})
    try:
        await posts.create(mm, post)
    except AppError as exc:
        if mm.log is not None:
            mm.log.host("warn", "Failed to post join/leave message", error=str(exc))


def need(mm: ServerState, channel_id: str, user_id: str) -> ChannelMember:
    """Return a member.

    Raises:
        AppError: the user is not a member.
    """
    member = mm.channel_members.get((channel_id, user_id))
    if member is None:
        raise AppError("GetChannelMember", "app.channel.get_member.missing.app_error", 404)
    return member


def _members_of(mm: ServerState, channel_id: str) -> list[ChannelMember]:
    return [row for key, row in mm.channel_members.items() if key[0] == channel_id]


# -------------------------------------------------------------------- the calls


async def _add(mm: ServerState, request: pb.AddChannelMemberRequest) -> dict[str, Any]:
    return {"channel_member": await add(mm, request.channel_id, request.user_id)}


async def _add_as(mm: ServerState, request: pb.AddUserToChannelRequest) -> dict[str, Any]:
    member = await add(mm, request.channel_id, request.user_id, request.as_user_id)
    return {"channel_member": member}


async def _leave(mm: ServerState, request: pb.DeleteChannelMemberRequest) -> None:
    channel = need_channel(mm, request.channel_id, "LeaveChannel")
    user = need_user(mm, request.user_id, "LeaveChannel")
    if is_private_talk(channel):
        raise AppError("LeaveChannel", "api.channel.leave.direct.app_error", 400)
    if channel.type == CHANNEL_TYPE_PRIVATE and len(_members_of(mm, channel.id)) == 1:
        raise AppError("LeaveChannel", "api.channel.leave.last_member.app_error", 400)
    if channel.name == DEFAULT:
        raise AppError("RemoveUserFromChannel", "api.channel.remove.default.app_error", 400)
    member = need(mm, channel.id, user.id)
    del mm.channel_members[channel.id, user.id]
    mm.publish("user_removed", {"user_id": user.id}, channel_id=channel.id)
    mm.hooks.notify("UserHasLeftChannel", channel_member=member)
    await _post_notice(
        mm, channel, user, "system_leave_channel", f"{user.username} left the channel."
    )


def _get(mm: ServerState, request: pb.GetChannelMemberRequest) -> dict[str, Any]:
    return {"channel_member": need(mm, request.channel_id, request.user_id)}


def _get_page(mm: ServerState, request: pb.GetChannelMembersRequest) -> dict[str, Any]:
    found = page_of(_members_of(mm, request.channel_id), request.page, request.per_page)
    return {"channel_members": found}


def _get_by_ids(mm: ServerState, request: pb.GetChannelMembersByIdsRequest) -> dict[str, Any]:
    wanted = set(request.user_ids)
    found = [row for row in _members_of(mm, request.channel_id) if row.user_id in wanted]
    return {"channel_members": found}


def _get_for_user(mm: ServerState, request: pb.GetChannelMembersForUserRequest) -> dict[str, Any]:
    """Return those of all teams: plugin_api.go ignores team_id."""
    found = [row for key, row in mm.channel_members.items() if key[1] == request.user_id]
    return {"channel_members": page_of(found, request.page, request.per_page)}


def _update_roles(mm: ServerState, request: pb.UpdateChannelMemberRolesRequest) -> dict[str, Any]:
    member = need(mm, request.channel_id, request.user_id)
    check_roles(request.new_roles)
    roles = request.new_roles.split()
    member.roles, member.last_update_at = " ".join(roles), mm.clock.now()
    member.scheme_user, member.scheme_admin = "channel_user" in roles, "channel_admin" in roles
    mm.publish("channel_member_updated", {"channel_id": member.channel_id}, user_id=member.user_id)
    return {"channel_member": member}


def _set_notify_props(mm: ServerState, member: ChannelMember, props: Mapping[str, str]) -> None:
    member.notify_props.update(dict(props))
    member.last_update_at = mm.clock.now()
    mm.publish("channel_member_updated", {"channel_id": member.channel_id}, user_id=member.user_id)


def _update_notifications(
    mm: ServerState, request: pb.UpdateChannelMemberNotificationsRequest
) -> dict[str, Any]:
    member = need(mm, request.channel_id, request.user_id)
    _set_notify_props(mm, member, request.notifications)
    return {"channel_member": member}


def _patch_notifications(
    mm: ServerState, request: pb.PatchChannelMembersNotificationsRequest
) -> None:
    if len(request.members) > MOST_AT_ONCE:
        raise AppError(
            "PatchChannelMembersNotifyProps",
            "app.channel.patch_channel_members_notify_props.too_many",
            400,
        )
    for row in request.members:
        member = mm.channel_members.get((row.channel_id, row.user_id))
        if member is not None:
            _set_notify_props(mm, member, request.notify_props)


CALLS: Mapping[str, Callable[..., Any]] = {
    "AddChannelMember": _add,
    "AddUserToChannel": _add_as,
    "DeleteChannelMember": _leave,
    "GetChannelMember": _get,
    "GetChannelMembers": _get_page,
    "GetChannelMembersByIds": _get_by_ids,
    "GetChannelMembersForUser": _get_for_user,
    "UpdateChannelMemberRoles": _update_roles,
    "UpdateChannelMemberNotifications": _update_notifications,
    "PatchChannelMembersNotifications": _patch_notifications,
}
