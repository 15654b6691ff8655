"""Row S10: a request that lost its user to the host's CSRF rule is named in the log, once."""

from __future__ import annotations

import pytest

from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequest
from tests.contract.roads import MemoryRoad, Road, build_init, roads

pytestmark = pytest.mark.asyncio(loop_scope="session")

SAID = "by cookie came without its user"
USER = ("Authorization", "Bearer token-alice")


async def said_of(road: MemoryRoad, *requests: tuple[str, list[tuple[str, str]]]) -> list[str]:
    """The coach's lines after these requests; no line has a cookie's value."""
    for method, headers in requests:
        await road.http(method, "/scope", [("X-Case", "scope"), *headers])
    lines = [line for line in await road.lines() if SAID in line.message]
    assert {line.level for line in lines} <= {"warn"}
    assert not any("secret" in str(line) for line in await road.lines())
    return [line.message for line in lines]


@roads("m")
@pytest.mark.parametrize("cookie", ["MMCSRF=secret", "a=b; MMUSERID=secret"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "OPTIONS"])
async def test_S10_a_lost_user_is_named_once(road: Road, method: str, cookie: str) -> None:
    async with MemoryRoad() as own:
        lost = (method, [("Cookie", cookie)])
        (line,) = await said_of(own, lost, lost, ("PUT", [("Cookie", cookie)]))
    assert line.startswith(f"a {method} by cookie came without its user, and without X-CSRF-Token:")
    assert "docs/how-to/csrf.md" in line


@roads("m")
async def test_S10_with_a_token_that_does_not_fit(road: Road) -> None:
    async with MemoryRoad() as own:
        headers = [("Cookie", "MMCSRF=secret"), ("X-CSRF-Token", "secret")]
        (line,) = await said_of(own, ("POST", headers))
    assert "without its user, and with X-CSRF-Token:" in line


@roads("m")
async def test_S10_what_has_lost_nothing(road: Road) -> None:
    cookie = ("Cookie", "MMCSRF=secret")
    async with MemoryRoad() as own:
        assert [] == await said_of(
            own,
            ("GET", [cookie]),
            ("POST", [cookie, USER]),
            ("POST", []),
            ("POST", [("Cookie", "OTHERMMCSRF=secret; a=MMUSERID=secret")]),
            ("POST", [("X-Cookie", "MMCSRF=secret")]),
        )


@roads("m")
async def test_S10_another_plugin_has_lost_nobody(road: Road) -> None:
    async with MemoryRoad() as own:
        init = build_init("POST", "/scope", [("X-Case", "scope"), ("Cookie", "MMCSRF=secret")])
        init.headers.append(HTTPHeader(key="Mattermost-Plugin-Id", values=["com.example.other"]))
        await own.exchange(ServeHTTPRequest(init=init, body_complete=True))
        assert await said_of(own) == []
