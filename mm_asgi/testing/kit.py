"""MM, the fixture ``mm``: a Mattermost in memory, the plugin that runs in it, clients of both."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import httpx

from mm_asgi.host import AppError, Mattermost
from mm_asgi.host.plugin import HostLog
from mm_asgi.protocol.user_pb2 import User
from mm_asgi.testing.engine import PLUGIN_ID, Engine
from mm_asgi.testing.records import LogRecorder
from mm_asgi.testing.wire_transport import WireTransport

if TYPE_CHECKING:
    from types import TracebackType

    from mm_asgi.host import APICall, Event, HookCall, LogLine
    from mm_asgi.protocol.api_remaining_pb2 import CommandResponse
    from mm_asgi.protocol.post_pb2 import Post
    from mm_asgi.settings import Settings

__all__ = ["MM", "Posted"]

KEPT = 10_000  # lines of the log
REJECTED = "Post rejected by plugin. "  # app/post.go, before the plugin's own words


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a message.

    Attributes:
        post: as it was saved; None when it was rejected.
        rejected: why, in the plugin's own words, or the id of the server's error; else None.
    """

    post: Post | None
    rejected: str | None = None


class MM:
    """A Mattermost server in memory with one plugin, for tests: the fixture ``mm``.

        async with MM(app) as mm:
            response = await mm.client(user="alice").get("/hello")

    It starts with the users alice, bob and sysadmin in the team ``demo`` and its channels
    ``town-square`` and ``off-topic``. The id of a user is the name.

    Args:
        app_or_plugin: an ASGI or WSGI app, or an ``mm_asgi.Plugin``. It is not changed.
        plugin_id: the id that the plugin runs under.
        settings: the plugin's; None: the defaults.

    Attributes:
        mattermost: the server itself: all of its state, and what users can do.
        transport: anonymous; its ``settled()`` waits for the app's background tasks.
    """

    def __init__(
        self,
        app_or_plugin: object,
        *,
        plugin_id: str = PLUGIN_ID,
        settings: Settings | None = None,
    ) -> None:
        self._log: deque[LogLine] = deque(maxlen=KEPT)
        self._recorder = LogRecorder(self._log.append)
        self.mattermost = Mattermost(plugin_id, log=HostLog(self._log.append))
        self._engine = Engine(
            app_or_plugin, plugin_id=plugin_id, settings=settings, mattermost=self.mattermost
        )
        self.transport = WireTransport(self._engine)
        self._transports: list[WireTransport] = []

    async def __aenter__(self) -> Self:
        self._recorder.start()
        try:
            await self._engine.enter()
        except BaseException:
            self._recorder.stop()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            for transport in (self.transport, *self._transports):
                await transport.aclose()
            await self._engine.leave()
        finally:
            self._recorder.stop()

    @property
    def api_target(self) -> str:
        """Where the plugin's API is served, as MATTERMOST_PLUGIN_API_TARGET has it."""
        return self._engine.address

    # ---------------------------------------------------------------- users and their clients

    def client(
        self, user: str | User | None = None, *, raise_app_exceptions: bool = True, **options: Any
    ) -> httpx.AsyncClient:
        """Return a client of the plugin, whose paths are those below ``/plugins/{id}``.

        It need not be closed.

        Args:
            user: the user who is logged in, by name or as ``add_user`` returned it; None: no user.
            raise_app_exceptions: see WireTransport.
            options: more of ``httpx.AsyncClient``'s, such as ``headers`` or ``cookies``.
        """
        transport = WireTransport(
            self._engine,
            user=_id_of(user) if user is not None else None,
            raise_app_exceptions=raise_app_exceptions,
        )
        self._transports.append(transport)
        options.setdefault("base_url", transport.base_url)
        return httpx.AsyncClient(transport=transport, **options)

    def add_user(self, username: str, **fields: Any) -> User:
        """Return the user of this name, creating it in the team if there is none.

        No hook is called. ``fields`` are more of User's, such as ``roles``. To have the hooks
        run: ``await mm.mattermost.add_user(name)``.
        """
        self.mattermost.log_in(username)
        user = self.mattermost.users[username]
        user.MergeFrom(User(**fields))
        return user

    async def disconnect(self, response: httpx.Response) -> None:
        """Leave a response that is not complete, and wait until the app knows of it."""
        await self.transport.disconnect(response)

    async def settled(self) -> None:
        """Wait for the hooks that run beside, and for the app's requests and background tasks.

        Raises:
            Exception: what the app raised and no response has raised.
        """
        await self.mattermost.settled()
        await self.transport.settled()

    # ---------------------------------------------------------------- what users do

    async def post(
        self,
        message: str,
        *,
        user: str | User = "alice",
        channel: str = "town-square",
        **fields: Any,
    ) -> Posted:
        """Post as a user, and wait until all hooks that hear of it have ended.

        Args:
            user: a member of the channel, by name or as ``add_user`` returned it.
            channel: by name or id.
            fields: more of Post's, such as ``root_id``.
        """
        try:
            post = await self.mattermost.post(channel, _id_of(user), message, **fields)
        except AppError as exc:
            return Posted(None, exc.id.removeprefix(REJECTED))
        finally:
            await self.mattermost.settled()
        return Posted(post)

    async def command(
        self, text: str, *, user: str | User = "alice", channel: str = "town-square"
    ) -> CommandResponse:
        """Type a slash command, such as ``/shop tea``, and return the plugin's answer.

        Raises:
            mm_asgi.host.AppError: there is no such command, or the plugin answered an error.
        """
        try:
            return await self.mattermost.execute_command(_id_of(user), channel, text)
        finally:
            await self.mattermost.settled()

    # ---------------------------------------------------------------- what happened

    @property
    def posts(self) -> list[Post]:
        """All posts that are not deleted, the latest last."""
        return [post for post in self.mattermost.posts.values() if not post.delete_at]

    @property
    def calls(self) -> list[APICall]:
        """The plugin's calls of the API: ``name``, ``request``, ``response``, ``error``."""
        return list(self.mattermost.calls)

    @property
    def hook_calls(self) -> list[HookCall]:
        """The hooks that reached the plugin: ``name``, ``request``, ``answer``."""
        return list(self.mattermost.hook_calls)

    @property
    def events(self) -> list[Event]:
        """The websocket events that browsers would get."""
        return list(self.mattermost.events)

    @property
    def log(self) -> list[LogLine]:
        """The server's log: the plugin's lines, from INFO on, and the host's own."""
        return list(self._log)


def _id_of(user: str | User) -> str:
    """Return a user's id, which here is the name."""
    return user.id if isinstance(user, User) else user
