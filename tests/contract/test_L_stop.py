"""Row L4: how a plugin ends when the host asks, and how long that may take."""

from __future__ import annotations

import signal
import time

import pytest

from mm_asgi.protocol import goplugin_pb2
from tests.roads import ProcessHost, on
from tests.roads.line import find
from tests.roads.process.light_host import LightHost
from tests.roads.process.peer import SHUTDOWN

GONE = 2.0  # s from Shutdown to SIGKILL (go-plugin's client.go, Kill)
ANSWERED = 0.1  # s for the answer to Shutdown

# What holds up a stop -> the app, what is asked of it first, and what it then rings.
HOSTILE = {
    "a thread that is no daemon": ("polite:app", "/thread", "thread"),
    "a lifespan.shutdown that hangs": ("lifespans:hangs", "/", "hello"),
    "an app that swallows cancels": ("polite:app", "/stubborn", "stubborn"),
    "a request that never ends": ("polite:app", "/hold/ever", "ever"),
}


@on("p")
def test_L4_a_drain_refuses_ends_streams_waits_and_runs_lifespan_shutdown_once() -> None:
    with LightHost() as host:
        host.start()
        events, held = host.peer.open("/events"), host.peer.open("/hold/work")
        assert events.read() == b"data: first\n\n"
        host.bell.wait("work")
        deactivate = host.peer.send_hook("OnDeactivate", timeout=30)
        assert events.answer().body == b"data: last\n\n"
        refused = host.get("/")
        assert (refused.status, refused.header("retry-after")) == (503, "1")
        assert not deactivate.done()
        assert "shutdown" not in host.bell.names
        host.bell.release("work")
        assert held.answer().body == b"held"
        deactivate.result()
        host.peer.hook("OnDeactivate")
        assert host.get("/").status == 503
        assert host.peer.is_healthy()
        host.peer.shutdown()
        assert host.exit_code() == 0
        assert host.bell.names[-2:] == ["events disconnected", "shutdown"]
        assert host.bell.names.count("shutdown") == 1
        assert not find(host.log(), "", level="error")


@on("p")
def test_L4_a_drain_waits_for_background_tasks() -> None:
    with LightHost() as host:
        host.start()
        assert host.get("/background").body == b"answered"
        deactivate = host.peer.send_hook("OnDeactivate", timeout=30)
        host.bell.wait("background")
        assert not deactivate.done()
        host.bell.release("background")
        deactivate.result()
        assert host.bell.names[-2:] == ["background done", "shutdown"]


@on("p", "g")
@pytest.mark.full
@pytest.mark.parametrize("what", HOSTILE)
def test_L4_the_process_is_gone_2_s_after_Shutdown_whatever_holds_it_up(
    host: ProcessHost, what: str
) -> None:
    app, path, rung = HOSTILE[what]
    with host(app, drain=0.8) as plugin:
        plugin.start()
        plugin.begin(path)
        plugin.bell.wait(rung)
        stopped = plugin.stop()
        assert (stopped.code, stopped.killed) == (0, False)
        assert stopped.deactivate_seconds < 0.9
        assert stopped.kill_seconds < GONE


@on("p", "g")
@pytest.mark.full
@pytest.mark.parametrize("what", HOSTILE)
def test_L4_Shutdown_alone_ends_the_process_in_2_s_whatever_holds_it_up(
    host: ProcessHost, what: str
) -> None:
    app, path, rung = HOSTILE[what]
    with host(app) as plugin:
        plugin.start()
        plugin.begin(path)
        plugin.bell.wait(rung)
        stopped = plugin.kill()
        assert (stopped.code, stopped.killed) == (0, False)
        assert stopped.kill_seconds < GONE


@on("p", "g")
def test_L4_Shutdown_without_OnDeactivate_runs_lifespan_shutdown(host: ProcessHost) -> None:
    with host() as plugin:
        plugin.start()
        stopped = plugin.kill()
        assert (stopped.code, stopped.killed) == (0, False)
        assert plugin.bell.names == ["startup", "shutdown"]


@on("p")
def test_L4_what_does_not_end_in_the_drain_is_cancelled_and_named() -> None:
    with LightHost(drain=0.6) as host:
        host.start()
        held = host.begin("/hold/ever")
        host.bell.wait("ever")
        began = time.monotonic()
        deactivate = host.peer.send_hook("OnDeactivate", timeout=30)
        answer = held.answer()
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        deactivate.result()
        assert 0.2 < time.monotonic() - began < 0.7
        line = host.wait_log("are cancelled", level="warn")
        assert "GET /plugins/com.example.demo/hold/ever" in line.message
        assert host.bell.names[-1] == "shutdown"


@on("p")
def test_L4_OnDeactivate_ends_2_s_before_its_deadline() -> None:
    with LightHost("lifespans:hangs") as host:
        host.start()
        began = time.monotonic()
        host.peer.hook("OnDeactivate", timeout=2.6)
        assert time.monotonic() - began < 0.7
        host.wait_log("lifespan.shutdown did not complete", level="error")


@on("p")
@pytest.mark.full
@pytest.mark.parametrize(
    "step",
    [
        "the drain",
        pytest.param("the hook", marks=pytest.mark.full),
        pytest.param("lifespan.shutdown", marks=pytest.mark.full),
    ],
)
def test_L4_Shutdown_cuts_a_stop_that_runs_to_1500_ms(step: str) -> None:
    app = {"the drain": "polite:app", "the hook": "hooks:slow"}.get(step, "lifespans:hangs")
    with LightHost(app) as host:
        host.start()
        if step == "the drain":
            held = host.begin("/hold/ever")
            host.bell.wait("ever")
        deactivate = host.peer.send_hook("OnDeactivate", timeout=30)
        if step != "the drain":
            host.bell.wait("shutdown" if step != "the hook" else "deactivate")
        assert host.peer.shutdown() < ANSWERED
        began = time.monotonic()
        if step == "the drain":
            assert held.answer().status == 503
        deactivate.result()
        assert time.monotonic() - began < 1.6
        assert host.exit_code(GONE) == 0
        assert host.bell.names.count("shutdown") == 1
        assert not find(host.log(), "did not end by itself")


@on("p")
def test_L4_Shutdown_twice_is_safe_and_answered_at_once() -> None:
    with LightHost() as host:
        host.start()
        host.begin("/hold/ever")
        host.bell.wait("ever")
        assert host.peer.shutdown() < ANSWERED
        assert host.peer.shutdown() < ANSWERED
        host.bell.release("ever")
        assert host.exit_code(GONE) == 0
        assert host.bell.names == ["startup", "ever", "shutdown"]


@on("p")
def test_L4_Shutdown_before_anything_was_asked_is_safe() -> None:
    with LightHost("imports:app") as host:
        assert host.peer.shutdown() < ANSWERED
        assert host.exit_code(GONE) == 0
        assert host.bell.names == []
        assert not find(host.log(), "", level="error")


@on("p")
@pytest.mark.full
def test_L4_Shutdown_during_the_startup_is_safe() -> None:
    with LightHost("lifespans:waits") as host:
        host.peer.implemented()
        activate = host.peer.send_hook("OnActivate")
        host.bell.wait("startup")
        assert host.peer.shutdown() < ANSWERED
        assert "the plugin is stopping" in activate.result().error.detailed_error
        assert host.exit_code(GONE) == 0
        assert not find(host.log(), "", level="error")


@on("p")
def test_L4_SIGTERM_drains() -> None:
    with LightHost() as host:
        host.start()
        held = host.begin("/hold/work")
        host.bell.wait("work")
        host.process.send_signal(signal.SIGTERM)
        host.wait_log("SIGTERM", level="info")
        host.bell.release("work")
        assert held.answer().body == b"held"
        assert host.exit_code() == 0
        assert host.bell.names == ["startup", "work", "shutdown"]


@on("p")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_L4_signals_before_the_startup(number: signal.Signals, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with LightHost(loop=loop) as host:
        host.handshake()
        host.process.send_signal(number)
        if number == signal.SIGINT:
            # Ctrl-C in the host's terminal reaches both, and the host then tells the plugin.
            host.start()
            host.process.send_signal(number)
            assert host.get("/").status == 200
            host.peer.shutdown()
        assert host.exit_code() == 0


@on("p")
def test_L4_the_apps_children_do_not_inherit_the_plugins_deafness_to_ctrl_c() -> None:
    with LightHost() as host:
        host.start()
        assert host.get("/interrupt").body == b"-2"


@on("p")
def test_L4_Shutdown_during_the_import_is_safe() -> None:
    with LightHost("imports:app", PROCESS_HOLD="yes") as host:
        implemented = host.peer.send_hook("Implemented")
        host.bell.wait("import held")
        # Nothing is answered while the import blocks the loop; it is afterwards.
        stop = host.peer.send(SHUTDOWN, goplugin_pb2.Empty(), goplugin_pb2.Empty)
        host.bell.release("import held")
        assert "ServeHTTP" in implemented.result().hooks
        stop.result()
        assert host.exit_code(GONE) == 0
        assert not find(host.log(), "", level="error")
