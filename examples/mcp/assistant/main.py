"""The plugin: tools over streamable HTTP at /mcp, and the hook that one of them waits for."""

import asyncio
from contextlib import aclosing
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from assistant.channels import Posts, channel_for, told
from assistant.who import MattermostUser, user_of
from mm_asgi import Plugin, types
from mm_asgi.requester import Identity

LONGEST_WAIT = 120  # s, below the server's WriteTimeout of 300 s
PROGRESS = 5.0  # s between two signs of life

Channel = Annotated[str, Field(description="TEAM/CHANNEL, by their names in the URL")]
Ctx = Context[Any, Request]

server = MCPServer("Mattermost", version="0.1.0", instructions="Read and write in Mattermost.")
posts = Posts()


class User(BaseModel):
    id: str
    username: str


class Found(BaseModel):
    id: str
    user_id: str
    message: str


@server.tool()
async def whoami(ctx: Ctx) -> User:
    """Who asks, in Mattermost."""
    with told():
        user = await plugin.api.get_user(user_id=user_of(ctx.request_context.request))
    return User(id=user.id, username=user.username)


@server.tool()
async def post_message(
    channel: Channel, text: Annotated[str, Field(min_length=1, max_length=4000)], ctx: Ctx
) -> Found:
    """Post in a channel as the user who asks."""
    user_id = user_of(ctx.request_context.request)
    with told():
        where = await channel_for(plugin.api, channel, user_id, "create_post")
        post = types.Post(channel_id=where.id, user_id=user_id, message=text)
        return _found(await plugin.api.create_post(post=post))


@server.tool()
async def search_posts(team: str, terms: str, ctx: Ctx) -> list[Found]:
    """The posts of a team that have all these words, among those that the user may read."""
    user_id = user_of(ctx.request_context.request)
    with told():
        team_id = (await plugin.api.get_team_by_name(name=team)).id
        results = await plugin.api.search_posts_in_team_for_user(
            team_id=team_id, user_id=user_id, search_params=types.SearchParameter(terms=terms)
        )
    return [_found(results.posts[post_id]) for post_id in results.order]


@server.tool()
async def wait_for_post(
    channel: Channel, ctx: Ctx, seconds: Annotated[float, Field(gt=0, le=LONGEST_WAIT)] = 60
) -> Found:
    """Wait for the next post in a channel; tells progress meanwhile."""
    user_id = user_of(ctx.request_context.request)
    with told():
        where = await channel_for(plugin.api, channel, user_id, "read_channel")
    async with aclosing(posts.listen()) as coming, asyncio.TaskGroup() as group:
        clock = group.create_task(_tell_time(ctx, seconds))
        try:
            async with asyncio.timeout(seconds):
                async for post in coming:
                    if post.channel_id == where.id:
                        return _found(post)
        except TimeoutError:
            raise ToolError(f"Nobody posted in {channel} for {seconds:g} s.") from None
        finally:
            clock.cancel()
    raise AssertionError("the posts have no end")


async def _tell_time(ctx: Ctx, seconds: float) -> None:
    waited = 0.0
    while True:
        await ctx.report_progress(waited, seconds)
        await asyncio.sleep(PROGRESS)
        waited += PROGRESS


def _found(post: types.Post) -> Found:
    return Found(id=post.id, user_id=post.user_id, message=post.message)


async def status(request: Request) -> JSONResponse:
    return JSONResponse({"user": user_of(request), "waiting": posts.waiting})


# The library's check of the Host header knows localhost alone, and would refuse every request to a
# real server (421). What it is against, a page that makes its own name mean this address, gets
# nothing here: neither the cookie nor a token comes with such a name, and nobody is answered 401.
app = server.streamable_http_app(
    transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False)
)
app.routes.append(Route("/status", status))
app.add_middleware(MattermostUser)
plugin = Plugin(app)


@plugin.hook
async def message_has_been_posted(context: Identity, post: types.Post) -> None:
    posts.tell(post)
