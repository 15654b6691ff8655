"""A plugin whose routes call the host's API, and say what came of it (rows A1, A2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mm_asgi import Plugin
from mm_asgi.api import API
from mm_asgi.errors import APIError
from tests.contract.apps.process.process_bell import ring
from tests.contract.apps.process.process_parts import answer, route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.contract.apps.process.process_parts import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for name in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{name}"
            ring(f"{name}: {await told(user)}")
            await send({"type": f"lifespan.{name}.complete"})
        return
    await answer(send, await told(ROUTES[route(scope)]))


async def told(call: Callable[[], Awaitable[str]]) -> str:
    """What a call gives, or which error it ends with."""
    try:
        return await call()
    except APIError as error:
        return f"{type(error).__name__} {error.status_code} {error.id}: {error}"


plugin = Plugin(app)
blocking = API(plugin.api)


async def user() -> str:
    return (await plugin.api.get_user(user_id="alice")).username


async def thread() -> str:
    return (await asyncio.to_thread(blocking.get_user, user_id="alice")).username


async def blocked() -> str:
    try:
        return blocking.get_user(user_id="alice").username
    except RuntimeError as error:
        return str(error)


async def write() -> str:
    await plugin.api.kv_set(key="k", value=b"v")
    return "written"


async def large_request() -> str:
    await plugin.api.kv_set(key="k", value=bytes(4 * 2**20))
    return "written"


async def large_answer() -> str:
    return str(len(await plugin.api.get_file(file_id="f")))


ROUTES = {
    "user": user,
    "thread": thread,
    "blocked": blocked,
    "write": write,
    "large-request": large_request,
    "large-answer": large_answer,
}
