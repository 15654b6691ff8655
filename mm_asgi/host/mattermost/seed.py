"""The state that a new server starts with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.ids import stable_id
from mm_asgi.protocol.api_channel_post_pb2 import ChannelMember
from mm_asgi.protocol.api_user_team_pb2 import Status
from mm_asgi.protocol.channel_pb2 import CHANNEL_TYPE_OPEN, Channel
from mm_asgi.protocol.team_pb2 import TEAM_TYPE_OPEN, Team, TeamMember
from mm_asgi.protocol.user_pb2 import User

if TYPE_CHECKING:
    from mm_asgi.host.mattermost.server_state import ServerState

__all__ = ["DEFAULT_CHANNELS", "ensure_account", "fill"]

DEFAULT_CHANNELS = {"town-square": "Town Square", "off-topic": "Off-Topic"}
"""The channels of every team; joining the team joins them."""

TEAM = "demo"


def fill(mm: ServerState) -> None:
    """Add a configuration, a team, its channels, and users in them. No hook is called."""
    mm.config = _default_config(mm.plugin_id)
    now = mm.clock.now()
    team = Team(
        id=stable_id(f"team {TEAM}"),
        name=TEAM,
        display_name="Demo",
        type=TEAM_TYPE_OPEN,
        create_at=now,
        update_at=now,
        allow_open_invite=True,
        email="sysadmin@example.com",
    )
    mm.teams[team.id] = team
    for name, shown in DEFAULT_CHANNELS.items():
        channel = Channel(
            id=stable_id(f"channel {TEAM} {name}"),
            team_id=team.id,
            name=name,
            display_name=shown,
            type=CHANNEL_TYPE_OPEN,
            create_at=now,
            update_at=now,
        )
        mm.channels[channel.id] = channel
    ensure_account(mm, "sysadmin", roles="system_admin system_user")
    ensure_account(mm, "alice")
    ensure_account(mm, "bob")


def _default_config(plugin_id: str) -> dict[str, Any]:
    """Return the part of a server's configuration that plugins read; a real one has 700 settings more."""
    return {
        "ServiceSettings": {
            "SiteURL": "",
            "EnableCommands": True,
            "EnableBotAccountCreation": True,
            "EnableDeveloper": True,
        },
        "TeamSettings": {"SiteName": "Mattermost", "MaxUsersPerTeam": 50},
        "SqlSettings": {
            "DriverName": "postgres",
            "DataSource": "postgres://mm:secret@localhost/mm",
            "AtRestEncryptKey": "at-rest",
        },
        "LogSettings": {"EnableConsole": True, "ConsoleLevel": "DEBUG"},
        "FileSettings": {
            "MaxFileSize": 100 * 1024 * 1024,
            "EnablePublicLink": False,
            "PublicLinkSalt": "salt",
        },
        "EmailSettings": {"SendEmailNotifications": False, "SMTPPassword": "secret"},
        "PasswordSettings": {"MinimumLength": 8},
        "PluginSettings": {
            "Enable": True,
            "EnableUploads": True,
            "Directory": "./plugins",
            "Plugins": {plugin_id: {}},
            "PluginStates": {plugin_id: {"Enable": True}},
        },
    }


def ensure_account(mm: ServerState, name: str, roles: str = "system_user") -> None:
    """Create the user of this name, in the team, if no user has this id. No hook is called."""
    if name in mm.users:
        return
    now = mm.clock.now()
    mm.users[name] = User(
        id=name,
        username=name.lower(),
        email=f"{name.lower()}@example.com",
        email_verified=True,
        first_name=name.capitalize(),
        roles=roles,
        locale="en",
        create_at=now,
        update_at=now,
    )
    mm.statuses[name] = Status(user_id=name, status="offline", last_activity_at=now)
    team_id = next(iter(mm.teams))
    is_admin = "system_admin" in roles
    mm.team_members[team_id, name] = TeamMember(
        team_id=team_id,
        user_id=name,
        roles="team_user team_admin" if is_admin else "team_user",
        scheme_user=True,
        scheme_admin=is_admin,
        create_at=now,
    )
    for channel in mm.channels.values():
        if channel.team_id == team_id and channel.name in DEFAULT_CHANNELS:
            mm.channel_members[channel.id, name] = ChannelMember(
                channel_id=channel.id,
                user_id=name,
                roles="channel_user",
                scheme_user=True,
                last_update_at=now,
            )
