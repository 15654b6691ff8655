"""Creation, change and deletion of posts, with the plugin's hooks; after app/post.go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from mm_asgi.host.ids import new_id
from mm_asgi.host.mattermost.app_errors import MISSING_ACCOUNT, AppError
from mm_asgi.protocol.post_pb2 import Post

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_channel_post_pb2 as pb
    from mm_asgi.protocol.channel_pb2 import Channel
    from mm_asgi.protocol.hooks_common_pb2 import PluginContext

__all__ = ["CALLS", "create", "delete", "hook_post", "need", "to_json", "update"]

LONGEST = 16383
"""Characters of a message; model.PostMessageMaxRunesV2."""

DISMISS = "plugin.message_will_be_posted.dismiss_post"
"""The reason that drops a post silently; model.DismissPostError."""

_HASHTAG = re.compile(r"(?<!\S)#[^\W\d_][\w.-]+")


def need(mm: ServerState, post_id: str, where: str = "GetSinglePost", code: int = 404) -> Post:
    """Return the post of this id.

    Raises:
        AppError: there is none, or it is deleted.
    """
    post = mm.posts.get(post_id)
    if post is None or post.delete_at:
        raise AppError(where, "app.post.get.app_error", code)
    return post


def hook_post(post: Post) -> Post:
    """Return a copy for hooks: the host sends no props, metadata or participants there."""
    copy = Post()
    copy.CopyFrom(post)
    for name in ("props", "metadata", "participants"):
        copy.ClearField(name)
    return copy


def to_json(post: Post) -> str:
    """Return a post as JSON, as websocket events have it in a string."""
    return json_format.MessageToJson(
        post,
        preserving_proto_field_name=True,
        indent=None,
        always_print_fields_with_no_presence=True,
    )


async def create(mm: ServerState, given: Post, context: PluginContext | None = None) -> Post:
    """Create a post, with its hooks.

    MessageWillBePosted may change or refuse it; a hook that fails changes nothing.
    MessageHasBeenPosted is called after it was saved.

    Raises:
        AppError: the server or the plugin refuses it.
    """
    channel = mm.channels.get(given.channel_id)
    if channel is None:
        raise AppError("CreatePostMissingChannel", "app.channel.get.existing.app_error", 404)
    user = mm.users.get(given.user_id)
    if user is None:
        raise AppError("CreatePost", MISSING_ACCOUNT, 404)
    post = Post()
    post.CopyFrom(given)
    if user.is_bot:
        post.props.update({"from_bot": "true"})
    _check_root(mm, post)
    post = await _ask_filter(
        mm, "MessageWillBePosted", "createPost", post, context, post=hook_post(post)
    )
    _save_post(mm, post, channel)
    mm.hooks.notify("MessageHasBeenPosted", context, post=hook_post(post))
    mm.publish("posted", {"post": to_json(post)}, channel_id=post.channel_id)
    return post


async def update(mm: ServerState, given: Post, context: PluginContext | None = None) -> Post:
    """Change a post's text, props, pin or files, with its hooks.

    Raises:
        AppError: the server or the plugin refuses it.
    """
    old = mm.posts.get(given.id)
    if old is None:
        code = 404 if given.id else 400
        raise AppError("UpdatePost", "app.post.get.app_error", code)
    if old.delete_at:
        raise AppError("UpdatePost", "api.post.update_post.permissions_details.app_error", 400)
    if old.type.startswith("system_"):
        raise AppError("UpdatePost", "api.post.update_post.system_message.app_error", 400)
    if mm.channels[old.channel_id].delete_at:
        refused = "api.post.update_post.can_not_update_post_in_deleted.error"
        raise AppError("UpdatePost", refused, 400)
    new = Post()
    new.CopyFrom(old)
    if new.message != given.message:
        new.message, new.edit_at = given.message, mm.clock.now()
        new.hashtags = " ".join(_HASHTAG.findall(new.message))
    new.is_pinned, new.has_reactions = given.is_pinned, given.has_reactions
    new.props.CopyFrom(given.props)
    new.file_ids[:] = given.file_ids
    new = await _ask_filter(
        mm,
        "MessageWillBeUpdated",
        "UpdatePost",
        new,
        context,
        new_post=hook_post(new),
        old_post=hook_post(old),
    )
    _check_length(new)
    new.update_at = mm.clock.now()
    mm.posts[old.id] = new
    mm.hooks.notify(
        "MessageHasBeenUpdated", context, new_post=hook_post(new), old_post=hook_post(old)
    )
    mm.publish("post_edited", {"post": to_json(new)}, channel_id=new.channel_id)
    return new


def delete(mm: ServerState, post_id: str, context: PluginContext | None = None) -> None:
    """Delete a post and its answers.

    Raises:
        AppError: there is none, or its channel is archived.
    """
    post = need(mm, post_id, "DeletePost", 400)
    channel = mm.channels[post.channel_id]
    if channel.delete_at:
        refused = "api.post.delete_post.can_not_delete_post_in_deleted.error"
        raise AppError("DeletePost", refused, 400)
    before, now = hook_post(post), mm.clock.now()
    for other in mm.posts.values():
        if post_id in (other.id, other.root_id) and not other.delete_at:
            other.delete_at = other.update_at = now
    root = mm.posts.get(post.root_id)
    if root is not None:
        root.reply_count = max(0, root.reply_count - 1)
    mm.publish("post_deleted", {"post": to_json(post)}, channel_id=post.channel_id)
    mm.hooks.notify("MessageHasBeenDeleted", context, post=before)


async def _ask_filter(
    mm: ServerState,
    hook: str,
    where: str,
    current: Post,
    context: PluginContext | None,
    **fields: Post,
) -> Post:
    """Call a filter hook, and return the post as the plugin leaves it.

    Raises:
        AppError: the plugin refuses it.
    """
    answer = await mm.hooks.call(hook, context, **fields)
    if answer.response is None:  # not listed, or failed: the host lets the post through
        return current
    reason = answer.response.rejection_reason
    if reason == DISMISS and hook == "MessageWillBePosted":
        raise AppError(where, DISMISS, 400)
    if reason:
        raise AppError(where, f"Post rejected by plugin. {reason}", 400)
    if not answer.response.HasField("modified_post"):
        return current
    changed = hook_post(answer.response.modified_post)
    if current.HasField("metadata"):
        changed.metadata.CopyFrom(current.metadata)
    return changed


def _check_root(mm: ServerState, post: Post) -> None:
    if not post.root_id:
        return
    root = mm.posts.get(post.root_id)
    if root is None or root.delete_at or root.root_id:
        raise AppError("createPost", "api.post.create_post.root_id.app_error", 400)
    if root.channel_id != post.channel_id:
        raise AppError("createPost", "api.post.create_post.channel_root_id.app_error", 500)


def _check_length(post: Post) -> None:
    if len(post.message) > LONGEST:
        raise AppError("Post.IsValid", "model.post.is_valid.message_length.app_error", 400)


def _save_post(mm: ServerState, post: Post, channel: Channel) -> None:
    if post.id:
        raise AppError("CreatePost", "app.post.save.existing.app_error", 400)
    _check_length(post)
    post.id = new_id()
    post.create_at = post.create_at or mm.clock.now()
    post.update_at = post.create_at
    post.hashtags = " ".join(_HASHTAG.findall(post.message))
    mm.posts[post.id] = post
    channel.total_msg_count += 1
    channel.last_post_at = max(channel.last_post_at, post.create_at)
    root = mm.posts.get(post.root_id)
    if root is not None:
        root.reply_count += 1
        root.last_reply_at = post.create_at
    else:
        channel.total_msg_count_root += 1
        channel.last_root_post_at = max(channel.last_root_post_at, post.create_at)
    attached = []
    for file_id in post.file_ids:
        stored = mm.files.get(file_id)
        if stored is not None and not stored.info.post_id:
            stored.info.post_id, stored.info.channel_id = post.id, post.channel_id
            attached.append(file_id)
    post.file_ids[:] = attached


# -------------------------------------------------------------------- the calls


async def _create(mm: ServerState, request: pb.CreatePostRequest) -> dict[str, Any]:
    given = Post()
    given.CopyFrom(request.post)
    given.props.update({"from_plugin": "true"})
    return {"post": await create(mm, given)}


async def _update(mm: ServerState, request: pb.UpdatePostRequest) -> dict[str, Any]:
    return {"post": await update(mm, request.post)}


def _delete(mm: ServerState, request: pb.DeletePostRequest) -> None:
    delete(mm, request.post_id)


def _get(mm: ServerState, request: pb.GetPostRequest) -> dict[str, Any]:
    return {"post": need(mm, request.post_id)}


# -------------------------------------------------------------------- ephemeral posts


def show(mm: ServerState, user_id: str, given: Post) -> Post:
    """Show a post to one user. Nothing is checked, and no hook is called."""
    post = Post()
    post.CopyFrom(given)
    post.type = "system_ephemeral"
    post.id = post.id or new_id()
    post.create_at = post.create_at or mm.clock.now()
    mm.ephemeral_posts[user_id, post.id] = post
    data = {"post": to_json(post)}
    mm.publish("ephemeral_message", data, user_id=user_id, channel_id=post.channel_id)
    return post


def _send_ephemeral(mm: ServerState, request: pb.SendEphemeralPostRequest) -> dict[str, Any]:
    return {"post": show(mm, request.user_id, request.post)}


def _update_ephemeral(mm: ServerState, request: pb.UpdateEphemeralPostRequest) -> dict[str, Any]:
    post = Post()
    post.CopyFrom(request.post)
    post.type, post.update_at = "system_ephemeral", mm.clock.now()
    mm.ephemeral_posts[request.user_id, post.id] = post
    data = {"post": to_json(post)}
    mm.publish("post_edited", data, user_id=request.user_id, channel_id=post.channel_id)
    return {"post": post}


def _delete_ephemeral(mm: ServerState, request: pb.DeleteEphemeralPostRequest) -> None:
    mm.ephemeral_posts.pop((request.user_id, request.post_id), None)
    mm.publish("post_deleted", {"post_id": request.post_id}, user_id=request.user_id)


CALLS: Mapping[str, Callable[..., Any]] = {
    "CreatePost": _create,
    "UpdatePost": _update,
    "DeletePost": _delete,
    "GetPost": _get,
    "SendEphemeralPost": _send_ephemeral,
    "UpdateEphemeralPost": _update_ephemeral,
    "DeleteEphemeralPost": _delete_ephemeral,
}
