"""Hooks that call the API, on the loop and from a thread, and filters that fail by the post's word."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from mm_asgi import Plugin, errors, types
from mm_asgi.api import API
from mm_asgi.autocomplete import Choices, Dynamic, SubCommand, Suggestion, Text
from tests.contract.apps import catalog
from tests.contract.apps.registry import Call

if TYPE_CHECKING:
    from mm_asgi.commands import CommandContext
    from mm_asgi.requester import Identity


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says at its root what the plugin knows of the site; else the catalog's cases."""
    if scope.get("path", "").rstrip("/") != scope.get("root_path"):
        await catalog.app(scope, receive, send)
        return
    facts = {"scheme": scope["scheme"], "config": plugin.config}
    await Call(scope, receive, send).answer(json.dumps(facts).encode())


async def metrics(scope: Any, receive: Any, send: Any) -> None:
    """Says which path it was asked for."""
    facts = {name: scope[name] for name in ("path", "root_path", "method", "state")}
    await Call(scope, receive, send).answer(json.dumps(facts).encode())


plugin = Plugin(app, metrics=metrics)
blocking = API(plugin.api)


@plugin.command("whoami")
async def whoami(context: CommandContext) -> str:
    assert context.user_id is not None
    return (await plugin.api.get_user(user_id=context.user_id)).email


@plugin.command(
    "issue",
    description="Work with issues",
    autocomplete=[
        SubCommand("list", "List issues", Choices("Which", ["open", Suggestion("all", "slow")])),
        SubCommand(
            "close",
            "Close an issue",
            Dynamic("The issue", "/suggest"),
            Text("Why", "[reason]", name="reason", required=False),
            role="system_admin",
        ),
    ],
)
async def issue(context: CommandContext, *words: str) -> str:
    return " ".join(words)


@plugin.command("toast")
async def toast(context: CommandContext) -> str:
    options = types.SendToastMessageOptions(position="top-left")
    try:
        await plugin.api.send_toast_message(
            user_id=context.user_id or "", message="done", options=options
        )
    except errors.Unimplemented as error:
        return error.message
    return "shown"


@plugin.hook
async def message_will_be_posted(context: Identity, post: types.Post) -> Any:
    match post.message:
        case "raise":
            raise LookupError("secret")
        case "exit":
            raise SystemExit("secret")
        case "nonsense":
            return object()
        case "overrun":
            await asyncio.Event().wait()
        case "ask for nobody":
            await plugin.api.get_user(user_id="nobody")
        case "who":
            post.message = (await plugin.api.get_user(user_id=post.user_id)).email
            return post
    return None


@plugin.hook
async def message_has_been_posted(context: Identity, post: types.Post) -> None:
    if post.message.startswith("count"):
        number = int(post.message.split()[1]) - 1
        if number:
            # The host asks the filter above, and tells this hook of it, before this call ends.
            answer = types.Post(
                channel_id=post.channel_id, user_id="bob", message=f"count {number}"
            )
            await plugin.api.create_post(post=answer)


@plugin.hook
def message_will_be_updated(
    context: Identity, new_post: types.Post, old_post: types.Post
) -> types.Post | None:
    if not blocking.kv_compare_and_set(key=new_post.id, old_value=b"", new_value=b"seen"):
        raise LookupError("seen before")
    new_post.message += f" (was: {old_post.message})"
    return new_post
