"""Users, after app/user.go and sqlstore/user_store.go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mm_asgi.host.ids import new_id
from mm_asgi.host.mattermost.app_errors import MISSING_ACCOUNT, AppError
from mm_asgi.host.mattermost.calls.permissions import ROLES
from mm_asgi.host.mattermost.named import page_of
from mm_asgi.protocol.user_pb2 import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_user_team_pb2 as pb
    from mm_asgi.protocol.hooks_common_pb2 import PluginContext

__all__ = ["CALLS", "check_free", "check_roles", "check_username", "create", "need", "set_active"]

_USERNAME = re.compile(r"[a-z0-9._-]{1,64}")
_RESERVED = ("all", "channel", "matterbot", "system")


def need(mm: ServerState, user_id: str, where: str = "GetUser") -> User:
    """Return the user of this id.

    Raises:
        AppError: there is none.
    """
    user = mm.users.get(user_id)
    if user is None:
        raise AppError(where, MISSING_ACCOUNT, 404)
    return user


def create(mm: ServerState, given: User, context: PluginContext | None = None) -> User:
    """Create a user, and call UserHasBeenCreated.

    Raises:
        AppError: a field is invalid, or the name or address is taken.
    """
    if not given.auth_service:
        size = len(given.password.encode())
        if size < mm.config.get("PasswordSettings", {}).get("MinimumLength", 8):
            raise AppError("createUserOrGuest", "model.user.is_valid.pwd_min_length.app_error", 400)
        if size > 72:
            raise AppError("createUserOrGuest", "model.user.is_valid.pwd_max_length.app_error", 400)
    user = User()
    user.CopyFrom(given)
    user.id = new_id()
    user.username = given.username.lower() or new_id()
    user.email = given.email.lower()
    check_username(user.username, "User.IsValid", "model.user.is_valid.username.app_error")
    _check_email(user.email)
    check_free(mm, user, "createUserOrGuest")
    user.roles = "system_user"
    user.locale = given.locale or "en"
    user.create_at = user.update_at = mm.clock.now()
    user.ClearField("password")
    mm.users[user.id] = user
    mm.publish("new_user", {"user_id": user.id})
    mm.hooks.notify("UserHasBeenCreated", context, user=user)
    return user


def set_active(mm: ServerState, user: User, active: bool) -> None:
    """Activate or deactivate a user."""
    now = mm.clock.now()
    user.delete_at, user.update_at = (0 if active else now), now
    mm.publish("user_updated", {"user_id": user.id})
    if not active:
        mm.hooks.notify("UserHasBeenDeactivated", user=user)


def check_username(name: str, where: str, error_id: str) -> None:
    """Check a username.

    Raises:
        AppError: with ``error_id``; the server does not accept such a name.
    """
    if not _USERNAME.fullmatch(name) or name in _RESERVED:
        raise AppError(where, error_id, 400)


def check_free(mm: ServerState, user: User, where: str) -> None:
    """Check that no other user has the name or the address.

    Raises:
        AppError: another user has one of them.
    """
    for other in mm.users.values():
        if other.id != user.id and other.username == user.username:
            raise AppError(where, "app.user.save.username_exists.app_error", 400)
        if other.id != user.id and user.email and other.email == user.email:
            raise AppError(where, "app.user.save.email_exists.app_error", 400)


def check_roles(names: str, where: str = "CheckRolesExist") -> None:
    """Check that all roles exist.

    Raises:
        AppError: one does not.
    """
    for name in names.split():
        if name not in ROLES:
            raise AppError(where, "app.role.check_roles_exist.role_not_found", 400, f"role={name}")


def _check_email(email: str) -> None:
    if not 0 < len(email) <= 128 or "@" not in email.strip("@"):
        raise AppError("User.IsValid", "model.user.is_valid.email.app_error", 400)


def _sorted(users: Iterable[User]) -> list[User]:
    return sorted(users, key=lambda user: user.username)


# -------------------------------------------------------------------- the calls


def _create(mm: ServerState, request: pb.CreateUserRequest) -> dict[str, Any]:
    return {"user": create(mm, request.user)}


def _delete(mm: ServerState, request: pb.DeleteUserRequest) -> None:
    set_active(mm, need(mm, request.user_id), False)


def _get(mm: ServerState, request: pb.GetUserRequest) -> dict[str, Any]:
    return {"user": need(mm, request.user_id)}


def _get_by_email(mm: ServerState, request: pb.GetUserByEmailRequest) -> dict[str, Any]:
    email = request.email.lower()
    found = next((user for user in mm.users.values() if user.email == email), None)
    if found is None:
        raise AppError("GetUserByEmail", MISSING_ACCOUNT, 404)
    return {"user": found}


def _get_by_username(mm: ServerState, request: pb.GetUserByUsernameRequest) -> dict[str, Any]:
    found = mm.users.find(request.name.lower())
    if found is None:
        raise AppError("GetUserByUsername", "app.user.get_by_username.app_error", 404)
    return {"user": found}


def _get_by_ids(mm: ServerState, request: pb.GetUsersByIdsRequest) -> dict[str, Any]:
    wanted = set(request.user_ids)
    return {"users": _sorted(user for user in mm.users.values() if user.id in wanted)}


def _get_by_usernames(mm: ServerState, request: pb.GetUsersByUsernamesRequest) -> dict[str, Any]:
    wanted = set(request.usernames)
    return {"users": _sorted(user for user in mm.users.values() if user.username in wanted)}


def _get_users(mm: ServerState, request: pb.GetUsersRequest) -> dict[str, Any]:
    """Filter by role and activity only: user_store.go's GetAllProfiles ignores team and channel."""
    roles = {request.role, *request.roles} - {""}

    def wanted(user: User) -> bool:
        if request.inactive and not user.delete_at:
            return False
        if request.active and not request.inactive and user.delete_at:
            return False
        return not roles or bool(roles & set(user.roles.split()))

    users = _sorted(filter(wanted, mm.users.values()))
    return {"users": page_of(users, request.page, request.per_page)}


def _get_in_team(mm: ServerState, request: pb.GetUsersInTeamRequest) -> dict[str, Any]:
    users = _sorted(user for user in mm.users.values() if _in_team(mm, user, request.team_id))
    return {"users": page_of(users, request.page, request.per_page)}


def _get_in_channel(mm: ServerState, request: pb.GetUsersInChannelRequest) -> dict[str, Any]:
    if request.sort_by not in ("username", "status"):
        raise AppError(
            "GetUsersInChannel", "plugin.api.get_users_in_channel", 400, "invalid sort option"
        )
    users = _sorted(
        user for user in mm.users.values() if (request.channel_id, user.id) in mm.channel_members
    )
    if request.sort_by == "status":
        order = ("online", "away", "dnd")
        ranks = {status.user_id: status.status for status in mm.statuses.values()}
        users.sort(key=lambda user: (*order, "").index(_known(ranks.get(user.id), order)))
    return {"users": page_of(users, request.page, request.per_page)}


def _known(status: str | None, order: tuple[str, ...]) -> str:
    return status if status in order else ""


def _search(mm: ServerState, request: pb.SearchUsersRequest) -> dict[str, Any]:
    term = request.term.strip().lower().removeprefix("@")

    def wanted(user: User) -> bool:
        names = (user.username, user.first_name, user.last_name, user.nickname, user.email)
        return (
            any(name.lower().startswith(term) for name in names)
            and (request.allow_inactive or not user.delete_at)
            and (not request.team_id or _in_team(mm, user, request.team_id))
            and _fits_channels(mm, user, request)
        )

    users = _sorted(filter(wanted, mm.users.values()))
    return {"users": users[: request.limit or 100]}


def _fits_channels(mm: ServerState, user: User, request: pb.SearchUsersRequest) -> bool:
    inside, outside = request.in_channel_id, request.not_in_channel_id
    return (not inside or (inside, user.id) in mm.channel_members) and (
        not outside or (outside, user.id) not in mm.channel_members
    )


def _in_team(mm: ServerState, user: User, team_id: str) -> bool:
    member = mm.team_members.get((team_id, user.id))
    return member is not None and not member.delete_at


def _update(mm: ServerState, request: pb.UpdateUserRequest) -> dict[str, Any]:
    old = need(mm, request.user.id, "UpdateUser")
    new = User()
    new.CopyFrom(request.user)
    new.username, new.email = new.username.lower(), new.email.lower()
    check_username(new.username, "User.IsValid", "model.user.is_valid.username.app_error")
    _check_email(new.email)
    check_free(mm, new, "UpdateUser")
    # This call cannot change these fields: user_store.go, Update.
    new.create_at, new.delete_at, new.roles = old.create_at, old.delete_at, old.roles
    new.is_bot, new.auth_service = old.is_bot, old.auth_service
    new.ClearField("password")
    new.update_at = mm.clock.now()
    mm.users[new.id] = new
    mm.publish("user_updated", {"user_id": new.id})
    return {"user": new}


def _update_active(mm: ServerState, request: pb.UpdateUserActiveRequest) -> None:
    set_active(mm, need(mm, request.user_id), request.active)


def _update_roles(mm: ServerState, request: pb.UpdateUserRolesRequest) -> dict[str, Any]:
    user = need(mm, request.user_id)
    check_roles(request.new_roles)
    user.roles, user.update_at = request.new_roles, mm.clock.now()
    mm.publish("user_role_updated", {"user_id": user.id, "roles": user.roles}, user_id=user.id)
    return {"user": user}


CALLS: Mapping[str, Callable[..., Any]] = {
    "CreateUser": _create,
    "DeleteUser": _delete,
    "GetUsers": _get_users,
    "GetUsersByIds": _get_by_ids,
    "GetUser": _get,
    "GetUserByEmail": _get_by_email,
    "GetUserByUsername": _get_by_username,
    "GetUsersByUsernames": _get_by_usernames,
    "GetUsersInTeam": _get_in_team,
    "GetUsersInChannel": _get_in_channel,
    "SearchUsers": _search,
    "UpdateUser": _update,
    "UpdateUserActive": _update_active,
    "UpdateUserRoles": _update_roles,
}
