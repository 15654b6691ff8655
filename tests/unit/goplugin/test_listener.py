"""goplugin/listener.py, contract row L9."""

from __future__ import annotations

import dataclasses
import os
import socket
import stat
import sys
import time
from typing import TYPE_CHECKING

import pytest

from mm_asgi.errors import ConfigError
from mm_asgi.goplugin.environ import Environment, read_environment
from mm_asgi.goplugin.listener import TCPListener, UnixListener, make_listener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mm_asgi.wire.port import Listener

PLAIN = read_environment({"MATTERMOST_PLUGIN": "Securely message teams, anywhere."})
LIMIT = 103 if sys.platform == "darwin" else 107


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a short path: pytest's own are too long on macOS."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path)


def environment(**changes: str | int | None) -> Environment:
    return dataclasses.replace(PLAIN, **changes)  # type: ignore[arg-type]


def mode_of(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def connects(listener: UnixListener | TCPListener) -> bool:
    if isinstance(listener, UnixListener):
        with socket.socket(socket.AF_UNIX) as peer:
            return peer.connect_ex(listener.address) == 0
    host, _, port = listener.address.rpartition(":")
    with socket.socket() as peer:
        return peer.connect_ex((host, int(port))) == 0


def test_unix_is_an_own_directory_that_goes_away(short: Path) -> None:
    listener = make_listener("unix", environment(temporary_dir=str(short)))
    as_port: Listener = listener
    assert as_port.network == "unix"
    with listener.open():
        directory = os.path.dirname(listener.address)
        assert os.path.dirname(directory) == str(short)
        assert mode_of(directory) == 0o700
        assert mode_of(listener.address) == 0o600
        assert connects(listener)
    listener.close()
    listener.close()
    assert os.listdir(short) == []


def test_unix_for_a_wire_that_binds_itself(short: Path) -> None:
    listener = UnixListener(environment(temporary_dir=str(short)))
    (path,) = listener.candidates()
    with socket.socket(socket.AF_UNIX) as wire:
        wire.bind(path)
        listener.bound(path)
        assert listener.address == path
        assert mode_of(path) == 0o600
    listener.close()
    assert os.listdir(short) == []


def test_unix_straight_in_the_hosts_directory(short: Path) -> None:
    listener = UnixListener(environment(socket_dir=str(short)))
    other = UnixListener(environment(socket_dir=str(short)))
    assert os.path.dirname(listener.address) == str(short)
    assert listener.address != other.address
    with listener.open():
        assert connects(listener)
        assert mode_of(listener.address) == 0o600
    listener.close()
    assert os.listdir(short) == []
    assert short.exists()


def test_unix_group_by_number(short: Path) -> None:
    group = os.getgid()
    listener = UnixListener(environment(socket_dir=str(short), socket_group=str(group)))
    with listener.open():
        assert mode_of(listener.address) == 0o660
        assert os.stat(listener.address).st_gid == group
    listener.close()


def test_unix_group_by_name_without_a_directory(short: Path) -> None:
    import grp

    name = grp.getgrgid(os.getgid()).gr_name
    listener = UnixListener(environment(temporary_dir=str(short), socket_group=name))
    with listener.open():
        assert mode_of(os.path.dirname(listener.address)) == 0o710
        assert mode_of(listener.address) == 0o660
    listener.close()
    assert os.listdir(short) == []


@pytest.mark.parametrize("group", ["no-such-group", "a|b|c|d", "9" * 30, "a\0b"])
def test_unix_group_that_cannot_be(short: Path, group: str) -> None:
    with pytest.raises(ConfigError, match="PLUGIN_UNIX_SOCKET_GROUP") as caught:
        UnixListener(environment(temporary_dir=str(short), socket_group=group))
    assert str(caught.value).count("|") < 3
    assert os.listdir(short) == []


def test_unix_group_that_fails_at_bind(short: Path) -> None:
    listener = UnixListener(environment(socket_dir=str(short), socket_group="9" * 30))
    with pytest.raises(ConfigError, match="PLUGIN_UNIX_SOCKET_GROUP"):
        listener.open()
    listener.close()
    assert os.listdir(short) == []


def test_a_long_directory_falls_back_to_a_short_path(short: Path) -> None:
    long = short / ("x" * 100)
    long.mkdir()
    listener = UnixListener(environment(socket_dir=str(long), temporary_dir=str(long)))
    assert listener.address.startswith("/tmp/mm-asgi-")
    assert len(os.fsencode(listener.address)) <= LIMIT
    with listener.open():
        assert connects(listener)
    listener.close()
    assert os.listdir(long) == []


def test_bytes_count_and_not_characters(short: Path) -> None:
    wide = short / ("ü" * 40)
    wide.mkdir()
    listener = UnixListener(environment(socket_dir=str(wide)))
    assert not listener.address.startswith(str(short))
    listener.close()


def test_the_longest_path_works(short: Path) -> None:
    # The name adds a slash, "plugin" and twelve digits.
    directory = short / ("x" * (LIMIT - len(str(short)) - 1 - 19))
    directory.mkdir()
    listener = UnixListener(environment(socket_dir=str(directory)))
    assert len(listener.address) == LIMIT
    with listener.open():
        assert connects(listener)
    listener.close()


def test_a_temporary_directory_that_is_not_there(short: Path) -> None:
    listener = UnixListener(environment(temporary_dir=str(short / "none")))
    assert listener.address.startswith("/tmp/")
    listener.close()


def test_no_directory_at_all(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(ConfigError, match="Permission denied; set TMPDIR"):
        UnixListener(environment(temporary_dir=str(short)))


def test_the_hosts_directory_is_not_there(short: Path) -> None:
    listener = UnixListener(environment(socket_dir=str(short / "none")))
    with pytest.raises(ConfigError, match="cannot be bound: No such file"):
        listener.open()


def test_a_forked_child_removes_nothing(short: Path) -> None:
    listener = UnixListener(environment(temporary_dir=str(short)))
    with listener.open():
        child = os.fork()
        if child == 0:  # pragma: no cover
            listener.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert connects(listener)
    listener.close()


def left_behind(base: Path, name: str, *, hours: int = 1) -> Path:
    """A directory as a plugin that was killed leaves it."""
    directory = base / name
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / "plugin.sock"))
    then = time.time() - 3600 * hours
    os.utime(directory, (then, then))
    return directory


def test_what_a_killed_plugin_left_is_removed_and_nothing_else(short: Path) -> None:
    dead = left_behind(short, "mm-asgi-0123456789ab")
    os.utime(left_behind(short, "mm-asgi-0123456789cd"))  # which may be about to lock it
    left_behind(short, "mm-asgi-mine")
    left_behind(short, "elsewhere")
    (short / "mm-asgi-0123456789ef").symlink_to(short / "elsewhere")
    (left_behind(short, "mm-asgi-00000000abcd") / "kept").write_text("a file of somebody's")
    os.utime(short / "mm-asgi-00000000abcd", (0, 0))
    alive = UnixListener(environment(temporary_dir=str(short)))
    os.utime(os.path.dirname(alive.address), (0, 0))
    with alive.open():
        os.utime(os.path.dirname(alive.address), (0, 0))
        new = UnixListener(environment(temporary_dir=str(short)))
        kept = sorted(short.iterdir())
        new.tidy()
        assert sorted(short.iterdir()) == [path for path in kept if path != dead]
        assert connects(alive)
        assert (short / "elsewhere" / "plugin.sock").exists()
        new.close()
    alive.close()


def test_another_users_directory_is_left(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = left_behind(short, "mm-asgi-0123456789ab")
    listener = UnixListener(environment(temporary_dir=str(short)))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    listener.tidy()
    assert dead.exists()
    monkeypatch.undo()
    listener.tidy()
    assert not dead.exists()
    listener.close()


def test_a_directory_of_the_hosts_is_not_tidied(short: Path) -> None:
    dead = left_behind(short, "mm-asgi-0123456789ab")
    listener = UnixListener(environment(socket_dir=str(short)))
    listener.tidy()
    assert dead.exists()
    listener.close()


def test_tcp_any_port() -> None:
    listener = make_listener("tcp", PLAIN)
    as_port: Listener = listener
    assert as_port.network == "tcp"
    assert list(listener.candidates()) == ["127.0.0.1:0"]
    with listener.open() as opened:
        assert listener.address == f"127.0.0.1:{opened.getsockname()[1]}"
        assert connects(listener)
    listener.close()


def test_tcp_takes_the_next_port_and_shares_none() -> None:
    with TCPListener(0, 0).open() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"none of 127.0.0.1:{port} to {port}"):
            TCPListener(port, port).open()
        listener = TCPListener(port, min(port + 20, 65535))
        with listener.open():
            assert listener.address != f"127.0.0.1:{port}"
    assert list(TCPListener(7, 9).candidates()) == [f"127.0.0.1:{n}" for n in (7, 8, 9)]


def test_tcp_other_faults_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket, "socket", Broken)
    with pytest.raises(ConfigError, match="port 1: it cannot be bound: Cannot assign"):
        TCPListener(1, 2).open()


def test_unknown_network() -> None:
    with pytest.raises(ConfigError, match="'udp', expected unix or tcp"):
        make_listener("udp", PLAIN)
