"""The plugin's process as go-plugin's client runs it: environment, handshake, pipes, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, unquote

from mm_asgi.host.plugin.host_error import HostError
from mm_asgi.host.plugin.stderr import StderrReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mm_asgi.host.plugin.log import HostLog
    from mm_asgi.host.plugin.stderr import LogLine

__all__ = ["API_TARGET", "Fate", "PluginProcess", "plugin_environment", "read_handshake"]

REMEMBERED = 20
"""Log lines of stderr to show when a start fails."""

EXIT_AFTER_END = 0.3
"""Seconds to wait for the pipes' last bytes; a grandchild may hold them open."""

API_TARGET = "MATTERMOST_PLUGIN_API_TARGET"

STDOUT_LIMIT = 64 * 1024
"""bufio.Scanner's: go-plugin stops reading stdout at a longer line."""


@dataclass(frozen=True, slots=True)
class Fate:
    """The end of a process, by an exit code or by a signal.

    Attributes:
        pid: the process' id.
        exit_code: its exit code; None when a signal ended it.
        signal: the signal's number; None when it exited.
        killed: the host killed it (SIGKILL).
    """

    pid: int
    exit_code: int | None
    signal: int | None
    killed: bool

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit code {self.exit_code}"
        return f"ended by {signal.Signals(self.signal).name}"


def plugin_environment(
    base: Mapping[str, str],
    *,
    plugin_id: str,
    released: bool = False,
    log_level: str | None = None,
    api_target: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment of a plugin.

    Later ones win: ``base``, Mattermost's variables, ``extra`` (an empty value unsets a variable),
    go-plugin's variables. The API's target is there without an API, too, and empty then: where it is
    absent, a plugin believes in a released server and speaks net/rpc. A released server gives
    neither it nor the id and the level.
    """
    extra = extra or {}
    ours = {"MATTERMOST_PLUGIN_ID": plugin_id, "MATTERMOST_LOG_LEVEL": log_level or ""}
    given = {**({} if released else ours), **extra}
    environ = {**base, **given}
    hosts = (
        "PLUGIN_CLIENT_CERT",
        "PLUGIN_MULTIPLEX_GRPC",
        *((*ours, API_TARGET) if released else ()),
    )
    for name in hosts:
        if name not in given:
            environ.pop(name, None)  # from a host that runs this process as its plugin
    if API_TARGET not in extra and not released:
        environ[API_TARGET] = api_target or ""
    return {
        **{name: value for name, value in environ.items() if value or name not in given},
        "MATTERMOST_PLUGIN": "Securely message teams, anywhere.",
        "PLUGIN_MIN_PORT": "10000",
        "PLUGIN_MAX_PORT": "25000",
        "PLUGIN_PROTOCOL_VERSIONS": "1",
    }


def read_handshake(line: str, protocol: str = "grpc") -> str:
    """Return the address in a plugin's first line, as gRPC names its targets.

    Args:
        line: the first line.
        protocol: the one that the host speaks.

    Raises:
        HostError: it is not a handshake that go-plugin accepts; the text is go-plugin's.
    """
    line = line.strip()
    parts = line.split("|")
    if len(parts) < 4:
        raise HostError("start", f"Unrecognized remote plugin message: {line}")
    core, version, network, address, *rest = parts
    if core != "1":
        raise HostError(
            "start",
            f"incompatible core API version with plugin. Plugin version: {core}, Core version: 1",
        )
    if version != "1":
        raise HostError(
            "start",
            f"incompatible API version with plugin. Plugin version: {version}, Client versions: [1]",
        )
    if network not in ("unix", "tcp"):
        raise HostError("start", f"unknown address type: {address}")
    spoken = rest[0] if rest else "netrpc"
    if spoken != protocol:
        supported = f'unsupported plugin protocol "{spoken}". Supported: [{protocol}]'
        raise HostError("start", supported)
    return f"unix:{quote(address)}" if network == "unix" else address


class PluginProcess(asyncio.SubprocessProtocol):
    """One process from its start to its reaping."""

    def __init__(self, log: HostLog) -> None:
        self.pid = 0
        self.target = ""
        self.fate: Fate | None = None
        self._last_lines: deque[LogLine] = deque(maxlen=REMEMBERED)
        self._log = log
        self._transport: asyncio.SubprocessTransport | None = None
        self._stderr = StderrReader()
        self._stdout = bytearray()
        self._killed = False
        loop = asyncio.get_running_loop()
        self._first_line: asyncio.Future[str] = loop.create_future()
        self._exited = asyncio.Event()
        self._drained = asyncio.Event()
        self._on_exit: list[Callable[[], None]] = []

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        directory: Path | str,
        environ: Mapping[str, str],
        timeout: float,
        log: HostLog,
        protocol: str = "grpc",
    ) -> PluginProcess:
        """Run the plugin and wait for its handshake.

        Raises:
            HostError: there was no handshake; the process has been killed.
        """
        loop = asyncio.get_running_loop()
        process = cls(log)
        try:
            await loop.subprocess_exec(
                lambda: process,
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                cwd=directory,
                env=dict(environ),
                # Ctrl-C in a terminal is for the host alone. go-plugin's plugins ignore it, but
                # Python does not while it starts. A plugin notices the host's death itself (L5).
                start_new_session=True,
            )
        except OSError as exc:
            raise HostError("start", f"{argv[0]}: it cannot be started: {exc.strerror}") from exc
        log.go_plugin("debug", "plugin started", pid=process.pid)
        try:
            await process._shake_hands(timeout, protocol)
        except BaseException:
            await process.kill()
            raise
        return process

    async def _shake_hands(self, timeout: float, protocol: str) -> None:
        try:
            line = await asyncio.wait_for(asyncio.shield(self._first_line), timeout)
        except TimeoutError:
            raise HostError(
                "start",
                f"timeout while waiting for plugin to start ({timeout:g} s)",
                self.last_words(),
            ) from None
        try:
            self.target = read_handshake(line, protocol)
        except HostError as exc:
            await self._wait_for_last_lines()
            raise HostError(exc.stage, exc.error, self.last_words()) from None

    @property
    def running(self) -> bool:
        return self.fate is None

    def last_words(self) -> list[str]:
        """Return the last lines of stderr, tracebacks included."""
        words: list[str] = []
        for line in self._last_lines:
            words += [line.message, *str(line.fields.get("exception", "")).splitlines()]
        return words

    def on_exit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the process has ended, for whatever reason."""
        if self.fate is None:
            self._on_exit.append(callback)
        else:
            callback()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for the process to end.

        Args:
            timeout: seconds; None: no limit.

        Returns:
            bool: whether it has ended.
        """
        # Not asyncio.timeout: before Python 3.11.3 it raises CancelledError in a cancelled task that
        # cleans up (python/cpython#102780), and the process would not be killed then.
        exited = asyncio.ensure_future(self._exited.wait())
        try:
            await asyncio.wait((exited,), timeout=timeout)
        finally:
            exited.cancel()
        return self._exited.is_set()

    async def kill(self) -> Fate:
        """Kill the process and its children if it still runs, reap it and close the pipes."""
        assert self._transport is not None
        if self.fate is None:
            self._killed = True
            # Not the transport's kill: it polls first, and so takes the end from asyncio's watcher.
            # PermissionError: macOS raises it for a process that has just ended.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        await self._exited.wait()
        await self._wait_for_last_lines()
        self._transport.close()
        self._remove_socket()
        assert self.fate is not None
        return self.fate

    async def _wait_for_last_lines(self) -> None:
        """Wait a moment for the last lines of a process that has ended."""
        if self.fate is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), EXIT_AFTER_END)

    def _remove_socket(self) -> None:
        """Remove the socket, and its folder, that a killed or crashed process leaves."""
        if self.target.startswith("unix:"):
            path = unquote(self.target.removeprefix("unix:"))
            with contextlib.suppress(OSError):
                os.unlink(path)
                os.rmdir(os.path.dirname(path))

    # ---------------------------------------------------------------- asyncio.SubprocessProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is not a subclass of asyncio's.
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid() or 0

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            for line in self._stderr.feed(data):
                self._last_lines.append(line)
                self._log.add(line)
        else:
            self._read_stdout(data)

    def _read_stdout(self, data: bytes) -> None:
        """Take the first line as the handshake and drop the rest, as go-plugin does."""
        self._stdout += data
        *lines, self._stdout = self._stdout.split(b"\n")
        if lines and not self._first_line.done():
            self._first_line.set_result(lines[0].decode("utf-8", "replace"))
        if max(map(len, [*lines, self._stdout])) >= STDOUT_LIMIT:
            assert self._transport is not None
            self._fail_start("Unrecognized remote plugin message: a first line over 64 KiB")
            pipe: Any = self._transport.get_pipe_transport(1)
            # go-plugin stops reading here: once the pipe is full, the plugin's next print blocks for
            # ever.
            pipe.pause_reading()
            self._stdout.clear()
            self._log.go_plugin(
                "error", "error encountered while scanning stdout", error="token too long"
            )

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1 and self._stdout and not self._first_line.done():
            self._first_line.set_result(self._stdout.decode("utf-8", "replace"))
        if fd == 2:
            for line in self._stderr.close():
                self._last_lines.append(line)
                self._log.add(line)

    def process_exited(self) -> None:
        assert self._transport is not None
        code = self._transport.get_returncode()
        assert code is not None
        self.fate = Fate(
            self.pid, None if code < 0 else code, -code if code < 0 else None, self._killed
        )
        self._log.go_plugin(
            "info" if code == 0 else "error",
            "plugin process exited",
            pid=self.pid,
            end=str(self.fate),
        )
        self._exited.set()
        if not self._first_line.done():
            asyncio.get_running_loop().call_later(EXIT_AFTER_END, self._fail_without_handshake)
        for callback in self._on_exit:
            callback()

    def _fail_without_handshake(self) -> None:
        self._fail_start(f"plugin exited before we could connect ({self.fate})")

    def _fail_start(self, error: str) -> None:
        if not self._first_line.done():
            self._first_line.set_exception(HostError("start", error, self.last_words()))
            self._first_line.exception()  # retrieved, since there may be no waiter any more

    def connection_lost(self, exc: Exception | None) -> None:
        self._drained.set()
        self._fail_without_handshake()
