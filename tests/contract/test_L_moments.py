"""Rows L5 and L6: the host or the plugin stands still in the middle of anything, or is killed there.

A moment is what the plugin is in the middle of: tests/contract/apps/process/moments.py. It lasts
until the test ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.apps.process.moments import PIECE
from tests.contract.test_L_released import bundle, environ
from tests.go_api import GoAPI
from tests.go_host import PluginProcess, StartFailed
from tests.net_host import NetHost
from tests.roads import on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.roads.process.real_host import RealHost

pytestmark = pytest.mark.timeout(120)

IN_START = ("handshake", "import", "OnActivate")
IN_REQUEST = ("body", "answer", "call")
GONE = 3.0  # s that row L5 gives a plugin whose host is dead
WAIT = 10.0
STILL = 45.0  # s: yamux on the host pings each 30 s and waits 10 s
DIALLED = 2.0  # s: after one the plugin has dialled a response that no app has begun
HALF = b"h" * 300_000
USER = b"alice"
WHOLE = {
    "body": hashlib.sha256(2 * HALF).hexdigest().encode(),
    "answer": 2 * PIECE,
    "call": USER,
}
"""What the requests are answered when nothing comes between."""


def wait_until(condition: Callable[[], bool]) -> None:
    """For what the kernel tells nobody."""
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until


class Moment:
    """A plugin in the middle of something.

    Args:
        host: is started here, as far as the moment lets it.
        name: one of IN_START or IN_REQUEST.
    """

    def __init__(self, host: RealHost, name: str) -> None:
        self.host = host
        self.name = name
        self._api = GoAPI(host.go)
        self._request: http.client.HTTPConnection | None = None
        self._answer: http.client.HTTPResponse | None = None
        if name in IN_START:
            host.run(host.go.launch())
            host.bell.wait(name)
        else:
            host.start()
            self._request = self._begin_request()
        # Before the handshake no event tells it.
        [said] = [rung for rung in host.bell.names if rung.startswith("pid ")]
        self.plugin = PluginProcess(int(said.removeprefix("pid ")))

    def _begin_request(self) -> http.client.HTTPConnection:
        if self.name == "call":
            self.host.run(self._api.fail("GetUser", hold=True))
        request = http.client.HTTPConnection(self.host.go.address, timeout=30)
        path = self.host.go.plugin_url.removeprefix(self.host.go.http)
        request.putrequest("POST" if self.name == "body" else "GET", f"{path}/{self.name}")
        if self.name == "body":
            request.putheader("Content-Length", str(2 * len(HALF)))
        request.endheaders()
        if self.name == "body":
            request.send(HALF)
        if self.name == "call":
            self.host.run(self._api.held())
        else:
            self.host.bell.wait(self.name)
        if self.name == "answer":
            self._answer = request.getresponse()  # its first half has reached the client
        return request

    def go_on(self) -> None:
        """Let the plugin go on."""
        if self.name != "call":  # the host has that
            self.host.bell.release(self.name)
            self.host.bell.wait(f"{self.name} goes on")

    def ends_well(self) -> None:
        """See that what was begun ends as if nothing had come between."""
        if self._request is None:
            event = self.host.run(self.host.go.wait_event("ready", "failed"))
            assert event["event"] == "ready", event
            return
        if self.name == "call":
            self.host.run(self._api.heal())
        answer = self._finish(self._request)
        assert (answer.status, answer.read()) == (200, WHOLE[self.name])

    def breaks_off(self) -> int:
        """See that the request ends without its whole answer; return the status."""
        assert self._request is not None
        answer = self._finish(self._request)
        with contextlib.suppress(http.client.IncompleteRead):
            assert answer.read() != WHOLE[self.name]
        if self.name == "call":
            self.host.run(self._api.heal())
        return answer.status

    def _finish(self, request: http.client.HTTPConnection) -> http.client.HTTPResponse:
        if self.name == "body":
            # net/http answers nothing while it waits for the body, whatever became of the plugin.
            request.send(HALF)
        return self._answer or request.getresponse()

    def close(self) -> None:
        self.plugin.kill()
        self.plugin.close()
        if self._request is not None:
            self._request.close()


@contextlib.contextmanager
def in_the_middle(
    host: type[RealHost], name: str, folder: Path, *, api_timeout: float = 30.0
) -> Iterator[Moment]:
    with host(
        "moments:plugin",
        api=True,
        PROCESS_MOMENT=name,
        TMPDIR=str(folder),
        api_timeout=api_timeout,
    ) as running:
        moment = Moment(running, name)
        try:
            yield moment
        finally:
            moment.close()


@contextlib.contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Stop a process; at the end it goes on, if it is there."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def left_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name.startswith("mm-asgi-")]


def age(folder: Path) -> None:
    """A plugin leaves a folder alone that is younger than a minute: its owner may be about to lock it."""
    for name in left_in(folder):
        os.utime(folder / name, (0, 0))


@on("g", "n", "o")
@pytest.mark.parametrize("name", [*IN_START, *IN_REQUEST])
def test_L5_a_host_that_stood_still_finds_everything_as_it_was(
    host: type[RealHost], name: str, tmp_path: Path
) -> None:
    with in_the_middle(host, name, tmp_path) as moment:
        with standing_still(moment.host.go.host_pid):
            moment.go_on()
        moment.ends_well()
        assert moment.host.get("/").body == b"hello"
        assert moment.host.stop().code == 0
    assert left_in(tmp_path) == []


@on("n", tier="nightly")
@pytest.mark.parametrize("name", IN_REQUEST)
def test_L5_a_released_server_may_stand_still_for_longer_than_it_bears_itself(
    host: type[RealHost], name: str, tmp_path: Path
) -> None:
    # No events: that time passes is what is tested.
    with in_the_middle(host, name, tmp_path, api_timeout=2 * STILL) as moment:
        time.sleep(DIALLED)
        with standing_still(moment.host.go.host_pid):
            moment.go_on()
            time.sleep(STILL)
        moment.ends_well()
        assert moment.host.control("/ping")["ok"]


@on("g", "n", "o")
@pytest.mark.parametrize("still", [False, True], ids=["", "still"])
@pytest.mark.parametrize("name", [*IN_START, *IN_REQUEST])
def test_L5_a_plugin_outlives_its_host_at_no_moment(
    host: type[RealHost], name: str, *, still: bool, tmp_path: Path
) -> None:
    with in_the_middle(host, name, tmp_path) as moment:
        before = standing_still(moment.host.go.host_pid) if still else contextlib.nullcontext()
        with before:
            if still:
                moment.go_on()
            moment.host.kill9()
        if name == "handshake" and not still:
            moment.go_on()  # until then it is the start file that runs, and none of mm_asgi
        moment.host.run(moment.plugin.wait(), GONE)
        assert left_in(tmp_path) == []


@on("g", "n", "o")
@pytest.mark.parametrize("name", IN_START)
def test_L5_a_plugin_that_is_killed_while_it_starts_leaves_nothing_to_the_next(
    host: type[RealHost], name: str, tmp_path: Path
) -> None:
    with in_the_middle(host, name, tmp_path) as moment:
        moment.plugin.kill()
        moment.host.run(moment.host.go.wait_event("failed", timeout=WAIT))
    age(tmp_path)
    with host("moments:plugin", api=True, PROCESS_MOMENT="", TMPDIR=str(tmp_path)) as following:
        following.start()
        assert following.get("/").body == b"hello"
        wait_until(lambda: len(left_in(tmp_path)) == 1)


@on("g", "n", "o")
@pytest.mark.parametrize("name", IN_REQUEST)
def test_L5_a_plugin_that_is_killed_costs_its_requests_and_comes_back(
    host: type[RealHost], name: str, tmp_path: Path
) -> None:
    with in_the_middle(host, name, tmp_path) as moment:
        running = moment.host
        moment.plugin.kill()
        failed = {500} if isinstance(running.go, NetHost) else {502, 503}
        assert moment.breaks_off() in ({200} if name == "answer" else failed)
        running.run(moment.plugin.wait())
        assert running.get("/").status in failed
        age(tmp_path)
        checked = running.control("/health?after_exit=1")
        assert (checked["healthy"], checked["restarted"]) == (False, True)
        assert running.get("/").body == b"hello"
        wait_until(lambda: len(left_in(tmp_path)) == 1)


FIRST_LINES = {
    "words": ("hello from my plugin", "remote plugin message: hello from my plugin"),
    "too few fields": ("1|1|unix", "remote plugin message: 1|1|unix"),
    "another core": ("9|1|unix|/tmp/none|netrpc", "Plugin version: 9, Core version: 1"),
    "another version": ("1|9|unix|/tmp/none|netrpc", "Plugin version: 9, Client versions: [1]"),
    "another protocol": ("1|1|unix|/tmp/none|smoke", 'unsupported plugin protocol "smoke"'),
    "another network": ("1|1|pigeon|/tmp/none|netrpc", "unknown address type"),
}
"""What a start file prints before it runs the plugin, and what the admin then reads."""
START = """#!/usr/bin/env python3
import os
from pathlib import Path

import mm_asgi

if __name__ == "__main__":
    Path(os.environ["TOLD"]).write_text(str(os.getpid()))
    print(os.environ["FIRST_LINE"], flush=True)
    mm_asgi.run("demo:app")
"""


@on("n")
@pytest.mark.parametrize("kind", FIRST_LINES)
async def test_L6_a_first_line_that_is_no_handshake_is_shown_and_leaves_no_plugin(
    kind: str, tmp_path: Path
) -> None:
    line, text = FIRST_LINES[kind]
    told = tmp_path / "pid"
    folder = bundle(tmp_path / "b", start=START)
    with pytest.raises(StartFailed) as failed:
        async with NetHost(folder, env=environ(FIRST_LINE=line, TOLD=str(told))):
            pass
    assert text in failed.value.error
    plugin = PluginProcess(int(told.read_text()))
    await asyncio.wait_for(plugin.wait(), GONE)
    plugin.close()
