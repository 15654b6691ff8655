"""The plugin: a page by FastAPI, a filter for posts, two slash commands."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles

from mm_asgi import Plugin, Reject, errors, types
from mm_asgi.commands import CommandContext
from mm_asgi.contrib.fastapi import CurrentUserID
from mm_asgi.requester import Identity
from moderator.rules import Rules
from moderator.store import Journal, RuleBook

STATIC = Path(__file__).parent / "static"

logger = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await book.load()
    yield


app = FastAPI(title="Moderator", lifespan=lifespan, docs_url=None, redoc_url=None)
app.mount("/static", StaticFiles(directory=STATIC), name="static")
plugin = Plugin(app)
book = RuleBook(plugin.api)
journal = Journal()


# ------------------------------------------------------------------ the filter


@plugin.hook
async def message_will_be_posted(context: Identity, post: types.Post) -> types.Post | None:
    return await moderated(post)


@plugin.hook
async def message_will_be_updated(
    context: Identity, new_post: types.Post, old_post: types.Post
) -> types.Post | None:
    return await moderated(new_post)


async def moderated(post: types.Post) -> types.Post | None:
    if word := book.rules.forbidden(post.message):
        journal.note("refused", await name_of(post.user_id), f"because of “{word}”")
        raise Reject(f"Mind your language: “{word}” is not for here.")
    calm = book.rules.calmed(post.message)
    if calm == post.message:
        return None
    journal.note("calmed", await name_of(post.user_id), "a post in capital letters")
    post.message = calm
    await whisper(post, "No need to shout: I put your post into small letters.")
    return post


async def whisper(post: types.Post, text: str) -> None:
    """Tell the author alone; that this fails must not fail the post."""
    note = types.Post(channel_id=post.channel_id, root_id=post.root_id, message=text)
    try:
        await plugin.api.send_ephemeral_post(user_id=post.user_id, post=note)
    except errors.APIError as error:
        logger.warning("the author was not told: %s", error)


async def name_of(user_id: str) -> str:
    try:
        return (await plugin.api.get_user(user_id=user_id)).username
    except errors.APIError as error:
        logger.warning("the name of %s is not known: %s", user_id, error)
        return user_id


# ------------------------------------------------------------------ the commands


@plugin.command(
    "words", hint="[list|add|remove] [word]...", description="The words that are refused"
)
async def words(context: CommandContext, action: str = "list", *given: str) -> str:
    if action == "list":
        return f"Refused are: {', '.join(book.rules.words) or 'no words'}."
    if action not in ("add", "remove") or not given:
        return "Usage: `/words list`, `/words add WORD...` or `/words remove WORD...`"
    if refusal := await who_may_not(context):
        return refusal
    try:
        rules = await book.change(
            lambda old: old.with_words(given) if action == "add" else old.without_words(given)
        )
    except ValueError:
        return "A word has letters, digits, ' and -, and at most 40 of them."
    name = await name_of(context.user_id or "")
    journal.note("rules", name, f"refused are now: {', '.join(rules.words) or 'no words'}")
    return f"Refused are now: {', '.join(rules.words) or 'no words'}."


@plugin.command("shouting", description="Per cent of capitals above which a post is calmed")
async def shouting(context: CommandContext, percent: int | None = None) -> str:
    if percent is None:
        return f"Above {book.rules.shouting} % of capitals a post is put into small letters."
    if refusal := await who_may_not(context):
        return refusal
    try:
        await book.change(lambda old: old.with_shouting(percent))
    except ValueError:
        return f"{percent} % cannot be; expected 1 to 100."
    name = await name_of(context.user_id or "")
    journal.note("rules", name, f"shouting begins above {percent} % of capitals")
    return f"Above {percent} % of capitals a post is now put into small letters."


async def who_may_not(context: CommandContext) -> str | None:
    """Why somebody may not change the rules; None: may."""
    user_id = context.user_id or ""
    if await plugin.api.has_permission_to(user_id=user_id, permission_id="manage_system"):
        return None
    return "Only a system administrator may change the rules."


# ------------------------------------------------------------------ the page


@app.get("/", include_in_schema=False)
async def index() -> FileResponse:
    return FileResponse(STATIC / "index.html")


@app.get("/rules")
async def rules(user: CurrentUserID) -> Rules:
    return book.rules


@app.get("/acts", response_class=EventSourceResponse)
async def acts(
    user: CurrentUserID, last_event_id: Annotated[int, Header()] = 0
) -> AsyncIterator[ServerSentEvent]:
    """What was done, from the beginning or from where the browser was."""
    async for act in journal.since(last_event_id):
        yield ServerSentEvent(data=act, id=str(act.id))
