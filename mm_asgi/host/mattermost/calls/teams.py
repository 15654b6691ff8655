"""Teams and their members, after app/team.go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mm_asgi.host.ids import new_id
from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.calls.channels import add_default_channels
from mm_asgi.host.mattermost.calls.members import join_team
from mm_asgi.host.mattermost.calls.users import check_roles, need
from mm_asgi.host.mattermost.named import page_of
from mm_asgi.protocol.api_user_team_pb2 import TeamMemberWithError, TeamStats
from mm_asgi.protocol.team_pb2 import TEAM_TYPE_INVITE, TEAM_TYPE_OPEN, Team, TeamMember

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_user_team_pb2 as pb
    from mm_asgi.protocol.user_pb2 import User

__all__ = ["CALLS"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}[a-z0-9]")


def _need(mm: ServerState, team_id: str) -> Team:
    team = mm.teams.get(team_id)
    if team is None:
        raise AppError("GetTeam", "app.team.get.find.app_error", 404)
    return team


def _need_member(mm: ServerState, team_id: str, user_id: str) -> TeamMember:
    member = mm.team_members.get((team_id, user_id))
    if member is None:
        raise AppError("GetTeamMember", "app.team.get_member.missing.app_error", 404)
    return member


def _members(mm: ServerState, team_id: str) -> list[TeamMember]:
    found = [member for key, member in mm.team_members.items() if key[0] == team_id]
    return [member for member in found if not member.delete_at]


def _create(mm: ServerState, request: pb.CreateTeamRequest) -> dict[str, Any]:
    team = Team()
    team.CopyFrom(request.team)
    if team.id:
        raise AppError("CreateTeam", "app.team.save.existing.app_error", 400)
    _check(team)
    if mm.teams.find(team.name) is not None:
        raise AppError("CreateTeam", "app.team.save.existing.app_error", 400)
    team.id, team.invite_id = new_id(), new_id()
    team.create_at = team.update_at = mm.clock.now()
    mm.teams[team.id] = team
    add_default_channels(mm, team)
    return {"team": team}


def _check(team: Team) -> None:
    if not 0 < len(team.display_name) <= 64:
        raise AppError("Team.IsValid", "model.team.is_valid.name.app_error", 400)
    if not _NAME.fullmatch(team.name):
        raise AppError("Team.IsValid", "model.team.is_valid.characters.app_error", 400)
    if team.type not in (TEAM_TYPE_OPEN, TEAM_TYPE_INVITE):
        raise AppError("Team.IsValid", "model.team.is_valid.type.app_error", 400)


def _delete(mm: ServerState, request: pb.DeleteTeamRequest) -> None:
    team = _need(mm, request.team_id)
    team.delete_at = team.update_at = mm.clock.now()
    mm.publish("delete_team", {"team_id": team.id}, team_id=team.id)


def _get_all(mm: ServerState, request: pb.GetTeamsRequest) -> dict[str, Any]:
    return {"teams": sorted(mm.teams.values(), key=lambda team: team.display_name)}


def _get(mm: ServerState, request: pb.GetTeamRequest) -> dict[str, Any]:
    return {"team": _need(mm, request.team_id)}


def _get_by_name(mm: ServerState, request: pb.GetTeamByNameRequest) -> dict[str, Any]:
    team = mm.teams.find(request.name)
    if team is None:
        raise AppError("GetTeamByName", "app.team.get_by_name.missing.app_error", 404)
    return {"team": team}


def _update(mm: ServerState, request: pb.UpdateTeamRequest) -> dict[str, Any]:
    """Change the fields that a team's admin may change; team.go, UpdateTeam."""
    team, given = _need(mm, request.team.id), request.team
    for name in (
        "display_name",
        "description",
        "allow_open_invite",
        "company_name",
        "allowed_domains",
        "last_team_icon_update",
    ):
        setattr(team, name, getattr(given, name))
    _check(team)
    team.update_at = mm.clock.now()
    mm.publish("update_team", {"team_id": team.id}, team_id=team.id)
    return {"team": team}


def _search(mm: ServerState, request: pb.SearchTeamsRequest) -> dict[str, Any]:
    term = request.term.lower()
    found = [
        team for team in mm.teams.values() if term in team.name or term in team.display_name.lower()
    ]
    return {"teams": sorted(found, key=lambda team: team.display_name)}


def _get_for_user(mm: ServerState, request: pb.GetTeamsForUserRequest) -> dict[str, Any]:
    inside = [
        mm.teams[member.team_id]
        for member in mm.team_members.values()
        if member.user_id == request.user_id and not member.delete_at
    ]
    return {"teams": [team for team in inside if not team.delete_at]}


# -------------------------------------------------------------------- members


async def _create_member(mm: ServerState, request: pb.CreateTeamMemberRequest) -> dict[str, Any]:
    member = await _add(mm, request.team_id, request.user_id, "")
    return {"team_member": member}


async def _create_members(mm: ServerState, request: pb.CreateTeamMembersRequest) -> dict[str, Any]:
    members = [
        await _add(mm, request.team_id, user_id, request.requestor_id)
        for user_id in request.user_ids
    ]
    return {"team_members": members}


async def _create_gracefully(
    mm: ServerState, request: pb.CreateTeamMembersGracefullyRequest
) -> dict[str, Any]:
    _need(mm, request.team_id)
    rows = []
    for user_id in request.user_ids:
        row = TeamMemberWithError(user_id=user_id)
        try:
            member = await _add(mm, request.team_id, user_id, request.requestor_id)
            row.member.CopyFrom(member)
        except AppError as exc:
            row.error.CopyFrom(exc.to_wire())
        rows.append(row)
    return {"team_members": rows}


async def _add(mm: ServerState, team_id: str, user_id: str, requestor_id: str) -> TeamMember:
    _need(mm, team_id)
    need(mm, user_id)
    actor = need(mm, requestor_id) if requestor_id else None
    return await join_team(mm, team_id, user_id, actor)


def _delete_member(mm: ServerState, request: pb.DeleteTeamMemberRequest) -> None:
    _need(mm, request.team_id)
    need(mm, request.user_id)
    member = mm.team_members.get((request.team_id, request.user_id))
    if member is None or member.delete_at:
        raise AppError("LeaveTeam", "api.team.remove_user_from_team.missing.app_error", 400)
    actor: User | None = None
    if request.requestor_id and request.requestor_id != request.user_id:
        actor = need(mm, request.requestor_id)
    for key in [key for key in mm.channel_members if key[1] == request.user_id]:
        channel = mm.channels[key[0]]
        if channel.team_id == request.team_id:
            del mm.channel_members[key]
    member.delete_at, member.roles = mm.clock.now(), ""
    data = {"user_id": member.user_id, "team_id": member.team_id}
    mm.publish("leave_team", data, team_id=member.team_id)
    mm.hooks.notify("UserHasLeftTeam", team_member=member, actor=actor)


def _get_members(mm: ServerState, request: pb.GetTeamMembersRequest) -> dict[str, Any]:
    members = sorted(_members(mm, request.team_id), key=lambda member: member.user_id)
    return {"team_members": page_of(members, request.page, request.per_page)}


def _get_member(mm: ServerState, request: pb.GetTeamMemberRequest) -> dict[str, Any]:
    return {"team_member": _need_member(mm, request.team_id, request.user_id)}


def _get_members_for_user(
    mm: ServerState, request: pb.GetTeamMembersForUserRequest
) -> dict[str, Any]:
    found = [row for key, row in mm.team_members.items() if key[1] == request.user_id]
    return {"team_members": page_of(found, request.page, request.per_page)}


def _update_roles(mm: ServerState, request: pb.UpdateTeamMemberRolesRequest) -> dict[str, Any]:
    member = _need_member(mm, request.team_id, request.user_id)
    check_roles(request.new_roles)
    roles = request.new_roles.split()
    member.roles = " ".join(roles)
    member.scheme_user, member.scheme_admin = "team_user" in roles, "team_admin" in roles
    mm.publish("memberrole_updated", {"user_id": member.user_id}, user_id=member.user_id)
    return {"team_member": member}


def _get_stats(mm: ServerState, request: pb.GetTeamStatsRequest) -> dict[str, Any]:
    members = _members(mm, request.team_id)
    active = [member for member in members if not mm.users[member.user_id].delete_at]
    return {
        "team_stats": TeamStats(
            team_id=request.team_id,
            total_member_count=len(members),
            active_member_count=len(active),
        )
    }


CALLS: Mapping[str, Callable[..., Any]] = {
    "CreateTeam": _create,
    "DeleteTeam": _delete,
    "GetTeams": _get_all,
    "GetTeam": _get,
    "GetTeamByName": _get_by_name,
    "UpdateTeam": _update,
    "SearchTeams": _search,
    "GetTeamsForUser": _get_for_user,
    "CreateTeamMember": _create_member,
    "CreateTeamMembers": _create_members,
    "CreateTeamMembersGracefully": _create_gracefully,
    "DeleteTeamMember": _delete_member,
    "GetTeamMembers": _get_members,
    "GetTeamMember": _get_member,
    "GetTeamMembersForUser": _get_members_for_user,
    "UpdateTeamMemberRoles": _update_roles,
    "GetTeamStats": _get_stats,
}
