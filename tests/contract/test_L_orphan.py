"""Row L5: a plugin whose host was killed -9 ends by itself and leaves nothing behind."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.roads import on
from tests.roads.process import foster
from tests.roads.process.light_host import LightHost
from tests.roads.process.peer import Peer
from tests.roads.process.real_host import RealHost

GONE = 3.0  # s

# What the plugin is at when its host dies: the app, what is asked of it, what it then rings.
BUSY = {
    "nothing": ("polite:app", "/", "startup"),
    "a running request": ("polite:app", "/hold/ever", "ever"),
    "a blocked loop": ("polite:app", "/block", "block"),
    "an event stream": ("polite:app", "/events", "events"),
    "an app that swallows cancels": ("polite:app", "/stubborn", "stubborn"),
    "a thread that is no daemon": ("polite:app", "/thread", "thread"),
    "a lifespan.shutdown that hangs": ("lifespans:hangs", "/", "hello"),
}
QUICK = list(BUSY)[:1]
PARAMETERS = [
    pytest.param(what, marks=[] if what in QUICK else [pytest.mark.full]) for what in BUSY
]
FOSTER = (sys.executable, foster.__file__, sys.executable, "start.py")


def assert_removed(socket: str) -> None:
    assert not Path(socket).exists()
    assert not Path(socket).parent.exists()


@on("p")
@pytest.mark.parametrize("what", PARAMETERS)
def test_L5_the_plugin_of_a_killed_host_ends_in_3_s(what: str) -> None:
    app, path, rung = BUSY[what]
    with LightHost(app, command=FOSTER) as host:
        host.start()
        host.begin(path)
        host.bell.wait(rung)
        host.process.kill()
        host.process.wait()
        began = time.monotonic()
        # The log's pipe is open as long as the plugin lives.
        host.stderr.wait_end(GONE)
        assert time.monotonic() - began < GONE
        assert_removed(host.handshake()[3])


@on("p")
@pytest.mark.parametrize("held", ["", pytest.param("yes", marks=pytest.mark.full)])
def test_L5_the_plugin_of_a_host_that_is_killed_early_ends_too(held: str) -> None:
    with LightHost("imports:app", command=FOSTER, PROCESS_HOLD=held) as host:
        host.handshake()
        if held:
            implemented = host.peer.send_hook("Implemented")
            host.bell.wait("import held")
            assert not implemented.done()
        host.process.kill()
        host.stderr.wait_end(GONE)
        assert_removed(host.handshake()[3])


@on("g")
@pytest.mark.parametrize("what", BUSY)
def test_L5_the_plugin_of_a_killed_go_host_ends_in_3_s(what: str) -> None:
    app, path, rung = BUSY[what]
    with tempfile.TemporaryDirectory() as folder, RealHost(app, TMPDIR=folder) as host:
        host.start()
        assert os.listdir(folder)
        host.begin(path)
        host.bell.wait(rung)
        began = time.monotonic()
        host.kill9()
        host.wait_gone(GONE)
        assert time.monotonic() - began < GONE
        assert not os.listdir(folder)


@on("p")
def test_L5_a_closed_connection_alone_is_no_death() -> None:
    with LightHost() as host:
        host.start()
        for _ in range(3):
            peer = Peer(host.handshake())
            assert peer.get("/").status == 200
            peer.close()
        host.peer.close()
        peer = Peer(host.handshake())
        assert peer.is_healthy()
        assert peer.get("/").status == 200
        assert host.bell.names == ["startup"]
        peer.shutdown()
        peer.close()
        assert host.exit_code() == 0
