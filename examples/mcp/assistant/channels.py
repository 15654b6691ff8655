"""What tools need of Mattermost: a channel by name for a user, and posts as they come."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from mcp.server.mcpserver.exceptions import ToolError

from mm_asgi import errors, types
from mm_asgi.api import AsyncAPI


@contextmanager
def told() -> Iterator[None]:
    """Tell the model what Mattermost answered, in place of "Error executing tool"."""
    try:
        yield
    except errors.APIError as error:
        raise ToolError(f"Mattermost says: {error}") from error


async def channel_for(api: AsyncAPI, path: str, user_id: str, permission: str) -> types.Channel:
    """The channel ``team/channel``, if the user has the permission there.

    The plugin may do everything: whoever acts for a user has to ask for the user's permissions.
    """
    team, slash, name = path.partition("/")
    if not slash:
        raise ToolError(f"{path!r} is no channel, expected TEAM/CHANNEL such as demo/town-square")
    # One text for both: who may not read a channel is not told that it is there.
    refusal = ToolError(f"There is no channel {path!r}, or you have no {permission} there.")
    try:
        team_id = (await api.get_team_by_name(name=team)).id
        channel = await api.get_channel_by_name(team_id=team_id, name=name)
    except errors.NotFound:
        raise refusal from None
    if not await api.has_permission_to_channel(
        user_id=user_id, channel_id=channel.id, permission_id=permission
    ):
        raise refusal
    return channel


class Posts:
    """The posts as they are made, for whoever waits."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Queue[types.Post]] = set()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def tell(self, post: types.Post) -> None:
        for queue in self._waiting:
            queue.put_nowait(post)

    async def listen(self) -> AsyncGenerator[types.Post, None]:
        queue: asyncio.Queue[types.Post] = asyncio.Queue()
        self._waiting.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._waiting.discard(queue)
