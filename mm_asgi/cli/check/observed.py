"""One life of the plugin for ``mm-asgi check``: start, some requests, stop, as a server does it.

Facts only; findings.py judges them. The plugin's log is kept. Lines that the app printed are counted,
and only the first is kept, since they may be a flood.
"""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mm_asgi.cli.check.links import links_of
from mm_asgi.host import Host, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mm_asgi.host import LogLine

__all__ = [
    "HEAD_WAIT", "STREAM_WAIT", "ObservedAnswer", "Observed", "Start", "lives", "wall_time",
]  # fmt: skip

HEAD_WAIT = 5.0
"""Seconds for an answer to begin; then the request is left, as a browser's user would leave it."""

STREAM_WAIT = 1.0
"""Seconds for reading a body, since an event stream has no end."""

_LOOKED_AT = 200_000
"""Bytes of a page that are searched for links."""

_KEPT = 2000
"""Log lines; more would not change the findings."""


@dataclass(slots=True)
class ObservedAnswer:
    """The outcome of one GET.

    Attributes:
        path: below the plugin's root.
        status: None: no answer began in HEAD_WAIT.
        size: bytes of the body that were read.
        seconds: until the end of the answer, or until it was left.
        left: it was left before its end.
        broken: the connection ended before the body did.
        at: when it was over, in seconds since the epoch.
        links: what a page links to, or where the answer redirects.
    """

    path: str
    status: int | None = None
    size: int = 0
    seconds: float = 0.0
    left: bool = False
    broken: bool = False
    at: float = 0.0
    links: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PrintedLines:
    """The app's lines on stdout or stderr: their count, and the first one."""

    lines: int = 0
    first: str = ""


@dataclass(slots=True)
class Observed:
    """All facts of one life.

    Attributes:
        seconds: by step, as `Host.seconds`.
        failure: the reason why the plugin did not start.
        fate: how the process ended, such as ``exit code 0``.
        crashed: it ended by itself after its start.
        prefix: the plugin's path, /plugins/ID.
        hooks: the hooks that Implemented listed.
        memory: bytes in RAM after the requests; None: unknown on this system.
        answers: one for each requested path.
        killed: SIGKILL ended the process.
        lines: the log, without access lines and printed lines.
        printed: by stream.
        ended_at: the end of the app's work on a path, by path, in seconds since the epoch.
        active_at, stop_at: the end of the start and the beginning of the stop, likewise.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    failure: HostError | None = None
    fate: str = ""
    crashed: bool = False
    prefix: str = ""
    hooks: Sequence[str] = ()
    memory: int | None = None
    answers: list[ObservedAnswer] = field(default_factory=list)
    killed: bool = False
    lines: list[LogLine] = field(default_factory=list)
    printed: dict[str, PrintedLines] = field(default_factory=dict)
    ended_at: dict[str, float] = field(default_factory=dict)
    active_at: float = float("inf")
    stop_at: float = float("inf")

    def note_line(self, line: LogLine) -> None:
        """Note one line of the host's log."""
        if line.source == "plugin" and line.module in ("stdout", "stderr"):
            stream = self.printed.setdefault(line.module, PrintedLines())
            stream.lines += 1
            stream.first = stream.first or line.message
        elif line.module == "mm_asgi.access":
            self.ended_at[str(line.fields.get("path"))] = wall_time(line)
        elif len(self.lines) < _KEPT:
            self.lines.append(line)


def wall_time(line: LogLine) -> float:
    """Return when the plugin wrote a line, in seconds since the epoch. The host gets it later."""
    try:
        return datetime.fromisoformat(line.timestamp).timestamp()
    except ValueError:
        return line.time


@dataclass(frozen=True, slots=True)
class Start:
    """How one kind of server starts the plugin.

    Attributes:
        wire: the server that is played, as `Host` takes it.
        command: the plugin's command line.
        folder: the plugin's.
    """

    wire: str
    command: Sequence[str]
    folder: Path = Path()


async def lives(starts: Sequence[Start], *, paths: Sequence[str], **given: Any) -> list[Observed]:
    """Let the plugin live once for each kind of server; the paths are requested in the first life.

    Args:
        starts: how each starts it.
        paths: the paths to request, below the plugin's root, as a user who is logged in.
        given: as for ``live``.
    """
    first, *others = starts
    return [
        await live(first, paths=paths, **given),
        *[await live(start, paths=(), **given) for start in others],
    ]


async def live(
    start: Start, *, plugin_id: str, environ: Mapping[str, str], paths: Sequence[str]
) -> Observed:
    """Start the plugin, request the paths one after the other, stop it.

    Args:
        start: how it is started.
        plugin_id: its id.
        environ: variables for it.
        paths: the paths to request, below the plugin's root, as a user who is logged in.
    """
    life = Observed()
    host = Host(
        argv=start.command,
        wire=start.wire,
        directory=start.folder,
        plugin_id=plugin_id,
        user="alice",
        # The access log has the end of each request.
        env={"PYTHONUNBUFFERED": "1", **environ, "MM_ASGI_ACCESS_LOG": "true"},
        log_level="info",
        on_log=life.note_line,
    )
    life.seconds = host.seconds
    try:
        await host.__aenter__()
        life.active_at = time.time()
        await _ask_paths(host, life, paths)
    except HostError as exc:
        life.failure = exc
    finally:
        await host.close()
    life.fate = _process_end(life.lines)
    return life


async def _ask_paths(host: Host, life: Observed, paths: Sequence[str]) -> None:
    life.hooks = host.implemented
    prefix = life.prefix = urlsplit(host.url).path
    for path in paths:
        if "ServeHTTP" in life.hooks and host.running:
            life.answers.append(await asyncio.to_thread(_get_path, host.address, prefix, path))
    life.memory = _memory_of(host.pid)
    life.stop_at = time.time()
    life.crashed = bool(host.failure)
    if not life.crashed:
        fate = await host.deactivate()
        life.killed = fate is not None and fate.killed
    life.ended_at = {path.removeprefix(prefix): at for path, at in life.ended_at.items()}


def _process_end(lines: Sequence[LogLine]) -> str:
    """Return how the process ended: its exit code or signal."""
    for line in lines:
        if line.source == "go-plugin" and line.message == "plugin process exited":
            return str(line.fields["end"])
    return ""


def _get_path(address: str, prefix: str, path: str) -> ObservedAnswer:
    """Send a GET, and leave it when it takes too long."""
    answer = ObservedAnswer(path)
    began = time.monotonic()
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=HEAD_WAIT)
    try:
        connection.request("GET", prefix + path)
        response = connection.getresponse()
        answer.status = response.status
        body = _read_body(response, connection, answer)
        if response.getheader("Content-Type", "").startswith("text/html"):
            answer.links = links_of(body.decode("utf-8", "replace"))
        if target := response.getheader("Location"):
            answer.links.append(target)
    except TimeoutError:
        answer.left = True
    except (http.client.HTTPException, OSError):
        answer.broken = True
    finally:
        connection.close()
    answer.seconds = time.monotonic() - began
    answer.at = time.time()
    return answer


def _read_body(
    response: http.client.HTTPResponse,
    connection: http.client.HTTPConnection,
    answer: ObservedAnswer,
) -> bytes:
    """Read the body for a while, and return its beginning."""
    until = time.monotonic() + STREAM_WAIT
    begin = b""
    while (left := until - time.monotonic()) > 0:
        if connection.sock is not None:
            connection.sock.settimeout(max(left, 0.01))
        piece = response.read1(64 * 1024)
        answer.size += len(piece)
        begin = (begin + piece)[:_LOOKED_AT]
        if not piece:
            answer.broken = bool(response.length)
            return begin
    answer.left = True
    return begin


def _memory_of(pid: int) -> int | None:
    """Return a process' bytes in RAM, or None if they are unknown."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        # macOS has no /proc.
        shown = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    text = shown.stdout.strip()
    return int(text) * 1024 if text.isdigit() else None
