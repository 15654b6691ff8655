"""Lists of posts: threads, pages, searches; after app/post.go and sqlstore/post_store.go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.calls.posts import need
from mm_asgi.host.mattermost.named import page_of
from mm_asgi.protocol.api_channel_post_pb2 import PostSearchResults
from mm_asgi.protocol.post_pb2 import PostList

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_channel_post_pb2 as pb
    from mm_asgi.protocol.post_pb2 import Post

__all__ = ["CALLS"]

LARGEST_PAGE = 1000
"""Posts; post_store.go refuses more."""


def _newest_first(posts: Iterable[Post]) -> list[Post]:
    # Posts of the same millisecond keep their order.
    return sorted(posts, key=lambda post: post.create_at)[::-1]


def _in_channel(mm: ServerState, channel_id: str) -> list[Post]:
    found = (post for post in mm.posts.values() if post.channel_id == channel_id)
    return _newest_first(post for post in found if not post.delete_at)


def _list(mm: ServerState, posts: list[Post]) -> PostList:
    """Return the posts in their order, with the first posts of their threads."""
    answer = PostList(order=[post.id for post in posts])
    for post in posts:
        answer.posts[post.id].CopyFrom(post)
        root = mm.posts.get(post.root_id)
        if root is not None and not root.delete_at:
            answer.posts[root.id].CopyFrom(root)
    return answer


def _check_size(per_page: int, where: str, error_id: str) -> None:
    if per_page > LARGEST_PAGE:
        raise AppError(where, error_id, 400)


# -------------------------------------------------------------------- the calls


def _get_thread(mm: ServerState, request: pb.GetPostThreadRequest) -> dict[str, Any]:
    post = need(mm, request.post_id, "GetPostThread", 404 if request.post_id else 400)
    root_id = post.root_id or post.id
    others = [
        other
        for other in mm.posts.values()
        if root_id in (other.id, other.root_id) and not other.delete_at and other is not post
    ]
    return {"post_list": _list(mm, [post, *_newest_first(others)])}


def _get_since(mm: ServerState, request: pb.GetPostsSinceRequest) -> dict[str, Any]:
    """Return the posts that changed after the time, deleted ones included for browsers to drop."""
    found = [
        post
        for post in mm.posts.values()
        if post.channel_id == request.channel_id and post.update_at > request.time
    ]
    return {"post_list": _list(mm, _newest_first(found)[:LARGEST_PAGE])}


def _get_after(mm: ServerState, request: pb.GetPostsAfterRequest) -> dict[str, Any]:
    where = "GetPostsAfterPost"
    _check_size(request.per_page, where, "app.post.get_posts_around.get.app_error")
    posts = _in_channel(mm, request.channel_id)
    later = posts[: _position(posts, request.post_id)]
    # Counted from the post onwards, but the newest comes first.
    page = page_of(later[::-1], request.page, request.per_page)
    return {"post_list": _list(mm, page[::-1])}


def _get_before(mm: ServerState, request: pb.GetPostsBeforeRequest) -> dict[str, Any]:
    where = "GetPostsBeforePost"
    _check_size(request.per_page, where, "app.post.get_posts_around.get.app_error")
    posts = _in_channel(mm, request.channel_id)
    earlier = posts[_position(posts, request.post_id) + 1 :] if _has(posts, request.post_id) else []
    return {"post_list": _list(mm, page_of(earlier, request.page, request.per_page))}


def _has(posts: list[Post], post_id: str) -> bool:
    return any(post.id == post_id for post in posts)


def _position(posts: list[Post], post_id: str) -> int:
    """Return the post's position; 0 when it is missing, since nothing is newer than the newest."""
    return next((at for at, post in enumerate(posts) if post.id == post_id), 0)


def _get_for_channel(mm: ServerState, request: pb.GetPostsForChannelRequest) -> dict[str, Any]:
    _check_size(request.per_page, "GetPostsPage", "app.post.get_posts.app_error")
    posts = _in_channel(mm, request.channel_id)
    return {"post_list": _list(mm, page_of(posts, request.page, request.per_page))}


def _search(mm: ServerState, request: pb.SearchPostsInTeamRequest) -> dict[str, Any]:
    found: dict[str, Post] = {}
    for params in request.params_list:
        for post in _matching(mm, request.team_id, params.terms, params.is_or_search):
            if _wanted(mm, post, params):
                found[post.id] = post
    return {"posts": _newest_first(found.values())}


def _search_for_user(
    mm: ServerState, request: pb.SearchPostsInTeamForUserRequest
) -> dict[str, Any]:
    params = request.search_params
    found = [
        post
        for post in _matching(mm, request.team_id, params.terms, params.is_or_search)
        if (post.channel_id, request.user_id) in mm.channel_members
    ]
    # On the wire 0 means "not given".
    page = page_of(_newest_first(found), params.page, params.per_page or 100)
    results = PostSearchResults(order=[post.id for post in page])
    for post in page:
        results.posts[post.id].CopyFrom(post)
    return {"results": results}


def _matching(mm: ServerState, team_id: str, terms: str, any_of_them: bool) -> list[Post]:
    """Return posts with all, or any, of the words. Modifiers such as ``from:`` are not supported."""
    words = [word.strip("*").lower() for word in terms.split()]
    if not words:
        return []
    enough = any if any_of_them else all
    return [
        post
        for post in mm.posts.values()
        if not post.delete_at
        and not post.type.startswith("system_")
        and mm.channels[post.channel_id].team_id in (team_id, "")
        and enough(word in post.message.lower() for word in words)
    ]


def _wanted(mm: ServerState, post: Post, params: pb.SearchParams) -> bool:
    def fits(value: Collection[str], names: Collection[str], excluded: bool) -> bool:
        return not names or (bool(set(value) & set(names)) is not excluded)

    channel = mm.channels[post.channel_id]
    where = (channel.id, channel.name)
    who = (post.user_id, mm.users[post.user_id].username)
    return (
        (params.include_deleted_channels or not channel.delete_at)
        and fits(where, params.in_channels, False)
        and fits(where, params.excluded_channels, True)
        and fits(who, params.from_users, False)
        and fits(who, params.excluded_users, True)
    )


CALLS: Mapping[str, Callable[..., Any]] = {
    "GetPostThread": _get_thread,
    "GetPostsSince": _get_since,
    "GetPostsAfter": _get_after,
    "GetPostsBefore": _get_before,
    "GetPostsForChannel": _get_for_channel,
    "SearchPostsInTeam": _search,
    "SearchPostsInTeamForUser": _search_for_user,
}
