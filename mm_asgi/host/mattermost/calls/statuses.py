"""Users' status, custom status, typing events and preferences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.calls.users import need
from mm_asgi.protocol.api_remaining_pb2 import Preference
from mm_asgi.protocol.api_user_team_pb2 import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_remaining_pb2 as misc
    from mm_asgi.protocol import api_user_team_pb2 as pb

__all__ = ["CALLS"]


def _status(mm: ServerState, user_id: str) -> Status:
    status = mm.statuses.get(user_id)
    if status is None:
        raise AppError("GetStatus", "app.status.get.missing.app_error", 404)
    return status


def _set(mm: ServerState, user_id: str, name: str, dnd_end_time: int = 0) -> Status:
    mm.statuses[user_id] = Status(
        user_id=user_id,
        status=name,
        manual=True,
        last_activity_at=mm.clock.now(),
        dnd_end_time=dnd_end_time,
    )
    mm.publish("status_change", {"status": name, "user_id": user_id}, user_id=user_id)
    return mm.statuses[user_id]


def _get(mm: ServerState, request: pb.GetUserStatusRequest) -> dict[str, Any]:
    return {"status": _status(mm, request.user_id)}


def _get_by_ids(mm: ServerState, request: pb.GetUserStatusesByIdsRequest) -> dict[str, Any]:
    """Return the statuses. A user without one is offline, as in platform/status.go."""
    return {
        "statuses": [
            mm.statuses.get(user_id) or Status(user_id=user_id, status="offline")
            for user_id in request.user_ids
        ]
    }


def _update(mm: ServerState, request: pb.UpdateUserStatusRequest) -> dict[str, Any]:
    if request.status not in ("online", "offline", "away", "dnd"):
        raise AppError(
            "UpdateUserStatus",
            "plugin.api.update_user_status.bad_status",
            400,
            "unrecognized status",
        )
    return {"status": _set(mm, request.user_id, request.status)}


def _set_timed_dnd(mm: ServerState, request: pb.SetUserStatusTimedDNDRequest) -> dict[str, Any]:
    return {"status": _set(mm, request.user_id, "dnd", request.end_time)}


def _update_custom(mm: ServerState, request: pb.UpdateUserCustomStatusRequest) -> None:
    user = need(mm, request.user_id)
    shown = json_format.MessageToDict(request.custom_status, preserving_proto_field_name=True)
    user.props["customStatus"] = json.dumps(shown)
    mm.publish("user_updated", {"user_id": user.id})


def _remove_custom(mm: ServerState, request: pb.RemoveUserCustomStatusRequest) -> None:
    user = need(mm, request.user_id)
    user.props["customStatus"] = "{}"
    mm.publish("user_updated", {"user_id": user.id})


def _typing(mm: ServerState, request: pb.PublishUserTypingRequest) -> None:
    mm.publish(
        "typing",
        {"parent_id": request.parent_id, "user_id": request.user_id},
        channel_id=request.channel_id,
        omit_users=frozenset((request.user_id,)),
    )


# -------------------------------------------------------------------- preferences


def _get_preference(mm: ServerState, request: misc.GetPreferenceForUserRequest) -> dict[str, Any]:
    found = mm.preferences.get((request.user_id, request.category, request.name))
    if found is None:
        raise AppError("GetPreferenceByCategoryAndNameForUser", "app.preference.get.app_error", 400)
    return {"preference": found}


def _get_preferences(mm: ServerState, request: misc.GetPreferencesForUserRequest) -> dict[str, Any]:
    found = [row for key, row in mm.preferences.items() if key[0] == request.user_id]
    return {"preferences": found}


def _update_preferences(mm: ServerState, request: misc.UpdatePreferencesForUserRequest) -> None:
    _check_owner(request.user_id, request.preferences, "savePreferences", "update_preferences.set")
    for given in request.preferences:
        copy = Preference()
        copy.CopyFrom(given)
        mm.preferences[given.user_id, given.category, given.name] = copy
    mm.publish("preferences_changed", user_id=request.user_id)
    mm.hooks.notify("PreferencesHaveChanged", preferences=request.preferences)


def _delete_preferences(mm: ServerState, request: misc.DeletePreferencesForUserRequest) -> None:
    where, what = "DeletePreferences", "delete_preferences.delete"
    _check_owner(request.user_id, request.preferences, where, what)
    for given in request.preferences:
        mm.preferences.pop((given.user_id, given.category, given.name), None)
    mm.publish("preferences_deleted", user_id=request.user_id)


def _check_owner(user_id: str, given: Iterable[Preference], where: str, what: str) -> None:
    for preference in given:
        if preference.user_id != user_id:
            detail = f"userId={user_id}, preference.UserId={preference.user_id}"
            raise AppError(where, f"api.preference.{what}.app_error", 403, detail)


CALLS: Mapping[str, Callable[..., Any]] = {
    "GetUserStatus": _get,
    "GetUserStatusesByIds": _get_by_ids,
    "UpdateUserStatus": _update,
    "SetUserStatusTimedDND": _set_timed_dnd,
    "UpdateUserCustomStatus": _update_custom,
    "RemoveUserCustomStatus": _remove_custom,
    "PublishUserTyping": _typing,
    "GetPreferenceForUser": _get_preference,
    "GetPreferencesForUser": _get_preferences,
    "UpdatePreferencesForUser": _update_preferences,
    "DeletePreferencesForUser": _delete_preferences,
}
