"""The in-memory Mattermost: the server's state, with the acts of users and tests.

The plugin's calls (`answering.py`) and the users' acts (the methods here) go through the same
functions of `calls/`. Both therefore reach the plugin's hooks, as on a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.ids import new_id
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
    ``alice``, ``bob`` and ``sysadmin`` in them. A user who logs in through the gateway is created.
    The ids of these users are their names: logs stay readable, and Mattermost-User-Id, the tokens
    and the API agree. All other ids have Mattermost's 26 characters.

    `ServerState` documents the arguments and the other attributes.

    Attributes:
        calls, hook_calls, events: the latest ones, see `APICall`, `HookCall` and `Event`.
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

    # ---------------------------------------------------------------- the journal

    @property
    def calls(self) -> deque[APICall]:
        """The plugin's latest API calls."""
        return self.journal.calls

    @property
    def hook_calls(self) -> deque[HookCall]:
        """The latest calls of the plugin's hooks."""
        return self.journal.hooks

    @property
    def events(self) -> deque[Event]:
        """The latest websocket events."""
        return self.journal.events

    async def settled(self) -> None:
        """Wait until the hooks that run in the background (MessageHasBeenPosted, ...) have ended."""
        await self.hooks.settled()

    # ---------------------------------------------------------------- acts of users

    def log_in(self, user_id: str) -> None:
        """Create the user of a request if there is none; no hook is called."""
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
        """Post as a user.

        Args:
            channel: its id or name.
            user: the author's id or name; the author must be a member of the channel.
            message: the text.
            root_id: the post that this one answers.
            context: the hooks' plugin_context; None: a new one.
            fields: more fields of Post.

        Raises:
            AppError: the plugin or the server refuses the post.
            KeyError: there is no such channel or user.
        """
        where, who = self.channels[channel], self.users[user]
        if (where.id, who.id) not in self.channel_members:
            raise AppError("Permissions", "api.context.permissions.app_error", 403)
        given = Post(
            channel_id=where.id, user_id=who.id, message=message, root_id=root_id, **fields
        )
        return await posts.create(self, given, context or request_context())

    async def edit_post(self, post_id: str, message: str) -> Post:
        """Change a post's text.

        Raises:
            AppError: the plugin or the server refuses the change.
        """
        given = Post()
        given.CopyFrom(self.posts[post_id])
        given.message = message
        return await posts.update(self, given, request_context())

    async def delete_post(self, post_id: str) -> None:
        """Delete a post and its answers.

        Raises:
            AppError: there is no such post, or its channel is archived.
        """
        posts.delete(self, post_id, request_context())

    async def react(self, post_id: str, user: str, emoji: str) -> Reaction:
        """Add a user's reaction to a post.

        Raises:
            AppError: the server refuses it.
        """
        given = Reaction(post_id=post_id, user_id=self.users[user].id, emoji_name=emoji)
        return reactions.add(self, given, request_context())

    async def execute_command(
        self, user: str, channel: str, command: str, *, context: PluginContext | None = None
    ) -> CommandResponse:
        """Type a slash command, such as ``/weather paris``; the other arguments are as in `post`.

        Raises:
            AppError: there is no such command, or the plugin answered with an error.
        """
        where = self.channels[channel]
        team = where.team_id or next(iter(self.teams))
        args = CommandArgs(
            user_id=self.users[user].id, channel_id=where.id, team_id=team, command=command
        )
        return await slash_commands.execute(self, args, context or request_context())

    async def upload(self, channel: str, user: str, filename: str, data: bytes) -> FileInfo:
        """Upload a file, for a post's ``file_ids``.

        Raises:
            AppError: the plugin refuses it.
        """
        where = self.channels[channel].id
        return await files.upload(
            self, data, where, filename, self.users[user].id, request_context()
        )

    async def add_user(self, username: str, **fields: Any) -> User:
        """Create a user in the first team, as the server does, with its hooks and posts.

        Args:
            username: the name.
            fields: more fields of User.

        Raises:
            AppError: the name or another field is invalid or taken.
        """
        given = User(username=username, email=f"{username}@example.com", password="password1")
        given.MergeFrom(User(**fields))
        user = users.create(self, given, request_context())
        await members.join_team(self, next(iter(self.teams)), user.id, context=request_context())
        return user

    async def save_plugin_config(self, settings: Mapping[str, Any]) -> None:
        """Save the plugin's settings as an admin does.

        Raises:
            AppError: the plugin refuses them.
        """
        await config.save_plugin(self, settings)

    def listen(self, listener: Callable[[APICall | HookCall | Event], None]) -> Callable[[], None]:
        """Hand every new call, hook and event to ``listener``, and return a function that ends this."""
        return self.journal.listen(listener)


def request_context() -> PluginContext:
    """Return the plugin_context of a user's own request."""
    return PluginContext(request_id=new_id(), ip_address="127.0.0.1", user_agent="mm_asgi.host")
