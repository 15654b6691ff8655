"""What the tests of contrib share: an in-memory Mattermost's API, and a client as its user."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from mm_asgi.api import AsyncAPI
from mm_asgi.host.mattermost import APIServer, Mattermost
from mm_asgi.host.plugin.log import HostLog
from mm_asgi.testing import as_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = "/chat/plugins/com.example.demo"


@asynccontextmanager
async def mattermost_api() -> AsyncIterator[tuple[Mattermost, AsyncAPI]]:
    """A Mattermost with alice, bob and sysadmin, and a client of its API."""
    mattermost = Mattermost("com.example.demo", log=HostLog())
    server = APIServer(mattermost)
    await server.start()
    try:
        async with AsyncAPI(server.target) as api:
            yield mattermost, api
    finally:
        await mattermost.hooks.close()
        await server.stop()


def client(app: Any, user: str | None = "alice", **options: Any) -> httpx.AsyncClient:
    """A client of the app as a plugin's user sees it."""
    seen = as_user(app, user, plugin_id="com.example.demo", root_path=ROOT, **options)
    return httpx.AsyncClient(transport=httpx.ASGITransport(seen), base_url=f"http://test{ROOT}")
