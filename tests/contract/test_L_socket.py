"""Row L9: where the socket is, who may connect, and that it is gone afterwards."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.roads import ProcessHost, on
from tests.roads.process.light_host import LightHost
from tests.roads.process.real_host import RealHost


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def free_port() -> tuple[socket.socket, int]:
    """A port that is taken as long as the socket is open."""
    taken = socket.create_server(("127.0.0.1", 0))
    return taken, taken.getsockname()[1]


@on("p")
def test_L9_a_socket_in_a_directory_of_its_own() -> None:
    with LightHost() as host:
        assert host.handshake()[2] == "unix"
        path = Path(host.handshake()[3])
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
        assert os.listdir(path.parent) == [path.name]
        host.start()
        assert host.stop().code == 0
        assert not path.parent.exists()


@on("p")
def test_L9_a_socket_straight_in_the_given_directory(tmp_path: Path) -> None:
    with LightHost(PLUGIN_UNIX_SOCKET_DIR=tmp_path) as host:
        path = Path(host.handshake()[3])
        assert path.parent == tmp_path
        assert mode_of(path) == 0o600
        host.start()
        assert host.stop().code == 0
        assert list(tmp_path.iterdir()) == []


@on("p")
def test_L9_a_given_group_may_connect(tmp_path: Path) -> None:
    group = os.getgroups()[-1] if os.getgroups() else os.getgid()
    with LightHost(PLUGIN_UNIX_SOCKET_DIR=tmp_path, PLUGIN_UNIX_SOCKET_GROUP=group) as host:
        path = Path(host.handshake()[3])
        assert mode_of(path) == 0o660
        assert path.stat().st_gid == group
        assert host.peer.is_healthy()


@on("p")
def test_L9_a_given_group_may_pass_the_directory_of_its_own() -> None:
    with LightHost(PLUGIN_UNIX_SOCKET_GROUP=os.getgid()) as host:
        path = Path(host.handshake()[3])
        assert (mode_of(path), mode_of(path.parent)) == (0o660, 0o710)
        assert path.parent.stat().st_gid == os.getgid()


@on("p")
def test_L9_a_path_that_is_too_long_falls_back_to_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with LightHost(PLUGIN_UNIX_SOCKET_DIR=deep, TMPDIR=deep) as host:
        path = host.handshake()[3]
        assert len(path) < 104
        host.start()
        assert host.get("/").status == 200
        assert list(deep.iterdir()) == []


@on("p")
@pytest.mark.parametrize(("how", "loop"), [("SIGTERM", "uvloop"), ("Shutdown", "asyncio")])
def test_L9_the_socket_is_removed_at_every_end(how: str, loop: str) -> None:
    with tempfile.TemporaryDirectory() as folder, LightHost(TMPDIR=folder, loop=loop) as host:
        host.handshake()
        assert os.listdir(folder)
        if how == "SIGTERM":
            host.process.send_signal(signal.SIGTERM)
        else:
            host.peer.shutdown()
        assert host.exit_code() == 0
        assert not os.listdir(folder)


@on("p")
def test_L9_tcp_by_setting_on_loopback_only_out_of_the_range() -> None:
    with LightHost(network="tcp") as host:
        _, _, network, address, _ = host.handshake()[:5]
        name, _, port = address.partition(":")
        assert (network, name) == ("tcp", "127.0.0.1")
        assert 10_000 <= int(port) <= 25_000
        if sys.platform == "linux":
            # All of 127/8 is local there: bound to every interface it would answer here as well.
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", int(port)), timeout=5)
        host.start()
        assert host.get("/").status == 200


@on("p")
def test_L9_a_port_that_is_taken_is_passed_over_and_never_shared() -> None:
    taken, low = free_port()
    with taken, LightHost(network="tcp", PLUGIN_MIN_PORT=low, PLUGIN_MAX_PORT=low + 20) as host:
        port = int(host.handshake()[3].partition(":")[2])
        assert low < port <= low + 20
        again: dict[str, Any] = {"PLUGIN_MIN_PORT": port, "PLUGIN_MAX_PORT": port}
        with LightHost(network="tcp", **again) as second:
            assert second.process.wait(10) == 1
            assert b"127.0.0.1:%d" % port in second.stdout.wait(lambda _: True)


@on("p", "g")
def test_L9_a_host_dials_either_network(host: ProcessHost) -> None:
    for network in ("unix", "tcp"):
        with host(network=network) as plugin:
            plugin.start()
            assert plugin.get("/").body == b"hello"
            assert plugin.stop().code == 0


@on("g")
def test_L9_the_go_host_can_name_a_group() -> None:
    with RealHost(flags=[f"-socket-group={os.getgid()}"]) as host:
        host.start()
        assert host.get("/").status == 200
        assert host.stop().code == 0
