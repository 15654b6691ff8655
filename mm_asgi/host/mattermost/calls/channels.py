"""Channels, after app/channel.go."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from mm_asgi.host.ids import new_id
from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.named import page_of
from mm_asgi.host.mattermost.seed import DEFAULT_CHANNELS
from mm_asgi.protocol.api_channel_post_pb2 import ChannelMember, ChannelStats
from mm_asgi.protocol.channel_pb2 import (
    CHANNEL_TYPE_DIRECT,
    CHANNEL_TYPE_GROUP,
    CHANNEL_TYPE_OPEN,
    CHANNEL_TYPE_PRIVATE,
    Channel,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_channel_post_pb2 as pb
    from mm_asgi.protocol.team_pb2 import Team

__all__ = ["CALLS", "DEFAULT", "add_default_channels", "is_private_talk", "need"]

DEFAULT = "town-square"
"""The channel that cannot be left or deleted; model.DefaultChannelName."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9_-])?")


def need(mm: ServerState, channel_id: str, where: str = "GetChannel") -> Channel:
    """Return the channel of this id, archived or not.

    Raises:
        AppError: there is none.
    """
    channel = mm.channels.get(channel_id)
    if channel is None:
        raise AppError(where, "app.channel.get.existing.app_error", 404)
    return channel


def is_private_talk(channel: Channel) -> bool:
    """Return whether it is a direct or group channel, whose members never change."""
    return channel.type in (CHANNEL_TYPE_DIRECT, CHANNEL_TYPE_GROUP)


def add_default_channels(mm: ServerState, team: Team) -> None:
    """Create the channels that every team has."""
    for name, shown in DEFAULT_CHANNELS.items():
        given = Channel(team_id=team.id, name=name, display_name=shown, type=CHANNEL_TYPE_OPEN)
        _save(mm, given)


def _save(mm: ServerState, given: Channel) -> Channel:
    channel = Channel()
    channel.CopyFrom(given)
    channel.id = new_id()
    channel.create_at = channel.update_at = mm.clock.now()
    mm.channels[channel.id] = channel
    mm.publish("channel_created", {"channel_id": channel.id}, team_id=channel.team_id)
    mm.hooks.notify("ChannelHasBeenCreated", channel=channel)
    return channel


def _check(channel: Channel) -> None:
    if len(channel.display_name) > 64:
        raise AppError("Channel.IsValid", "model.channel.is_valid.display_name.app_error", 400)
    if not _NAME.fullmatch(channel.name):
        raise AppError("Channel.IsValid", "model.channel.is_valid.1_or_more.app_error", 400)
    if channel.type not in (CHANNEL_TYPE_OPEN, CHANNEL_TYPE_PRIVATE):
        raise AppError("Channel.IsValid", "model.channel.is_valid.type.app_error", 400)


def _by_name(mm: ServerState, team_id: str, name: str, deleted: bool) -> Channel | None:
    return next(
        (
            channel
            for channel in mm.channels.values()
            # Channels without a team are found from every team; channel_store.go, getByName.
            if channel.name == name
            and channel.team_id in (team_id, "")
            and (deleted or not channel.delete_at)
        ),
        None,
    )


# -------------------------------------------------------------------- the calls


def _create(mm: ServerState, request: pb.CreateChannelRequest) -> dict[str, Any]:
    given = Channel()
    given.CopyFrom(request.channel)
    given.display_name = given.display_name.strip()
    where = "CreateChannel"
    if given.id:
        raise AppError(where, "store.sql_channel.save_channel.existing.app_error", 400)
    if given.delete_at:
        raise AppError(where, "store.sql_channel.save.archived_channel.app_error", 400)
    if given.type == CHANNEL_TYPE_DIRECT:
        raise AppError(where, "store.sql_channel.save.direct_channel.app_error", 400)
    _check(given)
    if _by_name(mm, given.team_id, given.name, deleted=True) is not None:
        raise AppError(where, "store.sql_channel.save_channel.exists.app_error", 400)
    return {"channel": _save(mm, given)}


def _delete(mm: ServerState, request: pb.DeleteChannelRequest) -> None:
    channel = need(mm, request.channel_id)
    if channel.delete_at:
        raise AppError("deleteChannel", "api.channel.delete_channel.deleted.app_error", 400)
    if channel.name == DEFAULT:
        raise AppError("deleteChannel", "api.channel.delete_channel.cannot.app_error", 400)
    channel.delete_at = channel.update_at = mm.clock.now()
    data = {"channel_id": channel.id, "delete_at": channel.delete_at}
    mm.publish("channel_deleted", data, team_id=channel.team_id)


def _update(mm: ServerState, request: pb.UpdateChannelRequest) -> dict[str, Any]:
    old = need(mm, request.channel.id, "UpdateChannel")
    new = Channel()
    new.CopyFrom(request.channel)
    new.display_name = new.display_name.strip()
    if not is_private_talk(old):
        _check(new)
        other = _by_name(mm, new.team_id, new.name, deleted=True)
        if other is not None and other.id != new.id:
            raise AppError("UpdateChannel", "store.sql_channel.update.exists.app_error", 400)
    new.create_at, new.creator_id = old.create_at, old.creator_id
    new.update_at = mm.clock.now()
    mm.channels[new.id] = new
    mm.publish("channel_updated", {"channel_id": new.id}, channel_id=new.id)
    return {"channel": new}


def _get(mm: ServerState, request: pb.GetChannelRequest) -> dict[str, Any]:
    return {"channel": need(mm, request.channel_id)}


def _get_by_name(mm: ServerState, request: pb.GetChannelByNameRequest) -> dict[str, Any]:
    found = _by_name(mm, request.team_id, request.name, request.include_deleted)
    if found is None:
        raise AppError("GetChannelByName", "app.channel.get_by_name.missing.app_error", 404)
    return {"channel": found}


def _get_by_names(
    mm: ServerState, request: pb.GetChannelByNameForTeamNameRequest
) -> dict[str, Any]:
    where = "GetChannelByNameForTeamName"
    team = mm.teams.find(request.team_name)
    if team is None:
        raise AppError(where, "app.team.get_by_name.missing.app_error", 404)
    found = _by_name(mm, team.id, request.channel_name, request.include_deleted)
    if found is None:
        raise AppError(where, "app.channel.get_by_name.missing.app_error", 404)
    return {"channel": found}


def _get_public(mm: ServerState, request: pb.GetPublicChannelsForTeamRequest) -> dict[str, Any]:
    found = [
        channel
        for channel in mm.channels.values()
        if channel.team_id == request.team_id
        and channel.type == CHANNEL_TYPE_OPEN
        and not channel.delete_at
    ]
    found.sort(key=lambda channel: channel.display_name)
    return {"channels": page_of(found, request.page, request.per_page)}


def _get_for_user(mm: ServerState, request: pb.GetChannelsForTeamForUserRequest) -> dict[str, Any]:
    found = [
        channel
        for channel in mm.channels.values()
        if (channel.id, request.user_id) in mm.channel_members
        and (not request.team_id or channel.team_id in (request.team_id, ""))
        and (request.include_deleted or not channel.delete_at)
    ]
    if not found:
        raise AppError("GetChannelsForUser", "app.channel.get_channels.not_found.app_error", 404)
    return {"channels": sorted(found, key=lambda channel: channel.display_name)}


def _get_stats(mm: ServerState, request: pb.GetChannelStatsRequest) -> dict[str, Any]:
    """Count the members; an unknown channel has none."""
    count = sum(1 for channel_id, _ in mm.channel_members if channel_id == request.channel_id)
    return {"channel_stats": ChannelStats(channel_id=request.channel_id, member_count=count)}


def _search(mm: ServerState, request: pb.SearchChannelsRequest) -> dict[str, Any]:
    term = request.term.lower()
    found = [
        channel
        for channel in mm.channels.values()
        if channel.team_id == request.team_id
        and channel.type == CHANNEL_TYPE_OPEN
        and not channel.delete_at
        and (term in channel.name or term in channel.display_name.lower())
    ]
    return {"channels": sorted(found, key=lambda channel: channel.display_name)}


def _get_direct(mm: ServerState, request: pb.GetDirectChannelRequest) -> dict[str, Any]:
    ids = sorted((request.user_id_1, request.user_id_2))
    name = "__".join(ids)
    found = mm.channels.find(name)
    if found is not None:
        return {"channel": found}
    if any(user_id not in mm.users for user_id in ids):
        raise AppError(
            "CreateDirectChannel",
            "api.channel.create_direct_channel.invalid_user.app_error",
            400,
            f"No users found for ids: {request.user_id_1}. {request.user_id_2}",
        )
    given = Channel(name=name, type=CHANNEL_TYPE_DIRECT, creator_id=request.user_id_1)
    channel = _save(mm, given)
    _add_all(mm, channel, ids)
    data = {"creator_id": request.user_id_1, "teammate_id": request.user_id_2}
    mm.publish("direct_added", data, channel_id=channel.id)
    return {"channel": channel}


def _get_group(mm: ServerState, request: pb.GetGroupChannelRequest) -> dict[str, Any]:
    where, ids = "CreateGroupChannel", sorted(request.user_ids)
    if not 3 <= len(ids) <= 8:
        raise AppError(where, "api.channel.create_group.bad_size.app_error", 400)
    if len(set(ids)) != len(ids) or any(user_id not in mm.users for user_id in ids):
        raise AppError(where, "api.channel.create_group.bad_user.app_error", 400)
    # model.GetGroupNameFromUserIds: a name for each set of users.
    name = hashlib.sha1("".join(ids).encode(), usedforsecurity=False).hexdigest()
    found = mm.channels.find(name)
    if found is None:
        shown = ", ".join(sorted(mm.users[user_id].username for user_id in ids))
        given = Channel(name=name, type=CHANNEL_TYPE_GROUP, display_name=shown)
        found = _save(mm, given)
        _add_all(mm, found, ids)
        mm.publish("group_added", {"teammate_ids": ids}, channel_id=found.id)
    return {"channel": found}


def _add_all(mm: ServerState, channel: Channel, ids: list[str]) -> None:
    for user_id in ids:
        mm.channel_members[channel.id, user_id] = ChannelMember(
            channel_id=channel.id,
            user_id=user_id,
            roles="channel_user",
            scheme_user=True,
            last_update_at=mm.clock.now(),
        )


CALLS: Mapping[str, Callable[..., Any]] = {
    "CreateChannel": _create,
    "DeleteChannel": _delete,
    "UpdateChannel": _update,
    "GetChannel": _get,
    "GetChannelByName": _get_by_name,
    "GetChannelByNameForTeamName": _get_by_names,
    "GetPublicChannelsForTeam": _get_public,
    "GetChannelsForTeamForUser": _get_for_user,
    "GetChannelStats": _get_stats,
    "SearchChannels": _search,
    "GetDirectChannel": _get_direct,
    "GetGroupChannel": _get_group,
}
