"""Row L4 as the Go host and its clients see it: a stop of the plugin, a stop of the server."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING

import pytest

from tests.roads import on
from tests.roads.line import find
from tests.roads.process.real_host import RealHost, as_exit

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.full, pytest.mark.timeout(60)]


@pytest.fixture
def aside() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """Does things at the same time."""
    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        yield executor


@on("g")
def test_L4_a_browsers_event_stream_ends_cleanly_and_a_running_request_is_answered(
    aside: concurrent.futures.ThreadPoolExecutor,
) -> None:
    with RealHost() as host:
        host.start()
        running = aside.submit(host.get, "/hold/work")
        host.bell.wait("work")
        with host.client() as client, client.stream("GET", "/events") as events:
            chunks = events.iter_text()
            assert next(chunks) == "data: first\n\n"
            stop = aside.submit(host.stop)
            # To its end: httpx raises if the last chunk of a chunked answer is missing.
            assert list(chunks) == ["data: last\n\n"]
        assert not stop.done()
        host.bell.release("work")
        assert running.result(10).body == b"held"
        stopped = stop.result(10)
        assert (stopped.code, stopped.killed) == (0, False)
        assert stopped.kill_seconds < 1
        assert host.bell.names[-1] == "shutdown"
        assert not find(host.log(), "", level="error")
        assert host.control("/stats", method="GET")["cut"] == 0


@on("g")
@pytest.mark.parametrize(
    ("app", "path", "rung"),
    [("polite:app", "/stubborn", "stubborn"), ("lifespans:hangs", "/", "hello")],
)
def test_L4_OnDeactivate_takes_8_s_at_the_most_by_default(app: str, path: str, rung: str) -> None:
    with RealHost(app) as host:
        host.start()
        host.begin(path)
        host.bell.wait(rung)
        stopped = host.stop()
        assert 5 < stopped.deactivate_seconds < 8.1
        assert (stopped.code, stopped.killed) == (0, False)
        assert stopped.kill_seconds < 2


@on("g")
def test_L4_a_stop_of_the_server_does_not_run_into_its_10_s() -> None:
    with RealHost() as host:
        host.start()
        host.begin("/stubborn")
        host.bell.wait("stubborn")
        facts = host.control("/stop")
        assert not facts["timed_out"]
        assert facts["error"] is None
        assert (as_exit(facts).code, as_exit(facts).killed) == (0, False)
        assert host.bell.names[-1] == "shutdown"


@on("g")
def test_L4_a_stop_that_the_server_gives_up_on_is_cut_by_Shutdown() -> None:
    with RealHost("lifespans:hangs") as host:
        host.start()
        facts = host.control("/stop", {"wait_ms": 300})
        assert facts["timed_out"]
        stopped = as_exit(facts)
        assert (stopped.code, stopped.killed) == (0, False)
        assert stopped.kill_seconds < 2
        assert host.bell.names.count("shutdown") == 1


@on("g")
def test_L4_Shutdown_is_answered_within_100_ms_while_requests_run() -> None:
    with RealHost() as host:
        host.start()
        for number in range(20):
            host.begin(f"/hold/{number}")
            host.bell.wait(str(number))
        first, second = host.control("/shutdown"), host.control("/shutdown?timeout_ms=1000")
        assert first["ok"]
        assert second["ok"]
        assert max(first["ms"], second["ms"]) < 100
        assert host.run(host.go.wait_event("exited"))["exit_code"] == 0
        assert host.bell.names[-1] == "shutdown"


@on("g")
def test_L4_a_plugin_can_be_activated_again_after_a_stop() -> None:
    with RealHost() as host:
        host.start()
        for count in range(1, 4):
            assert host.get("/").status == 200
            assert host.stop().code == 0
            assert host.get("/").status == 404
            assert host.bell.names.count("shutdown") == count
            assert host.control("/activate")["event"] == "ready"
        assert host.get("/").status == 200
