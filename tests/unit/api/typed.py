"""What type checkers know of the API client: read by mypy and pyright, never run."""
# pyright: reportUnusedExpression=false

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from mm_asgi import Plugin, types
from mm_asgi.api import API, AsyncAPI

if TYPE_CHECKING:
    from mm_asgi.types import Channel, Post, User


async def answers_of_the_async_face(api: AsyncAPI) -> None:
    assert_type(await api.get_user(user_id="u"), types.User)
    assert_type(await api.get_users(in_team_id="t", page=2), list[types.User])
    assert_type(await api.create_post(post=types.Post(message="m")), types.Post)
    assert_type(await api.delete_post(post_id="p"), None)
    assert_type(await api.kv_get(key="k"), bytes)
    assert_type(await api.kv_list(), list[str])
    assert_type(await api.kv_compare_and_set(key="k", old_value=b"", new_value=b"1"), bool)
    assert_type(await api.get_system_install_date(), int)
    assert_type(await api.get_ldap_user_attributes(user_id="u", attributes=["a"]), dict[str, str])
    assert_type(await api.get_emoji_image(emoji_id="e"), types.GetEmojiImageResponse)
    assert_type((await api.get_emoji_image(emoji_id="e")).content_type, str)
    assert_type(await api.get_plugin_config(), types.Struct | None)
    assert_type((await api.plugin_http(method="GET", url="/x/")).status_code, int)
    await api.publish_web_socket_event(event="e", payload={"a": [1, None]})
    async with AsyncAPI("unix:/x") as entered:
        assert_type(entered, AsyncAPI)


def answers_of_the_blocking_face(plugin: Plugin) -> None:
    assert_type(plugin.api, AsyncAPI)
    api = API(plugin.api, timeout=60)
    assert_type(api.get_user(user_id="u"), types.User)
    assert_type(api.get_user(user_id="u").username, str)
    assert_type(api.search_teams(term="t"), list[types.Team])
    assert_type(api.delete_post(post_id="p"), None)
    with API() as entered:
        assert_type(entered, API)


def types_by_name(channel: Channel, post: Post, user: User) -> None:
    assert_type(channel.type, types.ChannelType.ValueType)
    assert_type(post.message, str)
    assert_type(user.delete_at, int)


async def mistakes(api: AsyncAPI, blocking: API) -> None:
    await api.get_user()  # type: ignore[call-arg]
    await api.get_user("u")  # type: ignore[call-arg]
    await api.get_user(user_id=5)  # type: ignore[arg-type]
    await api.get_user(id="u")  # type: ignore[call-arg]
    await api.create_post(post=types.User())  # type: ignore[arg-type]
    await api.create_post(post=None)  # type: ignore[arg-type]
    await api.no_such_call()  # type: ignore[attr-defined]
    blocking.get_users(page="1")  # type: ignore[arg-type]
    types.NoSuchType  # type: ignore[attr-defined] # noqa: B018
