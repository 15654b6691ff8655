"""Slash commands, after app/plugin_commands.go and app/command.go.

There are no built-in commands here. Custom commands, which are webhooks to another server, are kept
but not executed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.ids import new_id
from mm_asgi.host.mattermost.app_errors import AppError, GoError
from mm_asgi.host.mattermost.calls import posts
from mm_asgi.host.mattermost.calls.users import need as need_user
from mm_asgi.protocol.api_remaining_pb2 import Command, CommandArgs, CommandResponse
from mm_asgi.protocol.post_pb2 import Post

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_remaining_pb2 as pb
    from mm_asgi.protocol.hooks_common_pb2 import PluginContext

__all__ = ["CALLS", "execute"]


async def execute(
    mm: ServerState, given: CommandArgs, context: PluginContext | None = None
) -> CommandResponse:
    """Run a command through ExecuteCommand and post its answer.

    Raises:
        AppError: it is not a command, no command has its trigger, or the plugin answered with an
            error.
    """
    args = CommandArgs()
    args.CopyFrom(given)
    trigger = args.command.split(maxsplit=1)[0].lower() if args.command.strip() else ""
    if not args.command.startswith("/"):
        raise AppError("command", "api.command.execute_command.format.app_error", 400)
    args.trigger_id = new_id()
    args.site_url = mm.site_url
    mm.triggers[args.trigger_id] = args.user_id
    command = _find_command(mm, args.team_id, trigger[1:])
    if command is not None:
        response = await _ask_plugin(mm, args, context)
        if response is not None:
            response.trigger_id = args.trigger_id
            await _show_answer(mm, args, response, context)
            return response
    raise AppError(
        "command", "api.command.execute_command.not_found.app_error", 404, f"trigger={trigger[1:]}"
    )


async def _ask_plugin(
    mm: ServerState, args: CommandArgs, context: PluginContext | None
) -> CommandResponse | None:
    answer = await mm.hooks.call("ExecuteCommand", context, args=args)
    if answer.called and answer.response is None:
        raise AppError("ExecuteCommand", "plugin.grpc.execute_command.error", 500, answer.message)
    if not answer.called:
        raise AppError("ExecutePluginCommand", "model.plugin_command.error.app_error", 500)
    if answer.response.HasField("error"):
        error = answer.response.error
        # An invalid HTTP status would crash the server, so plugin_commands.go replaces it by 500.
        code = error.status_code if 100 <= error.status_code <= 999 else 500
        raise AppError(error.where, error.id, code, error.detailed_error)
    if not answer.response.HasField("response"):
        return None
    response = CommandResponse()
    response.CopyFrom(answer.response.response)
    # The host ignores both.
    response.ClearField("type")
    response.ClearField("attachments")
    return response


async def _show_answer(
    mm: ServerState, args: CommandArgs, response: CommandResponse, context: PluginContext | None
) -> None:
    """Post an answer's text: in the channel for in_channel, to the user alone otherwise."""
    post = Post(
        channel_id=response.channel_id or args.channel_id,
        user_id=args.user_id,
        root_id=args.root_id,
        message=response.text,
    )
    post.props.CopyFrom(response.props)
    if response.response_type == "in_channel":
        await posts.create(mm, post, context)
    elif response.text:
        posts.show(mm, args.user_id, post)


def _find_command(mm: ServerState, team_id: str, trigger: str) -> Command | None:
    for command in mm.plugin_commands.values():
        if command.trigger == trigger and command.team_id in ("", team_id):
            return command
    return None


# -------------------------------------------------------------------- the plugin's commands


def _register(mm: ServerState, request: pb.RegisterCommandRequest) -> None:
    given = request.command
    if not given.trigger:
        raise GoError("invalid command")
    trigger = given.trigger.lower()
    mm.plugin_commands[given.team_id, trigger] = Command(
        trigger=trigger,
        team_id=given.team_id,
        auto_complete=given.auto_complete,
        auto_complete_desc=given.auto_complete_desc,
        auto_complete_hint=given.auto_complete_hint,
        display_name=given.display_name,
    )


def _unregister(mm: ServerState, request: pb.UnregisterCommandRequest) -> None:
    mm.plugin_commands.pop((request.team_id, request.trigger.lower()), None)


async def _execute(mm: ServerState, request: pb.ExecuteSlashCommandRequest) -> dict[str, Any]:
    need_user(mm, request.command_args.user_id)
    return {"response": await execute(mm, request.command_args)}


# -------------------------------------------------------------------- the server's commands


def _need(mm: ServerState, command_id: str) -> Command:
    command = mm.custom_commands.get(command_id)
    if command is None or command.delete_at:
        raise GoError(f"resource Command not found, id: {command_id}")
    return command


def _create(mm: ServerState, request: pb.CreateCommandRequest) -> dict[str, Any]:
    command = Command()
    command.CopyFrom(request.cmd)
    command.trigger = command.trigger.lower()
    if not command.trigger or command.trigger.startswith("/") or " " in command.trigger:
        raise AppError("Command.IsValid", "model.command.is_valid.trigger.app_error", 400)
    if any(
        other.trigger == command.trigger and other.team_id == command.team_id
        for other in _custom_of(mm, command.team_id)
    ):
        raise AppError("CreateCommand", "api.command.duplicate_trigger.app_error", 400)
    command.id, command.token = new_id(), new_id()
    command.creator_id, command.plugin_id = "", mm.plugin_id
    command.create_at = command.update_at = mm.clock.now()
    mm.custom_commands[command.id] = command
    return {"command": command}


def _custom_of(mm: ServerState, team_id: str) -> list[Command]:
    return [
        command
        for command in mm.custom_commands.values()
        if command.team_id == team_id and not command.delete_at
    ]


def _of_plugins(mm: ServerState, team_id: str) -> list[Command]:
    return [row for row in mm.plugin_commands.values() if row.team_id in ("", team_id)]


def _list(mm: ServerState, request: pb.ListCommandsRequest) -> dict[str, Any]:
    team_id = request.team_id
    return {"commands": [*_of_plugins(mm, team_id), *_custom_of(mm, team_id)]}


def _list_custom(mm: ServerState, request: pb.ListCustomCommandsRequest) -> dict[str, Any]:
    return {"commands": _custom_of(mm, request.team_id)}


def _list_plugin(mm: ServerState, request: pb.ListPluginCommandsRequest) -> dict[str, Any]:
    return {"commands": _of_plugins(mm, request.team_id)}


def _list_built_in(mm: ServerState, request: pb.ListBuiltInCommandsRequest) -> None:
    """Return no command: there are no built-in ones here."""


def _get(mm: ServerState, request: pb.GetCommandRequest) -> dict[str, Any]:
    return {"command": _need(mm, request.command_id)}


def _update(mm: ServerState, request: pb.UpdateCommandRequest) -> dict[str, Any]:
    old = _need(mm, request.command_id)
    new = Command()
    new.CopyFrom(request.updated_cmd)
    new.trigger = new.trigger.lower()
    new.id, new.token, new.plugin_id = old.id, old.token, mm.plugin_id
    new.create_at, new.delete_at = old.create_at, old.delete_at
    new.team_id = new.team_id or old.team_id
    new.update_at = mm.clock.now()
    mm.custom_commands[old.id] = new
    return {"command": new}


def _delete(mm: ServerState, request: pb.DeleteCommandRequest) -> None:
    command = _need(mm, request.command_id)
    command.delete_at = command.update_at = mm.clock.now()


CALLS: Mapping[str, Callable[..., Any]] = {
    "RegisterCommand": _register,
    "UnregisterCommand": _unregister,
    "ExecuteSlashCommand": _execute,
    "CreateCommand": _create,
    "ListCommands": _list,
    "ListCustomCommands": _list_custom,
    "ListPluginCommands": _list_plugin,
    "ListBuiltInCommands": _list_built_in,
    "GetCommand": _get,
    "UpdateCommand": _update,
    "DeleteCommand": _delete,
}
