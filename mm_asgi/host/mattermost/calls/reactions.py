"""Reactions, after app/reaction.go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.calls.posts import need
from mm_asgi.protocol.post_pb2 import Reaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_channel_post_pb2 as pb
    from mm_asgi.protocol.hooks_common_pb2 import PluginContext

__all__ = ["CALLS", "add"]

_EMOJI = re.compile(r"[a-zA-Z0-9+_-]{1,64}")
"""Only the form is checked: the server's list has thousands of names."""


def add(mm: ServerState, given: Reaction, context: PluginContext | None = None) -> Reaction:
    """Add a reaction, and call ReactionHasBeenAdded.

    Raises:
        AppError: the server refuses it.
    """
    post = need(mm, given.post_id)
    if mm.channels[post.channel_id].delete_at:
        raise AppError("SaveReactionForPost", "api.reaction.save.archived_channel.app_error", 403)
    if given.user_id not in mm.users:
        raise AppError("Reaction.IsValid", "model.reaction.is_valid.user_id.app_error", 400)
    if not _EMOJI.fullmatch(given.emoji_name):
        raise AppError("Reaction.IsValid", "model.reaction.is_valid.emoji_name.app_error", 400)
    key = (given.post_id, given.user_id, given.emoji_name)
    now = mm.clock.now()
    reaction = mm.reactions.get(key)
    if reaction is None:
        reaction = Reaction(create_at=now)
    reaction.MergeFrom(
        Reaction(
            post_id=given.post_id,
            user_id=given.user_id,
            emoji_name=given.emoji_name,
            channel_id=post.channel_id,
            update_at=now,
        )
    )
    mm.reactions[key] = reaction
    post.has_reactions, post.update_at = True, now
    mm.publish("reaction_added", _data(reaction), channel_id=post.channel_id)
    mm.hooks.notify("ReactionHasBeenAdded", context, reaction=reaction)
    return reaction


def _remove(mm: ServerState, request: pb.RemoveReactionRequest) -> None:
    """Remove a reaction. A missing one is not an error, and the hook is called all the same."""
    given = request.reaction
    post = need(mm, given.post_id)
    if mm.channels[post.channel_id].delete_at:
        raise AppError(
            "DeleteReactionForPost", "api.reaction.delete.archived_channel.app_error", 403
        )
    mm.reactions.pop((given.post_id, given.user_id, given.emoji_name), None)
    post.has_reactions = any(key[0] == post.id for key in mm.reactions)
    post.update_at = mm.clock.now()
    mm.publish("reaction_removed", _data(given), channel_id=post.channel_id)
    mm.hooks.notify("ReactionHasBeenRemoved", reaction=given)


def _data(reaction: Reaction) -> dict[str, str]:
    return {
        "post_id": reaction.post_id,
        "user_id": reaction.user_id,
        "emoji_name": reaction.emoji_name,
    }


def _add(mm: ServerState, request: pb.AddReactionRequest) -> dict[str, Any]:
    return {"reaction": add(mm, request.reaction)}


def _get(mm: ServerState, request: pb.GetReactionsRequest) -> dict[str, Any]:
    """Return a post's reactions; an unknown post has none."""
    return {"reactions": [row for key, row in mm.reactions.items() if key[0] == request.post_id]}


CALLS: Mapping[str, Callable[..., Any]] = {
    "AddReaction": _add,
    "RemoveReaction": _remove,
    "GetReactions": _get,
}
