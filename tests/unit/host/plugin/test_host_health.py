"""Health checks and hook deadlines: what the server does to a plugin that is gone or too slow.

The promises are kept by the simulated host and, where there is Go, by the real one.
"""

from __future__ import annotations

import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.host import Host, HostError
from mm_asgi.host.plugin.health import HealthCheck
from mm_asgi.host.plugin.log import HostLog
from tests.go_host import GoHost, StartFailed, go_missing_reason
from tests.unit.host.raw_http import ask
from tests.unit.host.raw_script import written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FOLDER = Path(__file__).parents[1] / "plugins"
NAME = "com.example.demo"
HOOK_TIMEOUT = 0.5

pytestmark = pytest.mark.timeout(60)
GO = pytest.param(
    "go",
    marks=[
        pytest.mark.full,
        pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason())),
    ],
)


class Simulated:
    """The simulated host, asked as the real one is."""

    def __init__(self, **options: Any) -> None:
        argv = [sys.executable, "wire_plugin.py"]
        self._host = Host(argv=argv, directory=FOLDER, subpath="/mm", **options)

    async def __aenter__(self) -> Simulated:
        await self._host.__aenter__()
        self.address, self.pid = self._host.address, self._host.pid
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._host.close()

    async def check(self, *, crashed: bool = False) -> bool:
        if crashed:
            await self._host.plugin_ended()
        healthy = await self._host.check_health()
        self.pid = self._host.pid
        return healthy

    async def enable(self) -> None:
        await self._host.restart()

    async def hook(self, name: str) -> None:
        await self._host.hook(name, force=True)

    def said(self) -> list[tuple[str, str, str]]:
        return [
            (line.level, line.message, str(line.fields.get("error", "")))
            for line in self._host.log.lines("host")
            if "process ended by itself" not in line.message  # our own sentence
        ]


class Real:
    """The Go host."""

    def __init__(
        self, *, health_interval: float = 0, hook_timeout: float = 30, **more: Any
    ) -> None:
        flags = [f"-hook-timeout={hook_timeout}s", f"-health-interval={health_interval}s"]
        self._host = GoHost(FOLDER, "wire_plugin.py", subpath="/mm", flags=flags, **more)

    async def __aenter__(self) -> Real:
        await self._host.__aenter__()
        self.address, self.pid = self._host.http, self._host.pid
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._host.__aexit__(None, None, None)

    async def check(self, *, crashed: bool = False) -> bool:
        facts = await self._host.control("/health?after_exit=1" if crashed else "/health")
        self.pid = self._host.pid
        return not facts["checked"] or bool(facts["healthy"])

    async def enable(self) -> None:
        await self._host.control("/activate")

    async def hook(self, name: str) -> None:
        await self._host.control(f"/hook/{name}?force=1")

    def said(self) -> list[tuple[str, str, str]]:
        return [
            (line["level"], line["message"], str(line.get("fields", {}).get("error", "")))
            for line in self._host.log_lines("host")
        ]


@asynccontextmanager
async def started(kind: str, **options: Any) -> AsyncIterator[Simulated | Real]:
    options.setdefault("health_interval", 0)
    host = Real(**options) if kind == "go" else Simulated(**options)
    async with host:
        yield host


async def status(host: Simulated | Real) -> int:
    return (await ask(host.address, written("GET"))).status


async def crash(host: Simulated | Real) -> None:
    answer = await ask(host.address, written("GET", ["exit"]))
    assert (answer.status, answer.body) == (502, b"Bad Gateway\n")


def about_health(host: Simulated | Real) -> list[tuple[str, str]]:
    return [(level, message) for level, message, _ in host.said() if "ServeHTTP" not in message]


FAILED = ("warn", "Health check failed for plugin")
LEFT = [
    ("error", "gRPC OnDeactivate call failed"),
    ("error", "Plugin OnDeactivate() error"),
]
RESTARTED = [FAILED, ("debug", "Restarting plugin due to failed health check"), *LEFT]
DEACTIVATED = [FAILED, ("debug", "Deactivating plugin due to multiple crashes"), *LEFT]


@pytest.mark.parametrize("kind", ["simulated", GO])
async def test_a_plugin_that_crashes_is_restarted_twice_and_then_deactivated(kind: str) -> None:
    async with started(kind) as host:
        assert await host.check()
        assert host.said() == []
        for _ in range(2):
            gone = host.pid
            await crash(host)
            assert not await host.check(crashed=True)
            assert host.pid != gone
            assert await status(host) == 200
        await crash(host)
        assert not await host.check(crashed=True)
        assert await status(host) == 404
        assert about_health(host) == [*RESTARTED, *RESTARTED, *DEACTIVATED]
        await host.enable()
        assert await status(host) == 200
        await crash(host)
        assert not await host.check(crashed=True)  # what was before is forgotten
        assert await status(host) == 200


@pytest.mark.full
@pytest.mark.parametrize("kind", ["simulated", GO])
async def test_until_its_check_a_crashed_plugin_is_a_503(kind: str) -> None:
    async with started(kind) as host:
        await crash(host)
        if isinstance(host, Simulated):
            await host._host.plugin_ended()
        assert await status(host) == 503
        assert not await host.check(crashed=True)
        assert await status(host) == 200


@pytest.mark.full
@pytest.mark.parametrize("kind", ["simulated", GO])
async def test_a_restart_that_fails_is_the_last_one(kind: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    async with started(kind, env={"WIRE_BROKEN": str(broken)}) as host:
        await crash(host)
        broken.touch()
        await host.check(crashed=True)
        level, message, error = host.said()[-1]
        assert (level, message) == ("error", "Failed to restart plugin")
        assert error
        before = len(host.said())
        assert await host.check()  # there is nothing to check any more
        assert len(host.said()) == before
        assert await status(host) == (404 if kind == "go" else 503)  # ours says why


async def test_a_crash_is_found_by_the_next_round() -> None:
    argv = [sys.executable, "wire_plugin.py"]
    async with Host(argv=argv, directory=FOLDER, subpath="/mm", health_interval=0.05) as host:
        gone = host.pid
        await ask(host.address, written("GET", ["exit"]))
        await host.log.wait_for(lambda line: "OnDeactivate() error" in line.message)
        await host.log.wait_for(
            lambda line: line.message == "plugin started" and line.fields["pid"] != gone
        )
        await host.restart()  # it waits for the other one
        assert not host.failure


def test_three_failures_in_an_hour_deactivate() -> None:
    now = 0.0
    log = HostLog()
    check = HealthCheck("x", log, lambda: now)
    steps = [(0, True), (60, True), (59 * 60, False), (1, True), (60, True), (61 * 60, True),
             (1, True), (1, False)]  # fmt: skip
    for after, restart in steps:
        now += after
        assert check.fail() == restart
    assert {line.fields["id"] for line in log.lines("host")} == {"x"}


# -------------------------------------------------------------------- deadlines of hooks


def too_late(name: str) -> tuple[str, str]:
    return "error", f"gRPC {name} call failed"


@pytest.mark.full
@pytest.mark.parametrize("kind", ["simulated", GO])
@pytest.mark.parametrize(
    ("name", "stage"), [("OnActivate", "activate"), ("Implemented", "implemented")]
)
async def test_a_start_that_overruns_its_deadline_fails(kind: str, name: str, stage: str) -> None:
    env = {"WIRE_ANSWERS": json.dumps({name: "hang"})}
    with pytest.raises((HostError, StartFailed)) as caught:
        async with started(kind, env=env, hook_timeout=HOOK_TIMEOUT):
            pytest.fail("it started")
    error: Any = caught.value
    assert error.stage == stage
    assert f"gRPC {name} call failed: " in error.error
    assert "deadline exceeded" in error.error.lower()


@pytest.mark.full
@pytest.mark.parametrize("kind", ["simulated", GO])
async def test_a_hook_that_overruns_is_logged_and_the_plugin_goes_on(kind: str) -> None:
    env = {"WIRE_ANSWERS": json.dumps({"MessageWillBePosted": "hang", "OnDeactivate": "hang"})}
    async with started(kind, env=env, hook_timeout=HOOK_TIMEOUT) as host:
        await host.hook("MessageWillBePosted")
        assert await status(host) == 200
    # The whole server's end waits for OnDeactivate no longer than its deadline.
    said = host.said()
    assert [line[:2] for line in said] == [
        too_late("MessageWillBePosted"),
        too_late("OnDeactivate"),
    ]
    for _, _, error in said:
        assert "deadline exceeded" in error.lower()


@pytest.mark.full
async def test_a_filter_that_overruns_lets_the_post_through() -> None:
    """Fail open: hooks.go of the server takes no answer for no objection."""
    listed = {"hooks": ["MessageWillBePosted"]}
    answers = {"Implemented": listed, "MessageWillBePosted": "hang"}
    async with Host(
        argv=[sys.executable, "wire_plugin.py"], directory=FOLDER, hook_timeout=HOOK_TIMEOUT,
        env={"WIRE_ANSWERS": json.dumps(answers)},
    ) as host:  # fmt: skip
        post = await host.mattermost.post("town-square", "alice", "hello")
        assert host.mattermost.posts[post.id].message == "hello"
        [line] = host.log.lines("host")
        assert line.message == "gRPC MessageWillBePosted call failed"
