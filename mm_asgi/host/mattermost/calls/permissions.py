"""Permissions by the roles that Mattermost starts with (model/role.go), as far as plugins ask for them.

Custom roles and schemes are left out: no call here creates them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_remaining_pb2 as misc
    from mm_asgi.protocol import api_user_team_pb2 as pb

__all__ = ["CALLS", "ROLES", "has_permission"]

EVERYTHING = frozenset(("*",))

ROLES: Mapping[str, frozenset[str]] = {
    "system_admin": EVERYTHING,
    "system_user": frozenset(
        "list_public_teams join_public_teams create_direct_channel create_group_channel"
        " view_members create_team create_emojis".split()
    ),
    "system_guest": frozenset("create_direct_channel create_group_channel".split()),
    "team_user": frozenset(
        "list_team_channels join_public_channels read_public_channel view_team"
        " create_public_channel create_private_channel invite_user add_user_to_team".split()
    ),
    "team_admin": frozenset(
        "remove_user_from_team manage_team import_team manage_team_roles manage_channel_roles"
        " manage_slash_commands manage_others_slash_commands manage_incoming_webhooks"
        " manage_outgoing_webhooks delete_others_posts convert_public_channel_to_private".split()
    ),
    "team_guest": frozenset(("view_team",)),
    "channel_user": frozenset(
        "read_channel read_channel_content add_reaction remove_reaction upload_file get_public_link"
        " create_post edit_post delete_post use_channel_mentions use_slash_commands"
        " manage_public_channel_members manage_private_channel_members"
        " manage_public_channel_properties manage_private_channel_properties"
        " delete_public_channel delete_private_channel".split()
    ),
    "channel_admin": frozenset(("manage_channel_roles", "use_group_mentions")),
    "channel_guest": frozenset(
        "read_channel read_channel_content add_reaction remove_reaction upload_file create_post"
        " edit_post use_channel_mentions use_slash_commands".split()
    ),
}


def has_permission(mm: ServerState, user_id: str, permission: str) -> bool:
    """Return whether the user's own roles grant it; an inactive user has no permission."""
    user = mm.users.get(user_id)
    return user is not None and not user.delete_at and _grants(user.roles.split(), permission)


def _in_team(mm: ServerState, user_id: str, team_id: str, permission: str) -> bool:
    if not user_id or not team_id:
        return False
    member = mm.team_members.get((team_id, user_id))
    if member is not None and not member.delete_at and _grants(member.roles.split(), permission):
        return True
    return has_permission(mm, user_id, permission)


def _in_channel(mm: ServerState, user_id: str, channel_id: str, permission: str) -> bool:
    if not user_id or not channel_id:
        return False
    member = mm.channel_members.get((channel_id, user_id))
    if member is not None and _grants(member.roles.split(), permission):
        return True
    channel = mm.channels.get(channel_id)
    if channel is not None and channel.team_id:
        return _in_team(mm, user_id, channel.team_id, permission)
    return has_permission(mm, user_id, permission)


def _grants(roles: Iterable[str], permission: str) -> bool:
    granted = [ROLES.get(role, frozenset()) for role in roles]
    return any(permission in role or role is EVERYTHING for role in granted)


# -------------------------------------------------------------------- the calls


def _to(mm: ServerState, request: pb.HasPermissionToRequest) -> dict[str, Any]:
    return {"has_permission": has_permission(mm, request.user_id, request.permission_id)}


def _to_team(mm: ServerState, request: pb.HasPermissionToTeamRequest) -> dict[str, Any]:
    has = _in_team(mm, request.user_id, request.team_id, request.permission_id)
    return {"has_permission": has}


def _to_channel(mm: ServerState, request: pb.HasPermissionToChannelRequest) -> dict[str, Any]:
    has = _in_channel(mm, request.user_id, request.channel_id, request.permission_id)
    return {"has_permission": has}


def _roles_grant(mm: ServerState, request: misc.RolesGrantPermissionRequest) -> dict[str, Any]:
    return {"has_permission": _grants(request.role_names, request.permission_id)}


CALLS: Mapping[str, Callable[..., Any]] = {
    "HasPermissionTo": _to,
    "HasPermissionToTeam": _to_team,
    "HasPermissionToChannel": _to_channel,
    "RolesGrantPermission": _roles_grant,
}
