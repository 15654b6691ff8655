"""The state of the in-memory server, and nothing that acts on it.

`mm` in every module of `calls/` is one of these: the tables, the clock, the journal, and the way to
the plugin's hooks. The functions of `calls/` change it, `mattermost.py` adds what users do by those
functions. The state knows neither, so that imports point one way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost.clock import Clock
from mm_asgi.host.mattermost.journal import Event, Journal
from mm_asgi.host.mattermost.kv_store import KVStore
from mm_asgi.host.mattermost.named import Named
from mm_asgi.host.mattermost.raiser import Raiser

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mm_asgi.host.mattermost.stored_files import StoredFile, Upload
    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.protocol.api_channel_post_pb2 import ChannelMember
    from mm_asgi.protocol.api_file_bot_pb2 import Bot
    from mm_asgi.protocol.api_remaining_pb2 import Command, Preference
    from mm_asgi.protocol.api_user_team_pb2 import Status
    from mm_asgi.protocol.channel_pb2 import Channel
    from mm_asgi.protocol.post_pb2 import Post, Reaction
    from mm_asgi.protocol.team_pb2 import Team, TeamMember
    from mm_asgi.protocol.user_pb2 import User

__all__ = ["ServerState"]


class ServerState:
    """The state of a Mattermost server with one plugin. It is empty until `seed.fill` fills it.

    Args:
        plugin_id: the plugin that the keys, commands and configuration belong to.
        manifest: its plugin.json; ``settings_schema`` has the defaults of its configuration.
        bundle_path: the plugin's folder.
        log: receives the plugin's Log calls.

    Attributes:
        users, teams, channels: by id; ``users["bob"]``, ``channels["town-square"]`` by name too.
        posts: by id, in the order of their creation, deleted ones too.
        ephemeral_posts: by user's id and post's id.
        kv: the plugin's keys and values.
        config: the server's configuration, in Mattermost's form.
        clock: the server's time.
        journal: what happened.
        hooks: the way to the plugin's hooks.
    """

    def __init__(
        self,
        plugin_id: str = "com.example.demo",
        *,
        manifest: Mapping[str, Any] | None = None,
        bundle_path: Path | str = ".",
        log: HostLog | None = None,
    ) -> None:
        self.plugin_id = plugin_id
        self.manifest = dict(manifest or {})
        self.bundle_path = bundle_path
        self.log = log
        self.clock = Clock()
        self.journal = Journal()
        self.hooks = Raiser(self.journal, self.clock)
        self.installed_at = self.clock.now()
        self.config: dict[str, Any] = {}

        self.users: Named[User] = Named(lambda user: user.username)
        self.bots: dict[str, Bot] = {}
        self.statuses: dict[str, Status] = {}
        self.preferences: dict[tuple[str, str, str], Preference] = {}
        self.teams: Named[Team] = Named(lambda team: team.name)
        self.team_members: dict[tuple[str, str], TeamMember] = {}
        self.channels: Named[Channel] = Named(lambda channel: channel.name)
        self.channel_members: dict[tuple[str, str], ChannelMember] = {}
        self.posts: dict[str, Post] = {}
        self.ephemeral_posts: dict[tuple[str, str], Post] = {}
        self.reactions: dict[tuple[str, str, str], Reaction] = {}
        self.files: dict[str, StoredFile] = {}
        self.uploads: dict[str, Upload] = {}
        self.kv = KVStore(self.clock.now)
        self.plugin_commands: dict[tuple[str, str], Command] = {}
        self.custom_commands: dict[str, Command] = {}
        self.triggers: dict[str, str] = {}  # trigger id: the user who got it
        self.mails: list[tuple[str, str, str]] = []  # to, subject, HTML body

    @property
    def site_url(self) -> str:
        """The site's URL, without a slash at the end."""
        return str(self.config.get("ServiceSettings", {}).get("SiteURL", ""))

    @site_url.setter
    def site_url(self, url: str) -> None:
        self.config.setdefault("ServiceSettings", {})["SiteURL"] = url

    def publish(self, name: str, data: Mapping[str, Any] | None = None, **to: Any) -> None:
        """Record a websocket event; ``to`` names its receivers, see `Event`."""
        self.journal.add(Event(name=name, data=dict(data or {}), time=self.clock.now(), **to))
