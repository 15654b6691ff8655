"""MCP's own client in-process, through the simulated host and the Go host (marker full)."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from assistant import main
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from mm_asgi.host import Host
from mm_asgi.testing import as_user, lifespan

HERE = Path(__file__).parent
PLUGIN_ID = "com.example.mcp"
SUBPATH = "/chat"  # Mattermost itself below a path: the hardest case for URLs
FULL = [pytest.mark.full, pytest.mark.timeout(180)]  # the first test builds the Go host
MODES = ("auto", "legacy")  # a POST a call; a session with a GET stream of its own
CHANNEL = "demo/town-square"


class Server:
    """The plugin behind a host; users log in by token."""

    def __init__(self, url: str, host: Any) -> None:
        self.url = url
        self.host = host

    def http(self, user: str | None = "alice") -> httpx2.AsyncClient:
        headers = {} if user is None else {"Authorization": f"Bearer token-{user}"}
        return httpx2.AsyncClient(
            base_url=self.url, headers=headers, trust_env=False, timeout=httpx2.Timeout(30)
        )

    @contextlib.asynccontextmanager
    async def client(self, user: str = "alice", mode: str = "auto") -> AsyncIterator[Client]:
        async with self.http(user) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                yield client

    async def post(self, user: str, text: str) -> None:
        if isinstance(self.host, Host):
            await self.host.mattermost.post("town-square", user, text)
        else:
            said = {"user": user, "channel": "town-square", "message": text}
            await self.host.control("/api/post", said)


@pytest.fixture(params=[pytest.param(kind, marks=FULL) for kind in ("simulated", "go")])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    if request.param == "simulated":
        async with Host(directory=HERE, plugin_id=PLUGIN_ID, subpath=SUBPATH, user="") as host:
            yield Server(host.url, host)
        return
    # The rest of the repository, which is there for tests of this example only.
    sys.path.append(str(HERE.parents[1]))
    from tests.go_host import GoHost, go_missing_reason

    if reason := go_missing_reason():
        pytest.skip(reason)
    async with GoHost(HERE, plugin_id=PLUGIN_ID, subpath=SUBPATH, flags=["-api"]) as go_host:
        yield Server(go_host.plugin_url, go_host)


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool gives, or the text of its error."""
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        return " ".join(getattr(part, "text", "") for part in result.content)
    assert result.structured_content is not None
    return result.structured_content


# ------------------------------------------------------------------ in-process


async def test_in_process() -> None:
    """One test: the session manager can be started once in a process."""
    async with lifespan(main.app) as started:
        wrapped: Any = as_user(started, "alice", plugin_id=PLUGIN_ID)
        transport = httpx2.ASGITransport(wrapped)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://chat.example.com"
        ) as http:
            url = f"http://chat.example.com/plugins/{PLUGIN_ID}/mcp"
            async with Client(streamable_http_client(url, http_client=http)) as client:
                tools = {tool.name for tool in (await client.list_tools()).tools}
                assert tools == {"whoami", "post_message", "search_posts", "wait_for_post"}
                assert "no channel, expected TEAM/CHANNEL" in await call(
                    client, "post_message", channel="town-square", text="hi"
                )
                # No host, no API: the model is told so.
                assert "Mattermost says: GetUser" in await call(client, "whoami")
                assert "greater than 0" in await call(
                    client, "wait_for_post", channel=CHANNEL, seconds=0
                )
        nobody: Any = as_user(started, None, plugin_id=PLUGIN_ID)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(nobody)) as http:
            answer = await http.post("http://chat.example.com/mcp", json={})
            assert (answer.status_code, "personal access token" in answer.text) == (401, True)


# ------------------------------------------------------------------ behind a host


async def tools_act_as_the_user_who_asks(server: Server) -> None:
    for mode in MODES:
        async with server.client("alice", mode) as alice, server.client("bob", mode) as bob:
            assert await call(alice, "whoami") == {"id": "alice", "username": "alice"}
            assert await call(bob, "whoami") == {"id": "bob", "username": "bob"}
            made = await call(bob, "post_message", channel=CHANNEL, text=f"lentils {mode}")
            assert (made["user_id"], made["message"]) == ("bob", f"lentils {mode}")
            refusal = "There is no channel 'demo/nowhere', or you have no create_post there."
            answer = await call(bob, "post_message", channel="demo/nowhere", text="x")
            assert answer.endswith(refusal)
            found = await call(alice, "search_posts", team="demo", terms="lentils")
            if isinstance(server.host, Host):
                assert made in found["result"]
            else:
                assert "not implemented" in found  # by this host


async def progress_streams_until_somebody_posts(server: Server) -> None:
    for mode in MODES:
        await _wait_for_a_post(server, mode)


async def _wait_for_a_post(server: Server, mode: str) -> None:
    waits = asyncio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert (progress, total) == (0, 60)
        waits.set()

    async with server.client("alice", mode) as client:
        arguments = {"channel": CHANNEL, "seconds": 60}
        waiting = asyncio.create_task(
            client.call_tool("wait_for_post", arguments, progress_callback=note)
        )
        await waits.wait()
        await server.post("bob", "here I am")
        result = await waiting
    assert result.structured_content is not None
    assert result.structured_content["message"] == "here I am"


async def who_leaves_is_not_waited_for(server: Server) -> None:
    waits = asyncio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        waits.set()

    async with server.client("alice") as client, server.http("alice") as http:
        call = client.call_tool("wait_for_post", {"channel": CHANNEL}, progress_callback=note)
        waiting = asyncio.create_task(call)
        await waits.wait()
        assert (await http.get("status")).json() == {"user": "alice", "waiting": 1}
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(20):
            while (await http.get("status")).json()["waiting"]:
                pass  # a request is a pause


async def a_session_belongs_to_who_opened_it(server: Server) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    accept = {"Accept": "application/json, text/event-stream"}
    async with server.http("alice") as alice, server.http("bob") as bob, server.http(None) as none:
        opened = await alice.post("mcp", json=hello, headers=accept)
        session = accept | {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        assert (await alice.post("mcp", json=ping, headers=session)).status_code == 200
        stolen = await bob.post("mcp", json=ping, headers=session)
        assert (stolen.status_code, "Session not found" in stolen.text) == (404, True)
        assert (await none.post("mcp", json=ping, headers=session)).status_code == 401


async def a_stop_ends_open_streams_in_good_order(server: Server) -> None:
    async with server.client("alice", "legacy") as client:
        assert (await call(client, "whoami"))["id"] == "alice"
        if isinstance(server.host, Host):
            await server.host.restart()
        else:
            ended = await server.host.control("/deactivate")
            assert (ended["error"], ended["exit_code"], ended["sigkill"]) == (None, 0, False)
            said = [line for line in server.host.log_lines("plugin") if line["level"] == "error"]
            assert not said, json.dumps(said)


async def test_through_a_host(server: Server) -> None:
    """One test, one plugin: its import takes longer than all of these."""
    await tools_act_as_the_user_who_asks(server)
    await progress_streams_until_somebody_posts(server)
    await who_leaves_is_not_waited_for(server)
    await a_session_belongs_to_who_opened_it(server)
    await a_stop_ends_open_streams_in_good_order(server)
