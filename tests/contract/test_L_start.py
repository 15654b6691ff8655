"""Rows L1 and L2: what a plugin does from its first moment to the first request."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.roads import ProcessHost, on
from tests.roads.line import find
from tests.roads.process.facts import StartFailed
from tests.roads.process.light_host import LightHost
from tests.roads.process.real_host import RealHost

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

LIFECYCLE = ["OnActivate", "OnDeactivate", "OnConfigurationChange"]
ALL = [*LIFECYCLE, "ServeHTTP"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
SETTINGS = 4

# The broken apps: target, text of the module "shop", what the admin has to see.
BROKEN = {
    "no module": ("nowhere:app", "", 'the module "nowhere" was not found'),
    "no attribute": ("shop:app", "apps = 1", 'has no attribute "app"; did you mean "apps"?'),
    "no app": ("shop:app", "app = 1", "app"),
    "missing dependency": (
        "shop:app",
        "import a_package_that_nobody_has",
        "ModuleNotFoundError: No module named 'a_package_that_nobody_has' (shop.py:1)",
    ),
    "syntax error": ("shop:app", "def app(:\n", "SyntaxError: invalid syntax (shop.py:1)"),
    "exception": (
        "shop:app",
        "def connect():\n    raise ValueError('no database')\nconnect()\n",
        "ValueError: no database (shop.py:2)",
    ),
    "sys.exit": ("shop:app", "import sys\nsys.exit('no key')", "SystemExit: no key (shop.py:2)"),
}


def first_frame(path: str) -> int:
    """The type of the first HTTP/2 frame that a server sends."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(path)
        connection.sendall(PREFACE)
        return connection.recv(9, socket.MSG_WAITALL)[3]


def is_waiting(call: Future[object]) -> bool:
    """Whether a call has no answer yet, although another one had the time to be answered."""
    with contextlib.suppress(grpc.FutureTimeoutError):
        call.result(timeout=0.1)
    return not call.done()


@on("p")
def test_L1_nothing_needs_the_app_before_the_first_Implemented() -> None:
    with LightHost("imports:app") as host:
        assert host.handshake()[:3] == ["1", "1", "unix"]
        assert first_frame(host.handshake()[3]) == SETTINGS
        stdio, broker = host.peer.hold_open()
        assert host.peer.is_healthy()
        assert (stdio.done(), broker.done()) == (False, False)
        assert host.bell.names == []
        assert host.peer.implemented() == ALL
        assert host.bell.names == ["import", "imported"]


@on("p", "g")
def test_L1_the_second_Implemented_answers_from_the_first_ones_table(host: ProcessHost) -> None:
    with host("imports:app") as plugin:
        plugin.start()
        assert plugin.hooks == ALL
        assert plugin.bell.names == ["import", "imported", "startup"]


@on("p")
def test_L1_a_slow_import_holds_up_Implemented_alone() -> None:
    with LightHost("imports:app", PROCESS_HOLD="yes", import_budget=8) as host:
        implemented = host.peer.send_hook("Implemented")
        host.bell.wait("import held")
        assert is_waiting(implemented)
        host.bell.release("import held")
        assert list(implemented.result().hooks) == ALL
        assert host.peer.activate() is None
        assert host.get("/").body == b"hello"


@on("g")
def test_L1_an_app_that_takes_12_s_to_import_activates() -> None:
    with RealHost("imports:app", PROCESS_SECONDS=12) as host:
        host.start()
        assert host.go.events[-1]["implemented_ms"] > 12_000
        assert host.go.events[-1]["handshake_ms"] < 3_000
        assert host.get("/").body == b"hello"
        host.wait_log("the event loop has been blocked", level="warn")
        assert host.stop().code == 0


@on("p", "g")
def test_L1_an_import_over_its_budget_is_interrupted_where_it_stands(host: ProcessHost) -> None:
    with host("imports:app", PROCESS_HOLD="yes", import_budget=0.3) as plugin:
        with pytest.raises(StartFailed, match=r"not imported in 0\.3 s \(setting import-budget\)"):
            plugin.start()
        line = plugin.wait_log("the app could not be imported", level="error")
        assert 'hold("import held")' in line.fields["exception"]


@on("p")
@pytest.mark.full
def test_L1_an_import_that_swallows_the_interruption_is_interrupted_again() -> None:
    with LightHost("imports:app", PROCESS_HOLD="swallow", import_budget=0.2) as host:
        with pytest.raises(StartFailed, match="import-budget"):
            host.start()
        assert host.bell.names == ["import", "import held", "swallowed", "import held again"]


@on("p", "g")
@pytest.mark.parametrize("kind", BROKEN)
def test_L1_an_app_that_cannot_be_imported_is_OnActivates_error(
    host: ProcessHost, kind: str, tmp_path: Path
) -> None:
    target, text, shown = BROKEN[kind]
    (tmp_path / "shop.py").write_text(text)
    with host(target, app_dir=tmp_path) as plugin:
        with pytest.raises(StartFailed) as failed:
            plugin.start()
        assert shown in str(failed.value)
        assert "\n" not in str(failed.value)
        line = plugin.wait_log("the app could not be imported", level="error")
        assert line.fields["exception"].startswith("Traceback")


@on("p")
@pytest.mark.parametrize("kind", ["no module", "sys.exit"])
def test_L1_of_an_app_that_cannot_be_imported_the_lifecycle_hooks_are_listed(
    kind: str, tmp_path: Path
) -> None:
    target, text, shown = BROKEN[kind]
    (tmp_path / "shop.py").write_text(text)
    with LightHost(target, app_dir=tmp_path) as host:
        assert host.peer.implemented() == LIFECYCLE
        assert host.peer.implemented() == LIFECYCLE
        assert shown in (host.peer.activate() or "")
        assert host.peer.is_healthy()
        assert host.get("/").status == 503
        assert host.stop().code == 0


@on("p", "g")
def test_L1_a_failed_startup_is_OnActivates_error(host: ProcessHost) -> None:
    with host("lifespans:refuses") as plugin:
        with pytest.raises(StartFailed, match=r"lifespan\.startup failed: the database is closed"):
            plugin.start()


@on("p")
def test_L1_after_a_failed_startup_the_process_ends_as_after_any_other() -> None:
    with LightHost("lifespans:refuses") as host:
        assert host.peer.implemented() == ALL
        assert "the database is closed" in (host.peer.activate() or "")
        assert "the database is closed" in (host.peer.activate() or "")
        assert host.get("/").status == 503
        host.peer.shutdown()
        assert host.exit_code() == 0
        assert find(host.log(), "the app's start-up failed", level="error")


@on("p")
def test_L2_a_request_before_the_startup_ended_waits_for_it() -> None:
    with LightHost("lifespans:waits") as host:
        assert host.peer.implemented() == ALL
        activate = host.peer.send_hook("OnActivate")
        host.bell.wait("startup")
        request = host.peer.open("/")
        assert host.peer.is_healthy()
        assert not request.call.done()
        host.bell.release("startup")
        assert request.answer().status == 200
        assert not activate.result().HasField("error")


@on("p")
def test_L2_a_request_waits_for_startup_wait_and_gets_a_503() -> None:
    with LightHost("lifespans:waits", startup_wait=0.3) as host:
        host.peer.implemented()
        activate = host.peer.send_hook("OnActivate")
        host.bell.wait("startup")
        began = time.monotonic()
        answer = host.get("/")
        assert time.monotonic() - began > 0.25
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        host.wait_log("setting startup-wait", level="warn")
        host.bell.release("startup")
        assert not activate.result().HasField("error")
        assert host.get("/").status == 200


@on("p")
def test_L2_a_request_before_anything_was_asked_gets_a_503_too() -> None:
    with LightHost(startup_wait=0) as host:
        assert host.get("/").status == 503
        host.start()
        assert host.get("/").status == 200
