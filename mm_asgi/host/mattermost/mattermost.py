"""The in-memory Mattermost: the server's state, and what users and tests do in it.

What a plugin calls (`service.py`) and what a user does (the methods here) go through the same
functions: either reaches the plugin's hooks as on a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost import seed
from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.calls import (
    config,
    files,
    members,
    posts,
    reactions,
    slash_commands,
    users,
)
from mm_asgi.host.mattermost.ids import new_id
from mm_asgi.host.mattermost.server_state import ServerState
from mm_asgi.protocol.api_remaining_pb2 import CommandArgs
from mm_asgi.protocol.hooks_common_pb2 import PluginContext
from mm_asgi.protocol.post_pb2 import Post, Reaction
from mm_asgi.protocol.user_pb2 import User

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mm_asgi.host.mattermost.journal import APICall, Event, HookCall
    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.protocol.api_remaining_pb2 import CommandResponse
    from mm_asgi.protocol.file_pb2 import FileInfo

__all__ = ["Mattermost", "request_context"]


class Mattermost(ServerState):
    """A Mattermost server in memory, with one plugin.

    It starts with the team ``demo``, its channels ``town-square`` and ``off-topic``, and the users
    ``alice``, ``bob`` and ``sysadmin`` in them. Whoever logs in through the gateway becomes a user
    too. The id of such a user is the name, so that logs can be read and Mattermost-User-Id, the
    tokens and the API agree; all other ids have Mattermost's 26 characters.

    `ServerState` says what is kept, and what the constructor takes.
    """

    def __init__(
        self,
        plugin_id: str = "com.example.demo",
        *,
        manifest: Mapping[str, Any] | None = None,
        bundle_path: Path | str = ".",
        log: HostLog | None = None,
    ) -> None:
        super().__init__(plugin_id, manifest=manifest, bundle_path=bundle_path, log=log)
        seed.fill(self)

    # ---------------------------------------------------------------- what happened

    @property
    def calls(self) -> deque[APICall]:
        """The plugin's latest API calls."""
        return self.journal.calls

    @property
    def hook_calls(self) -> deque[HookCall]:
        """The latest hooks that reached the plugin."""
        return self.journal.hooks

    @property
    def events(self) -> deque[Event]:
        """The latest websocket events."""
        return self.journal.events

    async def settled(self) -> None:
        """Wait until the hooks that run beside (MessageHasBeenPosted, ...) have ended."""
        await self.hooks.settled()

    # ---------------------------------------------------------------- what users do

    def log_in(self, user_id: str) -> None:
        """A request is this user's: who is not known yet has been there all along."""
        seed.ensure_account(self, user_id)

    async def post(
        self,
        channel: str,
        user: str,
        message: str,
        *,
        root_id: str = "",
        context: PluginContext | None = None,
        **fields: Any,
    ) -> Post:
        """Post as a user, who has to be in the channel; ``fields`` are more of Post's.

        Args:
            context: what the hooks are told of the request; they then are known by its id.

        Raises:
            AppError: the plugin or the server refuses it.
        """
        where, who = self.channels[channel], self.users[user]
        if (where.id, who.id) not in self.channel_members:
            raise AppError("Permissions", "api.context.permissions.app_error", 403)
        given = Post(
            channel_id=where.id, user_id=who.id, message=message, root_id=root_id, **fields
        )
        return await posts.create(self, given, context or request_context())

    async def edit_post(self, post_id: str, message: str) -> Post:
        """Change a post's text. AppError: the plugin or the server refuses it."""
        given = Post()
        given.CopyFrom(self.posts[post_id])
        given.message = message
        return await posts.update(self, given, request_context())

    async def delete_post(self, post_id: str) -> None:
        """Delete a post and what answers it."""
        posts.delete(self, post_id, request_context())

    async def react(self, post_id: str, user: str, emoji: str) -> Reaction:
        """Add a reaction. AppError: the server refuses it."""
        given = Reaction(post_id=post_id, user_id=self.users[user].id, emoji_name=emoji)
        return reactions.add(self, given, request_context())

    async def execute_command(
        self, user: str, channel: str, command: str, *, context: PluginContext | None = None
    ) -> CommandResponse:
        """Type a slash command, such as ``/weather paris``; ``context`` as in `post`.

        Raises:
            AppError: no such command, or the plugin answered with an error.
        """
        where = self.channels[channel]
        team = where.team_id or next(iter(self.teams))
        args = CommandArgs(
            user_id=self.users[user].id, channel_id=where.id, team_id=team, command=command
        )
        return await slash_commands.execute(self, args, context or request_context())

    async def upload(self, channel: str, user: str, filename: str, data: bytes) -> FileInfo:
        """Upload a file, for a post's ``file_ids``. AppError: the plugin refuses it."""
        where = self.channels[channel].id
        return await files.upload(
            self, data, where, filename, self.users[user].id, request_context()
        )

    async def add_user(self, username: str, **fields: Any) -> User:
        """Create a user in the first team, with what the server does then; ``fields`` are User's."""
        given = User(username=username, email=f"{username}@example.com", password="password1")
        given.MergeFrom(User(**fields))
        user = users.create(self, given, request_context())
        await members.join_team(self, next(iter(self.teams)), user.id, context=request_context())
        return user

    async def save_plugin_config(self, settings: Mapping[str, Any]) -> None:
        """Save the plugin's settings as an admin does. AppError: the plugin refuses them."""
        await config.save_plugin(self, settings)

    def listen(self, listener: Callable[[APICall | HookCall | Event], None]) -> Callable[[], None]:
        """Hand every call, hook and event to ``listener``; what is returned ends it."""
        return self.journal.listen(listener)


def request_context() -> PluginContext:
    """What a hook knows of a user's own request."""
    return PluginContext(request_id=new_id(), ip_address="127.0.0.1", user_agent="mm_asgi.host")
