"""The in-memory Mattermost's users, channels and posts in the page's form."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

from mm_asgi.protocol import channel_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mm_asgi.host.mattermost.mattermost import Mattermost
    from mm_asgi.protocol.channel_pb2 import Channel
    from mm_asgi.protocol.post_pb2 import Post

__all__ = ["place_facts", "posts_facts"]

LISTED = 500
"""Users, teams, channels, commands; a guess at how long a list a person can choose from."""

SHOWN_POSTS = 100

_TYPES = {
    channel_pb2.CHANNEL_TYPE_PRIVATE: "private",
    channel_pb2.CHANNEL_TYPE_DIRECT: "direct",
    channel_pb2.CHANNEL_TYPE_GROUP: "group",
}


def place_facts(mm: Mattermost) -> dict[str, Any]:
    """Return the facts of all users, teams, channels and commands."""
    users = (
        {"id": user.id, "username": user.username, "admin": "system_admin" in user.roles.split()}
        for user in mm.users.values()
        if not (user.is_bot or user.delete_at)
    )
    teams = (
        {"id": team.id, "title": team.display_name or team.name}
        for team in mm.teams.values()
        if not team.delete_at
    )
    channels = (
        _channel_facts(mm, channel) for channel in mm.channels.values() if not channel.delete_at
    )
    commands = (
        {
            "trigger": command.trigger,
            "hint": command.auto_complete_hint,
            "about": command.auto_complete_desc,
        }
        for command in mm.plugin_commands.values()
    )
    return {
        "users": _first_listed(users),
        "teams": _first_listed(teams),
        "channels": _first_listed(channels),
        "commands": _first_listed(commands),
    }


def _first_listed(things: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(itertools.islice(things, LISTED))


def _channel_facts(mm: Mattermost, channel: Channel) -> dict[str, Any]:
    kind = _TYPES.get(channel.type, "open")
    title = channel.display_name or channel.name
    if kind == "direct":
        title = " and ".join(_name_of(mm, user) for user in dict.fromkeys(channel.name.split("__")))
    return {"id": channel.id, "team": channel.team_id, "title": title, "type": kind}


def _name_of(mm: Mattermost, user_id: str) -> str:
    user = mm.users.get(user_id)
    return user.username if user is not None else user_id


def posts_facts(mm: Mattermost, channel_id: str, user_id: str) -> dict[str, Any]:
    """Return the latest posts of a channel, oldest first, with this user's ephemeral ones."""
    posts = [post for post in mm.posts.values() if post.channel_id == channel_id]
    posts += [
        post
        for (reader, _), post in mm.ephemeral_posts.items()
        if reader == user_id and post.channel_id == channel_id
    ]
    posts.sort(key=lambda post: post.create_at)
    reactions: dict[str, Counter[str]] = {}
    for post_id, _, emoji in mm.reactions:
        reactions.setdefault(post_id, Counter())[emoji] += 1
    return {
        "posts": [
            _post_facts(mm, post, reactions.get(post.id, Counter()))
            for post in posts[-SHOWN_POSTS:]
        ],
        "older": max(0, len(posts) - SHOWN_POSTS),
    }


def _post_facts(mm: Mattermost, post: Post, reactions: Mapping[str, int]) -> dict[str, Any]:
    user = mm.users.get(post.user_id)
    root = mm.posts.get(post.root_id)
    stored = (mm.files.get(file_id) for file_id in post.file_ids)
    return {
        "id": post.id,
        "user": _name_of(mm, post.user_id),
        "bot": user is not None and user.is_bot,
        "by_plugin": "from_plugin" in post.props.fields,
        "message": post.message,
        "time": post.create_at,
        "edited": bool(post.edit_at),
        "deleted": bool(post.delete_at),
        "ephemeral": post.type == "system_ephemeral",
        "attachments": "attachments" in post.props.fields,
        "answers": root.message[:80] if root is not None else "",
        "reactions": dict(reactions),
        "files": [file.info.name for file in stored if file is not None],
    }
