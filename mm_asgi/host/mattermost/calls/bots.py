"""Bots: users that a plugin owns; after app/bot.go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.ids import new_id
from mm_asgi.host.mattermost.app_errors import AppError, GoError
from mm_asgi.host.mattermost.calls.users import check_free, check_username, need, set_active
from mm_asgi.host.mattermost.named import page_of
from mm_asgi.protocol.api_file_bot_pb2 import Bot
from mm_asgi.protocol.user_pb2 import User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_file_bot_pb2 as pb

__all__ = ["CALLS"]

BOT_KEY = "mmi_botid"
"""EnsureBotUser's key for its bot, among the plugin's own keys as on a server."""


def _need(mm: ServerState, user_id: str, *, deleted: bool = True) -> Bot:
    bot = mm.bots.get(user_id)
    if bot is None or (bot.delete_at and not deleted):
        raise AppError("SqlBotStore.Get", "store.sql_bot.get.missing.app_error", 404)
    return bot


def _create_bot(mm: ServerState, given: Bot) -> Bot:
    """Create the bot and its user. UserHasBeenCreated is not called for a bot."""
    where = "Bot.IsValidCreate"
    check_username(given.username, where, "model.bot.is_valid.username.app_error")
    if len(given.description) > 1024:
        raise AppError(where, "model.bot.is_valid.description.app_error", 400)
    now = mm.clock.now()
    user = User(
        id=new_id(),
        username=given.username,
        email=f"{given.username}@localhost",
        first_name=given.display_name,
        roles="system_user",
        is_bot=True,
        locale="en",
        bot_description=given.description,
        create_at=now,
        update_at=now,
    )
    check_free(mm, user, "CreateBot")
    bot = Bot(
        user_id=user.id,
        username=given.username,
        display_name=given.display_name,
        description=given.description,
        owner_id=given.owner_id,
        create_at=now,
        update_at=now,
    )
    mm.users[user.id], mm.bots[user.id] = user, bot
    return bot


def _patch_bot(mm: ServerState, user_id: str, changes: Mapping[str, str]) -> Bot:
    bot = _need(mm, user_id)
    user = User()
    user.CopyFrom(mm.users[user_id])
    user.username = changes.get("username", bot.username)
    user.email = f"{user.username}@localhost"
    user.first_name = changes.get("display_name", bot.display_name)
    user.bot_description = changes.get("description", bot.description)
    check_username(user.username, "Bot.IsValid", "model.bot.is_valid.username.app_error")
    check_free(mm, user, "PatchBot")
    for name, value in changes.items():
        setattr(bot, name, value)
    bot.update_at = user.update_at = mm.clock.now()
    mm.users[user_id] = user
    return bot


# -------------------------------------------------------------------- the calls


def _create(mm: ServerState, request: pb.CreateBotRequest) -> dict[str, Any]:
    given = Bot()
    given.CopyFrom(request.bot)
    given.owner_id = given.owner_id or mm.plugin_id
    owner = mm.users.get(given.owner_id)
    if owner is not None and owner.is_bot:
        raise AppError("CreateBot", "plugin_api.bot_cant_create_bot", 400)
    return {"bot": _create_bot(mm, given)}


def _patch(mm: ServerState, request: pb.PatchBotRequest) -> dict[str, Any]:
    changes = {field.name: value for field, value in request.bot_patch.ListFields()}
    return {"bot": _patch_bot(mm, request.bot_user_id, changes)}


def _get(mm: ServerState, request: pb.GetBotRequest) -> dict[str, Any]:
    return {"bot": _need(mm, request.bot_user_id, deleted=request.include_deleted)}


def _get_all(mm: ServerState, request: pb.GetBotsRequest) -> dict[str, Any]:
    options = request.options
    found = [
        bot
        for bot in mm.bots.values()
        if options.owner_id in ("", bot.owner_id)
        and (options.include_deleted or not bot.delete_at)
        and (not options.only_orphaned or _is_orphan(mm, bot))
    ]
    found.sort(key=lambda bot: bot.create_at)
    return {"bots": page_of(found, options.page, options.per_page)}


def _is_orphan(mm: ServerState, bot: Bot) -> bool:
    """Return whether the bot's owner is a deactivated user."""
    owner = mm.users.get(bot.owner_id)
    return owner is not None and bool(owner.delete_at)


def _update_active(mm: ServerState, request: pb.UpdateBotActiveRequest) -> dict[str, Any]:
    user = need(mm, request.bot_user_id, "PatchBot")
    bot = _need(mm, request.bot_user_id)
    if bool(user.delete_at) is request.active:
        set_active(mm, user, request.active)
    bot.delete_at = 0 if request.active else bot.delete_at or mm.clock.now()
    bot.update_at = mm.clock.now()
    return {"bot": bot}


def _delete(mm: ServerState, request: pb.PermanentDeleteBotRequest) -> None:
    user = need(mm, request.bot_user_id)
    if not user.is_bot:
        raise AppError("PermanentDeleteBot", "app.bot.permenent_delete.bad_id", 400)
    del mm.users[user.id], mm.bots[user.id]
    for members in (mm.team_members, mm.channel_members):
        for key in [key for key in members if key[1] == user.id]:
            del members[key]


def _ensure(mm: ServerState, request: pb.EnsureBotUserRequest) -> dict[str, Any]:
    given = Bot()
    given.CopyFrom(request.bot)
    given.owner_id = mm.plugin_id
    if not given.username:
        raise GoError("passed a bot with no username")
    known = mm.kv.get(BOT_KEY).decode()
    if known:
        changes = {
            name: getattr(given, name) for name in ("username", "display_name", "description")
        }
        try:
            _patch_bot(mm, known, changes)
        except AppError as exc:
            raise GoError(f"failed to patch bot: {exc}") from exc
        return {"bot_user_id": known}
    taken = mm.users.find(given.username)
    if taken is not None:
        # Also for a person's account: the server only logs that.
        if taken.is_bot:
            mm.kv.set(BOT_KEY, taken.id.encode())
        return {"bot_user_id": taken.id}
    try:
        bot = _create_bot(mm, given)
    except AppError as exc:
        raise GoError(f"failed to create bot: {exc}") from exc
    mm.kv.set(BOT_KEY, bot.user_id.encode())
    return {"bot_user_id": bot.user_id}


CALLS: Mapping[str, Callable[..., Any]] = {
    "CreateBot": _create,
    "PatchBot": _patch,
    "GetBot": _get,
    "GetBots": _get_all,
    "UpdateBotActive": _update_active,
    "PermanentDeleteBot": _delete,
    "EnsureBotUser": _ensure,
}
