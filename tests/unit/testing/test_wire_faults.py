"""Four faults of httpx.ASGITransport, each shown there, and absent from WireTransport."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mm_asgi.errors import AppProtocolError
from mm_asgi.testing import WireTransport, as_user, lifespan
from tests.unit.testing.wire_apps import WireApp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Through the wire; the app is ``client.app``."""
    app = WireApp()
    async with WireTransport(app) as transport:
        made: Any = httpx.AsyncClient(transport=transport, base_url=transport.base_url)
        made.app = app
        async with made:
            yield made


@pytest.fixture
async def plain() -> AsyncIterator[httpx.AsyncClient]:
    """Through ASGITransport."""
    app = WireApp()
    async with lifespan(app) as started:
        transport = httpx.ASGITransport(as_user(started, None))
        made: Any = httpx.AsyncClient(transport=transport, base_url="http://test")
        made.app = app
        async with made:
            yield made


async def test_a_body_comes_as_it_is_sent(client: Any) -> None:
    async with client.stream("GET", "/two") as response:
        chunks = response.aiter_bytes()
        assert await anext(chunks) == b"one"
        assert not client.app.gate.is_set()
        client.app.gate.set()
        assert [chunk async for chunk in chunks] == [b"two"]


async def test_asgi_transport_keeps_the_body_to_its_end(plain: Any) -> None:
    request = asyncio.ensure_future(plain.get("/two"))
    await plain.app.at_gate.wait()
    # The app waits, and there is not even a response to read the first half from.
    assert not request.done()
    plain.app.gate.set()
    assert (await request).content == b"onetwo"


async def test_an_endless_stream_is_read_and_left(client: Any) -> None:
    async with client.stream("GET", "/events") as response:
        assert await anext(response.aiter_lines()) == "data: 0"
        await client._transport.disconnect(response)
    assert client.app.seen[-1] == "http.disconnect"


async def test_asgi_transport_gives_nothing_of_an_endless_stream(plain: Any) -> None:
    request = asyncio.ensure_future(plain.get("/events"))
    await plain.app.at_gate.wait()
    # The first event was sent, and its response will never be there.
    assert not request.done()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert "http.disconnect" not in plain.app.seen


async def test_half_a_body_is_an_error(client: Any) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="ended before it was complete"):
        await client.get("/half")


async def test_asgi_transport_gives_half_a_body_as_200(plain: Any) -> None:
    plain._transport.raise_app_exceptions = False
    response = await plain.get("/raises_late")
    assert (response.status_code, response.content) == (200, b"half")


async def test_half_a_body_is_an_error_for_a_host_too(client: Any) -> None:
    client._transport.raise_app_exceptions = False
    with pytest.raises(httpx.RemoteProtocolError, match="ended before it was complete"):
        await client.get("/raises_late")


async def test_half_a_body_is_readable_up_to_the_fault(client: Any) -> None:
    async with client.stream("GET", "/half") as response:
        chunks = response.aiter_bytes()
        assert (response.status_code, await anext(chunks)) == (200, b"half")
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(chunks)


async def test_str_headers_are_refused(client: Any) -> None:
    with pytest.raises(AppProtocolError, match="expected name and value as bytes"):
        await client.get("/str_headers")


async def test_asgi_transport_takes_str_headers(plain: Any) -> None:
    assert (await plain.get("/str_headers")).headers["x-a"] == "1"
