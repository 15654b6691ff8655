"""What type checkers know of hooks and commands: read by mypy and pyright, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from mm_asgi import Plugin, Reject, types

if TYPE_CHECKING:
    from mm_asgi.commands import CommandContext
    from mm_asgi.requester import Identity

plugin = Plugin()


@plugin.hook
async def message_will_be_posted(context: Identity, post: types.Post) -> types.Post | None:
    assert_type(context.request_id, str)
    assert_type(post.message, str)
    if not post.message:
        raise Reject("say something")
    return None


@plugin.hook(fail="closed")
def file_will_be_uploaded(
    context: Identity, file_info: types.FileInfo, file_content: bytes
) -> bytes | None:
    assert_type(file_info.size, int)
    return file_content[:10]


@plugin.command("weather", hint="[city]", description="The weather")
async def weather(context: CommandContext, city: str = "", days: int = 1) -> str:
    assert_type(context.channel_id, str)
    assert_type(context.user_id, str | None)
    return city * days


async def the_functions_stay_what_they_are(
    context: Identity, command: CommandContext, post: types.Post, info: types.FileInfo
) -> None:
    assert_type(await message_will_be_posted(context, post), types.Post | None)
    assert_type(file_will_be_uploaded(context, info, b""), bytes | None)
    assert_type(await weather(command, "Rome", days=2), str)


async def mistakes(context: Identity, post: types.Post) -> None:
    await message_will_be_posted(context)  # type: ignore[call-arg]
    await message_will_be_posted(post, context)  # type: ignore[arg-type]
    plugin.hook(fail="shut")  # type: ignore[call-overload]
    plugin.hook("on_activate")  # type: ignore[call-overload]
    plugin.command()  # type: ignore[call-arg]
    plugin.command("weather", help="h")  # type: ignore[call-arg]
    plugin.hook(mistakes).nothing  # type: ignore[attr-defined] # noqa: B018
    raise Reject(3)  # type: ignore[arg-type]
