"""A host in Python, for the default tier: starts a plugin, reads the handshake, speaks gRPC.

It judges what the process does. What Go's client and net/http do with it, real_host.py shows.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any, Self

from tests.roads.line import Line, find, from_entry
from tests.roads.process.bell import WAIT, Bell
from tests.roads.process.facts import (
    APPS,
    Exit,
    StartFailed,
    clean_environ,
    plugin_env,
)
from tests.roads.process.peer import Peer
from tests.roads.road import PLUGIN_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from tests.roads.process.peer import Request
    from tests.roads.road import Answer

__all__ = ["LightHost", "Lines", "log_line"]

API_TARGET = "MATTERMOST_PLUGIN_API_TARGET"
COOKIE = {"MATTERMOST_PLUGIN": "Securely message teams, anywhere."}
HOST_ENV = {
    **COOKIE,
    "MATTERMOST_PLUGIN_ID": PLUGIN_ID,
    API_TARGET: "",  # a host of gRPC without an API
    "MATTERMOST_LOG_LEVEL": "debug",
    "PLUGIN_PROTOCOL_VERSIONS": "1",
    "PLUGIN_MIN_PORT": "10000",
    "PLUGIN_MAX_PORT": "25000",
}
KILL_AFTER = 2.0  # s that go-plugin's Kill waits after Shutdown (client.go)
LINE_LIMIT = 64 * 1024


class Lines:
    """A pipe's lines, read by a thread; a test waits for the one that it expects."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lines: list[bytes] = []
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def all(self) -> list[bytes]:
        with self._changed:
            return list(self._lines)

    def wait(self, wanted: Callable[[bytes], bool], timeout: float = WAIT) -> bytes:
        """The first line, past or future, that is wanted; AssertionError if none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or any(map(wanted, self._lines)), timeout)
            for line in self._lines:
                if wanted(line):
                    return line
            said = b"".join(self._lines[-30:]).decode("utf-8", "replace")
            raise AssertionError(f"the line did not come; ended: {self._ended}; lines:\n{said}")

    def wait_end(self, timeout: float = WAIT) -> None:
        """Wait until nobody can write any more."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "somebody still holds the pipe open"

    def close(self) -> None:
        self._thread.join(WAIT)
        self._pipe.close()

    def _read(self) -> None:
        for line in self._pipe:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def log_line(line: bytes) -> Line:
    """A line of the plugin's stderr, which has to be as the host's reader needs it (row L7)."""
    assert line.endswith(b"\n")
    assert len(line) <= LINE_LIMIT, f"{len(line)} bytes"
    entry: dict[str, Any] = json.loads(line)
    made = from_entry(entry)
    assert made.level in ("trace", "debug", "info", "warn", "error")
    assert isinstance(made.logger, str)
    assert isinstance(made.message, str)
    stamp = entry["@timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp), stamp
    names = {"@level", "@module", "@message", "@timestamp"}
    assert {name for name in entry if name.startswith("@")} == names
    return made


class LightHost:
    """One plugin process and its host; leaving the ``with`` block leaves nothing behind.

    Args:
        app: the target that the start file runs.
        command: instead of the start file.
        cwd: instead of the folder of apps.
        settings: of the plugin; names in capitals are environment variables.
    """

    def __init__(
        self,
        app: str = "polite:app",
        *,
        command: Sequence[str] = (sys.executable, "start.py"),
        cwd: Path = APPS,
        **settings: object,
    ) -> None:
        self.bell = Bell()
        env = clean_environ() | HOST_ENV | plugin_env(app, self.bell.address, settings)
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={name: value for name, value in env.items() if value or name == API_TARGET},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout, self.stderr = Lines(self.process.stdout), Lines(self.process.stderr)
        self.hooks: list[str] = []
        self._peer: Peer | None = None
        self._begun: list[Request] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._peer is not None:
            self._peer.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(WAIT)
        self.stdout.close()
        self.stderr.close()
        self.bell.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def peer(self) -> Peer:
        """The connection; made when first asked for."""
        if self._peer is None:
            self._peer = Peer(self.handshake())
        return self._peer

    def handshake(self) -> list[str]:
        """The fields of the first line on stdout."""
        return self.stdout.wait(lambda _: True).decode().rstrip("\n").split("|")

    def start(self) -> Self:
        """As the host starts a plugin: health, Implemented twice, OnActivate."""
        assert self.peer.is_healthy()
        self.hooks = self.peer.implemented()
        assert self.peer.implemented() == self.hooks
        if (fault := self.peer.activate()) is not None:
            raise StartFailed(fault)
        return self

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self.peer.get(path, headers)

    def call_hook(self, name: str) -> None:
        """Call a lifecycle hook, which must not answer an error."""
        answer = self.peer.hook(name)
        assert not answer.HasField("error"), answer.error

    def log(self) -> list[Line]:
        """What arrived on stderr; every line is checked."""
        return [log_line(line) for line in self.stderr.all()]

    def wait_log(self, text: str, **facts: str) -> Line:
        """The first log line, past or future, that ``find`` finds."""
        return log_line(self.stderr.wait(lambda line: bool(find([log_line(line)], text, **facts))))

    def exit_code(self, timeout: float = WAIT) -> int:
        """Wait for the end of the process."""
        code = self.process.wait(timeout)
        self.stderr.wait_end()
        return code

    def begin(self, path: str) -> Request:
        """Begin a request; the app says by the bell that it has it."""
        request = self.peer.open(path)
        self._begun.append(request)  # grpcio cancels a call that nobody holds
        return request

    def stop(self) -> Exit:
        """OnDeactivate, then go-plugin's Kill."""
        began = time.monotonic()
        self.peer.hook("OnDeactivate", timeout=30)
        return self.kill(time.monotonic() - began)

    def kill(self, deactivate_seconds: float = 0.0) -> Exit:
        """go-plugin's Kill: Shutdown, 2 s, SIGKILL."""
        began = time.monotonic()
        self.peer.shutdown()
        killed = False
        try:
            self.process.wait(KILL_AFTER)
        except subprocess.TimeoutExpired:
            killed = True
            self.process.kill()
            self.process.wait(WAIT)
        seconds = time.monotonic() - began
        code = self.process.returncode
        return Exit(code if code >= 0 else None, killed, deactivate_seconds, seconds)
