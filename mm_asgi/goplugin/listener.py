"""The address that the host connects to: a unix socket in a directory of our own, or a loopback port.

A listener chooses the address and removes its files. A server binds the address itself
(``candidates``, then ``bound``) or takes the bound socket (``open``). Unix is the default, because on
TCP any local user could send any Mattermost-User-Id.

A plugin that is killed leaves its directory behind, and the next one of this user removes it. Whether
its owner lives says a lock on the directory, which the kernel lets go of with the process: a process
id may be another's by then, and a connection would take the host's place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import stat
import sys
import time
from typing import TYPE_CHECKING

from mm_asgi.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mm_asgi.goplugin.environ import Environment

__all__ = ["TCPListener", "UnixListener", "make_listener"]

_PATH_LIMIT = 103 if sys.platform == "darwin" else 107
"""Bytes of a socket's path at the most: sockaddr_un's sun_path without the closing NUL."""

_BACKLOG = 128
_NAME = "plugin.sock"
_PREFIX = "mm-asgi-"
_OWN = re.compile(rf"{_PREFIX}[0-9a-f]{{12}}", re.ASCII)

_YOUNGEST = 60.0
"""Seconds: a younger directory may not have its lock yet."""


def make_listener(network: str, environment: Environment) -> UnixListener | TCPListener:
    """Return the listener for a network, ``unix`` or ``tcp``; a unix one makes its directory now.

    Raises:
        ConfigError: the network is another, the group is unknown, or no directory can be made.
    """
    if network == "unix":
        return UnixListener(environment)
    if network == "tcp":
        return TCPListener(environment.min_port, environment.max_port)
    raise ConfigError(f"network: it is {network!r}, expected unix or tcp")


class UnixListener:
    """A socket file for this user, and for the group that the host names, if it names one."""

    network = "unix"

    def __init__(self, environment: Environment) -> None:
        self._group = _group_number(environment.socket_group)
        self._pid = os.getpid()
        self._directory: str | None = None
        self._lock = -1
        self.address = self._choose(environment)

    def candidates(self) -> Iterable[str]:
        """Return the one path to bind."""
        return (self.address,)

    def bound(self, address: str) -> None:
        """Give the file to the group that the host names, and close it to all others.

        go-plugin sets the same mode and group.
        """
        if self._group is not None:
            _give_to_group(address, self._group)
        os.chmod(address, 0o600 if self._group is None else 0o660)

    def open(self) -> socket.socket:
        """Return a listening socket, which the caller closes; ``close()`` removes its file.

        Raises:
            ConfigError: the path cannot be bound, or not be given to the group.
        """
        opened = socket.socket(socket.AF_UNIX)
        try:
            opened.bind(self.address)
            # Before listen(): until then connects are refused, so the mode is never too wide.
            self.bound(self.address)
            opened.listen(_BACKLOG)
        except OSError as exc:
            opened.close()
            raise ConfigError(f"socket: {self.address!r} cannot be bound: {exc.strerror}") from exc
        except ConfigError:
            opened.close()
            raise
        return opened

    def close(self) -> None:
        """Remove the socket and our directory; in a forked child do nothing."""
        if os.getpid() != self._pid:
            return
        with contextlib.suppress(OSError):
            os.unlink(self.address)
        if self._directory is not None:
            with contextlib.suppress(OSError):
                os.rmdir(self._directory)
        if self._lock != -1:
            os.close(self._lock)
            self._lock = -1

    def tidy(self) -> None:
        """Remove the directories beside ours whose processes were killed."""
        if self._directory is not None:
            _remove_dead(os.path.dirname(self._directory))

    def _choose(self, environment: Environment) -> str:
        given = environment.socket_dir
        if given is not None:
            # go-plugin's own names start with "plugin" too; the number keeps plugins apart.
            path = os.path.join(os.path.abspath(given), f"plugin{_token()}")
            if len(os.fsencode(path)) <= _PATH_LIMIT:
                return path
        bases = (environment.temporary_dir, "/tmp", "/var/tmp")
        return self._in_own_directory([base for base in bases if base])

    def _in_own_directory(self, bases: list[str]) -> str:
        reason = "its path is too long"
        for base in bases:
            directory = os.path.join(os.path.abspath(base), f"{_PREFIX}{_token()}")
            path = os.path.join(directory, _NAME)
            if len(os.fsencode(path)) > _PATH_LIMIT:
                continue
            try:
                os.mkdir(directory, 0o700)
            except OSError as exc:
                reason = exc.strerror or str(exc)
                continue
            self._directory = directory
            with contextlib.suppress(OSError):  # where there are no locks, nothing is tidied either
                self._lock = _locked(directory)
            self._let_group_pass(directory)
            return path
        raise ConfigError(
            f"socket: no directory for it in {', '.join(bases)}: {reason}; "
            "set TMPDIR to a directory that this user can write to"
        )

    def _let_group_pass(self, directory: str) -> None:
        # A host may name a group and no directory (go-plugin's usual runner does).
        if self._group is None:
            return
        try:
            _give_to_group(directory, self._group)
            os.chmod(directory, 0o710)
        except BaseException:
            os.rmdir(directory)
            raise


class TCPListener:
    """A port of the host's range on the loopback interface, never shared with another process."""

    network = "tcp"

    def __init__(self, min_port: int, max_port: int) -> None:
        self._ports = range(min_port, max_port + 1)
        self.address = ""

    def candidates(self) -> Iterable[str]:
        """Return every port of the range in turn; port 0 is any port."""
        return (f"127.0.0.1:{port}" for port in self._ports)

    def bound(self, address: str) -> None:
        """Keep the address for the handshake."""
        self.address = address

    def open(self) -> socket.socket:
        """Return a listening socket on the first free port; the caller closes it.

        Raises:
            ConfigError: no port of the range can be bound.
        """
        for port in self._ports:
            opened = socket.socket(socket.AF_INET)
            try:
                # For ports in TIME_WAIT. SO_REUSEPORT, which would share a port, stays off.
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind(("127.0.0.1", port))
                opened.listen(_BACKLOG)
            except OSError as exc:
                opened.close()
                if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise ConfigError(f"port {port}: it cannot be bound: {exc.strerror}") from exc
            self.bound(f"127.0.0.1:{opened.getsockname()[1]}")
            return opened
        raise ConfigError(
            f"ports: none of 127.0.0.1:{self._ports.start} to {self._ports.stop - 1} is free; "
            "widen the host's port range or use the unix network"
        )

    def close(self) -> None:
        """Do nothing: a port leaves no files."""

    def tidy(self) -> None:
        """Do nothing: a port leaves no files."""


def _locked(directory: str) -> int:
    """Return a descriptor that locks a directory until it is closed, or the process ends.

    Raises:
        OSError: another process has the lock, or it is no directory of its own.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove_dead(base: str) -> None:
    """Remove this user's directories in ``base`` that no process has locked. Never raises."""
    with contextlib.suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            if _OWN.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_if_dead(entry)


def _remove_if_dead(entry: os.DirEntry[str]) -> None:
    facts = entry.stat(follow_symlinks=False)
    young = time.time() - facts.st_mtime < _YOUNGEST
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or young:
        return
    lock = _locked(entry.path)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(entry.path, _NAME))
        os.rmdir(entry.path)
    finally:
        os.close(lock)


def _token() -> str:
    return os.urandom(6).hex()


def _group_number(group: str | None) -> int | None:
    if group is None:
        return None
    if group.isascii() and group.isdigit():
        return int(group)
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError) as exc:
        raise ConfigError(
            f"PLUGIN_UNIX_SOCKET_GROUP: no group {ascii(group[:40]).replace('|', '/')} on this "
            "machine; correct it in the host or create the group"
        ) from exc


def _give_to_group(path: str, group: int) -> None:
    try:
        os.chown(path, -1, group)
    except (OSError, OverflowError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise ConfigError(
            f"PLUGIN_UNIX_SOCKET_GROUP: the socket cannot be given to group {group}: {reason}; "
            "make the user that runs the plugin a member of it"
        ) from exc
