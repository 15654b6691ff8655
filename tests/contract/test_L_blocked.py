"""Row L10: an app that blocks the event loop is named, and in the end stopped."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.roads import ProcessHost, on
from tests.roads.process.light_host import LightHost
from tests.roads.process.real_host import RealHost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.roads.line import Line

BLOCKED = 70


def stacks(lines: Sequence[Line]) -> dict[str, str]:
    """The last words' stacks by thread."""
    return {
        line.message.removeprefix("thread "): line.fields["stack"]
        for line in lines
        if line.message.startswith("thread ")
    }


@on("p", "g")
def test_L10_what_blocks_the_loop_is_named_and_the_plugin_goes_on(host: ProcessHost) -> None:
    with host(blocked_warn=0.2) as plugin:
        plugin.start()
        plugin.begin("/block")
        plugin.bell.wait("block")
        line = plugin.wait_log("the event loop has been blocked for", level="warn")
        assert "process_bell.py" in line.message
        assert "in block_the_loop" in line.fields["stack"]
        plugin.bell.release("block")
        plugin.wait_log("the event loop runs again", level="info")
        assert plugin.get("/").status == 200
        assert plugin.stop().code == 0


@on("p")
def test_L10_a_loop_that_is_blocked_for_too_long_ends_the_process() -> None:
    with LightHost(blocked_warn=0.2, blocked_kill=0.6) as host:
        host.start()
        assert host.get("/thread").status == 200
        host.begin("/block")
        host.bell.wait("block")
        health = host.peer.send_hook("Implemented", timeout=30)
        assert host.exit_code() == BLOCKED
        with pytest.raises(grpc.RpcError) as failed:
            health.result()
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        host.wait_log("the plugin ends (setting blocked-kill)", level="error")
        assert "in block_the_loop" in stacks(host.log())["MainThread"]
        assert "endless" in stacks(host.log())
        assert not Path(host.handshake()[3]).parent.exists()


@on("g")
def test_L10_the_go_host_pings_and_stops_after_a_blocked_plugin() -> None:
    with RealHost(blocked_kill=1.5) as host:
        host.start()
        host.begin("/block")
        host.bell.wait("block")
        ping = host.control("/ping")
        assert (ping["ok"], ping["code"]) == (False, "Unavailable")
        assert ping["ms"] < 3_000
        assert host.run(host.go.wait_event("exited"))["exit_code"] == BLOCKED
        stopped = host.run(host.go.stop())
        assert stopped["ms"] < 3_000
        assert not stopped["sigkill"]


@on("g", tier="nightly")
def test_L10_by_default_a_blocked_loop_ends_the_process_after_30_s() -> None:
    with RealHost() as host:
        host.start()
        host.begin("/block")
        host.bell.wait("block")
        assert 29_000 < host.control("/ping")["ms"] < 33_000
        assert host.run(host.go.wait_event("exited"))["exit_code"] == BLOCKED
        assert host.run(host.go.stop())["ms"] < 3_000


@on("p")
@pytest.mark.full
def test_L10_a_kill_of_0_never_comes() -> None:
    with LightHost(blocked_warn=0.1, blocked_kill=0) as host:
        host.start()
        host.begin("/block")
        host.wait_log("the event loop has been blocked for", level="warn")
        with pytest.raises(subprocess.TimeoutExpired):
            host.process.wait(0.6)
        host.bell.release("block")
        assert host.get("/").status == 200


@on("p")
@pytest.mark.full
def test_L10_the_import_counts() -> None:
    with LightHost("imports:app", PROCESS_HOLD="yes", blocked_warn=0.2, blocked_kill=0.6) as host:
        implemented = host.peer.send_hook("Implemented", timeout=30)
        assert host.exit_code() == BLOCKED
        assert implemented.code() is grpc.StatusCode.UNAVAILABLE
        assert 'hold("import held")' in stacks(host.log())["MainThread"]
